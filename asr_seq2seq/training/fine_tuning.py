"""Start a run from the weights of a model that was trained before: fine-tuning."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from asr_seq2seq.config import SpecAugmentConfig
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.model.files import ModelFile, load_model
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.training_config import Config


def model_to_start_from(path: str, config: Config, texts: Iterable[str]) -> ModelFile:
    """The model at `path`, which a run with these settings and normalized texts can start from.

    Raises ConfigError in one sentence where its sound, its characters or its form of file are others;
    ModelFileError where it cannot be read.
    """
    start = load_model(Path(path))
    plain = {"warp": 0.0, "spec_augment": SpecAugmentConfig()}
    if start.config.features.model_copy(update=plain) != config.features.model_copy(update=plain):
        raise ConfigError(
            f"training.start_from: {path} was trained on other features than this recipe makes; copy its "
            f"`features` (asr-seq2seq inspect {path})"
        )
    if start.normalizer.name != config.data.normalizer:
        raise ConfigError(
            f"training.start_from: the texts of {path} are normalized by {start.normalizer.name}; "
            f"set data.normalizer to that"
        )
    foreign = sorted({character for text in texts for character in text} - set(start.alphabet.characters))
    if foreign:
        raise ConfigError(
            f"training.start_from: {path} cannot spell {' '.join(map(repr, foreign))}, which the training "
            "texts hold; change these texts or train from the beginning"
        )
    return start


def take_weights(model: Seq2Seq, start: ModelFile, path: str) -> None:
    """Give `model` the weights of `start`; ConfigError where the two are of different shapes."""
    theirs = start.model.state_dict()
    ours = model.state_dict()
    if {name: weight.shape for name, weight in theirs.items()} != {n: w.shape for n, w in ours.items()}:
        raise ConfigError(
            f"training.start_from: the network in {path} has other layers or sizes than this recipe; copy "
            f"its `model` (asr-seq2seq inspect {path})"
        )
    model.load_state_dict(theirs)
