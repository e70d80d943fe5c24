"""The input of the encoder: log-mel frames of sound, or features that another program computed.

The module lives inside the model, the same in training and at inference; its settings and
statistics are stored in the model file, so the two can never differ. Lengths are exact: whether an
utterance stands alone or is padded in a batch, its features are the same.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torchaudio.functional import melscale_fbanks

from asr_seq2seq.config import FeaturesConfig, LogMelConfig, PrecomputedConfig
from asr_seq2seq.errors import CorpusError

EPSILON = 1e-5
_ANGLES = 64  # at which the envelope behind cepstra is read
_BLOCK = 500  # windows whose spectra are computed at a time: these stay in the cache
LEVEL = 0.1  # root mean square of a speaker close to the microphone


def pad(sequences: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Sequences (N_i,) or (N_i, F) -> (B, N) or (B, N, F) with zeros behind, and lengths (B,)."""
    lengths = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.long)
    padded = pad_sequence(list(sequences) or [torch.zeros(0)], batch_first=True)
    return padded[: len(sequences)], lengths


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """(B,) lengths -> (B, size), true at the positions that exist."""
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]


def random_spans(sizes: Tensor, longest: Tensor, count: int, length: int) -> Tensor:
    """Sizes (B,) -> (B, length), true inside `count` spans of up to `longest` (B,) places within each size.

    Lengths and then places are drawn evenly (Park et al. 2019, section 2).
    """
    drawn, place = torch.rand(2, len(sizes), count, device=sizes.device)
    spans = (drawn * (longest + 1)[:, None]).long()  # (B, count)
    first = (place * (sizes[:, None] - spans + 1)).long()
    at = torch.arange(length, device=sizes.device)[:, None]  # (length, 1)
    inside: Tensor = (at >= first[:, None]) & (at < (first + spans)[:, None])  # (B, length, count)
    return inside.any(2)


def warped(angles: Tensor, warp: Tensor) -> Tensor:
    """Angles (K,) in [0, pi], warp (B,) in (-1, 1) -> (B, K): the bilinear map of the frequency axis.

    It keeps both ends and bends what is between (Acero 1990, section 6.4; McDonough 2000, chapter 3, warps
    cepstra by it to make vocal tracts alike). The axis here is that of the mel scale.
    """
    warp = warp[:, None]
    return angles + 2 * torch.atan(warp * angles.sin() / (1 - warp * angles.cos()))


def warp_mels(frames: Tensor, warp: Tensor) -> Tensor:
    """Mel bins (B, T, F), warp (B,) -> (B, T, F): each bin read where the map sends its middle."""
    size = frames.shape[2]
    middles = (torch.arange(size, device=frames.device) + 0.5) * (math.pi / size)
    places = (warped(middles, warp) * (size / math.pi) - 0.5).clamp(0, size - 1)[:, None]  # (B, 1, F)
    below = places.floor().long().clamp_max(max(0, size - 2)).expand_as(frames)
    above = (below + 1).clamp_max(size - 1)
    return torch.lerp(frames.gather(2, below), frames.gather(2, above), places - below)


def warp_cepstra(frames: Tensor, warp: Tensor) -> Tensor:
    """Cepstra (B, T, F) from c_0 on, warp (B,) -> (B, T, F) of the envelope read at warped angles."""
    orders = torch.arange(frames.shape[2]).to(frames)
    angles = (torch.arange(_ANGLES).to(frames) + 0.5) * (math.pi / _ANGLES)
    envelope = torch.cos(warped(angles, warp)[..., None] * orders)  # (B, K, F): what each order adds there
    analysis = torch.cos(angles[:, None] * orders) * (2 / _ANGLES)  # (K, F)
    analysis[:, 0] /= 2
    return frames @ (envelope.transpose(1, 2) @ analysis)


class Features(nn.Module, ABC):
    """Padded input and its lengths -> normalized frames (B, T, F) and theirs.

    Frames beyond an utterance's length are zero. SpecAugment is applied in training mode only.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: FeaturesConfig, size: int) -> None:
        super().__init__()
        self.normalization = config.normalization
        self.warp = config.warp
        self.size = size
        self.frame_seconds = config.hop_seconds
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))
        self.spec_augment = config.spec_augment

    @abstractmethod
    def raw(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Padded input and its lengths (B,) -> frames (B, T, F), not normalized, and theirs (B,)."""

    @abstractmethod
    def warp_frames(self, frames: Tensor, warp: Tensor) -> Tensor:
        """Frames (B, T, F) with their frequencies warped, each utterance by its own warp (B,)."""

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Padded input and its lengths (B,) -> features (B, T, F), feature_lengths (B,)."""
        with torch.autocast(inputs.device.type, enabled=False):
            features, feature_lengths = self.raw(inputs, lengths)
            mask = length_mask(feature_lengths, features.shape[1])[..., None]  # (B, T, 1)
            if self.training and self.warp:
                warp = (2 * torch.rand(len(features), device=features.device) - 1) * self.warp
                features = self.warp_frames(features, warp)
            features = self._normalize(features, mask)
            if self.training and (self.spec_augment.time_masks or self.spec_augment.frequency_masks):
                features = self._augment(features, feature_lengths, mask)
            return features * mask, feature_lengths

    def _normalize(self, features: Tensor, mask: Tensor) -> Tensor:
        if self.normalization == "none":
            return features
        if self.normalization == "corpus":
            return (features - self.mean) / self.deviation
        count = mask.sum(1, keepdim=True)  # (B, 1, 1)
        # A value that hardly changes, as above the band of a telephone, is divided by the little by which it
        # does, and so is the rounding error of its mean: the second pass takes out what the first has left.
        for _ in range(2):
            features = features - (features * mask).sum(1, keepdim=True) / count
        variance = (features.square() * mask).sum(1, keepdim=True) / count
        return features / (variance + EPSILON).sqrt()

    def _augment(self, features: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        """SpecAugment within each utterance's own length; what is hidden becomes the mean."""
        settings = self.spec_augment
        longest = (lengths * settings.time_fraction).long().clamp_max(settings.time_width)
        bins = torch.full_like(lengths, self.size)
        widest = bins.clamp_max(settings.frequency_width)
        hidden = (
            random_spans(lengths, longest, settings.time_masks, features.shape[1])[..., None]
            | random_spans(bins, widest, settings.frequency_masks, self.size)[:, None]
        )
        if self.normalization != "none":  # the mean is zero
            return features.masked_fill(hidden, 0.0)
        mean = (features * mask).sum((1, 2), keepdim=True) / (mask.sum((1, 2), keepdim=True) * self.size)
        return torch.where(hidden, mean, features)

    @torch.no_grad()
    def set_statistics(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Measure mean and deviation of each value over batches of (input, lengths); for `corpus`."""
        total = torch.zeros(3, self.size, dtype=torch.float64)
        for inputs, lengths in batches:
            frames, counts = self.raw(inputs.to(self.mean.device), lengths.to(self.mean.device))
            features = frames.cpu().double()
            mask = length_mask(counts.cpu(), features.shape[1])[..., None]
            total[0] += mask.sum((0, 1))
            total[1] += (features * mask).sum((0, 1))
            total[2] += (features.square() * mask).sum((0, 1))
        if not total[0].any():
            raise CorpusError("no training utterance can be read; `inspect` the corpus and mend it")
        mean = total[1] / total[0]
        self.mean.copy_(mean)
        self.deviation.copy_((total[2] / total[0] - mean.square()).clamp_min(EPSILON).sqrt())


class LogMel(Features):
    """Sound (B, N) in [-1, 1] -> log-mel frames (B, T, F), T = 1 + N // hop.

    Frame t is centered on sample t * hop and sees zeros beyond either end of the sound.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__(config, config.mels)
        self.config = config
        rate = config.sample_rate
        window = round(config.window_seconds * rate)
        self.hop = round(config.hop_seconds * rate)
        self.frame_seconds = self.hop / rate
        self.fft_size = 1 << (window - 1).bit_length()
        # Both follow from the settings: they are not weights and stay out of the model file. They are there
        # even where the rest is built without memory (the meta device), to take its weights from a file.
        with torch.device("cpu"):
            filters = melscale_fbanks(
                self.fft_size // 2 + 1, config.low_hertz, config.high_hertz or rate // 2, config.mels, rate
            )
            self.register_buffer("window", torch.hann_window(window), persistent=False)
            self.register_buffer("filters", filters, persistent=False)  # (bins, F)

    def frames(self, samples: Tensor) -> Tensor:
        """Number of frames for a number of samples; works on tensors of lengths."""
        return torch.div(samples, self.hop, rounding_mode="floor") + 1

    def log_mel(self, sound: Tensor) -> Tensor:
        """(B, N) -> (B, T, F), natural logarithm of mel energies, not normalized."""
        width = len(self.window)
        before = self.fft_size // 2 - (self.fft_size - width) // 2
        windows = functional.pad(sound, (before, width - before)).unfold(1, width, self.hop)  # (B, T, width)
        size = max(1, _BLOCK // max(1, len(sound)))
        padded = sound.new_zeros(len(sound), min(size, windows.shape[1]), self.fft_size)  # in all blocks
        energies = sound.new_empty(*windows.shape[:2], self.config.mels)
        blocks, results = torch.split(windows, size, dim=1), torch.split(energies, size, dim=1)
        for block, result in zip(blocks, results, strict=True):
            count = block.shape[1]
            torch.mul(block, self.window, out=padded[:, :count, :width])
            spectrum = torch.fft.rfft(padded[:, :count])
            # Less than half the time of abs().square(), which takes a root first.
            power = torch.addcmul(spectrum.real.square(), spectrum.imag, spectrum.imag)
            result.copy_(power @ self.filters)
        return energies.clamp_min_(self.config.floor).log_()

    def raw(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Sound (B, N), lengths in samples (B,) -> log-mel frames (B, T, F) and their numbers (B,)."""
        return self.log_mel(self._prepare(inputs, lengths)), self.frames(lengths)

    def warp_frames(self, frames: Tensor, warp: Tensor) -> Tensor:
        """Bins moved up or down."""
        return warp_mels(frames, warp)

    def _prepare(self, sound: Tensor, lengths: Tensor) -> Tensor:
        """Nothing behind each utterance's end, and its level made `LEVEL` if the settings say so."""
        sound = sound.float() * length_mask(lengths, sound.shape[1])
        if not self.config.level:
            return sound
        power = sound.square().sum(1, keepdim=True) / lengths[:, None]
        return sound * (LEVEL / power.clamp_min(EPSILON**2).sqrt())


class Precomputed(Features):
    """Frames (B, T, size) of another program -> (B, T, size * (1 + deltas)).

    Each order of deltas is the slope of a line fitted to the order below over 2 * delta_width + 1
    frames (Young et al., The HTK Book, section 5.9); before the first frame and after the last of
    an utterance these are repeated.
    """

    def __init__(self, config: PrecomputedConfig) -> None:
        super().__init__(config, config.size * (1 + config.deltas))
        self.config = config

    def raw(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (B, T, size) and their numbers (B,) -> the same with their deltas."""
        orders = [inputs.float()]
        for _ in range(self.config.deltas):
            orders.append(self._slope(orders[-1], lengths))
        return torch.cat(orders, dim=2), lengths

    def warp_frames(self, frames: Tensor, warp: Tensor) -> Tensor:
        """Each order of deltas like the frames themselves: warping is linear, so it is all one."""
        change = warp_cepstra if self.config.contents == "cepstra" else warp_mels
        return torch.cat([change(part, warp) for part in frames.chunk(1 + self.config.deltas, 2)], dim=2)

    def _slope(self, frames: Tensor, lengths: Tensor) -> Tensor:
        width = self.config.delta_width
        time = torch.arange(frames.shape[1], device=frames.device)
        last = (lengths - 1)[:, None]  # (B, 1)

        def at(shift: int) -> Tensor:
            places = (time + shift).clamp_min(0)[None].minimum(last)  # (B, T)
            return frames.gather(1, places[..., None].expand_as(frames))

        steps = range(1, width + 1)
        slope = torch.stack([step * (at(step) - at(-step)) for step in steps]).sum(0)
        return slope / (2 * sum(step**2 for step in steps))


def build_features(config: FeaturesConfig) -> Features:
    """The module that the settings describe."""
    return LogMel(config) if isinstance(config, LogMelConfig) else Precomputed(config)
