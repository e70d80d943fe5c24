from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from asr_seq2seq.config import LogMelConfig, PrecomputedConfig
from asr_seq2seq.model.features import LogMel, Precomputed, length_mask, pad, warp_cepstra, warp_mels, warped

SMALL: dict[str, Any] = {"sample_rate": 8000, "mels": 10}
HOP = 80


def features_of(**settings: Any) -> LogMel:
    return LogMel(LogMelConfig(**(SMALL | settings))).eval()


def test_length_mask() -> None:
    mask = length_mask(torch.tensor([2, 0, 3]), 3)
    assert mask.tolist() == [[True, True, False], [False] * 3, [True] * 3]


@pytest.mark.parametrize(
    "settings",
    [
        {"sample_rate": 16000, "mels": 80, "low_hertz": 20.0},
        {"sample_rate": 8000, "mels": 23, "window_seconds": 0.032, "low_hertz": 0.0, "high_hertz": 3800.0},
    ],
    ids=["16k", "8k"],
)
def test_log_mel_is_that_of_librosa(settings: dict[str, Any], make_sounds: Callable[..., Any]) -> None:
    import librosa

    config = LogMelConfig(**settings, normalization="none")
    rate = config.sample_rate
    time = torch.arange(rate) / rate
    sound = make_sounds(rate)[0] + 0.3 * torch.sin(2 * torch.pi * 440 * time)
    features, lengths = LogMel(config).eval()(sound[None], torch.tensor([rate]))
    window = round(config.window_seconds * rate)
    energies = librosa.feature.melspectrogram(
        y=sound.numpy(),
        sr=rate,
        n_fft=2 ** int(np.ceil(np.log2(window))),
        win_length=window,
        hop_length=round(config.hop_seconds * rate),
        n_mels=config.mels,
        fmin=config.low_hertz,
        fmax=config.high_hertz,
        htk=True,
        norm=None,
        center=True,
        pad_mode="constant",
    )
    expected = np.log(np.maximum(energies, config.floor)).T
    assert lengths.tolist() == [len(expected)]
    np.testing.assert_allclose(features[0].numpy(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("normalization", ["utterance", "corpus", "none"])
def test_padding_and_batch_change_nothing(normalization: str, make_sounds: Callable[..., Any]) -> None:
    logmel = features_of(normalization=normalization)
    logmel.set_statistics([pad(make_sounds(3000, 2000, seed=1))])
    sounds = make_sounds(1, HOP - 1, HOP, HOP + 1, 10 * HOP, 1234)
    sound, lengths = pad(sounds)
    rubbish = torch.where(length_mask(lengths, sound.shape[1]), sound, 0.7)
    together, together_lengths = logmel(torch.nn.functional.pad(rubbish, (0, 777), value=-0.3), lengths)
    for row, alone in enumerate(sounds):
        features, frames = logmel(alone[None], torch.tensor([len(alone)]))
        count = int(frames)
        assert count == together_lengths[row] == 1 + len(alone) // HOP == features.shape[1]
        torch.testing.assert_close(together[row, :count], features[0], atol=1e-5, rtol=1e-5)
        assert not together[row, count:].any()


def test_frames_of_numbers_of_samples() -> None:
    samples = torch.tensor([0, 1, HOP - 1, HOP, HOP + 1, 100 * HOP])
    assert features_of().frames(samples).tolist() == [1, 1, 1, 2, 2, 101]


def test_each_utterance_has_zero_mean_and_unit_variance(make_sounds: Callable[..., Any]) -> None:
    features, lengths = features_of()(*pad(make_sounds(8000, 3000)))
    for row, count in zip(features, lengths.tolist(), strict=True):
        torch.testing.assert_close(row[:count].mean(0), torch.zeros(10), atol=1e-4, rtol=0)
        torch.testing.assert_close(row[:count].var(0, correction=0), torch.ones(10), atol=1e-3, rtol=0)


def test_corpus_statistics_are_those_of_all_frames(make_sounds: Callable[..., Any]) -> None:
    sounds = make_sounds(8000, 3000, 500)
    plain = features_of(normalization="none")
    frames = np.concatenate([plain(s[None], torch.tensor([len(s)]))[0][0].numpy() for s in sounds])
    logmel = features_of(normalization="corpus")
    logmel.set_statistics([pad(sounds[:2]), pad(sounds[2:])])
    np.testing.assert_allclose(logmel.mean.numpy(), frames.mean(0), atol=1e-4)
    np.testing.assert_allclose(logmel.deviation.numpy(), frames.std(0), rtol=1e-3)
    first = logmel(sounds[0][None], torch.tensor([len(sounds[0])]))[0][0].numpy()
    expected = (frames[: len(first)] - frames.mean(0)) / frames.std(0)
    np.testing.assert_allclose(first, expected, atol=1e-3)


def test_corpus_statistics_ignore_what_stands_in_the_padding(make_sounds: Callable[..., Any]) -> None:
    sound, lengths = pad(make_sounds(8000, 3000))
    rubbish = torch.where(length_mask(lengths, sound.shape[1]), sound, 0.7)
    clean, dirty = features_of(normalization="corpus"), features_of(normalization="corpus")
    clean.set_statistics([(sound, lengths)])
    dirty.set_statistics([(rubbish, lengths)])
    torch.testing.assert_close(dirty.mean, clean.mean)
    torch.testing.assert_close(dirty.deviation, clean.deviation)


@pytest.mark.parametrize("normalization", ["utterance", "corpus", "none"])
def test_silence_is_finite(normalization: str) -> None:
    logmel = features_of(normalization=normalization)
    silence = [torch.zeros(1), torch.zeros(4000)]
    logmel.set_statistics([pad(silence)])
    assert logmel(*pad(silence))[0].isfinite().all()


AUGMENT = {"time_masks": 2, "time_width": 10, "frequency_masks": 1, "frequency_width": 4}


@pytest.mark.parametrize("normalization", ["utterance", "none"])
def test_masks_in_training_only(normalization: str, make_sounds: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    sound, lengths = pad([make_sounds(8000)[0]] * 6)
    logmel = features_of(spec_augment=AUGMENT, normalization=normalization)
    plain = features_of(normalization=normalization)(sound, lengths)[0]
    torch.testing.assert_close(logmel(sound, lengths)[0], plain)
    masked = logmel.train()(sound, lengths)[0]
    changed = masked != plain
    assert changed.any()
    assert not torch.equal(changed[0], changed[1])
    if normalization == "utterance":
        assert not masked[changed].any()
    for row in changed:
        assert 0 < int(row.all(1).sum()) <= 20
        assert int(row.all(0).sum()) <= 4


def test_without_masks_training_is_as_evaluation(make_sounds: Callable[..., Any]) -> None:
    sound, lengths = pad(make_sounds(4000, 2000))
    logmel = features_of()
    plain = logmel(sound, lengths)[0]
    torch.testing.assert_close(logmel.train()(sound, lengths)[0], plain)


def test_a_mask_is_a_part_of_its_own_utterance_and_not_of_the_batch(make_sounds: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    augment = {"time_masks": 1, "time_width": 1000, "time_fraction": 0.2}
    short, long = make_sounds(20 * HOP, 400 * HOP)
    sound, lengths = pad([short] * 40 + [long])
    masked = features_of(spec_augment=augment).train()(sound, lengths)[0]
    hidden = (masked[:40, :21] == 0).all(2).sum(1)
    assert int(hidden.max()) <= 0.2 * 21


def test_the_part_of_time_does_not_limit_masks_over_frequency(make_sounds: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    augment = {"frequency_masks": 1, "frequency_width": 5, "time_fraction": 0.05}
    sound, lengths = pad(make_sounds(4000) * 40)
    masked = features_of(spec_augment=augment).train()(sound, lengths)[0]
    assert int((masked == 0).all(1).sum(1).max()) >= 3


def test_only_the_statistics_are_stored() -> None:
    assert set(features_of(spec_augment=AUGMENT).state_dict()) == {"mean", "deviation"}


FRAMES = {"kind": "precomputed", "size": 3}


@pytest.mark.parametrize("normalization", ["utterance", "none"])
def test_precomputed_features_are_the_same_alone_and_in_a_batch(normalization: str) -> None:
    config = PrecomputedConfig.model_validate(FRAMES | {"deltas": 2, "normalization": normalization})
    module = Precomputed(config).eval()
    frames = [torch.randn(count, 3) for count in (1, 2, 5, 30)]
    padded, lengths = pad(frames)
    rubbish = torch.where(length_mask(lengths, padded.shape[1])[..., None], padded, 7.0)
    together, _ = module(rubbish, lengths)
    assert together.shape == (4, 30, 9)
    for row, alone in enumerate(frames):
        features, counts = module(alone[None], torch.tensor([len(alone)]))
        assert counts.tolist() == [len(alone)]
        torch.testing.assert_close(together[row, : len(alone)], features[0], atol=1e-5, rtol=1e-5)
        assert not together[row, len(alone) :].any()


@pytest.mark.parametrize("width", [1, 2, 4])
def test_deltas_are_those_of_torchaudio(width: int) -> None:
    from torchaudio.functional import compute_deltas

    config = PrecomputedConfig.model_validate(
        FRAMES | {"deltas": 2, "delta_width": width, "normalization": "none"}
    )
    frames = torch.randn(1, 20, 3)
    found, _ = Precomputed(config).eval()(frames, torch.tensor([20]))
    first = compute_deltas(frames.transpose(1, 2), 2 * width + 1)
    second = compute_deltas(first, 2 * width + 1)
    torch.testing.assert_close(found[..., 3:6], first.transpose(1, 2))
    torch.testing.assert_close(found[..., 6:], second.transpose(1, 2))


def test_a_warp_keeps_both_ends_and_is_undone_by_its_negative() -> None:
    angles = torch.linspace(0, torch.pi, 9, dtype=torch.float64)
    there = warped(angles, torch.tensor([0.1], dtype=torch.float64))[0]
    assert there[[0, -1]].tolist() == pytest.approx([0, torch.pi])
    assert (there[1:-1] > angles[1:-1]).all()
    torch.testing.assert_close(warped(there, torch.tensor([-0.1], dtype=torch.float64))[0], angles)


def test_cepstra_are_warped_as_the_spectrum_behind_them() -> None:
    """The independent way: make the spectrum, read it elsewhere by interpolation, take cepstra again."""
    from scipy.fft import dct, idct

    cepstra = np.zeros((5, 512))
    cepstra[:, :13] = np.random.default_rng(0).standard_normal((5, 13))
    spectrum = idct(cepstra, norm="ortho")
    middles = (np.arange(512) + 0.5) * np.pi / 512
    for warp in (-0.08, 0.0, 0.08):
        places = warped(torch.from_numpy(middles), torch.tensor([warp], dtype=torch.float64))[0].numpy()
        moved = np.stack([np.interp(places, middles, row) for row in spectrum])
        expected = dct(moved, norm="ortho")[:, :13]
        # scipy's c_0 is smaller by sqrt(2), ours stands in the envelope as it is
        scale = np.where(np.arange(13) == 0, np.sqrt(0.5), 1.0)
        found = warp_cepstra(torch.from_numpy(cepstra[None, :, :13] * scale), torch.tensor([warp]).double())
        np.testing.assert_allclose(found[0].numpy(), expected * scale, atol=2e-3)


def test_mel_bins_are_read_where_the_map_sends_them() -> None:
    frames = torch.rand(2, 4, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(warp_mels(frames, torch.zeros(2)), frames)
    middles = (np.arange(20) + 0.5) * np.pi / 20
    warp = torch.tensor([0.06, -0.06])
    found = warp_mels(frames, warp)
    for row in range(2):
        places = warped(torch.from_numpy(middles).float(), warp[row : row + 1])[0].numpy()
        for frame in range(4):
            expected = np.interp(places, middles, frames[row, frame].numpy())
            np.testing.assert_allclose(found[row, frame].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("contents", ["cepstra", "mels"])
def test_features_are_warped_in_training_alone_and_before_their_deltas(contents: str) -> None:
    config = PrecomputedConfig(
        kind="precomputed", size=5, deltas=2, contents=contents, warp=0.1, normalization="none"
    )
    features = Precomputed(config).eval()
    frames, lengths = torch.randn(2, 30, 5), torch.tensor([30, 17])
    plain, _ = features(frames, lengths)
    torch.manual_seed(3)
    changed, _ = features.train()(frames, lengths)
    torch.manual_seed(3)
    warp = (2 * torch.rand(2) - 1) * 0.1
    change = warp_cepstra if contents == "cepstra" else warp_mels
    expected, _ = features.eval()(change(frames, warp), lengths)
    assert not torch.allclose(changed, plain)
    torch.testing.assert_close(changed, expected, atol=1e-5, rtol=1e-4)


def test_log_mel_is_warped_in_training_alone(make_sounds: Callable[..., Any]) -> None:
    sound, lengths = make_sounds(4000)[0][None], torch.tensor([4000])
    warping = features_of(warp=0.1)
    plain, _ = warping(sound, lengths)
    torch.testing.assert_close(plain, features_of()(sound, lengths)[0])
    assert not torch.allclose(warping.train()(sound, lengths)[0], plain)


def test_a_warp_of_unknown_contents_is_refused() -> None:
    with pytest.raises(ValueError, match="set contents to cepstra or mels"):
        PrecomputedConfig(kind="precomputed", size=13, warp=0.05)
