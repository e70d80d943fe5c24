"""Split long sound at silence into pieces that a model can take.

A model that has learnt from utterances of up to ten seconds has never seen a minute. Pieces end in
the latest pause that keeps them short enough; where there is no pause, at the quietest moment.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from torch import Tensor

_FRAME_SECONDS = 0.02
_PAUSE_SECONDS = 0.15  # shorter gaps may stand inside a word, before a plosive
_PAUSE_DECIBEL = 35.0  # below the loudest frame of the piece at hand
_MARGIN_SECONDS = 0.25  # of a pause, what is kept beside the speech


def split(sound: Tensor, sample_rate: int, longest: float) -> Iterator[tuple[int, int]]:
    """(N,) -> (start, stop) in samples of the pieces with speech, none over `longest` seconds.

    A sound that is short enough is one piece as it is; of a longer one, long pauses are left out.
    """
    limit = max(1, int(longest * sample_rate))
    if len(sound) <= limit:
        yield 0, len(sound)
        return
    frame = max(1, round(_FRAME_SECONDS * sample_rate))
    margin = min(round(_MARGIN_SECONDS * sample_rate), limit // 8)
    samples = sound.numpy()
    start = 0
    while start < len(samples):
        window = samples[start : start + limit]
        speech = _speech(window, frame)
        if not len(speech):
            start += len(window)
            continue
        first = max(0, int(speech[0, 0]) - margin)
        if first > margin:  # begin again just before the speech, so that the piece can be long
            start += first
            continue
        if start + len(window) == len(samples) or len(window) - speech[-1, 1] > 2 * frame:
            cut = len(window)  # it ends where the sound does, or in a pause
        elif len(speech) > 1:
            cut = int(speech[-2, 1] + speech[-1, 0]) // 2
        else:
            cut = _quietest(window, frame)
        stop = min(cut, int(speech[speech[:, 0] < cut][-1, 1]) + margin)
        yield start + first, start + stop
        start += cut


def _speech(samples: npt.NDArray[np.float32], frame: int) -> npt.NDArray[np.int64]:
    """Intervals (start, stop) in samples that are not pauses; librosa finds them by energy."""
    import librosa

    if not samples.any():
        return np.zeros((0, 2), dtype=np.int64)
    parts = librosa.effects.split(samples, top_db=_PAUSE_DECIBEL, frame_length=2 * frame, hop_length=frame)
    shortest = _PAUSE_SECONDS / _FRAME_SECONDS * frame
    joined: list[list[int]] = []
    for begin, end in parts.tolist():
        if joined and begin - joined[-1][1] < shortest:
            joined[-1][1] = end
        else:
            joined.append([begin, end])
    return np.array(joined, dtype=np.int64).reshape(-1, 2)


def _quietest(samples: npt.NDArray[np.float32], frame: int) -> int:
    """The middle of the quietest tenth of a second in the second half."""
    energy = np.square(samples[: len(samples) // frame * frame], dtype=np.float64).reshape(-1, frame).sum(1)
    width = min(5, len(energy))
    smooth = np.convolve(energy, np.ones(width), mode="valid")
    half = len(smooth) // 2
    return int((half + int(smooth[half:].argmin()) + width / 2) * frame)
