"""Delay of the final text after the last word ends, in live sound; and whether the deltas grew to it.

Each file is given in blocks of 20 ms, after half a second of quiet and before one second. The delay is the
sound that was awaited, plus the time that the last block took.

Example: python benchmarks/live_delay.py --model digits data/samples/*.flac
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from asr_seq2seq import audio
from asr_seq2seq.inference.recognizer import Recognizer
from asr_seq2seq.inference.streaming import Delta, Final, LiveStream


def main() -> None:
    """Print the median and the 95th percentile of the delay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", default="digits")
    options = parser.parse_args()
    recognizer = Recognizer.load(options.model, threads=1)
    found = [one for file in options.files for one in _delays(recognizer, file)]
    median, most = np.percentile([delay for delay, _ in found], [50, 95])
    grown = sum(same for _, same in found)
    print(f"{len(found)} segments: median {median:.2f} s, 95th {most:.2f} s; {grown} as their deltas")


def _delays(recognizer: Recognizer, file: Path) -> list[tuple[float, bool]]:
    """Of each segment the delay in seconds, and whether its deltas are its text."""
    rate = recognizer.sample_rate
    noise = 1e-4 * np.random.default_rng(0).standard_normal(3 * rate // 2)
    parts: list[Any] = [noise[: rate // 2], audio.load(file, rate), noise[rate // 2 :]]
    sound = np.concatenate(parts).astype(np.float32)
    live, block = LiveStream(recognizer, rate), rate // 50
    found, text = [], ""
    for start in range(0, len(sound), block):
        begin = time.perf_counter()
        for update in live.feed(sound[start : start + block]):
            if isinstance(update, Delta):
                text += update.text
            elif isinstance(update, Final):
                ends = [word.end for word in update.segment.words if word.end is not None]
                if ends:
                    awaited = (start + block) / rate - ends[-1]
                    found.append((awaited + time.perf_counter() - begin, text == update.segment.text))
                text = ""
    return found


if __name__ == "__main__":
    main()
