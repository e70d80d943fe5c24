"""Sound to log-mel frames: one module, the same in training and at inference.

It lives inside the model and its settings and statistics are stored in the model file, so the two
can never differ. Lengths are exact: frame t is centred on sample t * hop and sees zeros beyond
either end of the sound, whether the sound stands alone or is padded in a batch.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram, SpecAugment

from asr_seq2seq.config import FeaturesConfig
from asr_seq2seq.errors import CorpusError

_EPSILON = 1e-5
_LEVEL = 0.1  # root mean square of a speaker close to the microphone


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """(B,) lengths -> (B, size), true at the positions that exist."""
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


class LogMel(nn.Module):
    """Padded sound (B, N) and its lengths in samples -> log-mel frames (B, T, F) and theirs.

    T = 1 + N // hop. Frames beyond an utterance's length are zero. SpecAugment is applied in
    training mode only.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: FeaturesConfig) -> None:
        super().__init__()
        self.config = config
        rate = config.sample_rate
        window = round(config.window_seconds * rate)
        self.hop = round(config.hop_seconds * rate)
        self.size = config.mels
        self.mel = MelSpectrogram(
            sample_rate=rate,
            n_fft=1 << (window - 1).bit_length(),
            win_length=window,
            hop_length=self.hop,
            f_min=config.low_hertz,
            f_max=config.high_hertz,
            n_mels=config.mels,
            center=True,
            pad_mode="constant",
        )
        # The filters follow from the settings: they are not weights and stay out of the model file.
        self.mel.spectrogram.register_buffer("window", self.mel.spectrogram.window, persistent=False)
        self.mel.mel_scale.register_buffer("fb", self.mel.mel_scale.fb, persistent=False)
        self.register_buffer("mean", torch.zeros(config.mels))
        self.register_buffer("deviation", torch.ones(config.mels))
        augment = config.spec_augment
        # Two modules: torchaudio's `p` would bound the width of frequency masks as well. What is
        # hidden becomes the mean, which normalisation has made zero.
        fill = {"iid_masks": False, "zero_masking": config.normalization != "none"}
        self.mask_time = SpecAugment(
            augment.time_masks, augment.time_width, 0, 0, p=augment.time_fraction, **fill
        )
        self.mask_frequency = SpecAugment(0, 0, augment.frequency_masks, augment.frequency_width, **fill)
        self.augments = bool(augment.time_masks or augment.frequency_masks)

    def frames(self, samples: Tensor) -> Tensor:
        """Number of frames for a number of samples; works on tensors of lengths."""
        return torch.div(samples, self.hop, rounding_mode="floor") + 1

    def log_mel(self, sound: Tensor) -> Tensor:
        """(B, N) -> (B, T, F), natural logarithm of mel energies, not normalised."""
        energies: Tensor = self.mel(sound)  # (B, F, T)
        return energies.clamp_min(self.config.floor).log().transpose(1, 2)

    def forward(self, sound: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N) samples in [-1, 1], (B,) -> features (B, T, F), feature_lengths (B,)."""
        with torch.autocast(sound.device.type, enabled=False):
            features = self.log_mel(self._prepare(sound, lengths))  # (B, T, F)
            feature_lengths = self.frames(lengths)
            mask = length_mask(feature_lengths, features.shape[1])[..., None]  # (B, T, 1)
            features = self._normalize(features, mask)
            if self.training and self.augments:
                features = self._augment(features, feature_lengths)
            return features * mask, feature_lengths

    def _prepare(self, sound: Tensor, lengths: Tensor) -> Tensor:
        """Nothing behind each utterance's end, and its level made `_LEVEL` if the settings say so."""
        sound = sound.float() * length_mask(lengths, sound.shape[1])
        if not self.config.level:
            return sound
        power = sound.square().sum(1, keepdim=True) / lengths[:, None]
        return sound * (_LEVEL / power.clamp_min(_EPSILON**2).sqrt())

    def _normalize(self, features: Tensor, mask: Tensor) -> Tensor:
        kind = self.config.normalization
        if kind == "none":
            return features
        if kind == "corpus":
            return (features - self.mean) / self.deviation
        count = mask.sum(1, keepdim=True)  # (B, 1, 1)
        mean = (features * mask).sum(1, keepdim=True) / count  # (B, 1, F)
        variance = ((features - mean).square() * mask).sum(1, keepdim=True) / count
        return (features - mean) / (variance + _EPSILON).sqrt()

    def _augment(self, features: Tensor, lengths: Tensor) -> Tensor:
        """SpecAugment within each utterance's own length."""
        rows = [
            self.mask_frequency(self.mask_time(row[:length].T)).T
            for row, length in zip(features, lengths.tolist(), strict=True)
        ]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    @torch.no_grad()
    def set_statistics(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Measure mean and deviation of each bin over batches of (sound, lengths); for `corpus`."""
        total = torch.zeros(3, self.size, dtype=torch.float64)
        for sound, lengths in batches:
            sound, lengths = sound.to(self.mean.device), lengths.to(self.mean.device)
            features = self.log_mel(self._prepare(sound, lengths)).cpu().double()
            mask = length_mask(self.frames(lengths).cpu(), features.shape[1])[..., None]
            total[0] += mask.sum((0, 1))
            total[1] += (features * mask).sum((0, 1))
            total[2] += (features.square() * mask).sum((0, 1))
        if not total[0].any():
            raise CorpusError("no training utterance can be read; `inspect` the corpus and mend it")
        mean = total[1] / total[0]
        self.mean.copy_(mean)
        self.deviation.copy_((total[2] / total[0] - mean.square()).clamp_min(_EPSILON).sqrt())
