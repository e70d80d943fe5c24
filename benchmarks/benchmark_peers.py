"""The project and its peers at the same work, in turns: search, training step, features, and the ONNX form.

`precision` is the training step in bfloat16 on a larger batch, where that pays; the peer's in both types.

Weights are random and every text is forced to one length, so all do the same work whatever they write. The
project searches in onnxruntime, as its users do, and once more in torch. The peers are SpeechBrain and
ESPnet, each where it is installed; the ONNX form of the encoder is held against torch.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
import peers_espnet
import peers_speechbrain
import torch
import typer
from benchmarking import (
    Run,
    Sizes,
    Work,
    chosen,
    measure,
    table,
    tell_busy,
)
from machine import Record, append_run, tell_machine
from our_side import (
    ATTENTIONS,
    never_ends,
    our_config,
    our_log_mel,
    our_network,
    our_runtime,
    our_runtime_log_mel,
    our_runtime_texts,
    our_texts,
    some_sound,
)
from torch import Tensor, nn

from asr_seq2seq.cli.run import run_function
from asr_seq2seq.model.device import pick_device
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.text.tokenizer import FIRST_CHARACTER

ENCODED_TOGETHER = (1, 8)  # utterances
RECIPE_ROUNDS = 3  # of steps that take up to half a minute
EXTRA = "is not installed and is left out: pip install 'asr_seq2seq[{}]' brings it"
MISSING = {
    "speechbrain": f"SpeechBrain {EXTRA.format('bench')}",
    "espnet": f"ESPnet is not installed and is left out: {peers_espnet.INSTALLATION} bring it",
}
USED = {  # by section
    "search": ("speechbrain", "espnet"),
    "train": ("speechbrain",),
    "precision": ("speechbrain",),
    "recipes": ("speechbrain", "espnet"),
    "features": ("speechbrain",),
    "onnx": (),
}


def search_work(sizes: Sizes, device: torch.device, installed: frozenset[str]) -> Iterator[Work]:
    """From encoded frames to texts of a fixed length; the CTC head is part of the work on all sides."""
    ours = {kind: our_network(sizes, kind, sizes.ctc_weight, device).eval() for kind in ATTENTIONS}
    for model in ours.values():
        never_ends(model.decoder.output)
    speechbrain = espnet = None
    if "speechbrain" in installed:
        speechbrain = peers_speechbrain.SpeechBrainNetwork(sizes, peers_speechbrain.Pyramid(sizes))
        never_ends(speechbrain.to(device).eval().output.w)
    if "espnet" in installed:
        espnet = peers_espnet.network(sizes, sizes.ctc_weight).to(device).eval()
        never_ends(espnet.decoder.output, espnet.eos)
    for batch in sizes.search_batches:
        # Between -1 and 1, as an LSTM's outputs are.
        encoded = torch.rand(batch, sizes.encoded_frames, 2 * sizes.units, device=device) * 2 - 1
        for weight in (0.0, sizes.ctc_weight):
            peers: dict[str, Run] = {}
            if speechbrain:
                peers |= peers_speechbrain.searches(speechbrain, encoded, weight, sizes)
            if espnet and batch == 1:  # its encoder's output is half as wide
                peers |= peers_espnet.searches(espnet, encoded[..., : sizes.units], weight, sizes)
            runs: dict[str, Run] = {}
            for kind, model in ours.items():
                if device.type == "cpu":
                    runs[kind] = _runtime_search(sizes, kind, model, encoded, weight)
                runs[f"{kind}, torch"] = partial(our_texts, model, encoded, weight, sizes)
            name = f"beam {sizes.beam}, batch {batch}" + (f", CTC {weight:g}" if weight else "")
            yield Work(name, runs, peers)


def _runtime_search(sizes: Sizes, kind: str, model: Seq2Seq, frames: Tensor, weight: float) -> Run:
    """The search in onnxruntime, which recognizes unless PyTorch is asked for; without its encoder's time."""
    runtime = our_runtime(model, our_config(sizes, kind, sizes.ctc_weight), sizes.symbols)
    features = torch.randn(len(frames), frames.shape[1] * model.encoder.reduction, sizes.mels).numpy()
    encoded = runtime.encode(features, np.full(len(frames), features.shape[1]))
    return partial(our_runtime_texts, model, runtime, encoded, frames, weight, sizes)


def training_work(sizes: Sizes, device: torch.device, installed: frozenset[str]) -> Iterator[Work]:
    """Forward, loss, backward and Adam from given features; no CTC, no clipping of gradients."""
    features, tokens = training_batch(sizes, device)
    peers: dict[str, Run] = {}
    if "speechbrain" in installed:
        encoder = peers_speechbrain.Pyramid(sizes)
        peers["SpeechBrain"] = speechbrain_step(sizes, encoder, features, tokens)
    yield Work(
        f"step of {sizes.batch} x {sizes.frames} frames",
        {kind: our_step(sizes, kind, features, tokens) for kind in ATTENTIONS},
        peers,
    )


def precision_work(sizes: Sizes, device: torch.device, installed: frozenset[str]) -> Iterator[Work]:
    """The training step of twice the batch in bfloat16 by autocast, as SpeechBrain has it too."""
    sizes = replace(sizes, batch=2 * sizes.batch)
    features, tokens = training_batch(sizes, device)
    peers: dict[str, Run] = {}
    if "speechbrain" in installed:
        for name, lower in {"float32": False, "bfloat16": True}.items():
            encoder = peers_speechbrain.Pyramid(sizes)
            peers[f"SpeechBrain, {name}"] = speechbrain_step(sizes, encoder, features, tokens, lower=lower)
    yield Work(
        f"step of {sizes.batch} x {sizes.frames} frames, bfloat16",
        {kind: our_step(sizes, kind, features, tokens, lower=True) for kind in ATTENTIONS},
        peers,
    )


def recipes_work(sizes: Sizes, device: torch.device, installed: frozenset[str]) -> Iterator[Work]:
    """The same step with the encoders that the peers' own recipes have, which are slow."""
    features, tokens = training_batch(sizes, device)
    peers: dict[str, Run] = {}
    if "speechbrain" in installed:
        for name, pooled in {"SpeechBrain, CRDNN": False, "SpeechBrain, CRDNN pooled": True}.items():
            encoder = peers_speechbrain.Crdnn(sizes, pooled=pooled)
            peers[name] = speechbrain_step(sizes, encoder, features, tokens)
    if "espnet" in installed:
        model = peers_espnet.network(sizes, 0.0).to(device).train()
        peers["ESPnet, RNN"] = training_step(model, partial(peers_espnet.loss, model, features, tokens))
    ours = {"dot": our_step(sizes, "dot", features, tokens)}
    yield Work(f"step of {sizes.batch} x {sizes.frames} frames, recipes", ours, peers, RECIPE_ROUNDS)


def training_batch(sizes: Sizes, device: torch.device) -> tuple[Tensor, Tensor]:
    """Features (B, T, F) and tokens (B, U), none of which is the last symbol: ESPnet's end."""
    features = torch.randn(sizes.batch, sizes.frames, sizes.mels, device=device)
    shape = (sizes.batch, sizes.characters)
    return features, torch.randint(FIRST_CHARACTER, sizes.symbols - 1, shape, device=device)


def our_step(sizes: Sizes, attention: str, features: Tensor, tokens: Tensor, *, lower: bool = False) -> Run:
    """The project's training step over features (B, T, F) and tokens (B, U)."""
    model = our_network(sizes, attention, 0.0, features.device).train()
    lengths = torch.full((len(features),), features.shape[1], device=features.device)
    token_lengths = torch.full_like(lengths, tokens.shape[1])

    def loss() -> Any:
        return model.loss(features, lengths, tokens, token_lengths, 0.0).total

    return training_step(model, loss, lower=lower)


def speechbrain_step(
    sizes: Sizes,
    encoder: peers_speechbrain.Pyramid | peers_speechbrain.Crdnn,
    features: Tensor,
    tokens: Tensor,
    *,
    lower: bool = False,
) -> Run:
    """SpeechBrain's training step with this encoder."""
    model = peers_speechbrain.SpeechBrainNetwork(sizes, encoder).to(features.device).train()
    return training_step(model, partial(peers_speechbrain.loss, model, features, tokens), lower=lower)


def training_step(model: nn.Module, loss: Callable[[], Any], *, lower: bool = False) -> Run:
    """One step of Adam that moves the model against the gradient of a loss, in bfloat16 where `lower`."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    device = next(model.parameters()).device.type

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=lower):
            found = loss()
        found.backward()
        optimizer.step()

    return step


def features_work(sizes: Sizes, device: torch.device, installed: frozenset[str]) -> Iterator[Work]:
    """Log-mel frames from sound, not normalized."""
    sound = some_sound(sizes, device)
    peers: dict[str, Run] = {}
    if "speechbrain" in installed:
        fbank = peers_speechbrain.log_mel(sizes, device)
        peers["SpeechBrain"] = torch.inference_mode()(partial(fbank, sound))
    runs: dict[str, Run] = {"torch": our_log_mel(sizes, sound)}
    if device.type == "cpu":
        runs["NumPy"] = our_runtime_log_mel(sizes, sound)
    yield Work(f"log-mel of {sizes.seconds:g} s", runs, peers)


def onnx_work(sizes: Sizes, device: torch.device, installed: frozenset[str]) -> Iterator[Work]:
    """The encoder of one and of some utterances in onnxruntime, against torch; on the processor alone."""
    config = our_config(sizes, "dot", 0.0)
    model = Seq2Seq(config, sizes.symbols).eval()
    ours = {
        name: our_runtime(model, config, sizes.symbols, compute_type)
        for name, compute_type in {"ONNX, fp32": "float32", "ONNX, int8": "int8"}.items()
    }
    for batch in ENCODED_TOGETHER:
        frames = torch.randn(batch, sizes.encoded_frames * model.encoder.reduction, sizes.mels)
        seconds, lengths = (
            frames.shape[1] * config.features.hop_seconds,
            torch.full((batch,), frames.shape[1]),
        )
        runs: dict[str, Run] = {
            name: partial(runtime.encode, frames.numpy(), lengths.numpy()) for name, runtime in ours.items()
        }
        peers: dict[str, Run] = {"torch": torch.inference_mode()(partial(model.encode, frames, lengths))}
        yield Work(f"encoder, batch {batch}, {seconds:g} s", runs, peers)


SECTIONS = {
    "search": search_work,
    "train": training_work,
    "precision": precision_work,
    "recipes": recipes_work,
    "features": features_work,
    "onnx": onnx_work,
}


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
    record: Record = None,
) -> None:
    """Measure the project and its peers at the same tensors and sizes; print medians and their ratio.

    Example: python benchmarks/benchmark_peers.py --threads 2 --only search,train --record runs.jsonl
    """
    sections = chosen(only, SECTIONS)
    used = sorted({package for section in sections for package in USED[section]})
    installed = frozenset(package for package in used if importlib.util.find_spec(package) is not None)
    for package in used:
        if package not in installed:
            print(MISSING[package], file=sys.stderr)
    where, sizes = pick_device(device), Sizes()
    clock = time.process_time if processor_time else time.perf_counter
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    packages = ("torch", "onnxruntime", *sorted(installed))
    tell_machine(threads, packages)
    print("| section | work | ours | ms | peer | ms | peer / ours (single rounds) |\n|" + "---|" * 7)
    results: dict[str, list[dict[str, Any]]] = {section: [] for section in sections}
    for section in sections:
        for work in SECTIONS[section](sizes, where, installed):
            measured = measure(work, rounds, where, clock)
            print(*table(section, measured), sep="\n", flush=True)
            tell_busy(work.name, measured.quiet)
            results[section].append(asdict(measured))
    if record is not None:
        report = {"benchmark": "peers", "threads": threads, "rounds": rounds, "device": str(where)}
        report |= {"processor_time": processor_time, "sizes": asdict(sizes), "results": results}
        append_run(record, report, packages)


if __name__ == "__main__":
    run_function(main)
