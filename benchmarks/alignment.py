"""Align known texts with recordings that are joined from a corpus, and compare with where the joins are.

    python benchmarks/alignment.py digits --model digits
    python benchmarks/alignment.py utterances --model english

`digits`: single digits of FSDD test, silence trimmed at 35 dB below their loudest 10 ms, joined with pauses
of 0.1 to 0.6 s. `utterances`: LibriSpeech dev joined as it is, in random order, into recordings of 10 minutes
and more; the text as lines and as running text, right and with a tenth of its words wrong, left out or added.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from asr_seq2seq import audio
from asr_seq2seq.cli.align import MARGIN
from asr_seq2seq.cli.run import run_function
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.inference.aligner import AlignedText, align_text, check_model, utterances, widened
from asr_seq2seq.inference.loading import LoadedModel, load
from asr_seq2seq.inference.posteriors import posteriors
from asr_seq2seq.inference.script import read_script

LOUD = 35.0  # decibels
NOISE = 1e-4  # root mean square in the pauses
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
Samples = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Recording:
    """A sound, its texts, and the start and end of each in seconds."""

    sound: Samples
    texts: list[str]
    places: Samples


def main(
    what: Annotated[str, typer.Argument(help="digits or utterances.")],
    model: Annotated[str, typer.Option(help="Model file, or the name of a bundled one.")] = "english",
    data: Annotated[Path, typer.Option(help="Folder with fsdd and librispeech.")] = DATA,
    minutes: Annotated[float, typer.Option(min=1, help="Shortest recording of `utterances`.")] = 10.5,
    seed: Annotated[int, typer.Option(min=0, help="Decides order, pauses and errors.")] = 1,
) -> None:
    """Print which part of starts, or of utterances, is found."""
    manifest = data / {"digits": "fsdd/test.jsonl", "utterances": "librispeech/dev.jsonl"}.get(what, "")
    if not manifest.is_file():
        raise ConfigError(f"there is no {manifest}: name digits or utterances, and the folder with --data")
    loaded = load(model)
    (digits if what == "digits" else long_recordings)(loaded, manifest, 60 * minutes, seed)


def digits(model: LoadedModel, manifest: Path, _: float, seed: int) -> None:
    """All single digits as one recording."""
    random = np.random.default_rng(seed)
    rate = check_model(model)
    parts: list[Samples] = []
    texts, places, at = [], [], 0
    for sound, text in _read(manifest, rate, random):
        frame = rate // 100
        power = np.square(sound[: len(sound) // frame * frame].reshape(-1, frame)).mean(1)
        loud = np.flatnonzero(10 * np.log10(power / power.max() + 1e-12) > -LOUD)
        sound = sound[loud[0] * frame : (loud[-1] + 1) * frame]
        pause = (NOISE * random.standard_normal(round(random.uniform(0.1, 0.6) * rate))).astype(np.float32)
        parts += [pause, sound]
        at += len(pause)
        places.append((at / rate, (at + len(sound)) / rate))
        at += len(sound)
        texts.append(text)
    recording = Recording(np.concatenate(parts), texts, np.array(places))
    aligned, seconds = _align(model, recording, [" ".join(texts)])
    errors = np.abs(np.array(aligned.times) - recording.places)
    print(
        f"{len(texts)} words, {at / rate / 60:.1f} minutes: {(errors[:, 0] <= 0.1).mean():.1%} of starts and "
        f"{(errors[:, 1] <= 0.1).mean():.1%} of ends within 0.1 s; {seconds:.1f} s"
    )


def long_recordings(model: LoadedModel, manifest: Path, shortest: float, seed: int) -> None:
    """Recordings of `shortest` seconds and more until the corpus is used up, with right and wrong texts."""
    random = np.random.default_rng(seed)
    rate = check_model(model)
    recordings: list[Recording] = []
    parts: list[Samples] = []
    texts: list[str] = []
    for sound, text in _read(manifest, rate, random):
        parts.append(sound)
        texts.append(text)
        if sum(map(len, parts)) >= shortest * rate:
            ends = np.cumsum([len(part) for part in parts]) / rate
            places = np.stack((np.concatenate(([0.0], ends[:-1])), ends), 1)
            recordings.append(Recording(np.concatenate(parts), texts, places))
            parts, texts = [], []
    words = [word for recording in recordings for text in recording.texts for word in text.split()]
    for share in (0.0, 0.1):
        for running in (False, True):
            found = [
                _recovered(model, recording, words, share, running, np.random.default_rng(seed + number))
                for number, recording in enumerate(recordings)
            ]
            utterance, cut, seconds, minutes = np.sum(found, 0)
            total = sum(len(recording.texts) for recording in recordings)
            print(
                f"{share:.0%} of words wrong, {'running text' if running else 'lines'}: "
                f"{utterance / total:.1%} of {total} utterances, {cut / total:.1%} as cut; "
                f"{seconds / minutes:.2f} s for a minute",
                flush=True,
            )


def _recovered(
    model: LoadedModel,
    recording: Recording,
    words: list[str],
    share: float,
    running: bool,
    random: np.random.Generator,
) -> tuple[int, int, float, float]:
    """How many utterances are found by their words, and have bounds in the cut corpus; seconds, minutes.

    The bounds of the words of an utterance, with the margin of --cut, lie within 0.3 s of the joins; and
    there is an utterance of --cut that begins, and one that ends, within 0.3 s of them.
    """
    lines = [_damaged(text.split(), words, share, random) for text in recording.texts]
    aligned, seconds = _align(model, recording, [" ".join(lines)] if running else lines)
    counts = np.cumsum([0, *(len(line.split()) for line in lines)])
    spans = list(zip(counts[:-1].tolist(), counts[1:].tolist(), strict=True))
    bounds = np.array(widened(aligned, spans, MARGIN))
    near = (np.abs(bounds - recording.places) <= 0.3).all(1)
    cuts = np.array(widened(aligned, utterances(aligned, 30.0, running=running), MARGIN))
    distance = np.abs(cuts.T[:, :, None] - recording.places.T[:, None]).min(1)  # (2, U)
    return int(near.sum()), int((distance <= 0.3).all(0).sum()), seconds, aligned.duration / 60


def _damaged(text: list[str], words: list[str], share: float, random: np.random.Generator) -> str:
    """A text of which this share of words is another, left out, or followed by one more."""
    found: list[str] = []
    for word in text:
        chance = random.random() / share if share else 1.0
        other = words[random.integers(len(words))]
        if chance < 1 / 3:
            continue
        found.append(other if chance < 2 / 3 else word)
        if 2 / 3 <= chance < 1:
            found.append(other)
    return " ".join(found or text[:1])


def _align(model: LoadedModel, recording: Recording, lines: list[str]) -> tuple[AlignedText, float]:
    begin = time.perf_counter()
    found = posteriors(model, [recording.sound], check_model(model))
    aligned = align_text(found, read_script(lines, model.alphabet, model.normalizer), model)
    return aligned, time.perf_counter() - begin


def _read(manifest: Path, rate: int, random: np.random.Generator) -> list[tuple[Samples, str]]:
    """The sounds and texts of a manifest in random order."""
    records = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    return [
        (audio.load(manifest.parent / record["audio_filepath"], rate), record["text"])
        for record in (records[number] for number in random.permutation(len(records)))
    ]


if __name__ == "__main__":
    run_function(main)
