"""The mean of several model files of one run, and copies of half the size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.model_file.acoustic import AcousticArrays, read_model, write_model
from asr_seq2seq.model_file.language import LANGUAGE_MODEL, read_language_model, write_language_model
from asr_seq2seq.model_file.storage import AnySettings, ModelArrays, format_of

_OF_ONE_EPOCH = ("epoch", "dev_wer", "dev_cer", "dev_loss")


def write_average(path: Path, models: Sequence[Path], *, half: bool = False) -> None:
    """Write the mean of model files of one run, of a recognizer or a language model.

    `half` stores its weights as float16. Raises ModelFileError where there are no models, or they are not of
    one run.
    """
    if models and format_of(models[0]) == LANGUAGE_MODEL.format:
        write_language_model(path, _mean(models, read_language_model), half=half)
    else:
        write_model(path, average_recognizers(models), half=half)


def average_recognizers(models: Sequence[Path]) -> AcousticArrays:
    """The recognizer whose weights are the means of those of several, which one run made."""
    return _mean(models, read_model)


def _mean(
    paths: Sequence[Path], read: Callable[[Path], ModelArrays[AnySettings]]
) -> ModelArrays[AnySettings]:
    if not paths:
        raise ModelFileError("there are no models to average; train with training.keep_epochs=5, for example")
    models = [read(path) for path in paths]
    if len(models) == 1:
        return models[0]
    last, first = models[-1], models[0]
    for path, one in zip(paths, models, strict=True):
        if one.alphabet != first.alphabet or one.config != first.config:
            raise ModelFileError(f"{path}: is not of the same run as {paths[0]}; average models of one run")
    means = {
        name: np.asarray(np.mean([one.arrays[name] for one in models], axis=0, dtype=np.float64), np.float32)
        for name in first.arrays
    }
    common = {name: fact for name, fact in last.provenance.items() if name not in _OF_ONE_EPOCH}
    return replace(first, arrays=means, provenance=common | {"averaged": [path.name for path in paths]})
