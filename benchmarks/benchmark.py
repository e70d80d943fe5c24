"""The project alone: where time goes in training and search, and what starting, memory and growth cost.

- `precision` compares steps of training in float32 and in bfloat16, for small and large batches.
- `train` and `search` time each part of the real code by itself. Each part begins and ends with a wait for
  the device, so that on a GPU the sum is a little more than what runs without a stopwatch.
- `features` is log-mel frames of a minute of sound.
- `startup` runs each verb as a process of its own, on inputs as small as can be, against a budget of seconds.
- `memory` transcribes short and long sound; what it takes at most must not grow once a batch is full.
- `growth` doubles one thing, the rest as it was, and fits time = a * size ** exponent: a straight line by
  least squares through the logarithms of the largest three sizes and of their medians, since at the
  smaller ones the fixed costs of a call count. An exponent of 1 is linear. Texts stay as
  long as they were when sound grows.

Weights are random, and texts of the search forced to one length. Each round waits for a quiet machine.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import linear_regression, median
from typing import Annotated, Any, Literal, get_args
from unittest.mock import patch

import torch
import typer
from benchmarking import (
    QuietWatch,
    Run,
    Sizes,
    Work,
    chosen,
    measure,
    tell_busy,
)
from command_costs import BUDGETS, long_sounds, prepare_commands, run_anew, run_command
from machine import Record, append_run, tell_machine
from our_side import (
    ATTENTIONS,
    never_ends,
    our_config,
    our_log_mel,
    our_network,
    our_texts,
    searched,
    some_sound,
)
from torch import Tensor, nn
from torch.nn import functional

from asr_seq2seq.cli.run import run_function
from asr_seq2seq.config import LogMelConfig
from asr_seq2seq.decoding.scorers import CtcPrefixScorer
from asr_seq2seq.model.decoder import State
from asr_seq2seq.model.device import pick_device
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.progress import counted
from asr_seq2seq.text.tokenizer import FIRST_CHARACTER
from asr_seq2seq.training.optim import autocast, build_optimizer
from asr_seq2seq.training_config import OptimizationConfig

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
LINEAR = 1.05  # the largest exponent that counts as linear growth
FITTED = 3  # sizes, the largest ones
SAME_MEMORY = 1.05  # how many times as much the longest sound may take


@dataclass(frozen=True)
class Growth:
    """What is doubled, and from where; the rest is as in `Sizes`, with a batch of `batch`."""

    batch: int = 4
    frames: tuple[int, ...] = (500, 1000, 2000, 4000, 8000)
    encoded_frames: tuple[int, ...] = (125, 250, 500, 1000, 2000)  # CTC needs more than `tokens`
    batches: tuple[int, ...] = (2, 4, 8, 16, 32)
    beams: tuple[int, ...] = (1, 2, 4, 8, 16)
    minutes: tuple[float, ...] = (1.0, 4.0, 16.0)  # of sound, for memory


@dataclass(frozen=True)
class Job:
    """How all is measured: sizes, place, rounds, and the clock, which is of processors or on the wall."""

    sizes: Sizes
    growth: Growth
    device: torch.device
    rounds: int
    processor_time: bool = False

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since some time."""
        return time.process_time if self.processor_time else time.perf_counter


@dataclass(frozen=True)
class Row:
    """One line of a section's table, and what was measured for it."""

    cells: tuple[str, ...]
    facts: dict[str, Any]


@dataclass
class Stopwatch:
    """Seconds by part; what is watched must not call each other."""

    job: Job
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens meanwhile to this part."""
        synchronize = torch.get_device_module(self.job.device).synchronize
        synchronize()
        start = self.job.clock()
        yield
        synchronize()
        self.seconds[name] = self.seconds.get(name, 0.0) + self.job.clock() - start

    def watching(self, part: str, owner: object, name: str) -> Any:
        """Count calls of a function of a module, class or object to a part, while this is entered."""
        original = getattr(owner, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            with self.part(part):
                return original(*arguments, **named)

        return patch.object(owner, name, watched)


Watched = list[tuple[str, object, str]]


def by_part(
    job: Job, work: str, kind: str, run: Callable[[Stopwatch], object], watched: Watched
) -> Iterator[Row]:
    """Rows for the parts of some work in their order, the rest, and the whole."""
    run(Stopwatch(job))  # the first call is slower: memory is taken, kernels are chosen
    rounds: list[dict[str, float]] = []
    quiet = []
    for _ in counted(range(job.rounds), job.rounds, f"{work}, {kind}"):
        watch = QuietWatch()
        stopwatch = Stopwatch(job)
        with ExitStack() as stack:
            for function in watched:
                stack.enter_context(stopwatch.watching(*function))
            whole = Stopwatch(job)
            with whole.part("whole"):
                run(stopwatch)
        rest = whole.seconds["whole"] - sum(stopwatch.seconds.values())
        rounds.append(stopwatch.seconds | {"the rest": rest} | whole.seconds)
        quiet.append(watch.stayed_quiet())
    tell_busy(f"{work}, {kind}", quiet)
    total = median(found["whole"] for found in rounds)
    for part in rounds[0]:
        seconds = [found[part] for found in rounds]
        share = f"{median(seconds) / total:.0%}"
        cells = (work, kind, part, f"{1000 * median(seconds):.1f}", share)
        yield Row(cells, {"work": work, "kind": kind, "part": part, "seconds": seconds})


def measured(job: Job, work: Work) -> dict[str, list[float]]:
    """Seconds of each of our runs in each round."""
    found = measure(work, job.rounds, job.device, job.clock)
    tell_busy(work.name, found.quiet)
    return found.ours


def training_by_part(job: Job) -> Iterator[Row]:
    """A whole step from sound: forward, loss with CTC, backward, clipping and the optimizer."""
    sizes, device = job.sizes, job.device
    for kind in ATTENTIONS:
        hears = LogMelConfig(sample_rate=sizes.sample_rate, mels=sizes.mels)
        config = our_config(sizes, kind, sizes.ctc_weight).model_copy(update={"features": hears})
        model = Seq2Seq(config, sizes.symbols).to(device).train()
        hop = round(sizes.sample_rate * model.features.frame_seconds)
        sound = 0.1 * torch.randn(sizes.batch, sizes.frames * hop - 1, device=device)
        watched: Watched = [
            ("features", model.features, "forward"),
            ("encoder", model.encoder, "forward"),
            ("decoder", model.decoder, "forced"),
            ("CTC", model.ctc_head, "forward"),
            ("CTC", functional, "ctc_loss"),
        ]
        step = training_step(model, sound, sizes.characters)
        yield from by_part(job, f"step of {sizes.batch} x {sizes.frames} frames", kind, step, watched)


def training_step(
    model: Seq2Seq, inputs: Tensor, characters: int, precision: Precision = "float32"
) -> Callable[[Stopwatch | None], None]:
    """A step of training on input (B, N) or (B, T, F) and random texts of so many characters."""
    settings = OptimizationConfig(precision=precision)
    optimizer = build_optimizer(settings, model.parameters())
    lengths = torch.full((len(inputs),), inputs.shape[1], device=inputs.device)
    shape = (len(inputs), characters)
    tokens = torch.randint(FIRST_CHARACTER, model.decoder.vocabulary, shape, device=inputs.device)
    token_lengths = torch.full_like(lengths, characters)

    def step(stopwatch: Stopwatch | None = None) -> None:
        part = stopwatch.part if stopwatch else lambda name: ExitStack()
        optimizer.zero_grad(set_to_none=True)
        with autocast(settings, inputs.device):
            loss: Any = model.loss(inputs, lengths, tokens, token_lengths, 0.0).total
        with part("backward"):
            loss.backward()
        with part("optimizer"):
            nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
            optimizer.step()

    return step


def training_by_precision(job: Job) -> Iterator[Row]:
    """Steps of training in float32 and bfloat16, whole, by the size of the batch."""
    for batch in job.growth.batches[-3:]:
        sizes = replace(job.sizes, batch=batch)
        runs: dict[str, Run] = {kind: training_of(job, "dot", sizes, kind) for kind in PRECISIONS}
        work = f"step of {batch} x {sizes.frames} frames"
        seconds = measured(job, Work(work, runs, {}))
        full, half = (median(found) for found in seconds.values())
        cells = (work, f"{1000 * full:.0f}", f"{1000 * half:.0f}", f"{full / half:.2f}")
        yield Row(cells, {"work": work, "seconds": seconds})


def search_network(job: Job, kind: str) -> Seq2Seq:
    """A network for `our_texts`, which never ends a text by itself."""
    model = our_network(job.sizes, kind, job.sizes.ctc_weight, job.device).eval()
    never_ends(model.decoder.output)
    return model


def search_by_part(job: Job) -> Iterator[Row]:
    """From features to texts of a fixed length, greedy and with a beam, both with CTC."""
    sizes = job.sizes
    for kind in ATTENTIONS:
        model = search_network(job, kind)
        watched: Watched = [
            ("encoder", model, "encode"),
            ("decoder steps", model.decoder, "start"),
            ("decoder steps", model.decoder, "step"),
            ("decoder steps", State, "select"),
            ("CTC scoring", CtcPrefixScorer, "__init__"),
            ("CTC scoring", CtcPrefixScorer, "scores"),
            ("CTC scoring", CtcPrefixScorer, "advance"),
        ]
        for batch in sizes.search_batches:
            frames = sizes.encoded_frames * model.encoder.reduction
            features = torch.randn(batch, frames, sizes.mels, device=job.device)
            for beam in (1, sizes.beam):
                name = f"{f'beam {beam}' if beam > 1 else 'greedy'}, batch {batch}"
                recognize = partial(recognized, model, features, beam, sizes)
                yield from by_part(job, name, kind, recognize, watched)


@torch.inference_mode()
def recognized(
    model: Seq2Seq, features: Tensor, beam: int, sizes: Sizes, stopwatch: Stopwatch | None = None
) -> list[Any]:
    """Features (B, T, F) -> the texts of the search, all of `sizes.tokens` characters."""
    lengths = torch.full((len(features),), features.shape[1], device=features.device)
    return searched(model, model.encode(features, lengths), beam, sizes.ctc_weight, sizes)


def measured_features(job: Job) -> Iterator[Row]:
    """Log-mel frames from sound, not normalized."""
    sizes = job.sizes
    log_mel = our_log_mel(sizes, some_sound(sizes, job.device))
    work = Work(f"log-mel of {sizes.seconds:g} s", {"": log_mel}, {})
    seconds = measured(job, work)[""]
    yield Row((work.name, f"{1000 * median(seconds):.1f}"), {"work": work.name, "seconds": seconds})


def measured_startup(job: Job) -> Iterator[Row]:
    """Each verb from the start of its process to the end, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        commands = prepare_commands(Path(folder))
        costs: dict[str, list[float]] = {name: [] for name in commands}
        rounds, quiet = job.rounds + 1, []  # the first one only brings files into memory
        for number in counted(range(rounds), rounds, "start-up"):
            watch = QuietWatch()
            for name, command in commands.items():
                cost = run_anew(command)
                if number:
                    costs[name].append(cost.processor_seconds if job.processor_time else cost.seconds)
            quiet.append(watch.stayed_quiet())
    tell_busy("start-up", quiet)
    for name, seconds in costs.items():
        budget = BUDGETS[name]
        kept = "yes" if median(seconds) <= budget else "**no**"
        cells = (name, f"{median(seconds):.2f}", f"{budget:g}", kept)
        yield Row(cells, {"command": name, "seconds": seconds, "budget": budget})


def measured_memory(job: Job) -> Iterator[Row]:
    """The peak of `transcribe` on sound of several lengths, one round."""
    with tempfile.TemporaryDirectory() as folder:
        lengths = job.growth.minutes
        before = math.inf
        sounds = long_sounds(Path(folder), lengths)
        for minutes, path in counted(sounds, len(lengths), "memory"):
            cost = run_command("transcribe", str(path), "--device", "cpu")
            times = cost.megabytes / before if math.isfinite(before) else 1.0
            kept = ("yes" if times <= SAME_MEMORY else "**no**") if minutes == lengths[-1] else ""
            cells = (f"{minutes:g}", f"{cost.megabytes:.0f}", f"{times:.2f}", kept)
            yield Row(cells, {"minutes": minutes, "megabytes": cost.megabytes})
            before = cost.megabytes


def measured_growth(job: Job) -> Iterator[Row]:
    """Training step and search against the length of sound, the batch, and the beam."""
    growth = job.growth
    for kind in ATTENTIONS:
        for work, axis, doubled, size_of in (
            ("training step", "frames", growth.frames, training_of),
            ("training step", "batch", growth.batches, training_of),
            ("search", "encoded_frames", growth.encoded_frames, search_of),
            ("search", "batch", growth.batches, search_of),
            ("search", "beam", growth.beams, search_of),
        ):
            changed: list[dict[str, Any]] = [{"batch": growth.batch} | {axis: size} for size in doubled]
            runs = {str(at[axis]): size_of(job, kind, replace(job.sizes, **at)) for at in changed}
            seconds = list(measured(job, Work(f"{work}, {axis}, {kind}", runs, {})).values())
            power = exponent(doubled, list(map(median, seconds)))
            times = " ".join(f"{1000 * median(found):.0f}" for found in seconds)
            kept = "yes" if power <= LINEAR else "**no**"
            cells = (work, kind, axis.replace("_", " "), " ".join(runs), times, f"{power:.2f}", kept)
            facts = {"work": work, "kind": kind, "axis": axis, "sizes": doubled, "seconds": seconds}
            yield Row(cells, facts | {"exponent": power})


def training_of(job: Job, kind: str, sizes: Sizes, precision: Precision = "float32") -> Run:
    """A step of training from given features, with CTC."""
    model = our_network(sizes, kind, sizes.ctc_weight, job.device).train()
    features = torch.randn(sizes.batch, sizes.frames, sizes.mels, device=job.device)
    return partial(training_step(model, features, sizes.characters, precision), None)


def search_of(job: Job, kind: str, sizes: Sizes) -> Run:
    """A search with CTC from given encoded frames, between -1 and 1 as an LSTM's outputs are."""
    frames = torch.rand(sizes.batch, sizes.encoded_frames, 2 * sizes.units, device=job.device) * 2 - 1
    return partial(our_texts, search_network(job, kind), frames, sizes.ctc_weight, sizes)


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """By which power of the size time grows, over the largest sizes; how it is fitted is said above."""
    largest = slice(-FITTED, None)
    return linear_regression(list(map(math.log, sizes[largest])), list(map(math.log, seconds[largest]))).slope


Section = Callable[[Job], Iterator[Row]]
PARTS = ("work", "attention", "part", "ms", "share")
SECTIONS: dict[str, tuple[tuple[str, ...], Section]] = {
    "train": (PARTS, training_by_part),
    "precision": (("work", "float32, ms", "bfloat16, ms", "times as fast"), training_by_precision),
    "search": (PARTS, search_by_part),
    "features": (("work", "ms"), measured_features),
    "startup": (("command", "s", "budget", "kept"), measured_startup),
    "memory": (("minutes", "MB", "times the last", "kept"), measured_memory),
    "growth": (("work", "attention", "against", "sizes", "ms", "exponent", "linear"), measured_growth),
}


def main(
    threads: Annotated[int, typer.Option(min=1, help="Processor threads that may be used.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each is run; the median counts.")] = 5,
    only: Annotated[
        str, typer.Option(help=f"Some of the sections {', '.join(SECTIONS)}, joined by commas.")
    ] = ",".join(SECTIONS),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps; not of startup and memory.")] = "cpu",
    processor_time: Annotated[
        bool, typer.Option("--processor-time", help="Count time on processors: others then disturb little.")
    ] = False,
    record: Record = None,
) -> None:
    """Measure the project alone and print a Markdown table for each section.

    Example: python benchmarks/benchmark.py --threads 2 --only startup,memory --record runs.jsonl
    """
    sections = chosen(only, SECTIONS)
    job = Job(Sizes(), Growth(), pick_device(device), rounds, processor_time)
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # of the commands that are started
    torch.manual_seed(1)
    results: dict[str, list[dict[str, Any]]] = {}
    tell_machine(threads, ("torch",))
    for section in sections:
        columns, rows = SECTIONS[section]
        print(f"\n{section}\n", line(columns), line(("---",) * len(columns)), sep="\n", flush=True)
        results[section] = []
        for row in rows(job):
            print(line(row.cells), flush=True)
            results[section].append(row.facts)
    if record is not None:
        report = {"benchmark": "alone", "threads": threads, "rounds": rounds, "device": str(job.device)}
        report |= {"processor_time": processor_time, "sizes": asdict(job.sizes)}
        append_run(record, report | {"growth": asdict(job.growth), "results": results}, ("torch",))


def line(cells: tuple[str, ...]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    run_function(main)
