"""Decode a corpus with a model: hypotheses beside references, and their score."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain

import torch
from lhotse import CutSet
from torch import Tensor

from asr_seq2seq.batching import Batch, Batches, pad
from asr_seq2seq.calibration import expected_calibration_error, fit_temperature, soften, word_confidences
from asr_seq2seq.config import LogMelConfig, SearchConfig
from asr_seq2seq.errors import ConfigError, CorpusError
from asr_seq2seq.model_file import ModelFile
from asr_seq2seq.scoring.hypotheses import Candidate, HypothesisLine
from asr_seq2seq.scoring.wer import Score, correct_words, score
from asr_seq2seq.search import Hypothesis, search
from asr_seq2seq.search.scorers import TextScorer
from asr_seq2seq.segmentation import split
from asr_seq2seq.text import Alphabet, Normalizer


@dataclass(frozen=True)
class Evaluation:
    """The score, what was recognised, the seconds of sound and the seconds that decoding took.

    `calibration_error` is that of the words' confidences, as a fraction (Guo et al. 2017).
    """

    score: Score
    calibration_error: float
    lines: list[HypothesisLine]
    sound_seconds: float
    seconds: float


def decode(
    recogniser: ModelFile,
    batches: Iterable[Batch],
    config: SearchConfig,
    *,
    lm: TextScorer | None = None,
    n_best: int = 0,
) -> Iterable[list[HypothesisLine]]:
    """For each batch its best hypotheses; the references are the batch's normalised texts.

    Each line holds the `n_best` best texts with the parts of their scores. An utterance that is longer
    than the model knows is cut at pauses as `transcribe` does, and then has no n-best texts.

    Raises CorpusError for an utterance that cannot be read: a score must not pass over it.
    """
    model, alphabet = recogniser.model, recogniser.alphabet
    device = recogniser.device
    model.eval()
    for batch in batches:
        if batch.problems:
            raise CorpusError(f"{batch.problems[0]}; mend the corpus or take the utterance out")
        pieces = [_pieces(recogniser, row[:n]) for row, n in zip(batch.inputs, batch.lengths, strict=True)]
        inputs, lengths = pad([piece for of_one in pieces for piece in of_one])
        with torch.inference_mode():
            encoded = model.encode(inputs.to(device), lengths.to(device))
        found = iter(search(model, encoded, config, lm))
        seconds = (batch.lengths / recogniser.config.features.rate).tolist()
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


def _pieces(recogniser: ModelFile, inputs: Tensor) -> list[Tensor]:
    """What the model can take of an utterance: sound longer than it knows is cut at pauses."""
    features = recogniser.config.features
    if not isinstance(features, LogMelConfig):
        return [inputs]
    pieces = split([inputs], features.sample_rate, recogniser.longest_seconds)
    return [piece for _, piece in pieces] or [inputs]


def _candidate(one: Hypothesis, alphabet: Alphabet) -> Candidate:
    text = alphabet.decode(one.tokens).strip()
    return Candidate(text, one.score, one.decoder, one.length, one.ctc, one.lm, one.coverage, one.reward)


def batches_for(recogniser: ModelFile, cuts: CutSet) -> Batches:
    """The utterances as the recogniser hears and spells them, none of them changed."""
    return Batches(
        cuts,
        recogniser.config.data,
        features=recogniser.config.features,
        alphabet=recogniser.alphabet,
        normalizer=recogniser.normalizer,
    )


def evaluate(
    recogniser: ModelFile,
    cuts: CutSet,
    config: SearchConfig,
    on_batch: Callable[[float], None] = lambda seconds: None,
    *,
    lm: TextScorer | None = None,
    n_best: int = 0,
) -> Evaluation:
    """Recognise every utterance of `cuts`; `on_batch` is told the seconds of sound just done."""
    if n_best > config.beam_size:
        raise ConfigError(
            f"{n_best} best texts need a beam that holds them: give --beam-size {n_best} or more"
        )
    started = time.perf_counter()
    batches = batches_for(recogniser, cuts)
    found: dict[str, HypothesisLine] = {}
    for lines in decode(recogniser, batches, config, lm=lm, n_best=n_best):
        found |= {line.id: line for line in lines}
        on_batch(sum(line.duration or 0.0 for line in lines))
    ordered = [
        replace(found[cut.id], reference=cut.supervisions[0].text, speaker=cut.supervisions[0].speaker)
        for cut in cuts
    ]
    result = score(
        [line.reference for line in ordered], [line.hypothesis for line in ordered], recogniser.normalizer
    )
    error = expected_calibration_error(*judged_words(ordered, recogniser.normalizer))
    return Evaluation(result, error, ordered, batches.seconds, time.perf_counter() - started)


def judged_words(lines: Iterable[HypothesisLine], normalizer: Normalizer) -> tuple[list[float], list[bool]]:
    """The confidence of every recognised word and whether it is right.

    Utterances whose words the normaliser parts or joins are passed over.
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
    recogniser: ModelFile, batches: Iterable[Batch], config: SearchConfig
) -> tuple[float, float, float]:
    """Fit the temperature of the words' confidences on utterances whose text is known.

    The temperature, and the expected calibration error before (at a temperature of 1) and after.
    """
    plain = config.changed(confidence_temperature=1.0)
    lines = [line for lines in decode(recogniser, batches, plain) for line in lines]
    sure, right = judged_words(lines, recogniser.normalizer)
    temperature = fit_temperature(sure, right)
    before = expected_calibration_error(sure, right)
    after = expected_calibration_error([soften(p, temperature) for p in sure], right)
    return temperature, before, after
