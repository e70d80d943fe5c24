"""Make each utterance sound different in every epoch, reproducibly: speed, room, noise, line, level.

All chance comes from a generator that the caller seeds for the utterance, so what an utterance
becomes depends neither on the order of work nor on the number of worker processes.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torchaudio.transforms import Speed

from asr_seq2seq import audio
from asr_seq2seq.audio.discovery import sounds_in
from asr_seq2seq.config import FeaturesConfig, LogMelConfig
from asr_seq2seq.corpora import Utterance
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.training_config import AugmentationConfig, JoiningConfig

_POWER_FLOOR = 1e-10
_TELEPHONE = (300.0, 3400.0)  # Hz, ITU-T G.712
Joined = tuple[Utterance, ...]  # read one after another as one


class Augmentation:
    """Sound (N,), or features (T, F), and a generator -> the same, changed by chance."""

    def __init__(self, config: AugmentationConfig, features: FeaturesConfig) -> None:
        """Raises ConfigError where a folder is missing or holds no sound."""
        self.config = config
        self.sample_rate = features.sample_rate if isinstance(features, LogMelConfig) else None
        self.noises = _sounds(config.noise.folder, "augmentation.noise.folder")
        self.rooms = _sounds(config.reverberation.folder, "augmentation.reverberation.folder")
        self.speeds = {
            factor: Speed(self.sample_rate, factor)
            for factor in config.speed_factors
            if self.sample_rate and factor != 1
        }

    def __call__(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Speed first, then the room, the noise in it, the line, what is around it, and last the level."""
        inputs = self._change_speed(inputs, generator)
        if self.sample_rate is None:
            return inputs
        if self.rooms and _chance(generator) < self.config.reverberation.probability:
            inputs = reverberate(inputs, self._pick(self.rooms, generator))
        if self.noises and _chance(generator) < self.config.noise.probability:
            low, high = self.config.noise.snr
            noise = self._pick(self.noises, generator)
            start = int(_chance(generator) * len(noise))
            inputs = add_noise(inputs, noise, low + _chance(generator) * (high - low), start)
        if self.config.telephone_probability and _chance(generator) < self.config.telephone_probability:
            inputs = by_telephone(inputs, self.sample_rate)
        if self.config.padding.probability and _chance(generator) < self.config.padding.probability:
            inputs = self._pad(inputs, generator)
        if self.config.gain_decibels:
            inputs = inputs * 10 ** ((2 * _chance(generator) - 1) * self.config.gain_decibels / 20)
        return inputs

    def _change_speed(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        factors = self.config.speed_factors
        factor = factors[int(_chance(generator) * len(factors))] if len(factors) > 1 else factors[0]
        if factor == 1:
            return inputs
        if self.sample_rate is not None:
            faster: Tensor = self.speeds[factor](inputs)[0]
            return faster
        frames = max(1, round(len(inputs) / factor))
        stretched = functional.interpolate(inputs.T[None], size=frames, mode="linear", align_corners=False)
        return stretched[0].T

    def _pad(self, sound: Tensor, generator: torch.Generator) -> Tensor:
        """Sound (N,) with silence, or in half of the cases faint noise, before and after."""
        assert self.sample_rate is not None
        longest = self.config.padding.max_seconds * self.sample_rate
        before, after = (int(_chance(generator) * longest) for _ in range(2))
        low, high = self.config.padding.decibels
        level = low + _chance(generator) * (high - low)
        around = torch.zeros(before + after)
        if _chance(generator) < 0.5:
            around.normal_(0, 10 ** (level / 20), generator=generator)
        return torch.cat((around[:before], sound, around[before:]))

    def _pick(self, sounds: list[str], generator: torch.Generator) -> Tensor:
        assert self.sample_rate is not None
        return _load(sounds[int(_chance(generator) * len(sounds))], self.sample_rate)


def add_noise(sound: Tensor, noise: Tensor, snr: float, start: int = 0) -> Tensor:
    """Sound (N,) with noise (M,), from `start` round and round, `snr` decibels below it in power."""
    noise = noise[(start + torch.arange(len(sound))) % len(noise)]
    power = sound.square().mean() / noise.square().mean().clamp_min(_POWER_FLOOR)
    return sound + noise * (power * 10 ** (-snr / 10)).sqrt()


def reverberate(sound: Tensor, response: Tensor) -> Tensor:
    """Sound (N,) in a room with this impulse response (M,): (N,), its power as before.

    The response counts from its loudest sample, the direct path, so that nothing is delayed.
    """
    response = response[int(response.abs().argmax()) :]
    size = _fast_length(len(sound) + len(response) - 1)
    spectrum = torch.fft.rfft(sound, size) * torch.fft.rfft(response, size)
    changed: Tensor = torch.fft.irfft(spectrum, size)[: len(sound)]
    power = sound.square().mean() / changed.square().mean().clamp_min(_POWER_FLOOR)
    return changed * power.sqrt()


def by_telephone(sound: Tensor, sample_rate: int) -> Tensor:
    """Sound (N,) without what lies outside `_TELEPHONE`, by 18 dB an octave below and 48 dB above it."""
    size = _fast_length(len(sound))
    hertz = torch.fft.rfftfreq(size, 1 / sample_rate)
    low, high = _TELEPHONE
    gain = 1 / (1 + (low / hertz.clamp_min(1.0)) ** 6).sqrt() / (1 + (hertz / high) ** 16).sqrt()
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(sound, size) * gain, size)[: len(sound)]
    return filtered


def _fast_length(length: int) -> int:
    """The next length of small prime factors: transforming a prime length takes many times longer."""
    from scipy.fft import next_fast_len

    return int(next_fast_len(length, real=True))


def join_utterances(utterances: Sequence[Utterance], config: JoiningConfig, seed: str) -> list[Joined]:
    """Some utterances of one speaker end to end as one; the others as they are, all of them once.

    `config.probability` is the part of utterances that look for others to be joined to; the length
    they grow to is drawn evenly up to `config.max_seconds`. Utterances of unknown speakers stay alone.
    """
    chance = random.Random(seed)
    by_speaker: dict[str, list[Utterance]] = defaultdict(list)
    result: list[Joined] = []
    for one in utterances:
        if one.speaker is None:
            result.append((one,))
        else:
            by_speaker[one.speaker].append(one)
    for left in by_speaker.values():
        chance.shuffle(left)
        while left:
            group = [left.pop()]
            if chance.random() < config.probability:
                room = chance.uniform(0, config.max_seconds) - group[0].duration
                while left and (room := room - left[-1].duration) >= 0:
                    group.append(left.pop())
            result.append(tuple(group))
    return result


def joined_seconds(group: Joined) -> float:
    """How long utterances last one after another."""
    return group[0].duration if len(group) == 1 else round(sum(one.duration for one in group), 8)


def _chance(generator: torch.Generator) -> float:
    """Evenly from [0, 1)."""
    return float(torch.rand((), generator=generator, dtype=torch.float64))


def _sounds(folder: str | None, setting: str) -> list[str]:
    if folder is None:
        return []
    if not Path(folder).is_dir():
        raise ConfigError(f"{setting}: there is no folder {folder}; paths are relative to the current folder")
    sounds = sounds_in(folder)
    if not sounds:
        raise ConfigError(f"{setting}: {folder} is a folder without sound files: name another")
    return list(map(str, sounds))


@lru_cache(maxsize=64)
def _load(path: str, sample_rate: int) -> Tensor:
    return torch.from_numpy(audio.load(path, sample_rate))
