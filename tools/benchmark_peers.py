"""The project and SpeechBrain at the same work, in turns: search, training step and features.

Weights are random and every text is forced to one length, so both sides do the same work whatever they
write. Each round runs all that is compared once, beginning with another of them each time, and waits for
the machine to be quiet first.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import corpus_folder
import torch
import typer
from torch import Tensor, nn
from torch.nn import functional

from asr_seq2seq import __version__
from asr_seq2seq.config import LogMelConfig, SearchConfig, validate
from asr_seq2seq.device import pick_device
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.features import LogMel
from asr_seq2seq.files import atomic_write
from asr_seq2seq.model.seq2seq import Encoded, Seq2Seq
from asr_seq2seq.search import search
from asr_seq2seq.text import END, FIRST_CHARACTER, PADDING, START

Run = Callable[[], object]
NEVER = -1e4  # bias of the end symbol, so that no text ends by itself
ATTENTIONS = ("dot", "location")
LONG_ENOUGH = 0.2  # seconds: shorter work is repeated within a round
QUIET = 0.1  # share of the processors that others may use
PATIENCE = 5.0  # seconds to wait for that before each round
MISSING = "SpeechBrain is not installed and is left out: pip install 'asr_seq2seq[bench]' brings it."


@dataclass(frozen=True)
class Sizes:
    """The networks, and how much they are given."""

    mels: int = 80
    units: int = 320  # also of the embedding and of attention; in each direction of the encoder
    layers: int = 3  # of the encoder, 2 frames joined before each
    symbols: int = 32
    channels: int = 10
    width: int = 100
    batch: int = 16  # of training
    frames: int = 500
    characters: int = 60
    search_batches: tuple[int, ...] = (16, 1)
    encoded_frames: int = 125  # 10 s
    tokens: int = 70
    beam: int = 8
    ctc_weight: float = 0.3
    sample_rate: int = 16000
    seconds: float = 60.0  # of sound for the features


@dataclass(frozen=True)
class Work:
    """One task: by name, how the project does it and how its peers do."""

    name: str
    ours: dict[str, Run]
    peers: dict[str, Run]


@dataclass(frozen=True)
class Measured:
    """Seconds of one call in each round, by the names of `Work`; rounds that began on a quiet machine."""

    name: str
    ours: dict[str, list[float]]
    peers: dict[str, list[float]]
    quiet_rounds: int


def our_network(sizes: Sizes, attention: str, ctc_weight: float, device: torch.device) -> Seq2Seq:
    """The project's network with random weights, which is given features, not sound."""
    units = sizes.units
    decoder = {"attention": attention, "units": units, "embedding": units, "attention_size": units}
    decoder |= {"location_channels": sizes.channels, "location_width": sizes.width}
    encoder = {"layers": [{"units": units, "reduction": 2}] * sizes.layers}
    model = {"encoder": encoder, "context": {"size": units}, "decoder": decoder, "ctc_weight": ctc_weight}
    config = validate({"features": {"mels": sizes.mels}, "model": model}, "the benchmark")
    network = Seq2Seq(config, sizes.symbols)
    network.features.forward = lambda features, lengths: (features, lengths)  # type: ignore
    return network.to(device)


class SpeechBrainNetwork(nn.Module):
    """SpeechBrain's LSTM layers with 2 frames joined before each, and its decoder with location attention."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        from speechbrain.nnet.embedding import Embedding
        from speechbrain.nnet.linear import Linear
        from speechbrain.nnet.RNN import LSTM, AttentionalRNNDecoder

        units = sizes.units
        inputs = [2 * sizes.mels] + [4 * units] * (sizes.layers - 1)
        self.encoder = nn.ModuleList(LSTM(units, input_size=size, bidirectional=True) for size in inputs)
        self.embedding = Embedding(num_embeddings=sizes.symbols, embedding_dim=units)
        location = {"channels": sizes.channels, "kernel_size": sizes.width}  # the width to each side
        self.decoder = AttentionalRNNDecoder(
            "lstm", "location", units, units, num_layers=1, enc_dim=2 * units, input_size=units, **location
        )
        self.output = Linear(n_neurons=sizes.symbols, input_size=units)
        self.ctc_head = Linear(n_neurons=sizes.symbols, input_size=2 * units)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Features (B, T, F), tokens (B, U) from the start symbol on -> log-probabilities (B, U, V)."""
        encoded = features
        for layer in self.encoder:
            pairs = encoded.shape[1] // 2
            encoded, _ = layer(encoded[:, : 2 * pairs].reshape(len(encoded), pairs, -1))
        hidden, _ = self.decoder(self.embedding(tokens), encoded, whole(encoded))
        logits: Tensor = self.output(hidden)
        return logits.log_softmax(-1)


def whole(batch: Tensor) -> Tensor:
    """SpeechBrain's relative lengths (B,), where nothing is padding."""
    return torch.ones(len(batch), device=batch.device)


def search_work(sizes: Sizes, device: torch.device, speechbrain: bool) -> Iterator[Work]:
    """From encoded frames to texts of a fixed length; the CTC head is part of the work on both sides."""
    ours = {kind: our_network(sizes, kind, sizes.ctc_weight, device).eval() for kind in ATTENTIONS}
    peer = SpeechBrainNetwork(sizes).to(device).eval() if speechbrain else None
    with torch.no_grad():
        for output in (
            *(model.decoder.output for model in ours.values()),
            *([peer.output.w] if peer else []),
        ):
            output.get_parameter("bias")[END] = NEVER
    for batch in sizes.search_batches:
        # Between -1 and 1, as an LSTM's outputs are.
        encoded = torch.rand(batch, sizes.encoded_frames, 2 * sizes.units, device=device) * 2 - 1
        for weight in (0.0, sizes.ctc_weight):
            yield Work(
                f"beam {sizes.beam}, batch {batch}" + (f", CTC {weight:g}" if weight else ""),
                {kind: partial(our_texts, model, encoded, weight, sizes) for kind, model in ours.items()},
                speechbrain_searches(peer, encoded, weight, sizes) if peer else {},
            )


@torch.inference_mode()
def our_texts(model: Seq2Seq, frames: Tensor, ctc_weight: float, sizes: Sizes) -> list[list[tuple[int, ...]]]:
    """Encoded frames (B, T', E) -> the texts that the project finds for each utterance, best first."""
    lengths = torch.full((len(frames),), frames.shape[1], device=frames.device)
    ctc = model.ctc_head(frames).float().log_softmax(-1) if ctc_weight and model.ctc_head else None
    limit = (sizes.tokens - 0.5) / frames.shape[1]  # is rounded up
    config = SearchConfig(beam_size=sizes.beam, ctc_weight=ctc_weight, tokens_per_frame=limit)
    encoded = Encoded(frames, lengths, model.context(frames, lengths), ctc)
    texts = [[found.tokens for found in row] for row in search(model, encoded, config)]
    assert {len(text) for row in texts for text in row} == {sizes.tokens}
    return texts


def speechbrain_searches(
    peer: SpeechBrainNetwork, frames: Tensor, ctc_weight: float, sizes: Sizes
) -> dict[str, Run]:
    """SpeechBrain's beam search; with CTC, scored for all symbols (full) or the decoder's best (partial)."""
    from speechbrain.decoders import S2SRNNBeamSearcher
    from speechbrain.decoders.scorer import CTCScorer, ScorerBuilder

    scorers: dict[str, Any] = {"SpeechBrain": None}
    if ctc_weight:
        ctc, share = CTCScorer(peer.ctc_head, PADDING, END), {"ctc": ctc_weight}
        full = ScorerBuilder(weights=share, full_scorers=[ctc])
        partly = ScorerBuilder(weights=share, partial_scorers=[ctc], scorer_beam_scale=1.5)
        scorers = {"SpeechBrain, full": full, "SpeechBrain, partial": partly}
    # Like ours, it takes a step more than it writes characters; the product is rounded down.
    limit = (sizes.tokens + 1.5) / frames.shape[1]
    settings: dict[str, Any] = {"bos_index": START, "eos_index": END, "beam_size": sizes.beam}
    settings |= {"min_decode_ratio": limit, "max_decode_ratio": limit}

    @torch.inference_mode()
    def texts(searcher: nn.Module) -> list[list[int]]:
        best: list[list[int]] = searcher(frames, whole(frames))[0]
        assert {len(text) for text in best} == {sizes.tokens}
        return best

    parts = (peer.embedding, peer.decoder, peer.output)
    return {
        name: partial(texts, S2SRNNBeamSearcher(*parts, scorer=scorer, **settings).eval())
        for name, scorer in scorers.items()
    }


def training_work(sizes: Sizes, device: torch.device, speechbrain: bool) -> Iterator[Work]:
    """Forward, loss, backward and Adam from given features; no CTC, no clipping of gradients."""
    features = torch.randn(sizes.batch, sizes.frames, sizes.mels, device=device)
    tokens = torch.randint(FIRST_CHARACTER, sizes.symbols, (sizes.batch, sizes.characters), device=device)

    lengths = torch.full((sizes.batch,), sizes.frames, device=device)
    token_lengths = torch.full_like(lengths, sizes.characters)
    inputs, targets = functional.pad(tokens, (1, 0), value=START), functional.pad(tokens, (0, 1), value=END)

    def our_loss(model: Seq2Seq) -> Any:
        return model(features, lengths, tokens, token_lengths, 0.0).total

    def peer_loss(model: SpeechBrainNetwork) -> Any:
        from speechbrain.nnet.losses import nll_loss

        return nll_loss(model(features, inputs), targets, length=whole(features))

    networks = {kind: our_network(sizes, kind, 0.0, device).train() for kind in ATTENTIONS}
    peers = {"SpeechBrain": SpeechBrainNetwork(sizes).to(device).train()} if speechbrain else {}
    yield Work(
        f"step of {sizes.batch} x {sizes.frames} frames",
        {kind: training_step(model, partial(our_loss, model)) for kind, model in networks.items()},
        {name: training_step(model, partial(peer_loss, model)) for name, model in peers.items()},
    )


def training_step(model: nn.Module, loss: Callable[[], Any]) -> Run:
    """One step of Adam that moves the model against the gradient of a loss."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


def features_work(sizes: Sizes, device: torch.device, speechbrain: bool) -> Iterator[Work]:
    """Log-mel frames from sound, not normalised."""
    rate = sizes.sample_rate
    sound = 0.1 * torch.randn(1, round(sizes.seconds * rate), device=device)
    log_mel = LogMel(LogMelConfig(sample_rate=rate, mels=sizes.mels)).to(device).log_mel
    peers: dict[str, Run] = {}
    if speechbrain:
        from speechbrain.lobes.features import Fbank

        fbank = Fbank(sample_rate=rate, n_mels=sizes.mels).to(device)
        peers["SpeechBrain"] = torch.inference_mode()(partial(fbank, sound))
    ours: dict[str, Run] = {"log-mel": torch.inference_mode()(partial(log_mel, sound))}
    yield Work(f"log-mel of {sizes.seconds:g} s", ours, peers)


SECTIONS = {"search": search_work, "train": training_work, "features": features_work}


def measure(
    work: Work, rounds: int, device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> Measured:
    """Run all of a task's contestants in turns, a round at a time."""
    runs = [*work.ours.values(), *work.peers.values()]
    repeats = []
    for run in runs:
        timed(run, 1, device, clock)  # the first call is slower: memory is taken, kernels are chosen
        repeats.append(math.ceil(LONG_ENOUGH / timed(run, 1, device, clock)))
    seconds: list[list[float]] = [[] for _ in runs]
    quiet = 0
    for number in corpus_folder.progress(range(rounds), rounds, work.name):
        quiet += becomes_quiet()
        for turn in range(number, number + len(runs)):
            index = turn % len(runs)
            seconds[index].append(timed(runs[index], repeats[index], device, clock))
    found = iter(seconds)
    ours = {name: next(found) for name in work.ours}
    return Measured(work.name, ours, {name: next(found) for name in work.peers}, quiet)


def timed(run: Run, repeats: int, device: torch.device, clock: Callable[[], float]) -> float:
    """Seconds of one call, the mean of several."""
    synchronize = torch.get_device_module(device).synchronize
    synchronize()
    start = clock()
    for _ in range(repeats):
        run()
    synchronize()
    return (clock() - start) / repeats


def becomes_quiet() -> bool:
    """Wait until other processes use few of the processors; false if they do not in time."""
    deadline = time.monotonic() + PATIENCE
    share = 1.0
    while share > QUIET and time.monotonic() < deadline:
        before = others_seconds()
        time.sleep(0.25)
        share = (others_seconds() - before) / 0.25 / (os.cpu_count() or 1)
    return share <= QUIET


def others_seconds() -> float:
    """Processor time that other processes have used since the machine was started."""
    if not (path := Path("/proc/stat")).exists():
        return 0.0  # nobody knows: the machine counts as quiet
    ticks = [int(field) for field in path.read_text().split(maxsplit=9)[1:9]]
    busy = sum(ticks) - ticks[3] - ticks[4]  # all but idle and waiting for a disk
    return busy / os.sysconf("SC_CLK_TCK") - sum(os.times()[:2])


def table(section: str, work: Measured) -> Iterator[str]:
    """The lines of a Markdown table: medians, their ratio, and the ratios of single rounds."""
    for ours, mine in work.ours.items():
        left = f"| {section} | {work.name} | {ours} | {1000 * median(mine):.1f} |"
        if not work.peers:
            yield f"{left} | | |"
        for peer, theirs in work.peers.items():
            ratios = [their / my for their, my in zip(theirs, mine, strict=True)]
            ratio = f"{median(theirs) / median(mine):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            yield f"{left} {peer} | {1000 * median(theirs):.1f} | {ratio} |"


def main(
    threads: Annotated[int, typer.Option(min=1, help="Processor threads that each side may use.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contestant; the median counts.")] = 7,
    only: Annotated[
        str, typer.Option(help=f"Some of the sections {', '.join(SECTIONS)}, joined by commas.")
    ] = ",".join(SECTIONS),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "cpu",
    processor_time: Annotated[
        bool, typer.Option("--processor-time", help="Count time on processors: others then disturb little.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for every round's seconds.")] = None,
) -> None:
    """Measure the project and SpeechBrain at the same tensors and sizes; print medians and their ratio.

    Example: python tools/benchmark_peers.py --threads 2 --only search,train --json peers.json
    """
    sections = only.split(",")
    for section in sections:
        if section not in SECTIONS:
            raise ConfigError(f"--only {section}: no such section; the sections are {', '.join(SECTIONS)}")
    speechbrain = importlib.util.find_spec("speechbrain") is not None
    if not speechbrain:
        print(MISSING, file=sys.stderr)
    where, sizes = pick_device(device), Sizes()
    clock = time.process_time if processor_time else time.perf_counter
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    print("| section | work | ours | ms | peer | ms | peer / ours (single rounds) |\n|" + "---|" * 7)
    results: dict[str, list[dict[str, Any]]] = {section: [] for section in sections}
    for section in sections:
        for work in SECTIONS[section](sizes, where, speechbrain):
            measured = measure(work, rounds, where, clock)
            print(*table(section, measured), sep="\n", flush=True)
            if busy := rounds - measured.quiet_rounds:
                print(f"{work.name}: {busy} of {rounds} rounds on a busy machine", file=sys.stderr)
            results[section].append(asdict(measured))
    if json_file is not None:
        packages = ["torch", *(["speechbrain"] if speechbrain else [])]
        report: dict[str, Any] = {"threads": threads, "rounds": rounds, "device": str(where)}
        report |= {
            "processor_time": processor_time,
            "machine": platform.platform(),
            "sizes": asdict(sizes),
            "seconds": results,
        }
        versions = {"asr_seq2seq": __version__} | {package: version(package) for package in packages}
        report |= {"versions": versions}
        with atomic_write(json_file) as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    corpus_folder.run(main)
