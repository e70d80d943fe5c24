"""Settings of models: features, network and decoding, as a model file and a recipe hold them.

Settings are frozen pydantic models. Unknown keys are errors that name the nearest valid key. What belongs to
a training run alone is in `training_config`, which nothing needs to read a model.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from asr_seq2seq.errors import ConfigError, brief

Cell = Literal["lstm", "gru", "rnn"]
# Names that settings had before -> their names now, wherever a recipe, `--set` or a model file is read.
RENAMED = {"search": "decoding"}

# The bounds of numbers here are far beyond what is of use. They keep a mistyped recipe, or a file from
# elsewhere that describes an absurd network, from asking for all memory or for days.
_MOST_UNITS = 8192
_MOST_LAYERS = 64


class Settings(BaseModel):
    """A table of settings: frozen, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class SpecAugmentConfig(Settings):
    """Masks over time and frequency (Park et al. 2019), sizes in frames and mel bins."""

    time_masks: int = Field(0, ge=0, le=1000, description="masks over time of an utterance")
    time_width: int = Field(20, ge=1, le=1_000_000, description="longest mask, frames")
    time_fraction: float = Field(0.2, gt=0, le=1, description="longest mask as a part of the utterance")
    frequency_masks: int = Field(0, ge=0, le=1000, description="masks over frequency of an utterance")
    frequency_width: int = Field(10, ge=1, le=65_536, description="widest mask, mel bins")


class _FeaturesSettings(Settings):
    normalization: Literal["utterance", "corpus", "none"] = Field(
        "utterance", description="what has mean 0 and variance 1: each utterance, the corpus, or nothing"
    )
    warp: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="vocal tract length perturbation in training: the largest warp of frequencies; "
        "0.05 is about a tenth of its length",
    )
    spec_augment: SpecAugmentConfig = Field(default_factory=SpecAugmentConfig)


class LogMelConfig(_FeaturesSettings):
    """Log-mel spectrogram of sound, and its normalization."""

    kind: Literal["logmel"] = Field("logmel", description="computed from sound")
    sample_rate: int = Field(16000, ge=4000, le=192000, description="Hz")
    mels: int = Field(80, ge=4, le=512, description="mel bins")
    window_seconds: float = Field(0.025, gt=0, le=0.5, description="length of a frame's window")
    hop_seconds: float = Field(0.010, gt=0, le=0.5, description="from frame to frame")
    low_hertz: float = Field(20.0, ge=0, description="lower end of the mel band")
    high_hertz: float | None = Field(
        None, description="upper end of the mel band; half the sample rate where empty"
    )
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

    kind: Literal["precomputed"] = Field(description="read from files that another program computed")
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


class LayerConfig(Settings):
    """One encoder layer: `reduction` successive frames are concatenated before it."""

    units: int = Field(256, ge=1, le=_MOST_UNITS, description="size of the state, in each direction")
    reduction: int = Field(1, ge=1, le=64, description="successive frames that are concatenated before it")


class EncoderConfig(Settings):
    """The pyramidal encoder."""

    cell: Cell = Field("lstm", description="kind of the recurrent layers")
    bidirectional: bool = Field(True, description="whether each layer also reads from the end to the start")
    layers: list[LayerConfig] = Field(
        default_factory=lambda: [LayerConfig(reduction=2), LayerConfig(reduction=2), LayerConfig()],
        min_length=1,
        max_length=_MOST_LAYERS,
        description="from the features up",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share of values set to 0 after each layer in training"
    )


class ContextConfig(Settings):
    """The fixed-length vector c = tanh(W q(H))."""

    pooling: Literal["last", "mean", "attentive"] = Field(
        "mean", description="q: last frame, mean of all, or mean by weights that are learned"
    )
    size: int = Field(256, ge=1, le=_MOST_UNITS, description="size of c; must equal `decoder.units`")


class DecoderConfig(Settings):
    """The character-level decoder."""

    attention: Literal["none", "dot", "location"] = Field(
        "none", description="none reads the context vector alone"
    )
    cell: Cell = Field("lstm", description="kind of the recurrent layers")
    units: int = Field(256, ge=1, le=_MOST_UNITS, description="size of each layer's state")
    layers: int = Field(
        1, ge=1, le=_MOST_LAYERS, description="recurrent layers; the upper ones where attention is dot"
    )
    embedding: int = Field(64, ge=1, le=_MOST_UNITS, description="size of a character's vector")
    heads: int = Field(1, ge=1, le=_MOST_UNITS, description="heads of dot attention")
    attention_size: int = Field(
        128, ge=1, le=_MOST_UNITS, description="width of keys and queries, all heads together"
    )
    location_channels: int = Field(10, ge=1, le=1024, description="filters of location attention")
    location_width: int = Field(
        100, ge=1, le=10_000, description="frames seen on each side; location attention only"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="share of values set to 0 in training")

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.attention_size % self.heads:
            raise ValueError(f"attention_size {self.attention_size} is no multiple of heads {self.heads}")
        return self


class ModelConfig(Settings):
    """The network."""

    encoder: EncoderConfig = Field(default_factory=EncoderConfig)
    context: ContextConfig = Field(default_factory=ContextConfig)
    decoder: DecoderConfig = Field(default_factory=DecoderConfig)
    ctc_weight: float = Field(0.3, ge=0, le=1, description="weight of the CTC loss; 0 leaves the head out")
    guidance_weight: float = Field(
        0.0, ge=0, le=1000, description="weight of guided attention: attention is kept near the CTC alignment"
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


class DecodingConfig(Settings):
    """How text is searched for: the defaults of a model file, and what training fitted."""

    beam_size: int = Field(8, ge=1, le=1000, description="hypotheses that the search keeps; 1 is greedy")
    ctc_weight: float = Field(
        0.3, ge=0, lt=1, description="share of the CTC prefix score where there is a head"
    )
    lm_weight: float = Field(
        0.3, ge=0, le=1e6, description="weight of a language model's score where one is given"
    )
    coverage_weight: float = Field(
        0.0, ge=0, le=1e6, description="added for each encoded frame that attention has covered"
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
        description="the log odds of a word's confidence are divided by it; training fits it on the dev set",
    )
    confidence_offset: float = Field(
        0.0, ge=-100, le=100, description="then added to these log odds; training fits it as well"
    )
    no_speech_threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a segment of `transcribe` is left out where it is more probable that it has no speech; "
        "1 keeps all",
    )
    batch_size: int = Field(
        16,
        ge=1,
        le=10_000,
        description="dev utterances decoded together in training, if more than 64",
    )

    def changed(self, **given: Any) -> DecodingConfig:
        """A copy with those settings that are given, not None, in place; checked like a recipe."""
        tree = self.model_dump() | {name: value for name, value in given.items() if value is not None}
        try:
            return DecodingConfig.model_validate(tree)
        except ValidationError as error:
            raise ConfigError(f"decoding: {_first_problem(error, DecodingConfig)}") from None


class RecognizerSettings(Settings):
    """What a recognizer's model file holds: all that is needed to use the network."""

    features: FeaturesConfig = Field(default_factory=LogMelConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    decoding: DecodingConfig = Field(default_factory=DecodingConfig)


class CharacterLstmConfig(Settings):
    """The network of a language model."""

    embedding: int = Field(64, ge=1, le=_MOST_UNITS, description="size of a character's vector")
    units: int = Field(512, ge=1, le=_MOST_UNITS, description="size of each layer's state")
    layers: int = Field(2, ge=1, le=_MOST_LAYERS, description="LSTM layers")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of values set to 0 between layers in training")


class LanguageModelSettings(Settings):
    """What a character language model's file holds."""

    model: CharacterLstmConfig = Field(default_factory=CharacterLstmConfig)


class LanguageModelDecoding(Settings):
    """What suits a language model in a search: it takes the place of the recognizer's own defaults."""

    word_penalty: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="taken from the log-probability for each word: recognizers tend to split long words",
    )
    lm_weight: float | None = Field(None, ge=0, le=1e6, description="in place of the recognizer's")
    length_reward: float | None = Field(None, ge=-1e6, le=1e6, description="in place of the recognizer's")
    ctc_weight: float | None = Field(None, ge=0, lt=1, description="in place of the recognizer's")
    beam_size: int | None = Field(None, ge=1, le=1000, description="in place of the recognizer's")
    confidence_temperature: float | None = Field(
        None, ge=1e-6, le=1e6, description="in place of the recognizer's; tools/fit_confidence.py fits both"
    )
    confidence_offset: float | None = Field(None, ge=-100, le=100, description="in place of the recognizer's")

    def options(self) -> dict[str, float]:
        """The decoding options that it has."""
        return self.model_dump(exclude={"word_penalty"}, exclude_none=True)


_AnySettings = TypeVar("_AnySettings", bound=Settings)


def check(settings: type[_AnySettings], tree: dict[str, Any], place: str) -> _AnySettings:
    """A tree of settings as an object; `place` is named in the ConfigError."""
    try:
        return settings.model_validate(renamed(tree, place))
    except ValidationError as error:
        raise ConfigError(f"{place}: {_first_problem(error, settings)}") from None


def renamed(tree: dict[str, Any], place: str) -> dict[str, Any]:
    """The tree with today's names; ConfigError where a setting is given by both of its names."""
    for old, new in RENAMED.items():
        if old in tree and new in tree:
            raise ConfigError(f"{place}: `{old}` is the old name of `{new}`; give one of them")
    return {RENAMED.get(name, name): value for name, value in tree.items()}


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
