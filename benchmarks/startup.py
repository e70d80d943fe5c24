"""How long a whole process of `transcribe` takes, against one that imports NumPy and onnxruntime alone.

    python benchmarks/startup.py --rounds 7

The rounds alternate, so that other work on the machine meets all alike; medians and ratios are printed. The
cache of graphs is one of its own, which is empty for the cold rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "samples" / "digits_01.flac"
BARE = [sys.executable, "-c", "import numpy, onnxruntime"]
TRANSCRIBE = [sys.executable, "-m", "asr_seq2seq", "transcribe", str(SAMPLE)]


def seconds(command: list[str], cache: str) -> float:
    """The time that a process takes from its start to its end."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "XDG_CACHE_HOME": cache})
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    found: dict[str, list[float]] = {"bare": [], "warm": [], "cold": []}
    with tempfile.TemporaryDirectory() as warm:
        seconds(TRANSCRIBE, warm)  # files of the system's cache, compiled modules and graphs
        for _ in range(rounds):
            found["bare"].append(seconds(BARE, warm))
            found["warm"].append(seconds(TRANSCRIBE, warm))
            with tempfile.TemporaryDirectory() as cold:
                found["cold"].append(seconds(TRANSCRIBE, cold))
    bare = statistics.median(found["bare"])
    for name, times in found.items():
        median = statistics.median(times)
        print(
            f"{name}: {median:.3f} s, {median / bare:.2f} times the bare imports (least {min(times):.3f} s)"
        )


if __name__ == "__main__":
    main()
