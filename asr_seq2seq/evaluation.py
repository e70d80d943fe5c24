"""Decode a corpus with a model: hypotheses beside references, and their score."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from lhotse import CutSet

from asr_seq2seq.batching import Batch, Batches
from asr_seq2seq.config import SearchConfig
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.model_file import ModelFile
from asr_seq2seq.scoring.hypotheses import HypothesisLine
from asr_seq2seq.scoring.wer import Score, score
from asr_seq2seq.search import search


@dataclass(frozen=True)
class Evaluation:
    """The score, what was recognised, the seconds of sound and the seconds that decoding took."""

    score: Score
    lines: list[HypothesisLine]
    sound_seconds: float
    seconds: float


def decode(
    recogniser: ModelFile, batches: Iterable[Batch], config: SearchConfig
) -> Iterable[list[HypothesisLine]]:
    """For each batch its best hypotheses; the references are the batch's normalised texts.

    Raises CorpusError for an utterance that cannot be read: a score must not pass over it.
    """
    device = next(recogniser.model.parameters()).device
    recogniser.model.eval()
    for batch in batches:
        if batch.problems:
            raise CorpusError(f"{batch.problems[0]}; mend the corpus or take the utterance out")
        batch = batch.to(device)
        with torch.inference_mode():
            encoded = recogniser.model.encode(batch.sound, batch.lengths)
        found = search(recogniser.model, encoded, config)
        seconds = (batch.lengths / recogniser.config.features.sample_rate).tolist()
        yield [
            HypothesisLine(
                id=name,
                reference=text,
                hypothesis=recogniser.alphabet.decode(best[0].tokens).strip(),
                score=best[0].score,
                duration=duration,
            )
            for name, text, best, duration in zip(batch.ids, batch.texts, found, seconds, strict=True)
        ]


def evaluate(
    recogniser: ModelFile,
    cuts: CutSet,
    config: SearchConfig,
    on_batch: Callable[[float], None] = lambda seconds: None,
) -> Evaluation:
    """Recognise every utterance of `cuts`; `on_batch` is told the seconds of sound just done."""
    started = time.perf_counter()
    batches = Batches(
        cuts,
        recogniser.config.data,
        sample_rate=recogniser.config.features.sample_rate,
        alphabet=recogniser.alphabet,
        normalizer=recogniser.normalizer,
    )
    found: dict[str, HypothesisLine] = {}
    for lines in decode(recogniser, batches, config):
        found |= {line.id: line for line in lines}
        on_batch(sum(line.duration or 0.0 for line in lines))
    speakers = {cut.id: cut.supervisions[0].speaker for cut in cuts}
    ordered = [
        HypothesisLine(
            id=cut.id,
            reference=cut.supervisions[0].text,
            hypothesis=found[cut.id].hypothesis,
            score=found[cut.id].score,
            duration=found[cut.id].duration,
            speaker=speakers[cut.id],
        )
        for cut in cuts
    ]
    result = score(
        [line.reference for line in ordered], [line.hypothesis for line in ordered], recogniser.normalizer
    )
    return Evaluation(result, ordered, batches.seconds, time.perf_counter() - started)
