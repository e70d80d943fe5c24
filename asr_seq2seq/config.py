"""Settings: one pydantic model per room, frozen once read; `recipes` reads them from YAML.

Unknown keys are errors that name the nearest valid key. The same classes are stored as JSON in the
model file, so a model always carries the settings it was made with.
"""

from __future__ import annotations

import difflib
import os
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from asr_seq2seq.errors import ConfigError, brief

Cell = Literal["lstm", "gru", "rnn"]


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


# The bounds of numbers here are far beyond what is of use. They keep a mistyped recipe, or a file from
# elsewhere that describes an absurd network, from asking for all memory or for days.
FileName = Annotated[str, Field(max_length=4096), AfterValidator(_as_name)]
Paths = Annotated[list[FileName], Field(max_length=10_000), BeforeValidator(_as_list)]
_LONGEST_SECONDS = 1e6  # of sound
_MOST_UNITS = 8192
_MOST_LAYERS = 64


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(_Settings):
    """Where the utterances are and how they are put into batches."""

    train: Paths = Field(default=[], description="corpora to learn from")
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
    normalizer: str = Field(
        "english-v1", description="how texts are written before they are learned or scored"
    )

    @model_validator(mode="after")
    def _one_source_of_dev(self) -> Self:
        if self.dev and self.dev_fraction:
            raise ValueError("`dev` and `dev_fraction` exclude each other: give one of them")
        return self


class SpecAugmentConfig(_Settings):
    """Masks over time and frequency (Park et al. 2019), sizes in frames and mel bins."""

    time_masks: int = Field(0, ge=0, le=1000)
    time_width: int = Field(20, ge=1, le=1_000_000, description="longest mask, frames")
    time_fraction: float = Field(0.2, gt=0, le=1, description="longest mask as a part of the utterance")
    frequency_masks: int = Field(0, ge=0, le=1000)
    frequency_width: int = Field(10, ge=1, le=65_536, description="widest mask, mel bins")


class _FeaturesSettings(_Settings):
    normalization: Literal["utterance", "corpus", "none"] = "utterance"
    warp: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="in training, frequencies are warped by up to this as if by a longer or shorter throat; "
        "0.05 is about a tenth of its length",
    )
    spec_augment: SpecAugmentConfig = SpecAugmentConfig()


class LogMelConfig(_FeaturesSettings):
    """Log-mel spectrogram of sound, and its normalization."""

    kind: Literal["logmel"] = "logmel"
    sample_rate: int = Field(16000, ge=4000, le=192000, description="Hz")
    mels: int = Field(80, ge=4, le=512)
    window_seconds: float = Field(0.025, gt=0, le=0.5)
    hop_seconds: float = Field(0.010, gt=0, le=0.5)
    low_hertz: float = Field(20.0, ge=0)
    high_hertz: float | None = Field(None, description="half the sample rate where empty")
    floor: float = Field(
        1e-6, ge=1e-30, le=1e6, description="mel energies below this are raised to it before the logarithm"
    )
    level: bool = Field(False, description="bring every utterance to the same root mean square first")

    @property
    def rate(self) -> float:
        """How many positions of the input, samples here, make a second."""
        return float(self.sample_rate)

    @model_validator(mode="after")
    def _band(self) -> Self:
        top = self.high_hertz if self.high_hertz is not None else self.sample_rate / 2
        if not self.low_hertz < top <= self.sample_rate / 2:
            raise ValueError(f"the band must satisfy low_hertz < high_hertz <= {self.sample_rate / 2:g}")
        for name in ("window_seconds", "hop_seconds"):
            if round(getattr(self, name) * self.sample_rate) < 1:
                raise ValueError(f"{name} is less than one sample at {self.sample_rate} Hz")
        return self


class PrecomputedConfig(_FeaturesSettings):
    """Features that another program computed, as the corpus holds them: (frames, size) an utterance."""

    kind: Literal["precomputed"]
    size: int = Field(ge=1, le=65_536, description="values in a frame")
    contents: Literal["cepstra", "mels", "other"] = Field(
        "other", description="what a frame is, which `warp` has to know: from low to high"
    )
    hop_seconds: float = Field(0.010, ge=1e-5, le=10, description="from frame to frame")
    deltas: int = Field(0, ge=0, le=2, description="orders of differences over time put beside them")
    delta_width: int = Field(
        2, ge=1, le=100, description="frames on each side that a difference is fitted to"
    )

    @model_validator(mode="after")
    def _warps_what_it_knows(self) -> Self:
        if self.warp and self.contents == "other":
            raise ValueError("warp needs to know what a frame is: set contents to cepstra or mels")
        return self

    @property
    def rate(self) -> float:
        """How many positions of the input, frames here, make a second."""
        return 1 / self.hop_seconds


def _kind_of_features(value: Any) -> Any:
    return value.get("kind", "logmel") if isinstance(value, dict) else getattr(value, "kind", None)


_KINDS_OF_FEATURES = ("logmel", "precomputed")
FeaturesConfig = Annotated[
    Annotated[LogMelConfig, Tag("logmel")] | Annotated[PrecomputedConfig, Tag("precomputed")],
    Discriminator(
        _kind_of_features,
        custom_error_type="kind_of_features",
        custom_error_message="`features.kind` must be `logmel` or `precomputed`",
    ),
]


class LayerConfig(_Settings):
    """One encoder layer: `reduction` successive frames are concatenated before it."""

    units: int = Field(256, ge=1, le=_MOST_UNITS)
    reduction: int = Field(1, ge=1, le=64)


class EncoderConfig(_Settings):
    """The pyramidal encoder."""

    cell: Cell = "lstm"
    bidirectional: bool = True
    layers: list[LayerConfig] = Field(
        default=[LayerConfig(reduction=2), LayerConfig(reduction=2), LayerConfig()],
        min_length=1,
        max_length=_MOST_LAYERS,
    )
    dropout: float = Field(0.0, ge=0, lt=1)


class ContextConfig(_Settings):
    """The fixed-length vector c = tanh(W q(H))."""

    pooling: Literal["last", "mean", "attentive"] = "mean"
    size: int = Field(256, ge=1, le=_MOST_UNITS)


class DecoderConfig(_Settings):
    """The character-level decoder."""

    attention: Literal["none", "dot", "location"] = "none"
    cell: Cell = "lstm"
    units: int = Field(256, ge=1, le=_MOST_UNITS)
    layers: int = Field(
        1, ge=1, le=_MOST_LAYERS, description="recurrent layers; the upper ones where attention is dot"
    )
    embedding: int = Field(64, ge=1, le=_MOST_UNITS)
    heads: int = Field(1, ge=1, le=_MOST_UNITS, description="dot attention only")
    attention_size: int = Field(
        128, ge=1, le=_MOST_UNITS, description="width of keys and queries, all heads together"
    )
    location_channels: int = Field(10, ge=1, le=1024, description="location attention only")
    location_width: int = Field(
        100, ge=1, le=10_000, description="frames seen on each side; location attention only"
    )
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.attention_size % self.heads:
            raise ValueError(f"attention_size {self.attention_size} is no multiple of heads {self.heads}")
        return self


class ModelConfig(_Settings):
    """The network."""

    encoder: EncoderConfig = EncoderConfig()
    context: ContextConfig = ContextConfig()
    decoder: DecoderConfig = DecoderConfig()
    ctc_weight: float = Field(0.3, ge=0, le=1, description="weight of the CTC loss; 0 leaves the head out")
    guidance_weight: float = Field(
        0.0, ge=0, le=1000, description="weight of keeping attention where the CTC head hears each character"
    )

    @model_validator(mode="after")
    def _context_is_state(self) -> Self:
        if self.context.size != self.decoder.units:
            raise ValueError(
                f"context.size ({self.context.size}) must equal decoder.units ({self.decoder.units}): "
                "the context is the decoder's initial state"
            )
        if self.guidance_weight and not (self.ctc_weight and self.decoder.attention != "none"):
            raise ValueError("guidance_weight needs attention and a CTC head (ctc_weight above 0)")
        return self


class OptimizationConfig(_Settings):
    """How weights are found: epochs, optimizer, learning rate."""

    epochs: int = Field(30, ge=1, le=1_000_000)
    optimizer: Literal["sgd", "adam", "adamw", "adadelta"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0, le=1e38)
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd only")
    weight_decay: float = Field(0.01, ge=0, le=1e38)
    schedule: Literal["cosine", "plateau"] = "cosine"
    warmup_steps: int = Field(100, ge=0, le=1_000_000_000)
    plateau_factor: float = Field(0.5, gt=0, lt=1)
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
        None, description="model file whose weights and alphabet the run begins with (fine-tuning)"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)
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
        description="each utterance is heard twice, differently masked and warped; weight of what the two "
        "hearings disagree by, which grows from 0 at the beginning of the run to this at its end",
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
    keep_epochs: int = Field(
        0,
        ge=0,
        le=10_000,
        description="models of so many last epochs are kept; at the end their mean is tried too",
    )


_Decibels = Annotated[float, Field(ge=-200, le=200)]


class NoiseConfig(_Settings):
    """Noise laid under utterances."""

    folder: FileName | None = Field(None, description="of sound files; looked through with all folders in it")
    probability: float = Field(0.5, ge=0, le=1)
    snr: tuple[_Decibels, _Decibels] = Field((5.0, 20.0), description="lowest and highest, decibels")


class ReverberationConfig(_Settings):
    """Rooms that utterances are put into."""

    folder: FileName | None = Field(None, description="of impulse responses; looked through with all in it")
    probability: float = Field(0.5, ge=0, le=1)


class JoiningConfig(_Settings):
    """Utterances of one speaker said one after another, which teaches length."""

    probability: float = Field(0.0, ge=0, le=1, description="part of utterances that others are joined to")
    max_seconds: float = Field(10.0, gt=0, le=_LONGEST_SECONDS, description="of the joined utterance")


class AugmentationConfig(_Settings):
    """How utterances are changed before they are learned from, anew in each epoch."""

    speed_factors: list[Annotated[float, Field(ge=0.1, le=10)]] = Field(
        default=[1.0],
        min_length=1,
        max_length=1000,
        description="each utterance is said so much faster; one is drawn",
    )
    gain_decibels: float = Field(0.0, ge=0, le=200, description="louder or softer by up to this")
    noise: NoiseConfig = NoiseConfig()
    reverberation: ReverberationConfig = ReverberationConfig()
    telephone_probability: float = Field(
        0.0, ge=0, le=1, description="part of utterances heard through a telephone, 300 to 3400 Hz"
    )
    joining: JoiningConfig = JoiningConfig()

    @property
    def needs_sound(self) -> bool:
        """Whether something of this cannot be done to features."""
        folders = self.noise.folder or self.reverberation.folder
        return bool(self.gain_decibels or self.telephone_probability or folders)


class SearchConfig(_Settings):
    """How text is searched for; the defaults of a model file, changed on the command line."""

    beam_size: int = Field(8, ge=1, le=1000)
    ctc_weight: float = Field(
        0.3, ge=0, lt=1, description="share of the CTC prefix score where there is a head"
    )
    lm_weight: float = Field(
        0.3, ge=0, le=1e6, description="weight of a language model's score where one is given"
    )
    coverage_weight: float = Field(
        0.0, ge=0, le=1e6, description="added for each encoded frame that attention has looked at"
    )
    length_reward: float | None = Field(
        None,
        ge=-1e6,
        le=1e6,
        description="added for each character; what the language model takes from one on average if empty",
    )
    temperature: float = Field(1.0, ge=1e-6, le=1e6, description="the decoder's logits are divided by it")
    tokens_per_frame: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="longest output, characters per encoded frame; training finds it if empty",
    )
    confidence_temperature: float = Field(
        1.0,
        ge=1e-6,
        le=1e6,
        description="makes the confidence of words honest; training fits it on the dev set",
    )
    batch_size: int = Field(
        16, ge=1, le=10_000, description="pieces of sound that `transcribe` decodes together"
    )

    def changed(self, **given: Any) -> SearchConfig:
        """A copy with those settings that are given, not None, in place; checked like a recipe."""
        tree = self.model_dump() | {name: value for name, value in given.items() if value is not None}
        try:
            return SearchConfig.model_validate(tree)
        except ValidationError as error:
            raise ConfigError(f"search: {_first_problem(error, SearchConfig)}") from None


class Config(_Settings):
    """A recipe: everything that decides what a training run does."""

    seed: int = Field(1, ge=-(2**63), lt=2**63)
    data: DataConfig = DataConfig()
    features: FeaturesConfig = LogMelConfig()
    model: ModelConfig = ModelConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    training: TrainingConfig = TrainingConfig()
    search: SearchConfig = SearchConfig()

    @model_validator(mode="after")
    def _sound_where_needed(self) -> Self:
        if self.features.kind == "precomputed" and self.augmentation.needs_sound:
            raise ValueError("gain, noise and reverberation need sound: take them out of `augmentation`")
        return self


class TextDataConfig(_Settings):
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
    normalizer: str = Field("english-v1", description="how sentences are written before they are learned")

    @model_validator(mode="after")
    def _one_source_of_dev(self) -> Self:
        if self.dev and self.dev_fraction:
            raise ValueError("`dev` and `dev_fraction` exclude each other: give one of them")
        return self


class CharacterLstmConfig(_Settings):
    """The network of a language model."""

    embedding: int = Field(64, ge=1, le=_MOST_UNITS)
    units: int = Field(512, ge=1, le=_MOST_UNITS)
    layers: int = Field(2, ge=1, le=_MOST_LAYERS)
    dropout: float = Field(0.2, ge=0, lt=1)


class LanguageModelConfig(_Settings):
    """A recipe for a character language model."""

    seed: int = Field(1, ge=-(2**63), lt=2**63)
    data: TextDataConfig = TextDataConfig()
    model: CharacterLstmConfig = CharacterLstmConfig()
    training: OptimizationConfig = OptimizationConfig()


_Recipe = TypeVar("_Recipe", Config, LanguageModelConfig)


def validate(tree: dict[str, Any], place: str) -> Config:
    """Check a tree of settings; `place` is named in the ConfigError."""
    return _validate(Config, tree, place)


def validate_language_model(tree: dict[str, Any], place: str) -> LanguageModelConfig:
    """The same for a language model's settings."""
    return _validate(LanguageModelConfig, tree, place)


def _validate(recipe: type[_Recipe], tree: dict[str, Any], place: str) -> _Recipe:
    try:
        return recipe.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{place}: {_first_problem(error, recipe)}") from None


def _first_problem(error: ValidationError, recipe: type[BaseModel]) -> str:
    problem = error.errors(include_url=False, include_context=False)[0]
    location = [part for part in problem["loc"] if part not in _KINDS_OF_FEATURES]
    name = brief(".".join(str(part) for part in location), 80)
    if problem["type"] == "extra_forbidden":
        valid = _keys_at(location[:-1], recipe)
        near = difflib.get_close_matches(str(location[-1])[:80], valid, n=1, cutoff=0.0)
        return (
            f"unknown key `{name}`; the nearest valid key is `{'.'.join([*map(str, location[:-1]), *near])}`"
        )
    message = problem["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    where = f"`{name}`: " if name else ""
    return f"{where}{brief(message, 120)}{_given(problem['input'])}"


def _given(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 200:  # Python does not write such numbers out
        return " (given: a number of more than 60 digits)"
    return f" (given: {brief(repr(value), 40)})" if isinstance(value, str | int | float | None) else ""


def _keys_at(location: list[str | int], recipe: type[BaseModel]) -> list[str]:
    """Names of the settings in the table at `location`; of all its kinds where it has several."""
    rooms: list[type[BaseModel]] = [recipe]
    for part in location:
        if isinstance(part, str):
            fields = [room.model_fields[part] for room in rooms if part in room.model_fields]
            rooms = [room for field in fields for room in _models(field.annotation)] or rooms
    return list(dict.fromkeys(name for room in rooms for name in room.model_fields))


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The tables that a type annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
