"""What is in a corpus, and what in it looks wrong.

What is suspicious is not always wrong: each finding is named with a few utterances to listen to.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from asr_seq2seq.corpora.load import load_corpora
from asr_seq2seq.corpora.reading import place_of, read_native
from asr_seq2seq.corpora.utterance import Utterance
from asr_seq2seq.errors import AudioError, SilentAudioError
from asr_seq2seq.progress import sound_progress

FRAME_SECONDS = 0.04  # of an encoder that joins four of 10 ms; CTC writes at most a character in each
SILENT_PEAK = 0.001  # -60 dB of full scale
CLIPPED_LEVEL, CLIPPED_SHARE = 0.999, 0.001  # so near to full scale are clipped samples; so many are too many
LONG_SECONDS, LONG_CHARACTERS = 5.0, 2.0  # speech has 10 to 20 characters a second
LACKING_SECONDS = 0.1
_EXAMPLES = 5


@dataclass(frozen=True)
class SoundFacts:
    """What is found in the samples of an utterance; `problem` says why it cannot be read."""

    rate: int = 0
    seconds: float = 0.0
    peak: float = 0.0
    clipped: float = 0.0
    digest: bytes = b""
    problem: str = ""


def inspect_corpora(paths: Sequence[Path], *, quick: bool = False) -> dict[str, Any]:
    """Facts about one corpus, or about several and what they share, that fit into JSON.

    `quick` does not read the sound, and finds only what the manifest says.
    """
    corpora = [load_corpora([path]) for path in paths]
    read: list[list[SoundFacts | None]] = [
        [SoundFacts(problem=one.problem) if one.problem else None for one in utterances]
        for utterances in corpora
    ]
    if not quick:
        with sound_progress() as progress:
            total = sum(utterance.duration for utterances in corpora for utterance in utterances)
            bar = progress.add_task("reading", total=total, note="")
            for utterances, results in zip(corpora, read, strict=True):
                for number, utterance in enumerate(utterances):
                    results[number] = _read(utterance)
                    progress.advance(bar, utterance.duration)
    facts = [_describe(utterances, results) for utterances, results in zip(corpora, read, strict=True)]
    if len(paths) == 1:
        return facts[0]
    speakers_of = [_speakers(utterances) for utterances in corpora]
    sounds = [
        {
            _sound_key(utterance, result): utterance.id
            for utterance, result in zip(utterances, results, strict=True)
        }
        for utterances, results in zip(corpora, read, strict=True)
    ]
    shared = []
    for one, other in combinations(range(len(paths)), 2):
        in_both = sorted(speakers_of[one] & speakers_of[other])
        twice = [name for key, name in sounds[one].items() if key in sounds[other]]
        shared.append(
            {
                "between": [str(paths[one]), str(paths[other])],
                "speakers": _counted(in_both),
                "sounds": _counted(twice),
            }
        )
    return {
        "kind": "corpora",
        "corpora": {str(path): fact for path, fact in zip(paths, facts, strict=True)},
        "shared": shared,
    }


def _describe(utterances: Sequence[Utterance], read: Sequence[SoundFacts | None]) -> dict[str, Any]:
    texts = [one.text for one in utterances]
    durations = [one.duration for one in utterances if not one.problem] or [0.0]
    rates = Counter(result.rate for result in read if result and result.rate)
    return {
        "kind": "corpus",
        "utterances": len(texts),
        "hours": round(sum(durations) / 3600, 3),
        "speakers": len(_speakers(utterances)),
        "seconds": _percentiles(durations),
        "characters_per_text": _percentiles([len(text) for text in texts]),
        "words": sum(len(text.split()) for text in texts),
        "characters": dict(Counter("".join(texts)).most_common()),
        **({"sample_rates": dict(rates.most_common())} if rates else {}),
        "suspicious": _suspicions(utterances, read),
    }


def _suspicions(
    utterances: Sequence[Utterance], read: Sequence[SoundFacts | None]
) -> dict[str, dict[str, Any]]:
    """Name -> count and first utterances of every suspicion that there is ground for."""
    found: dict[str, list[str]] = defaultdict(list)
    usual = Counter(result.rate for result in read if result and result.rate).most_common(1)
    first: dict[Hashable, str] = {}
    for utterance, result in zip(utterances, read, strict=True):
        # Of a file that is known to be bad, the duration may not be the utterance's own.
        of_text = [] if utterance.problem else _suspicions_of_text(utterance)
        for name in of_text + (_suspicions_of_sound(utterance, result) if result else []):
            found[name].append(
                f"{utterance.id}: {result.problem}" if result and name == _UNREADABLE else utterance.id
            )
        if result and result.rate and result.rate != usual[0][0]:
            found["another sample rate than most"].append(f"{utterance.id}: {result.rate} Hz")
        earlier = first.setdefault(_sound_key(utterance, result), utterance.id)
        if earlier != utterance.id:
            found["the same sound as another"].append(f"{utterance.id}: {earlier}")
    return {name: _counted(names) for name, names in sorted(found.items(), key=lambda item: -len(item[1]))}


_UNREADABLE = "cannot be read"


def _suspicions_of_text(utterance: Utterance) -> list[str]:
    text = " ".join(utterance.text.split())
    # CTC needs a frame for every character, and an empty one between two that are equal.
    needed = len(text) + sum(one == other for one, other in pairwise(text))
    crowded = needed > math.ceil(utterance.duration / FRAME_SECONDS)
    slow = bool(text) and utterance.duration > max(LONG_SECONDS, len(text) / LONG_CHARACTERS)
    rules = {
        "empty text": not text,
        f"too much text for CTC at {1000 * FRAME_SECONDS:g} ms a frame": crowded,
        f"under {LONG_CHARACTERS:g} characters a second in over {LONG_SECONDS:g} s": slow,
    }
    return [name for name, holds in rules.items() if holds]


def _suspicions_of_sound(utterance: Utterance, result: SoundFacts) -> list[str]:
    if result.problem:
        return [_UNREADABLE]
    short = result.seconds < utterance.duration - LACKING_SECONDS
    rules = {
        "silent (peak under -60 dB)": result.peak < SILENT_PEAK,
        f"clipped (over {CLIPPED_SHARE:.1%} of samples at full scale)": result.clipped > CLIPPED_SHARE,
        f"over {LACKING_SECONDS:g} s shorter than its duration": short,
    }
    return [name for name, holds in rules.items() if holds]


def _read(utterance: Utterance) -> SoundFacts | None:
    if utterance.problem:
        return SoundFacts(problem=utterance.problem)
    if utterance.sound is None:
        return None  # it has the features of another program
    try:
        sound, rate = read_native(utterance)
    except SilentAudioError:
        return SoundFacts(seconds=utterance.duration)
    except AudioError as error:
        return SoundFacts(problem=str(error))
    samples = np.abs(sound)
    return SoundFacts(
        rate=rate,
        seconds=len(samples) / rate,
        peak=float(samples.max()),
        clipped=float((samples >= CLIPPED_LEVEL).mean()),
        digest=hashlib.blake2b(sound.tobytes(), digest_size=16).digest(),
    )


def _sound_key(utterance: Utterance, result: SoundFacts | None) -> Hashable:
    """What is the same for the same sound: its samples, or, where they were not read, its place."""
    if result and result.digest:
        return result.digest
    return place_of(utterance), utterance.channel, utterance.start, utterance.duration


def _speakers(utterances: Sequence[Utterance]) -> set[str]:
    return {one.speaker for one in utterances if one.speaker is not None}


def _counted(names: Sequence[str]) -> dict[str, Any]:
    return {"count": len(names), "first": list(names[:_EXAMPLES])}


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    points = (0, 5, 50, 95, 100)
    return {
        f"{point} %": round(float(value), 3)
        for point, value in zip(points, np.percentile(values, points), strict=True)
    }
