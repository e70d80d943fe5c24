"""Many channels become one: their mean, one that is named, or one that does not cancel in the mean.

Channels that are each other's opposite (a balanced microphone line on a stereo input) have a mean of
silence or of noise. The rule looks at windows of :data:`WINDOW_SECONDS`, counted from the beginning of
the sound: where the energy of the mean is under :data:`CANCELED` of what it would be if the channels
had nothing in common (sum of energies / channels^2), the first channel that has at least half of the
loudest channel's energy stands for all. A window needs none but itself and the one before it, so that
blocks, the whole sound and a part of it give the same samples; where the choice changes, the two are
crossfaded over :data:`FADE_SECONDS`.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from asr_seq2seq.errors import AudioError

WINDOW_SECONDS = 0.25
FADE_SECONDS = 0.01
CANCELED = 0.25  # for two equally loud channels, a correlation under -0.75
_MEAN = -1  # of the choices; the others are numbers of channels

Samples = npt.NDArray[np.float32]


def window_samples(rate: int) -> int:
    """How many samples one window of the rule has at ``rate`` Hz."""
    return round(WINDOW_SECONDS * rate)


def mix(parts: Iterable[Samples], rate: int, name: str, channel: int | None = None) -> Iterator[Samples]:
    """Make mono blocks (M_i,) of blocks (N_i, channels), the first of which begins with a window.

    ``channel`` takes that one alone, counted from 0; an ``AudioError`` says where ``name`` has none such.
    """
    mixer = _Mixer(rate)
    for part in parts:
        count = part.shape[1]
        if channel is not None:
            if not 0 <= channel < count:
                has = "1 channel (0)" if count == 1 else f"{count} channels (0 to {count - 1})"
                raise AudioError(f"{name} has no channel {channel}: it has {has}")
            yield part[:, channel]
        elif count == 1:
            yield from mixer.rest()
            yield part[:, 0]
        else:
            yield from mixer.add(part)
    yield from mixer.rest()


class _Mixer:
    """Cuts what comes into windows, and gives the mono samples (N,) of whole ones."""

    def __init__(self, rate: int) -> None:
        self.window = window_samples(rate)
        fade = max(1, round(FADE_SECONDS * rate))
        self.fade = ((np.arange(fade) + 0.5) / fade).astype(np.float32)
        self.held: list[Samples] = []
        self.choice: int | None = None  # of the window before

    def add(self, part: Samples) -> Iterator[Samples]:
        """Give the whole windows that are there with ``part`` (N, channels)."""
        if self.held and self.held[0].shape[1] != part.shape[1]:
            yield from self.rest()
        self.held.append(part)
        if sum(map(len, self.held)) < self.window:
            return
        samples = np.concatenate(self.held) if len(self.held) > 1 else part
        whole = len(samples) // self.window * self.window
        self.held = [samples[whole:].copy()] if whole < len(samples) else []
        yield self._mono(samples[:whole].reshape(-1, self.window, samples.shape[1]))

    def rest(self) -> Iterator[Samples]:
        """Give what is held as a last, shorter window."""
        if self.held:
            yield self._mono(np.concatenate(self.held)[None])
        self.held, self.choice = [], None

    def _mono(self, windows: Samples) -> Samples:
        """Mix windows (K, W, channels)."""
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is found at the end
            mean: Samples = windows.mean(axis=2, dtype=np.float64).astype(np.float32)
            energies = np.einsum("kwc,kwc->kc", windows, windows, dtype=np.float64)
            left = np.einsum("kw,kw->k", mean, mean, dtype=np.float64) * windows.shape[2] ** 2
            canceled = left < CANCELED * energies.sum(axis=1)
            loud = (energies >= 0.5 * energies.max(axis=1, keepdims=True)).argmax(axis=1)
        choices = np.where(canceled, loud, _MEAN)
        for number, choice in enumerate(choices.tolist()):
            before = choice if self.choice is None else self.choice
            self.choice = choice
            if choice == before == _MEAN:
                continue
            given = mean[number].copy() if _MEAN in (choice, before) else mean[number]
            if choice != _MEAN:
                mean[number] = windows[number, :, choice]
            if choice != before:
                old = given if before == _MEAN else windows[number, :, before]
                fade = self.fade[: len(old)]
                mean[number, : len(fade)] = fade * mean[number, : len(fade)] + (1 - fade) * old[: len(fade)]
        return mean.reshape(-1)
