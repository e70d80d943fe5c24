"""Decode a corpus with a model: hypotheses beside references, and their score."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from asr_seq2seq.config import FeaturesConfig, LogMelConfig
from asr_seq2seq.corpora import Utterance, digest
from asr_seq2seq.corpora.features import read_features
from asr_seq2seq.corpora.reading import place_of, read_sound
from asr_seq2seq.decoding.confidence import expected_calibration_error
from asr_seq2seq.decoding.hypothesis import Hypothesis
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.decoding.scorers import TextScorer
from asr_seq2seq.errors import AudioError, ConfigError, CorpusError
from asr_seq2seq.evaluation.assessment import Assessment, assess, check_keys
from asr_seq2seq.evaluation.calibration import judged_words
from asr_seq2seq.evaluation.hypotheses import Candidate, HypothesisLine, is_number
from asr_seq2seq.evaluation.journal import Entry, Journal
from asr_seq2seq.evaluation.normalizers import TextNormalizer
from asr_seq2seq.evaluation.wer import Score, score
from asr_seq2seq.inference.loading import LoadedModel
from asr_seq2seq.inference.pipeline import BATCH_SIZE, Inputs, Pipeline, Recognition
from asr_seq2seq.messages import message

_BATCH_SECONDS = 200.0  # of sound that is read and decoded at a time, and then written to the journal


@dataclass(frozen=True)
class Evaluation:
    """The figures, the recognized texts, the seconds of sound and the seconds that decoding took.

    `calibration_error` is that of the words' confidences, as a fraction (Guo et al. 2017).
    """

    assessment: Assessment
    calibration_error: float
    lines: list[HypothesisLine]
    sound_seconds: float
    seconds: float

    @property
    def score(self) -> Score:
        """The counts and rates over all utterances."""
        return self.assessment.score

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of sound."""
        return self.seconds / self.sound_seconds

    def to_dict(self) -> dict[str, Any]:
        """Figures for JSON; rates are fractions."""
        return self.assessment.to_dict() | {
            "calibration_error": round(self.calibration_error, 6),
            "sound_seconds": round(self.sound_seconds, 3),
            "seconds": round(self.seconds, 3),
            "real_time_factor": round(self.real_time_factor, 5),
        }

    def describe(self, shown: Iterable[str] = ()) -> str:
        """The figures as lines to read, with a table for each key in `shown`."""
        figures, *tables = self.assessment.describe(shown).split("\n\n")
        work = (
            f"confidence of words: {self.calibration_error:.2%} off on average\n"
            f"{self.sound_seconds:.1f} s of sound in {self.seconds:.1f} s: "
            f"real-time factor {self.real_time_factor:.4f}"
        )
        return "\n\n".join([f"{figures}\n{work}", *tables])


def decode(
    pipeline: Pipeline, names: Sequence[str], references: Sequence[str], inputs: Sequence[Inputs]
) -> list[HypothesisLine]:
    """Recognize utterances: the best text of each beside its reference.

    An utterance longer than the model knows is cut at pauses, as `transcribe` does. Of the others each line
    holds as many of the best texts, with the parts of their scores, as the options' `n_best` says.
    """
    found = pipeline.recognize_whole(inputs)
    return [
        _line(pipeline, name, reference, len(one) / pipeline.input_rate, segments)
        for name, reference, one, segments in zip(names, references, inputs, found, strict=True)
    ]


def _line(
    pipeline: Pipeline, name: str, reference: str, duration: float, segments: list[Recognition]
) -> HypothesisLine:
    best = segments[0].hypotheses[: pipeline.options.n_best or 0] if len(segments) == 1 else ()
    return HypothesisLine(
        id=name,
        reference=reference,
        hypothesis=" ".join(segment.text for segment in segments if segment.text),
        score=sum((segment.best.score for segment in segments), 0.0),
        duration=duration,
        n_best=tuple(_candidate(pipeline, one) for one in best),
        confidences=tuple(chain.from_iterable(segment.confidences for segment in segments)),
    )


def _candidate(pipeline: Pipeline, one: Hypothesis) -> Candidate:
    text = pipeline.alphabet.decode(one.tokens).strip()
    parts = one.ctc, one.lm, one.coverage, one.reward, one.boost
    return Candidate(text, one.score, one.decoder, one.length, *parts)


def read_inputs(utterance: Utterance, features: FeaturesConfig) -> Inputs:
    """The sound (N,) of an utterance at the model's rate, or its features (T, S)."""
    if isinstance(features, LogMelConfig):
        return read_sound(utterance, features.sample_rate)
    return read_features(utterance, features.size)


def evaluate(
    model: LoadedModel,
    utterances: Sequence[Utterance],
    options: DecodingOptions | None = None,
    on_batch: Callable[[float, str], None] = lambda seconds, note: None,
    *,
    lm: TextScorer | None = None,
    batch_size: int = BATCH_SIZE,
    journal: Journal | None = None,
    normalizer: TextNormalizer | None = None,
    by: Iterable[str] = (),
) -> Evaluation:
    """Recognize every utterance and score it, by the model's own normalizer if none is given.

    `options` are the model's own where not given; with `n_best` each line holds so many of the best texts.
    `on_batch` is told the seconds of sound just decoded, and the WER so far in words. Utterances in the
    `journal` are not decoded again, and the others are written there; `by` names keys to score by.

    Raises CorpusError for an utterance that cannot be read: a score must not pass over it.
    """
    pipeline = Pipeline(model, options, lm, batch_size=batch_size)
    n_best = pipeline.options.n_best or 0
    if n_best > pipeline.options.beam_size:
        raise ConfigError(
            f"{n_best} best texts need a beam that holds them: give --beam-size {n_best} or more"
        )
    by = list(by)
    given = [_in_corpus(utterance) for utterance in utterances]
    check_keys(by, given)
    known = list(journal.entries) if journal is not None else []
    found: dict[str, HypothesisLine] = {}
    seconds, errors, words = 0.0, 0, 0
    for entry in chain(known, _entries(pipeline, model.config.features, utterances, journal)):
        found |= {line.id: line for line in entry.lines}
        seconds += entry.seconds
        texts = [line.reference for line in entry.lines], [line.hypothesis for line in entry.lines]
        so_far = score(*texts, model.normalizer)
        errors, words = errors + so_far.errors, words + so_far.words
        on_batch(
            sum(line.duration or 0.0 for line in entry.lines), f"WER {100 * errors / max(1, words):.1f} %"
        )
    ordered = [
        replace(found[one.id], reference=one.reference, speaker=one.speaker, keys=one.keys) for one in given
    ]
    return Evaluation(
        assessment=assess(ordered, normalizer or model.normalizer, by=by),
        calibration_error=expected_calibration_error(*judged_words(ordered, model.normalizer)),
        lines=ordered,
        sound_seconds=sum(utterance.duration for utterance in utterances),
        seconds=seconds,
    )


def _entries(
    pipeline: Pipeline, features: FeaturesConfig, utterances: Iterable[Utterance], journal: Journal | None
) -> Iterator[Entry]:
    """Batch after batch of the utterances that are not in the journal, recognized and written there."""
    done = set() if journal is None else {line.id for entry in journal.entries for line in entry.lines}
    for batch in _batches([utterance for utterance in utterances if utterance.id not in done]):
        started = time.perf_counter()
        inputs = []
        for utterance in batch:
            try:
                inputs.append(read_inputs(utterance, features))
            except (AudioError, CorpusError) as error:
                raise CorpusError(
                    f"utterance {utterance.id}: {error}; mend the corpus or take the utterance out"
                ) from None
        lines = decode(pipeline, [one.id for one in batch], [one.text for one in batch], inputs)
        entry = Entry(lines, time.perf_counter() - started)
        if journal is not None:
            journal.append(entry)
        yield entry


def _batches(utterances: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    """The longest first, and as many at a time as last `_BATCH_SECONDS`, or one."""
    batch: list[Utterance] = []
    seconds = 0.0
    for utterance in sorted(utterances, key=lambda one: -float(one.duration)):
        if batch and seconds + utterance.duration > _BATCH_SECONDS:
            yield batch
            batch, seconds = [], 0.0
        batch.append(utterance)
        seconds += utterance.duration
    if batch:
        yield batch


def _in_corpus(utterance: Utterance) -> HypothesisLine:
    """What a corpus says of an utterance; of its own keys those that are text or numbers."""
    known = {"gender": utterance.gender, "language": utterance.language, **utterance.custom}
    keys = {key: value for key, value in known.items() if isinstance(value, str) or is_number(value)}
    return HypothesisLine(utterance.id, utterance.text, "", speaker=utterance.speaker, keys=keys)


def open_journal(
    hypotheses: Path, models: Iterable[Path], utterances: Sequence[Utterance], options: DecodingOptions
) -> Journal:
    """The journal of the evaluation that `hypotheses` will be the result of; messages say if it resumes."""
    journal = Journal(hypotheses, fingerprint(models, utterances, options))
    if journal.entries:
        message(f"resuming: {journal.utterances} of {len(utterances)} utterances are in {journal.path}")
    if journal.replaced:
        message(f"{journal.path} is of another model, corpus or search: starting anew")
    return journal


def fingerprint(models: Iterable[Path], utterances: Sequence[Utterance], options: DecodingOptions) -> str:
    """What tells one evaluation from another: the models' files, sounds and texts, and the search."""
    found = hashlib.sha256()
    for path in models:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    found.update(f"{json.dumps(asdict(options))} {digest(utterances)}".encode())
    for utterance in utterances:  # two corpora may differ in their sound alone
        place = place_of(utterance)
        found.update(os.fsencode(f"{place} {utterance.channel}"))
        with suppress(OSError):  # a part of an archive is no file
            known = Path(place).stat()
            found.update(f"{known.st_size} {known.st_mtime_ns}".encode())
    return found.hexdigest()
