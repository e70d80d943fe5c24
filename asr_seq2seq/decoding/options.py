"""How texts are searched for, in one object that is passed once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from asr_seq2seq.config import DecodingConfig
from asr_seq2seq.errors import ConfigError


@dataclass(frozen=True)
class DecodingOptions:
    """Options of the beam search; ConfigError for a value that is out of its range.

    `n_best` texts of each utterance are returned, `beam_size` where None. `ctc_weight` is the share of the
    CTC prefix score where the model has a CTC head, `lm_weight` that of a language model where one is given;
    `coverage_weight` is added for each encoded frame that attention has looked at, `length_reward` for each
    character (None: what the language model takes from one on average). The decoder's logits are divided by
    `temperature`. No text has more characters than `tokens_per_frame` times the encoded frames (None: 1).
    With `trim_silence` long silence in a segment is shortened before it is encoded (`audio/trimming.py`).
    Transcripts have no segment that has no speech with a probability above `no_speech_threshold`
    (`decoding/no_speech.py`); 1 keeps all. `confidence_temperature` and `confidence_offset` make the
    confidence of words honest (`decoding/confidence.py`).

    `hotwords`, each `text` or `text:weight`, add `hotword_boost` times the weight for each of their
    characters, less the more the character costs in CTC (natural logarithm): nothing at `hotword_evidence`,
    and beyond that it takes from what the others add. They need a beam.

    With `phrases` nothing but these can come out; among them `[unk]` is for speech that no phrase fits, where
    the score is more than `phrase_margin` for each character below that of an unbound search, and `[repeat]`
    lets several follow one another.
    """

    beam_size: int = 8
    n_best: int | None = None
    ctc_weight: float = 0.3
    lm_weight: float = 0.3
    coverage_weight: float = 0.0
    length_reward: float | None = None
    temperature: float = 1.0
    tokens_per_frame: float | None = None
    trim_silence: bool = True
    no_speech_threshold: float = 0.5
    confidence_temperature: float = 1.0
    confidence_offset: float = 0.0
    hotwords: tuple[str, ...] = ()
    hotword_boost: float = 0.7
    hotword_evidence: float = 6.0
    phrases: tuple[str, ...] = ()
    phrase_margin: float = 1.0

    def __post_init__(self) -> None:
        self._check("beam_size", self.beam_size, 1 <= self.beam_size <= 1000, "from 1 to 1000")
        self._check("n_best", self.n_best, self.n_best is None or self.n_best >= 1, "1 or more")
        self._check("ctc_weight", self.ctc_weight, 0 <= self.ctc_weight < 1, "from 0 to below 1")
        for name in ("lm_weight", "coverage_weight"):
            self._check(name, getattr(self, name), 0 <= getattr(self, name) < math.inf, "0 or more")
        reward = self.length_reward
        self._check("length_reward", reward, reward is None or math.isfinite(reward), "a finite number")
        for name in ("temperature", "confidence_temperature"):
            self._check(name, getattr(self, name), 0 < getattr(self, name) < math.inf, "above 0")
        offset = self.confidence_offset
        self._check("confidence_offset", offset, math.isfinite(offset), "a finite number")
        limit = self.tokens_per_frame
        self._check("tokens_per_frame", limit, limit is None or 0 < limit < math.inf, "above 0")
        threshold = self.no_speech_threshold
        self._check("no_speech_threshold", threshold, 0 <= threshold <= 1, "from 0 to 1")
        self._check("hotword_boost", self.hotword_boost, 0 <= self.hotword_boost <= 100, "from 0 to 100")
        self._check("hotword_evidence", self.hotword_evidence, self.hotword_evidence > 0, "above 0")
        self._check("phrase_margin", self.phrase_margin, self.phrase_margin >= 0, "0 or more")
        if self.hotwords and self.beam_size == 1:
            raise ConfigError(
                "hot words need a beam size of 2 or more (given: 1): 8 is good, or give no hot words"
            )

    def changed(self, changes: Mapping[str, Any]) -> DecodingOptions:
        """The same with some options changed; ConfigError for one that is unknown or out of its range."""
        known = [one.name for one in fields(self)]
        for name in changes:
            if name not in known:
                raise ConfigError(f"decoding: `{name}` is unknown; the options are {', '.join(known)}")
        return replace(self, **changes)

    @staticmethod
    def _check(name: str, value: float | None, valid: bool, range_: str) -> None:
        if not valid:
            raise ConfigError(f"decoding: `{name}` must be {range_} (given: {value})")

    @classmethod
    def from_config(cls, config: DecodingConfig) -> DecodingOptions:
        """The default options that a model file holds."""
        names = DecodingConfig.model_fields.keys() & {one.name for one in fields(cls)}
        return cls(**{name: getattr(config, name) for name in names})
