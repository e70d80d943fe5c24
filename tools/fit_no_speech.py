"""Fit the weights of the rule that leaves out segments without speech (`decoding/no_speech.py`).

Speech of training sets, every second utterance changed, and made sounds without speech are recognized as
`transcribe` does; the figures of each text are weighed by logistic regression. A segment of speech counts as
much as it has right words, another as much as it has words at all.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from changed_speech import changed
from sounds_without_speech import KINDS, made

from asr_seq2seq.audio import Samples
from asr_seq2seq.cli.run import run_function
from asr_seq2seq.corpora import load_corpus
from asr_seq2seq.corpora.reading import read_sound
from asr_seq2seq.decoding.no_speech import WEIGHTS, Figures
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.evaluation.wer import correct_words
from asr_seq2seq.inference.loading import load
from asr_seq2seq.inference.pipeline import Pipeline
from asr_seq2seq.messages import message
from asr_seq2seq.runtime.session import RuntimeOptions

SPEECH = (
    "digits=../shared/data/fsdd/train.jsonl",
    "digits=corpora/digit_strings/english/manifest.jsonl",
    "digits=corpora/speechocean_digits/train.jsonl",
    "english=../shared/data/speechocean762/train.jsonl",
    "english=../shared/data/librispeech/train.jsonl",
    "english=../shared/data/librispeech5/train.jsonl",
    "english=../shared/data/dialogue/train.jsonl",
    "english=../shared/data/fsdd/train.jsonl",
    "english=corpora/digit_strings/english/manifest.jsonl",
)
_SHORTEST, _LONGEST = 0.7, 14.0  # seconds of a sound without speech
_SPEECH_WEIGHT = 5.0  # of all speech beside all that is none
_PENALTY = 1e-3  # of the squared weights, but not of the first: the inverse variance of a normal prior
_TOGETHER = 64  # sounds that are recognized at a time

Array = npt.NDArray[np.float64]
Sounds = Iterator[tuple[Samples, str]]


@dataclass(frozen=True)
class Row:
    """A recognized segment: its model, its corpus or kind of sound, its figures, and the words that count."""

    model: str
    kind: str
    figures: Figures
    words: int
    is_speech: bool


def main(
    speech: Annotated[list[str], typer.Option(help="MODEL=CORPUS, once or more.")] = list(SPEECH),  # noqa: B006
    utterances: Annotated[int, typer.Option(min=1, help="Of each corpus, at most.")] = 100,
    sounds: Annotated[int, typer.Option(min=1, help="Of each kind without speech.")] = 24,
    lost: Annotated[float, typer.Option(min=0, max=1, help="Part of the right words that may go.")] = 0.0005,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 1,
) -> None:
    """Print the weights, and the words that are kept and lost with each kind of sound left out of the fit."""
    rows: list[Row] = []
    corpora: dict[str, list[str]] = {}
    for one in speech:
        name, equals, corpus = one.partition("=")
        if not equals:
            raise ConfigError(f"--speech {one}: give the model and the corpus as MODEL=CORPUS")
        corpora.setdefault(name, []).append(corpus)
    for name, paths in corpora.items():
        pipeline = Pipeline(load(name, RuntimeOptions(threads=1)), times=True, speech_only=True)
        if pipeline.sample_rate is None:
            raise ConfigError(f"{name} recognizes features, not sound: give another model")
        for path in paths:
            rows += recognized(name, path, pipeline, spoken(path, utterances, pipeline.sample_rate, seed))
        for kind in KINDS:
            rows += recognized(name, kind, pipeline, unspoken(kind, sounds, pipeline.sample_rate, seed))
    report(rows, lost)


def spoken(path: str, count: int, rate: int, seed: int) -> Sounds:
    """Utterances of a corpus and their texts: every second one changed."""
    rng = np.random.default_rng([seed, zlib.crc32(Path(path).name.encode())])
    corpus = load_corpus(path)
    for number, place in enumerate(rng.permutation(len(corpus))[:count]):
        sound = read_sound(corpus[place], rate)
        if number % 2:
            sound = changed(sound, rate, number // 2, rng)
        yield sound, corpus[place].text


def unspoken(kind: str, count: int, rate: int, seed: int) -> Sounds:
    """Sounds of a kind without speech, of many lengths, and no text."""
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    for _ in range(count):
        seconds = float(np.exp(rng.uniform(np.log(_SHORTEST), np.log(_LONGEST))))
        yield made(kind, seconds, rate, rng), ""


def recognized(name: str, kind: str, pipeline: Pipeline, sounds: Sounds) -> Iterator[Row]:
    """The segments in which words were found, but no speech without a right word."""
    given = list(sounds)
    message(f"{name}: {len(given)} of {kind}")
    for first in range(0, len(given), _TOGETHER):
        some = given[first : first + _TOGETHER]
        for (_, text), segments in zip(
            some, pipeline.recognize_whole([sound for sound, _ in some]), strict=True
        ):
            found = [one for one in segments if one.figures is not None]
            texts = [pipeline.alphabet.decode(one.best.tokens).strip() for one in found]
            right = correct_words(text, " ".join(texts), pipeline.normalizer) if text else []
            for one, words in zip(found, texts, strict=True):
                number = len(pipeline.normalizer(words).split())
                counts = sum(right[:number]) if text else number
                right = right[number:]
                if counts and one.figures is not None:
                    yield Row(name, kind, one.figures, counts, bool(text))


def weighed(rows: Sequence[Row]) -> tuple[Array, Array, Array]:
    """Figures (N, F), whether there is no speech (N,), and what each counts (N,).

    All kinds without speech count the same, together 1 for each model, and so does all speech of a model,
    together `_SPEECH_WEIGHT`.
    """
    totals: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.model, "" if row.is_speech else row.kind)
        totals[key] = totals.get(key, 0) + row.words
    counts = [
        row.words * (_SPEECH_WEIGHT if row.is_speech else 1 / len(KINDS))
        / totals[row.model, "" if row.is_speech else row.kind]
        for row in rows
    ]  # fmt: skip
    answers = [float(not row.is_speech) for row in rows]
    return np.array([row.figures for row in rows]), np.array(answers), np.array(counts)


def fit(figures: Array, answers: Array, counts: Array, penalty: float = _PENALTY) -> Array:
    """Weights (F,) of a logistic regression, by Newton's method with steps of at most 5."""
    weights = np.zeros(figures.shape[1])
    penalties = np.full(len(weights), penalty)
    penalties[0] = 0
    for _ in range(100):
        found = 1 / (1 + np.exp(-np.clip(figures @ weights, -40, 40)))
        slope = figures.T @ (counts * (found - answers)) + penalties * weights
        curvature = (figures.T * (counts * found * (1 - found))) @ figures + np.diag(penalties + 1e-9)
        step = np.linalg.solve(curvature, slope)
        weights -= step * min(1.0, 5.0 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-9:
            break
    return weights


def spared(weights: Array, rows: Sequence[Row], lost: float) -> Array:
    """The same weights with the first lowered until at most this part of the right words is left out."""
    speech = [row for row in rows if row.is_speech]
    odds = np.array([row.figures for row in speech]) @ weights
    order = np.argsort(-odds)
    part = np.cumsum(np.array([row.words for row in speech])[order]) / sum(row.words for row in speech)
    highest = odds[order][np.searchsorted(part, lost, side="right")]
    lowered = weights.copy()
    lowered[0] -= max(0.0, highest + 0.05)
    return lowered


def kept(weights: Array, rows: Sequence[Row]) -> int:
    """The words that are not left out."""
    return sum(row.words for row in rows if np.dot(weights, row.figures) <= 0)


def report(rows: list[Row], lost: float) -> None:
    """Print what the fit is worth, and its weights."""
    weights = spared(fit(*weighed(rows)), rows, lost)
    rounded = np.round(weights, 1)
    print("| sound | words | kept before | kept by a fit without the kind | kept |\n|---|---|---|---|---|")
    for kind in dict.fromkeys(row.kind for row in rows):
        these = [row for row in rows if row.kind == kind]
        others = [row for row in rows if row.kind != kind]
        unseen = "" if these[0].is_speech else kept(spared(fit(*weighed(others)), others, lost), these)
        words, before = sum(row.words for row in these), kept(np.array(WEIGHTS), these)
        print(f"| {kind} | {words} | {before} | {unseen} | {kept(rounded, these)} |")
    print(f"\nfitted: {', '.join(f'{one:.3f}' for one in weights)}")
    print(f"WEIGHTS = ({', '.join(f'{one:.1f}' for one in rounded)})")


if __name__ == "__main__":
    run_function(main)
