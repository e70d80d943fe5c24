"""How often words that live sound gives out early contradict the final text, by the rule that gives them out.

Each file is fed in blocks of 20 ms after half a second of quiet and before one second; all readings of the
open segment are kept, and each rule says of them which words it would have given out, and when:

- agreement of N readings in succession on a word and all before it, without the last K words of the reading;
- age: only words that ended at least X seconds before the end of the sound so far;
- forced: the agreement of two, and the final search bound to begin with what was given out.

Example: python benchmarks/live_deltas.py --model digits data/samples/*.flac
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from asr_seq2seq import audio
from asr_seq2seq.audio.segmentation import Samples
from asr_seq2seq.decoding.guides import Guide
from asr_seq2seq.decoding.phrases import prefix_automaton
from asr_seq2seq.inference.recognizer import Recognizer
from asr_seq2seq.inference.streaming import Final, LiveStream
from asr_seq2seq.transcript import Segment

_AGES = (1.0, 2.0, 3.0, 5.0)  # seconds


@dataclass(frozen=True)
class Reading:
    """The words of one reading, when each ends, and the end of the sound then, in seconds."""

    words: list[str]
    ends: list[float]
    now: float

    @classmethod
    def of(cls, segment: Segment) -> Reading:
        """The reading that a segment is."""
        ends = [word.end if word.end is not None else segment.end for word in segment.words]
        return cls([word.text for word in segment.words], ends, segment.end)


@dataclass(frozen=True)
class Read:
    """A segment: its readings, the last of which is the final one, and its sound."""

    readings: list[Reading]
    samples: Samples


class _Recorder(LiveStream):
    """Keeps every reading."""

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__(recognizer, recognizer.sample_rate)
        self.readings: list[Reading] = []

    def _segment(self, samples: Samples) -> Segment:
        found = super()._segment(samples)
        self.readings.append(Reading.of(found))
        return found


def main() -> None:
    """Print a line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", default="digits")
    options = parser.parse_args()
    recognizer = Recognizer.load(options.model, threads=1)
    segments = [one for file in options.files for one in _record(recognizer, file)]
    words = sum(len(one.readings[-1].words) for one in segments)
    print(f"{len(segments)} segments, {words} words")
    rules = [
        *product((2, 3, 4, 6), (1,), (0.0,)),
        *product((2, 3), (2, 4), (0.0,)),
        *product((1, 2), (1,), _AGES),
    ]
    for agree, last, age in rules:
        given = [_given(one.readings, agree, last, age) for one in segments]
        _tell(f"agreement of {agree}, without the last {last}, age {age:g} s", segments, given)
    _forced(recognizer, segments)


def _record(recognizer: Recognizer, file: Path) -> Iterator[Read]:
    rate = recognizer.sample_rate
    noise = 1e-4 * np.random.default_rng(0).standard_normal(3 * rate // 2)
    parts: list[Any] = [noise[: rate // 2], audio.load(file, rate), noise[rate // 2 :]]
    sound, block = np.concatenate(parts).astype(np.float32), rate // 50
    live = _Recorder(recognizer)
    for start in range(0, len(sound), block):
        for update in live.feed(sound[start : start + block]):
            if isinstance(update, Final):
                if update.segment.words:
                    yield Read(live.readings, update.samples)
                live.readings = []


def _given(readings: list[Reading], agree: int, last: int, age: float) -> list[tuple[str, float]]:
    """The words given out before the final reading, each with its delay in seconds."""
    given: list[tuple[str, float]] = []
    for place in range(agree - 1, len(readings) - 1):
        now = readings[place]
        words = now.words[: len(now.words) - last]
        for other in readings[place - agree + 1 : place]:
            same = [a == b for a, b in zip(words, other.words, strict=False)]
            words = words[: same.index(False) if False in same else len(same)]
        words = words[: sum(now.now - end >= age for end in now.ends[: len(words)])]
        if words[: len(given)] == [word for word, _ in given]:
            given += [
                (word, now.now - now.ends[number])
                for number, word in enumerate(words)
                if number >= len(given)
            ]
    return given


def _tell(rule: str, segments: list[Read], given: list[list[tuple[str, float]]]) -> None:
    wrong = sum(
        [word for word, _ in words] != one.readings[-1].words[: len(words)]
        for one, words in zip(segments, given, strict=True)
    )
    delays = [delay for words in given for _, delay in words]
    early = len(delays) / sum(len(one.readings[-1].words) for one in segments)
    median, most = np.percentile(delays, [50, 95]) if delays else (np.nan, np.nan)
    print(
        f"{rule}: {wrong} of {len(segments)} segments contradicted ({100 * wrong / len(segments):.1f} %), "
        f"{100 * early:.0f} % of words early, after {median:.2f} s (95th {most:.2f} s)",
        flush=True,
    )


def _forced(recognizer: Recognizer, segments: list[Read]) -> None:
    """How often a final search that has to begin with the words given out finds another text."""
    pipeline = recognizer.pipeline
    changed = 0
    for one in segments:
        words = [word for word, _ in _given(one.readings, 2, 1, 0.0)]
        final = one.readings[-1].words
        if words != final[: len(words)]:
            prefix = prefix_automaton(pipeline.alphabet.encode(" ".join(words)), pipeline.alphabet)
            (found,) = pipeline.recognize([one.samples], guides=[Guide(phrases=(prefix,))])
            changed += found.text.split() != final
    print(f"forced: {changed} of {len(segments)} final texts differ from those of transcribe")


if __name__ == "__main__":
    main()
