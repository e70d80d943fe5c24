"""Settings of training runs, as recipes hold them; a model file keeps them as provenance only."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from asr_seq2seq.config import (
    LanguageModelDecoding,
    LanguageModelSettings,
    RecognizerSettings,
    Settings,
    check,
)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_name(path: str) -> str:
    try:
        usable = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise ValueError("no file can have this name")
    return path


FileName = Annotated[str, Field(max_length=4096), AfterValidator(_as_name)]
_PATHS_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
Paths = Annotated[
    list[FileName], Field(max_length=10_000), BeforeValidator(_as_list), WithJsonSchema(_PATHS_SCHEMA)
]
_LONGEST_SECONDS = 1e6  # of sound


class DataConfig(Settings):
    """Where the utterances are and how they are put into batches."""

    train: Paths = Field(default=[], description="corpora to train on")
    dev: Paths = Field(default=[], description="corpora to choose the best model on")
    dev_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="part of the training utterances held out as dev set where `dev` is empty",
    )
    batch_seconds: float = Field(
        80.0,
        gt=0,
        le=_LONGEST_SECONDS,
        description="seconds of a batch with its padding, before speed changes",
    )
    min_seconds: float = Field(
        0.05, ge=0, le=_LONGEST_SECONDS, description="shorter utterances are left out of training"
    )
    max_seconds: float = Field(
        30.0, gt=0, le=_LONGEST_SECONDS, description="longer utterances are left out of training"
    )
    buckets: int = Field(
        20, ge=1, le=10_000, description="groups of similar length that batches are drawn from"
    )
    workers: int = Field(
        1, ge=0, le=1000, description="processes that read sound; 0 reads in the training process"
    )
    normalizer: str = Field("english-v1", description="how texts are normalized for training and scoring")

    @model_validator(mode="after")
    def _one_source_of_dev(self) -> Self:
        if self.dev and self.dev_fraction:
            raise ValueError("`dev` and `dev_fraction` exclude each other: give one of them")
        return self


class OptimizationConfig(Settings):
    """How weights are found: epochs, optimizer, learning rate."""

    epochs: int = Field(30, ge=1, le=1_000_000, description="passes over the training set")
    optimizer: Literal["sgd", "adam", "adamw", "adadelta"] = Field("adamw", description="as PyTorch has it")
    learning_rate: float = Field(1e-3, gt=0, le=1e38, description="the largest, reached after the warmup")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd; the others do without")
    weight_decay: float = Field(0.01, ge=0, le=1e38, description="decoupled from the gradient for adamw")
    schedule: Literal["cosine", "plateau"] = Field(
        "cosine", description="the learning rate falls as a cosine to 0, or where dev loss no longer falls"
    )
    warmup_steps: int = Field(
        100, ge=0, le=1_000_000_000, description="steps in which the learning rate rises from 0"
    )
    plateau_factor: float = Field(
        0.5, gt=0, lt=1, description="what the learning rate is multiplied by on a plateau"
    )
    plateau_patience: int = Field(2, ge=0, le=1_000_000, description="epochs without a better dev loss")
    gradient_clip: float = Field(5.0, gt=0, le=1e12, description="largest norm of the whole gradient")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="auto is bfloat16 on CUDA, else float32; bfloat16 is faster with large batches on "
        "processors that compute in it (AMX)",
    )


class TrainingConfig(OptimizationConfig):
    """How the network learns."""

    start_from: FileName | None = Field(
        None,
        description="model file whose weights and alphabet the run begins with (fine-tuning); new characters "
        "are added to the alphabet",
    )
    freeze_encoder_steps: int = Field(
        0, ge=0, le=1_000_000_000, description="first steps in which the encoder's weights stay as they are"
    )
    patience: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="epochs without a better dev WER or loss after which the run ends early; 0: never",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="part of the target's probability that all characters share"
    )
    scheduled_sampling: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the characters before that are the decoder's own and not the reference's; "
        "it grows from 0 at the beginning of the run to this at its end",
    )
    consistency: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="consistency regularization: weight of the difference between two passes of an utterance "
        "that is masked and warped differently; it grows from 0 at the beginning of the run to this",
    )
    average_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay per step of the running average of the weights that is kept; 0: none",
    )
    accumulate: int = Field(
        1, ge=1, le=100_000, description="batches of each process whose gradients make one step"
    )
    save_steps: int = Field(
        500, ge=1, le=1_000_000_000, description="steps after which the state of the run is saved"
    )
    log_steps: int = Field(
        50,
        ge=1,
        le=1_000_000_000,
        description="steps whose mean loss, gradient norm, learning rate and speed make a row of steps.jsonl",
    )
    keep_epochs: int = Field(
        0,
        ge=0,
        le=10_000,
        description="models of so many last epochs are kept; at the end their mean is tried too",
    )


_Decibels = Annotated[float, Field(ge=-200, le=200)]


class NoiseConfig(Settings):
    """Noise added to utterances."""

    folder: FileName | None = Field(None, description="of sound files; looked through with all folders in it")
    probability: float = Field(0.5, ge=0, le=1, description="part of utterances that get noise")
    snr: tuple[_Decibels, _Decibels] = Field((5.0, 20.0), description="lowest and highest, decibels")


class ReverberationConfig(Settings):
    """Reverberation: impulse responses of rooms that utterances are convolved with."""

    folder: FileName | None = Field(None, description="of impulse responses; looked through with all in it")
    probability: float = Field(0.5, ge=0, le=1, description="part of utterances that are convolved with one")


class PaddingConfig(Settings):
    """Silence or faint noise before and after utterances."""

    probability: float = Field(0.0, ge=0, le=1, description="part of utterances that get it")
    max_seconds: float = Field(1.0, gt=0, le=_LONGEST_SECONDS, description="on each side at most")
    decibels: tuple[_Decibels, _Decibels] = Field(
        (-90.0, -50.0), description="lowest and highest level of the noise, below full scale; half have none"
    )


class JoiningConfig(Settings):
    """Utterances of one speaker joined to longer ones."""

    probability: float = Field(0.0, ge=0, le=1, description="part of utterances that others are joined to")
    max_seconds: float = Field(10.0, gt=0, le=_LONGEST_SECONDS, description="of the joined utterance")


class AugmentationConfig(Settings):
    """How utterances are augmented, anew in each epoch."""

    speed_factors: list[Annotated[float, Field(ge=0.1, le=10)]] = Field(
        default=[1.0],
        min_length=1,
        max_length=1000,
        description="speed perturbation: one of these factors is drawn for each utterance",
    )
    gain_decibels: float = Field(0.0, ge=0, le=200, description="louder or softer by up to this")
    noise: NoiseConfig = Field(default_factory=NoiseConfig)
    reverberation: ReverberationConfig = Field(default_factory=ReverberationConfig)
    telephone_probability: float = Field(
        0.0, ge=0, le=1, description="part of utterances filtered to the telephone band, 300 to 3400 Hz"
    )
    padding: PaddingConfig = Field(default_factory=PaddingConfig)
    joining: JoiningConfig = Field(default_factory=JoiningConfig)

    @property
    def needs_sound(self) -> bool:
        """Whether something of this cannot be done to features."""
        folders = self.noise.folder or self.reverberation.folder
        return bool(self.gain_decibels or self.telephone_probability or self.padding.probability or folders)


class Config(RecognizerSettings):
    """A recipe: everything that decides what a training run does."""

    seed: int = Field(1, ge=-(2**63), lt=2**63, description="of everything random in the run")
    data: DataConfig = Field(default_factory=DataConfig)
    augmentation: AugmentationConfig = Field(default_factory=AugmentationConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)

    @model_validator(mode="after")
    def _sound_where_needed(self) -> Self:
        if self.features.kind == "precomputed" and self.augmentation.needs_sound:
            raise ValueError(
                "gain, noise, padding and reverberation need sound: take them out of `augmentation`"
            )
        return self

    def recognizer(self) -> RecognizerSettings:
        """The part that a model file needs."""
        return RecognizerSettings(features=self.features, model=self.model, decoding=self.decoding)

    def provenance(self) -> dict[str, Any]:
        """The rest, which a model file keeps as plain JSON."""
        return self.model_dump(mode="json", exclude=set(RecognizerSettings.model_fields))


class TextDataConfig(Settings):
    """Where a language model's sentences are and how they are put into batches."""

    train: Paths = Field(default=[], description="text files, one sentence a line, or corpora")
    dev: Paths = Field(default=[], description="the same, to choose the best model on")
    dev_fraction: float = Field(
        0.0, ge=0, lt=1, description="part of the training sentences held out where `dev` is empty"
    )
    batch_characters: int = Field(
        4000, ge=1, le=1_000_000_000, description="characters in a batch, padding included"
    )
    max_characters: int = Field(1000, ge=1, le=1_000_000, description="longer sentences are left out")
    normalizer: str = Field("english-v1", description="how sentences are normalized for training")

    @model_validator(mode="after")
    def _one_source_of_dev(self) -> Self:
        if self.dev and self.dev_fraction:
            raise ValueError("`dev` and `dev_fraction` exclude each other: give one of them")
        return self


class WordNgramConfig(Settings):
    """Word n-grams, where `kind` is words."""

    order: int = Field(3, ge=2, le=4, description="words of the longest n-grams")
    vocabulary: int = Field(50_000, ge=1, le=65_534, description="the most frequent words, which are known")
    cutoffs: list[Annotated[int, Field(ge=0, le=1_000_000)]] = Field(
        default=[0, 1],
        max_length=3,
        description="of orders from 2: n-grams that occur no more often are left out; the last for all above",
    )
    prune: float = Field(
        0.0,
        ge=0,
        le=1,
        description="n-grams that lower the relative entropy by less are left out (Stolcke 1998), e.g. 1e-8",
    )
    decoding: LanguageModelDecoding = Field(default_factory=LanguageModelDecoding)


class LanguageModelConfig(LanguageModelSettings):
    """A recipe for a language model."""

    kind: Literal["characters", "words"] = Field(
        "characters", description="a network of characters (`model`), or n-grams of words (`words`)"
    )
    words: WordNgramConfig = Field(default_factory=WordNgramConfig)
    seed: int = Field(1, ge=-(2**63), lt=2**63, description="of everything random in the run")
    data: TextDataConfig = Field(default_factory=TextDataConfig)
    training: OptimizationConfig = Field(default_factory=OptimizationConfig)

    def settings(self) -> LanguageModelSettings:
        """The part that a model file needs."""
        return LanguageModelSettings(model=self.model)

    def provenance(self) -> dict[str, Any]:
        """The rest, which a model file keeps as plain JSON."""
        return self.model_dump(mode="json", exclude=set(LanguageModelSettings.model_fields))


def validate(tree: dict[str, Any], place: str) -> Config:
    """A recognizer's recipe from a tree of settings; `place` is named in the ConfigError."""
    return check(Config, tree, place)


def validate_language_model(tree: dict[str, Any], place: str) -> LanguageModelConfig:
    """The same for a language model's recipe."""
    return check(LanguageModelConfig, tree, place)
