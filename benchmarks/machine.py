"""What a benchmark ran on, and a line in a JSON-lines file for each run: machines stand side by side.

Example: python benchmarks/machine.py runs.jsonl
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from benchmarking import Measured

from asr_seq2seq import __version__
from asr_seq2seq.cli.run import run_function
from asr_seq2seq.corpora.lines import read_lines
from asr_seq2seq.files import parse_json

Record = Annotated[Path | None, typer.Option(help="JSON-lines file to which this run is appended.")]
# Instructions that decide how fast matrices are multiplied, by their flags in /proc/cpuinfo.
INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "amx_bf16": "AMX bfloat16",
    "amx_int8": "AMX int8",
}


@dataclass(frozen=True)
class Machine:
    """The processor and the system of a run."""

    processor: str
    instructions: tuple[str, ...]
    processors: int
    system: str

    def __str__(self) -> str:
        return f"{self.processor} ({', '.join(self.instructions) or 'no AVX2'}), {self.processors} processors"


def this_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> Machine:
    """The machine that this process runs on; its instructions are known on Linux alone."""
    facts: dict[str, str] = {}
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    flags = set(facts.get("flags", "").split())
    name = facts.get("model name") or platform.processor() or platform.machine()
    instructions = tuple(shown for flag, shown in INSTRUCTIONS.items() if flag in flags)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(name, instructions, usable, platform.platform())


def tell_machine(threads: int | None, packages: Iterable[str]) -> None:
    """Print what a benchmark runs on."""
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    print(f"On {this_machine()}" + (f", {threads} threads" if threads else "") + f"; {versions}\n")


def append_run(path: Path, report: dict[str, Any], packages: Iterable[str]) -> None:
    """Append what was measured, when and on what, with the versions of these packages and ours."""
    versions = {"asr_seq2seq": __version__} | {package: version(package) for package in packages}
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    facts = {"date": now, "machine": asdict(this_machine()), "versions": versions}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts | report, ensure_ascii=False) + "\n")


def side_by_side(runs: Iterable[dict[str, Any]]) -> Iterator[str]:
    """A Markdown table of peer / ours, with a column for each kind of processor: the medians of its runs.

    Where a kind of processor was not met, or only while it was busy, its cell is empty.
    """
    found: dict[tuple[str, ...], dict[str, list[float]]] = {}
    processors: dict[str, None] = {}
    for run in runs:
        machine = Machine(**run["machine"])
        kind = f"{machine.processor}: {', '.join(machine.instructions)}"
        processors[kind] = None
        for section, results in run["results"].items():
            for measured in (Measured(**result) for result in results if "peers" in result):
                for names, ratio in ratios(measured):
                    found.setdefault((section, measured.name, *names), {}).setdefault(kind, []).append(ratio)
    yield f"| section | work | ours | peer | {' | '.join(processors)} |"
    yield "|" + "---|" * (4 + len(processors))
    for row, by_kind in found.items():
        cells = [", ".join(f"{ratio:.2f}" for ratio in by_kind.get(kind, [])) for kind in processors]
        yield f"| {' | '.join((*row, *cells))} |"


def ratios(measured: Measured) -> Iterator[tuple[tuple[str, str], float]]:
    """Of each of ours and each peer, how many times as long the peer takes; none of a busy machine."""
    if measured.judged:
        for ours, mine in measured.ours.items():
            for peer, theirs in measured.peers.items():
                yield (ours, peer), median(measured.counting(theirs)) / median(measured.counting(mine))


def main(runs: Annotated[Path, typer.Argument(help="JSON lines that `--record` wrote.")]) -> None:
    """Print the runs of several machines side by side."""
    print("\n".join(side_by_side(parse_json(line) for _, line in read_lines(runs))))


if __name__ == "__main__":
    run_function(main)
