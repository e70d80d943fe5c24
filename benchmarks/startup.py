"""How long a whole process of `transcribe` takes, against one that imports NumPy and onnxruntime alone.

With graphs in the cache, and with an empty one. Every row says how many times as long as the bare imports.

Example: python benchmarks/startup.py --rounds 7
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from functools import partial
from typing import Annotated

import torch
import typer
from benchmarking import Run, Work, measure, table, tell_busy
from command_costs import SAMPLE
from machine import Record, append_run, tell_machine

from asr_seq2seq.cli.run import run_function

PACKAGES = ("numpy", "onnxruntime", "pydantic", "typer")
BARE = [sys.executable, "-c", "import numpy, onnxruntime"]
TRANSCRIBE = [sys.executable, "-m", "asr_seq2seq", "transcribe", str(SAMPLE), "--model", "digits"]


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns; the median counts.")] = 7,
    processor_time: Annotated[
        bool, typer.Option("--processor-time", help="Count time on processors: others then disturb little.")
    ] = False,
    record: Record = None,
) -> None:
    """Measure, and print a Markdown table in milliseconds."""
    tell_machine(None, PACKAGES)
    with tempfile.TemporaryDirectory() as cache:
        commands: dict[str, Run] = {
            "transcribe, cached graphs": partial(run, TRANSCRIBE, cache),
            "transcribe, no cached graphs": run_without_cache,
        }
        work = Work("a process", {"import numpy, onnxruntime": partial(run, BARE, cache)}, commands)
        clock = processor_seconds if processor_time else time.perf_counter
        measured = measure(work, rounds, torch.device("cpu"), clock)
    tell_busy(work.name, measured.quiet)
    print("\n".join(table("startup", measured)))
    if record is not None:
        results = {"startup": [asdict(measured)]}
        append_run(
            record,
            {"benchmark": "startup", "rounds": rounds, "processor_time": processor_time, "results": results},
            PACKAGES,
        )


def processor_seconds() -> float:
    """Of the commands that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def run(command: list[str], cache: str) -> None:
    """Run a command whose cache folder is this one, with bytecode kept, as pip does of what it installs."""
    environment = os.environ | {"XDG_CACHE_HOME": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(command, check=True, capture_output=True, env=environment)


def run_without_cache() -> None:
    """Transcribe with nothing in the cache."""
    with tempfile.TemporaryDirectory() as cache:
        run(TRANSCRIBE, cache)


if __name__ == "__main__":
    run_function(main)
