"""Live sound in, updates out: how the open segment looks, and what is final at pauses.

The open segment is recognized again every half second. A segment ends in a pause, or at the longest that the
model can take, and only then are its words given out. Words on which readings in succession agree
(LocalAgreement: Liu et al. 2020; Macháček et al. 2023) may still change: the encoder reads a segment in both
directions, so that more sound may change its beginning (docs/serving.md has how often).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soxr

from asr_seq2seq.audio.segmentation import Samples, frame_levels
from asr_seq2seq.decoding.guides import Guide
from asr_seq2seq.inference.recognizer import Recognizer, as_segment
from asr_seq2seq.transcript import Segment

AGAIN_SECONDS = 0.5  # of new sound, before the open segment is recognized again
PAUSE_SECONDS = 0.5  # without speech end a segment
_BEFORE_SECONDS = 0.3  # of sound before the speech that are kept
_FRAME_SECONDS = 0.02
_START_FRAMES = 3  # of speech begin a segment; fewer may be a click
_FLOOR = -50.0  # decibels of full scale: the level of the background, as it is taken at first
_LOWEST = -65.0  # decibels: what is softer is background as well, be it digital silence or dither
_RISE = 0.05  # decibels that the background may rise in a frame
_OVER = 9.0  # decibels of speech over the background


@dataclass(frozen=True)
class Started:
    """Speech begins, `seconds` after the beginning of the sound."""

    seconds: float


@dataclass(frozen=True)
class Delta:
    """The words of a segment that has just ended; they are not taken back."""

    text: str


@dataclass(frozen=True)
class Partial:
    """The whole text of the open segment as it looks now; its end may still change."""

    text: str


@dataclass(frozen=True)
class Final:
    """A finished segment, with times from the beginning of the sound; `samples` (N,) are its sound."""

    segment: Segment
    samples: Samples


Update = Started | Delta | Partial | Final


class LiveStream:
    """One source of live sound; not for several threads at once."""

    def __init__(
        self, recognizer: Recognizer, rate: int, *, pauses: bool = True, guide: Guide | None = None
    ) -> None:
        """`rate` is that of the samples given; without `pauses` only `finish` ends a segment, or length.

        `guide` has hot words and phrases that take the place of the recognizer's.
        """
        self.recognizer, self.pauses = recognizer, pauses
        self._guide = guide or recognizer.pipeline.guide
        self.rate = recognizer.sample_rate
        self._given_rate = rate
        self._frame = round(_FRAME_SECONDS * self.rate)
        self._longest = int(recognizer.longest_seconds * self.rate)
        self._count = 0  # segments so far
        self._floor = _FLOOR
        self._position = 0  # samples before the held ones
        self._held: Samples = np.zeros(0, np.float32)
        self._checked = 0  # samples of the held ones whose level is known
        self._loud = self._quiet = 0  # frames of speech, and without it, up to now
        self._unread = 0  # samples since the last reading
        self.open = False  # whether a segment is
        self._resampler = self._new_resampler()

    def feed(self, samples: Samples) -> Iterator[Update]:
        """Take samples (N,), full scale at 1.0, and say what is new."""
        yield from self._take(self._resampled(samples, last=False))
        if self.open and self._unread >= AGAIN_SECONDS * self.rate:
            yield from self._read_again()

    def finish(self) -> Iterator[Update]:
        """End the open segment here, if there is one."""
        yield from self._take(self._resampled(np.zeros(0, np.float32), last=True))
        self._resampler = self._new_resampler()
        if not self.pauses and not self.open and len(self._held):
            self.open = True
            yield Started(self._position / self.rate)
        if self.open:
            yield from self._end(len(self._held), len(self._held))
        self._drop(len(self._held))

    def clear(self) -> None:
        """Forget the sound that is not final yet."""
        self._resampler = self._new_resampler()
        self._drop(len(self._held))
        self._restart()

    def change(self, rate: int, *, pauses: bool, guide: Guide | None = None) -> Iterator[Update]:
        """Change the settings that were given at first; an open segment ends where the rate changes."""
        if rate != self._given_rate:
            yield from self.finish()
            self._given_rate = rate
            self._resampler = self._new_resampler()
        self.pauses, self._guide = pauses, guide or self.recognizer.pipeline.guide

    @property
    def seconds(self) -> float:
        """Seconds of sound taken in."""
        return (self._position + len(self._held)) / self.rate

    def _take(self, samples: Samples) -> Iterator[Update]:
        self._held = np.concatenate([self._held, samples])
        self._unread += len(samples)
        while len(self._held) - self._checked >= self._frame:
            end = self._checked + self._frame
            self._hear(float(frame_levels(self._held[self._checked : end], self._frame)[0]))
            self._checked = end
            if not self.open:
                yield from self._before_speech()
            elif self.pauses and self._quiet * _FRAME_SECONDS >= PAUSE_SECONDS:
                yield from self._end(self._checked, self._checked)
            elif self._checked >= self._longest:
                margin = min(round(0.25 * self.rate), self._longest // 8)
                cut = self.recognizer.cut(self._held[: self._longest], self.rate, margin, False)
                yield from self._end(cut.stop, max(cut.next, 1))
                self.open = True
                yield Started(self._position / self.rate)

    def _before_speech(self) -> Iterator[Update]:
        keep = round(_BEFORE_SECONDS * self.rate) + _START_FRAMES * self._frame
        if self._loud >= _START_FRAMES or not self.pauses:
            self.open = True
            yield Started(self._position / self.rate)
        elif self._checked > keep:
            self._drop(self._checked - keep)

    def _hear(self, level: float) -> None:
        """Take the level of a frame for the background or for speech."""
        self._floor = max(min(level, self._floor + _RISE), _LOWEST)
        speech = level > self._floor + _OVER
        self._loud = self._loud + 1 if speech else 0
        self._quiet = 0 if speech else self._quiet + 1

    def _read_again(self) -> Iterator[Update]:
        self._unread = 0
        yield Partial(self._segment(self._held).text)

    def _end(self, stop: int, following: int) -> Iterator[Update]:
        """Make the held samples up to `stop` final; what begins at `following` stays."""
        segment = self._segment(self._held[:stop])
        if segment.text:
            yield Delta(segment.text)
        yield Final(segment, self._held[:stop])
        self._count += 1
        self._drop(following)
        self._restart()

    def _segment(self, samples: Samples) -> Segment:
        start = self._position / self.rate
        if not len(samples) or not samples.any():
            return Segment(self._count, start, start + len(samples) / self.rate, "", (), 0.0)
        (found,) = self.recognizer.pipeline.recognize([samples], guides=[self._guide])
        return as_segment(self._count, start, start + len(samples) / self.rate, found)

    def _drop(self, count: int) -> None:
        self._held = self._held[count:]
        self._position += count
        self._checked = max(0, self._checked - count)

    def _restart(self) -> None:
        """Forget the open segment; what is held begins another."""
        self.open, self._checked = False, 0
        self._loud = self._quiet = self._unread = 0

    def _new_resampler(self) -> soxr.ResampleStream | None:
        if self._given_rate == self.rate:
            return None
        return soxr.ResampleStream(self._given_rate, self.rate, 1, dtype="float32", quality="HQ")

    def _resampled(self, samples: Samples, *, last: bool) -> Samples:
        if self._resampler is None:
            return samples
        found: Samples = self._resampler.resample_chunk(samples, last=last)
        return found


def from_pcm16(sound: bytes) -> Samples:
    """Samples (N,) of 16-bit little-endian PCM; full scale is 1.0."""
    return np.frombuffer(sound, "<i2").astype(np.float32) / np.float32(32768)
