"""Decode a corpus with a model: hypotheses beside references, and their score."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asr_seq2seq.audio.leveling import even_out
from asr_seq2seq.audio.segmentation import split
from asr_seq2seq.calibration import expected_calibration_error, fit_temperature, soften, word_confidences
from asr_seq2seq.config import LogMelConfig, SearchConfig
from asr_seq2seq.corpora import Utterance, digest
from asr_seq2seq.corpora.reading import place_of
from asr_seq2seq.errors import ConfigError, CorpusError
from asr_seq2seq.evaluation.assessment import Assessment, assess, check_keys
from asr_seq2seq.evaluation.hypotheses import Candidate, HypothesisLine, is_number
from asr_seq2seq.evaluation.journal import Entry, Journal
from asr_seq2seq.evaluation.normalizers import TextNormalizer
from asr_seq2seq.evaluation.wer import Score, correct_words, score
from asr_seq2seq.messages import message
from asr_seq2seq.model.features import pad
from asr_seq2seq.model.files import ModelFile
from asr_seq2seq.search import Hypothesis, search
from asr_seq2seq.search.scorers import TextScorer
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.batching import Batch, Batches
from asr_seq2seq.training_config import DataConfig


@dataclass(frozen=True)
class Evaluation:
    """The figures, what was recognized, the seconds of sound and the seconds that decoding took.

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
    recognizer: ModelFile,
    batches: Iterable[Batch],
    config: SearchConfig,
    *,
    lm: TextScorer | None = None,
    n_best: int = 0,
) -> Iterable[list[HypothesisLine]]:
    """For each batch its best hypotheses; the references are the batch's normalized texts.

    Each line holds the `n_best` best texts with the parts of their scores. An utterance that is longer
    than the model knows is cut at pauses as `transcribe` does, and then has no n-best texts.

    Raises CorpusError for an utterance that cannot be read: a score must not pass over it.
    """
    alphabet = recognizer.alphabet
    recognizer.model.eval()
    for batch in batches:
        if batch.problems:
            raise CorpusError(f"{batch.problems[0]}; mend the corpus or take the utterance out")
        pieces = [_pieces(recognizer, row[:n]) for row, n in zip(batch.inputs, batch.lengths, strict=True)]
        all_pieces = list(chain.from_iterable(pieces))
        size = max(len(pieces), config.batch_size)  # an hour has hundreds
        found = chain.from_iterable(
            _search(recognizer, all_pieces[begin : begin + size], config, lm)
            for begin in range(0, len(all_pieces), size)
        )
        seconds = (batch.lengths / recognizer.config.features.rate).tolist()
        lines = []
        for name, text, of_one, duration in zip(batch.ids, batch.texts, pieces, seconds, strict=True):
            best = [next(found) for _ in of_one]
            texts = [alphabet.decode(texts[0].tokens).strip() for texts in best]
            sure = [
                word_confidences(texts[0], alphabet.space, config.confidence_temperature) for texts in best
            ]
            kept = best[0][:n_best] if len(best) == 1 else []
            lines.append(
                HypothesisLine(
                    id=name,
                    reference=text,
                    hypothesis=" ".join(filter(None, texts)),
                    score=sum(texts[0].score for texts in best),
                    duration=duration,
                    n_best=tuple(_candidate(one, alphabet) for one in kept),
                    confidences=tuple(chain.from_iterable(sure)),
                )
            )
        yield lines


def _search(
    recognizer: ModelFile, pieces: list[Tensor], config: SearchConfig, lm: TextScorer | None
) -> list[list[Hypothesis]]:
    inputs, lengths = pad(pieces)
    with torch.inference_mode():
        encoded = recognizer.model.encode(inputs.to(recognizer.device), lengths.to(recognizer.device))
    return search(recognizer.model, encoded, config, lm)


def _pieces(recognizer: ModelFile, inputs: Tensor) -> list[Tensor]:
    """What the model can take of an utterance: sound longer than it knows is cut at pauses."""
    features = recognizer.config.features
    if not isinstance(features, LogMelConfig):
        return [inputs]
    pieces = split([inputs.numpy()], features.sample_rate, recognizer.longest_seconds)
    levelled = [even_out(piece, features.sample_rate) for _, piece in pieces]
    return list(map(torch.from_numpy, levelled)) or [inputs]


def _candidate(one: Hypothesis, alphabet: Alphabet) -> Candidate:
    text = alphabet.decode(one.tokens).strip()
    return Candidate(text, one.score, one.decoder, one.length, one.ctc, one.lm, one.coverage, one.reward)


def batches_for(recognizer: ModelFile, cuts: Sequence[Utterance]) -> Batches:
    """The utterances as the recognizer hears and spells them, none of them changed."""
    return Batches(
        cuts,
        DataConfig(),
        features=recognizer.config.features,
        alphabet=recognizer.alphabet,
        normalizer=recognizer.normalizer,
    )


def evaluate(
    recognizer: ModelFile,
    cuts: Sequence[Utterance],
    config: SearchConfig,
    on_batch: Callable[[float, str], None] = lambda seconds, note: None,
    *,
    lm: TextScorer | None = None,
    n_best: int = 0,
    journal: Journal | None = None,
    normalizer: TextNormalizer | None = None,
    by: Iterable[str] = (),
) -> Evaluation:
    """Recognize every utterance of `cuts` and score it, by the model's own normalizer if none is given.

    `on_batch` is told the seconds of sound just done, and the WER so far in words. Batches that are in the
    `journal` are not done again, and the others are written there; `by` names keys to score by.
    """
    if n_best > config.beam_size:
        raise ConfigError(
            f"{n_best} best texts need a beam that holds them: give --beam-size {n_best} or more"
        )
    by = list(by)
    check_keys(by, (_in_corpus(cut) for cut in cuts))
    batches = batches_for(recognizer, cuts)
    known = list(journal.entries) if journal is not None else []
    batches.plan.skip = len(known)
    recognized = _timed(decode(recognizer, batches, config, lm=lm, n_best=n_best), journal)
    found: dict[str, HypothesisLine] = {}
    seconds, errors, words = 0.0, 0, 0
    for entry in chain(known, recognized):
        found |= {line.id: line for line in entry.lines}
        seconds += entry.seconds
        texts = [line.reference for line in entry.lines], [line.hypothesis for line in entry.lines]
        so_far = score(*texts, recognizer.normalizer)
        errors, words = errors + so_far.errors, words + so_far.words
        on_batch(
            sum(line.duration or 0.0 for line in entry.lines), f"WER {100 * errors / max(1, words):.1f} %"
        )
    ordered = []
    for cut in cuts:
        said = _in_corpus(cut)
        ordered.append(replace(found[cut.id], reference=said.reference, speaker=said.speaker, keys=said.keys))
    return Evaluation(
        assessment=assess(ordered, normalizer or recognizer.normalizer, by=by),
        calibration_error=expected_calibration_error(*judged_words(ordered, recognizer.normalizer)),
        lines=ordered,
        sound_seconds=batches.seconds,
        seconds=seconds,
    )


def _timed(batches: Iterable[list[HypothesisLine]], journal: Journal | None) -> Iterator[Entry]:
    """Each batch with the seconds that it took, written down."""
    started = time.perf_counter()
    for lines in batches:
        entry = Entry(lines, time.perf_counter() - started)
        if journal is not None:
            journal.append(entry)
        yield entry
        started = time.perf_counter()


def _in_corpus(cut: Utterance) -> HypothesisLine:
    """What a corpus says of an utterance; of its own keys those that are text or numbers."""
    known = {"gender": cut.gender, "language": cut.language, **cut.custom}
    keys = {key: value for key, value in known.items() if isinstance(value, str) or is_number(value)}
    return HypothesisLine(cut.id, cut.text, "", speaker=cut.speaker, keys=keys)


def open_journal(
    hypotheses: Path, models: Iterable[Path], cuts: Sequence[Utterance], config: SearchConfig, n_best: int
) -> Journal:
    """The journal of the evaluation that `hypotheses` will be the result of; messages say if it goes on."""
    journal = Journal(hypotheses, fingerprint(models, cuts, config, n_best))
    if journal.entries:
        said = f"going on: {journal.utterances} of {len(cuts)} utterances are in {journal.path}"
        message(said)
    if journal.replaced:
        said = f"{journal.path} is of another model, corpus or search: beginning anew"
        message(said)
    return journal


def fingerprint(models: Iterable[Path], cuts: Sequence[Utterance], config: SearchConfig, n_best: int) -> str:
    """What tells one evaluation from another: the models' files, sounds and texts, and the search."""
    found = hashlib.sha256()
    for path in models:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    found.update(f"{config.model_dump_json()} {n_best} {digest(cuts)}".encode())
    for cut in cuts:  # two corpora may differ in their sound alone
        place = place_of(cut)
        found.update(os.fsencode(f"{place} {cut.channel}"))
        with suppress(OSError):  # a piece of an archive is no file
            known = Path(place).stat()
            found.update(f"{known.st_size} {known.st_mtime_ns}".encode())
    return found.hexdigest()


def judged_words(lines: Iterable[HypothesisLine], normalizer: Normalizer) -> tuple[list[float], list[bool]]:
    """The confidence of every recognized word and whether it is right.

    Utterances whose words the normalizer parts or joins are passed over.
    """
    sure: list[float] = []
    right: list[bool] = []
    for line in lines:
        correct = correct_words(line.reference, line.hypothesis, normalizer)
        if len(correct) == len(line.confidences):
            sure += line.confidences
            right += correct
    return sure, right


def calibrate(
    recognizer: ModelFile, batches: Iterable[Batch], config: SearchConfig
) -> tuple[float, float, float]:
    """Fit the temperature of the words' confidences on utterances whose text is known.

    The temperature, and the expected calibration error before (at a temperature of 1) and after.
    """
    plain = config.changed(confidence_temperature=1.0)
    lines = [line for lines in decode(recognizer, batches, plain) for line in lines]
    sure, right = judged_words(lines, recognizer.normalizer)
    temperature = fit_temperature(sure, right)
    before = expected_calibration_error(sure, right)
    after = expected_calibration_error([soften(p, temperature) for p in sure], right)
    return temperature, before, after
