"""What the benchmarks share: sizes, tasks, and how these are timed in turns and shown.

Each round runs all that is compared once, beginning with another of them each time, and waits for the
machine to be quiet first. Rounds in which other processes used the processors do not count, and where these
are more than half nothing is judged.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from asr_seq2seq.errors import ConfigError
from asr_seq2seq.progress import counted

Run = Callable[[], object]
LONG_ENOUGH = 0.2  # seconds: shorter work is repeated within a round
QUIET = 0.1  # share of the processors that others may use
PATIENCE = 5.0  # seconds to wait for that before each round


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
    most_rounds: int = sys.maxsize


@dataclass(frozen=True)
class Measured:
    """Seconds of one call in each round, by the names of `Work`, and whether the round counts."""

    name: str
    ours: dict[str, list[float]]
    peers: dict[str, list[float]]
    quiet: list[bool]

    @property
    def judged(self) -> bool:
        """Whether enough rounds count."""
        return 2 * sum(self.quiet) >= len(self.quiet)

    def counting(self, seconds: list[float]) -> list[float]:
        """Those of the rounds that count, or of all where too few do."""
        return [one for one, quiet in zip(seconds, self.quiet, strict=True) if quiet or not self.judged]


def measure(
    work: Work, rounds: int, device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> Measured:
    """Run all of a task's contestants in turns, a round at a time; all count by the clock of processors."""
    rounds = min(rounds, work.most_rounds)
    runs = [*work.ours.values(), *work.peers.values()]
    repeats = []
    for run in runs:
        # The first call is slower: memory is taken, kernels are chosen. Very long ones need no second.
        first = timed(run, 1, device, clock)
        once = first if first > 10 * LONG_ENOUGH else timed(run, 1, device, clock)
        repeats.append(math.ceil(LONG_ENOUGH / once))
    seconds: list[list[float]] = [[] for _ in runs]
    quiet = []
    for number in counted(range(rounds), rounds, work.name):
        watch = QuietWatch()
        for turn in range(number, number + len(runs)):
            index = turn % len(runs)
            seconds[index].append(timed(runs[index], repeats[index], device, clock))
        quiet.append(watch.stayed_quiet() or clock is not time.perf_counter)
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


class QuietWatch:
    """Waits until other processes use few of the processors, and says whether it stayed like that."""

    def __init__(self) -> None:
        self._began_quiet = becomes_quiet()
        self._time, self._others = time.monotonic(), others_seconds()

    def stayed_quiet(self) -> bool:
        """Whether it was quiet at first, and has been since."""
        others = others_seconds() - self._others
        # Ticks of a hundredth of a second: of short work nothing is known but how it began.
        return self._began_quiet and others <= 0.05 + QUIET * (time.monotonic() - self._time) * (
            os.cpu_count() or 1
        )


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
    """Processor time that all but this process and its ended children have used since the start."""
    if not (path := Path("/proc/stat")).exists():
        return 0.0  # nobody knows: the machine counts as quiet
    ticks = [int(field) for field in path.read_text().split(maxsplit=9)[1:9]]
    busy = sum(ticks) - ticks[3] - ticks[4]  # all but idle and waiting for a disk
    return busy / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


def table(section: str, work: Measured) -> Iterator[str]:
    """The lines of a Markdown table: medians, their ratio, and the ratios of single rounds."""
    for ours, all_mine in work.ours.items():
        mine = work.counting(all_mine)
        left = f"| {section} | {work.name} | {ours} | {1000 * median(mine):.1f} |"
        if not work.peers:
            yield f"{left} | | |"
        for peer, all_theirs in work.peers.items():
            theirs = work.counting(all_theirs)
            ratios = [their / my for their, my in zip(theirs, mine, strict=True)]
            ratio = f"{median(theirs) / median(mine):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            ratio = ratio if work.judged else "not judged: the machine is busy"
            yield f"{left} {peer} | {1000 * median(theirs):.1f} | {ratio} |"


def chosen(only: str, sections: Iterable[str]) -> list[str]:
    """The sections that `--only` names, joined by commas; ConfigError where there is no such one."""
    names = only.split(",")
    for name in names:
        if name not in sections:
            raise ConfigError(f"--only {name}: no such section; the sections are {', '.join(sections)}")
    return names


def tell_busy(work: str, quiet: list[bool]) -> None:
    """Say in how many rounds others disturbed."""
    if busy := quiet.count(False):
        print(f"{work}: {busy} of {len(quiet)} rounds on a busy machine", file=sys.stderr)
