"""Start a run from the weights of a model that was trained before: fine-tuning."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from asr_seq2seq.config import SpecAugmentConfig
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.model.files import ModelFile, load_model
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.text.normalizer import LATER
from asr_seq2seq.text.tokenizer import FIRST_CHARACTER, UNKNOWN, Alphabet
from asr_seq2seq.training_config import Config

EMBEDDING = "decoder.embedding.weight"
OUTPUTS = ("decoder.output.weight", "decoder.output.bias", "ctc_head.weight", "ctc_head.bias")


def model_to_start_from(path: str, config: Config) -> ModelFile:
    """The model at `path`, which a run with these settings can start from.

    Raises ConfigError in one sentence where its sound, its normalizer or its form of file are others;
    ModelFileError where it cannot be read.
    """
    start = load_model(Path(path))
    plain = {"warp": 0.0, "spec_augment": SpecAugmentConfig()}
    if start.config.features.model_copy(update=plain) != config.features.model_copy(update=plain):
        raise ConfigError(
            f"training.start_from: {path} was trained on other features than this recipe makes; copy its "
            f"`features` (asr-seq2seq inspect {path})"
        )
    if config.data.normalizer not in (start.normalizer.name, LATER.get(start.normalizer.name)):
        raise ConfigError(
            f"training.start_from: the texts of {path} are normalized by {start.normalizer.name}; "
            f"set data.normalizer to that"
        )
    return start


def new_characters(start: ModelFile, texts: Iterable[str]) -> list[str]:
    """The characters of normalized texts that the model cannot spell, in order."""
    found = set[str]().union(*(unicodedata.normalize("NFC", text) for text in texts))
    return sorted(found - set(start.alphabet.characters))


def extend(start: ModelFile, characters: Iterable[str], seed: int) -> ModelFile:
    """The same model with these new characters among its symbols.

    Every row of its embedding and of its outputs is kept bit by bit, though at the place that the sorted
    alphabet now gives its character. A new character's outputs begin as those of the unknown symbol, which
    no text held, so that the model writes at first what it wrote before; its embedding is drawn anew.
    """
    alphabet = Alphabet("".join(sorted({*start.alphabet.characters, *characters})))
    old = torch.tensor([*range(FIRST_CHARACTER), *start.alphabet.encode(alphabet.characters)])
    known = (old != UNKNOWN) | (torch.arange(len(alphabet)) == UNKNOWN)
    chance = torch.Generator().manual_seed(seed)
    weights = start.model.state_dict()
    drawn = torch.randn(len(alphabet), weights[EMBEDDING].shape[1], generator=chance)
    for name in [EMBEDDING, *(name for name in OUTPUTS if name in weights)]:
        weights[name] = weights[name][old]
    weights[EMBEDDING] = torch.where(known[:, None], weights[EMBEDDING], drawn)
    model = Seq2Seq(start.config, len(alphabet))
    model.load_state_dict(weights)
    return replace(start, model=model.eval(), alphabet=alphabet)


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
