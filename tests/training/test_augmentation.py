from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_seq2seq.config import LogMelConfig, PrecomputedConfig
from asr_seq2seq.corpora import Utterance
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.training.augmentation import (
    Augmentation,
    Joined,
    add_noise,
    by_telephone,
    join_utterances,
    joined_seconds,
    reverberate,
)
from asr_seq2seq.training_config import AugmentationConfig, JoiningConfig

RATE = 8000
SOUND = LogMelConfig(sample_rate=RATE)


def augmentation(**settings: Any) -> Augmentation:
    return Augmentation(AugmentationConfig.model_validate(settings), SOUND)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def decibels(x: torch.Tensor) -> float:
    return 10 * float(x.square().mean().log10())


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
@pytest.mark.parametrize("length", [300, 5000])
def test_noise_is_as_loud_as_asked(snr: float, length: int, make_sounds: Callable[..., Any]) -> None:
    sound, noise = make_sounds(3000, length)
    added = add_noise(sound, noise, snr) - sound
    assert decibels(sound) - decibels(added) == pytest.approx(snr, abs=0.7)  # a part is not as loud as all
    assert len(added) == len(sound)


def test_silent_noise_and_silent_sound_stay_finite() -> None:
    silence, sound = torch.zeros(100), torch.ones(50)
    assert add_noise(sound, silence, 10).isfinite().all()
    assert add_noise(silence, sound, 10).equal(silence)
    assert reverberate(silence, sound).isfinite().all()


def test_padding_is_silence_or_noise_of_a_level_around_the_sound() -> None:
    padded = augmentation(padding={"probability": 1.0, "max_seconds": 0.5, "decibels": [-60, -50]})
    sound, levels = torch.ones(RATE), []
    for seed in range(40):
        result = padded(sound, seeded(seed))
        before = int((result == 1).nonzero()[0])
        assert result[before : before + RATE].equal(sound)
        around = torch.cat((result[:before], result[before + RATE :]))
        assert len(around) <= 2 * 0.5 * RATE
        levels.append(decibels(around) if around.any() else None)
    noises = [level for level in levels if level is not None]
    assert 10 <= len(noises) <= 30  # half of them
    assert all(-62 < level < -48 for level in noises) and max(noises) - min(noises) > 5


def test_a_room_is_a_convolution_without_delay() -> None:
    import numpy as np

    sound, response = torch.randn(400, generator=seeded(0)), torch.tensor([0.1, 0.0, 1.0, 0.5, 0.25])
    heard = reverberate(sound, response)
    expected = torch.from_numpy(np.convolve(sound.numpy(), [1.0, 0.5, 0.25])[:400]).float()
    expected *= (sound.square().mean() / expected.square().mean()).sqrt()
    torch.testing.assert_close(heard, expected, atol=1e-5, rtol=1e-4)


def test_the_same_seed_gives_the_same_sound(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    write_wav(tmp_path / "noise" / "deep" / "a.wav", 0.3, rate=RATE)
    write_wav(tmp_path / "rooms" / "b.wav", 0.1, rate=RATE, seed=1)
    change = augmentation(
        speed_factors=[0.9, 1.0, 1.1],
        gain_decibels=6,
        noise={"folder": str(tmp_path / "noise"), "probability": 0.5},
        reverberation={"folder": str(tmp_path / "rooms"), "probability": 0.5},
    )
    sound = torch.randn(RATE, generator=seeded(0))
    for seed in range(10):
        torch.testing.assert_close(change(sound, seeded(seed)), change(sound, seeded(seed)))
    assert len({float(change(sound, seeded(seed)).sum()) for seed in range(20)}) == 20


def test_gain_stays_within_its_range() -> None:
    change = augmentation(gain_decibels=6)
    sound = torch.randn(100, generator=seeded(0))
    gains = [decibels(change(sound, seeded(seed))) - decibels(sound) for seed in range(200)]
    assert -6.001 <= min(gains) < -5 and 5 < max(gains) <= 6.001


def test_a_telephone_carries_only_its_band() -> None:
    time = torch.arange(16000) / 16000
    losses = {}
    for hertz in (75, 150, 300, 1000, 3400, 6800):
        tone = torch.sin(2 * torch.pi * hertz * time)
        losses[hertz] = decibels(tone) - decibels(by_telephone(tone, 16000))
    assert losses[1000] == pytest.approx(0, abs=0.05)
    assert losses[300] == pytest.approx(3, abs=0.2) and losses[3400] == pytest.approx(3, abs=0.2)
    assert losses[75] - losses[150] == pytest.approx(18, abs=0.5)
    assert losses[6800] == pytest.approx(48, abs=0.5)
    some = [augmentation(telephone_probability=0.3)(tone, seeded(seed)) for seed in range(200)]
    assert 40 <= sum(not torch.equal(tone, heard) for heard in some) <= 80


def test_features_are_stretched_over_time() -> None:
    config = AugmentationConfig(speed_factors=[0.5])
    change = Augmentation(config, PrecomputedConfig(kind="precomputed", size=2))
    line = torch.arange(50.0)[:, None].expand(-1, 2)
    stretched = change(line, seeded(0))
    assert stretched.shape == (100, 2)
    torch.testing.assert_close(stretched[1:-1, 0], torch.arange(100.0)[1:-1] / 2 - 0.25)


@pytest.mark.parametrize("room", ["noise", "reverberation"])
def test_folders_without_sound_are_refused(room: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"augmentation.{room}.folder: there is no folder"):
        augmentation(**{room: {"folder": str(tmp_path / "none")}})
    with pytest.raises(ConfigError, match=rf"augmentation.{room}.folder: .*without sound files"):
        augmentation(**{room: {"folder": str(tmp_path)}})


def utterances_of(*speakers: str | None) -> list[Utterance]:
    return [Utterance(f"u{number}", "a", None, 1.0, speaker=one) for number, one in enumerate(speakers)]


def names(groups: list[Joined]) -> list[list[str]]:
    return [[one.id for one in group] for group in groups]


def test_joining_keeps_every_utterance_once_and_speakers_apart() -> None:
    utterances = utterances_of(*["a", "b", None] * 30)
    joined = join_utterances(utterances, JoiningConfig(probability=0.7, max_seconds=4.5), "1 1")
    assert sorted(name for group in names(joined) for name in group) == sorted(one.id for one in utterances)
    for group in joined:
        assert joined_seconds(group) == len(group) <= 4
        assert len({one.speaker for one in group}) == 1
        assert len(group) == 1 or group[0].speaker is not None
    assert {len(group) for group in joined} == {1, 2, 3, 4}
    again = join_utterances(utterances, JoiningConfig(probability=0.7, max_seconds=4.5), "1 1")
    other = join_utterances(utterances, JoiningConfig(probability=0.7, max_seconds=4.5), "1 2")
    assert names(joined) == names(again) != names(other)
