"""How good a model is on the dev set: teacher-forced loss, WER and CER of greedy decoding, calibration."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from asr_seq2seq.decoding.confidence import PlattScaling
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.evaluation.calibration import calibrate
from asr_seq2seq.evaluation.evaluate import decode
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.evaluation.wer import score
from asr_seq2seq.files import without_infinity
from asr_seq2seq.inference.pipeline import Pipeline
from asr_seq2seq.model.files import ModelFile, load_model, save_model
from asr_seq2seq.training.batching import Batch, Batches
from asr_seq2seq.training.distributed import DistributedContext

_BATCH_SIZE = 64  # dev utterances that are decoded together, at least


def _pipeline(recognizer: ModelFile, **options: float) -> Pipeline:
    """Decoding with the network on its device."""
    recognizer.model.eval()
    model = recognizer.loaded()
    size = max(_BATCH_SIZE, recognizer.config.decoding.batch_size)
    return Pipeline(model, model.options(options), batch_size=size)


def _decode(pipeline: Pipeline, batch: Batch) -> list[HypothesisLine]:
    """The hypotheses of a batch; CorpusError where an utterance cannot be read."""
    if batch.problems:
        raise CorpusError(f"{batch.problems[0]}; mend the corpus or take the utterance out")
    inputs = [row[:count].numpy() for row, count in zip(batch.inputs, batch.lengths.tolist(), strict=True)]
    return decode(pipeline, batch.ids, batch.texts, inputs)


@dataclass(frozen=True)
class DevScore:
    """The figures of a model on the dev set (`dev_loss`, `dev_wer`, `dev_cer`), and its hypotheses by id."""

    figures: dict[str, float]
    lines: list[HypothesisLine]


@torch.no_grad()
def score_dev(recognizer: ModelFile, batches: Batches, context: DistributedContext | None = None) -> DevScore:
    """Teacher-forced loss, and WER and CER of greedy decoding, on the dev utterances of all processes."""
    context, device = context or DistributedContext(), recognizer.device
    losses = torch.zeros(2, device=device)  # and characters
    found: list[HypothesisLine] = []
    speakers = {one.id: one.speaker for one in batches.sampler.utterances}
    pipeline = _pipeline(recognizer, beam_size=1)
    for batch in batches:
        found += (replace(line, speaker=speakers[line.id]) for line in _decode(pipeline, batch))
        moved = batch.to(device)
        loss = recognizer.model.loss(moved.inputs, moved.lengths, moved.tokens, moved.token_lengths, 0.0)
        characters = int(batch.token_lengths.sum()) + len(batch.ids)
        losses += torch.stack((loss.total * characters, torch.tensor(float(characters), device=device)))
    total, count = context.sum(losses).tolist()
    lines = sorted(context.gather(found), key=lambda line: line.id)
    references, hypotheses = [line.reference for line in lines], [line.hypothesis for line in lines]
    rates = score(references, hypotheses, recognizer.normalizer)
    return DevScore({"dev_loss": total / count, "dev_wer": rates.wer, "dev_cer": rates.cer}, lines)


def facts(figures: dict[str, float]) -> dict[str, Any]:
    """What the model file tells of one epoch, or of the mean of several."""
    rounded: dict[str, Any] = without_infinity({name: round(value, 5) for name, value in figures.items()})
    return rounded | {"date": time.strftime("%Y-%m-%d")}


def calibrate_model(path: Path, batches: Batches, device: torch.device, present: PlattScaling) -> str:
    """Fit the confidence of words and store it in the model file where that helps; what to say of it.

    `present` is the scaling that the file has otherwise.
    """
    recognizer = load_model(path, device)
    pipeline = _pipeline(recognizer, **PlattScaling().options())
    speakers = {one.id: one.speaker for one in batches.sampler.utterances}
    lines = [line for batch in batches for line in _decode(pipeline, batch)]
    lines = [replace(line, speaker=speakers[line.id]) for line in lines]
    found = calibrate(lines, recognizer.normalizer, present)
    save_model(path, recognizer.with_decoding(**found.scaling.options()))
    return found.describe()
