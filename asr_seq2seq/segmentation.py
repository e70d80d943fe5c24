"""Split long sound at silence into pieces that a model can take.

A model that has learnt from utterances of up to ten seconds has never seen a minute. Pieces end in
the latest pause that keeps them short enough; where there is no pause, at the quietest moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asr_seq2seq.errors import ConfigError

_FRAME_SECONDS = 0.02
_PAUSE_SECONDS = 0.15  # shorter gaps may stand inside a word, before a plosive
_PAUSE_DECIBEL = 35.0  # below the loudest frame of the piece at hand
_MARGIN_SECONDS = 0.25  # of a pause, what is kept beside the speech
_SILERO_RATE = 16000

Samples = npt.NDArray[np.float32]
# Samples (N,) and their rate -> intervals (start, stop) in samples that are not pauses, (I, 2).
SpeechFinder = Callable[[Samples, int], npt.NDArray[np.int64]]


def split(
    blocks: Iterable[Tensor], sample_rate: int, longest: float, find_speech: SpeechFinder | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Successive blocks of a sound -> the pieces of it with speech, each with the sample it begins at.

    No piece is over `longest` seconds, and no more than that and a block is held. How the sound is
    divided into blocks changes nothing. A sound that is short enough is one piece as it is; of a
    longer one, long pauses are left out. Speech is found by energy where no `find_speech` is given.
    """
    find_speech = find_speech or speech_by_energy
    limit = max(1, int(longest * sample_rate))
    frame = max(1, round(_FRAME_SECONDS * sample_rate))
    margin = min(round(_MARGIN_SECONDS * sample_rate), limit // 8)
    source = iter(blocks)
    held, begin = torch.zeros(0), 0
    while True:
        parts, length = [held], len(held)
        while length <= limit and (block := next(source, None)) is not None:
            parts.append(block)
            length += len(block)
        held = torch.cat(parts) if len(parts) > 1 else held
        if not len(held):
            return
        window = held[:limit]
        last = len(window) == len(held)
        if last and begin == 0:
            yield 0, held
            return
        samples = window.numpy()
        speech = find_speech(samples, sample_rate)
        first = max(0, int(speech[0, 0]) - margin) if len(speech) else 0
        if not len(speech):
            cut = len(window)
        elif first > margin:  # begin again just before the speech, so that the piece can be long
            cut = first
        else:
            if last or len(window) - speech[-1, 1] > 2 * frame:
                cut = len(window)  # it ends where the sound does, or in a pause
            elif len(speech) > 1:
                cut = int(speech[-2, 1] + speech[-1, 0]) // 2
            else:
                cut = _quietest(samples, frame)
            stop = min(cut, int(speech[speech[:, 0] < cut][-1, 1]) + margin)
            yield begin + first, window[first:stop]
        begin += cut
        held = held[cut:]


def speech_by_energy(samples: Samples, sample_rate: int) -> npt.NDArray[np.int64]:
    """Intervals that are loud enough; librosa finds them."""
    import librosa

    if not samples.any():
        return np.zeros((0, 2), dtype=np.int64)
    frame = max(1, round(_FRAME_SECONDS * sample_rate))
    parts = librosa.effects.split(samples, top_db=_PAUSE_DECIBEL, frame_length=2 * frame, hop_length=frame)
    return _without_short_gaps(parts.tolist(), _PAUSE_SECONDS * sample_rate)


def speech_by_silero(samples: Samples, sample_rate: int) -> npt.NDArray[np.int64]:
    """Intervals in which a small network hears a voice and not just any sound (Silero VAD)."""
    silero, model = _silero()
    sound = torch.from_numpy(samples)
    scale = 1.0
    if sample_rate != _SILERO_RATE:
        from torchaudio.functional import resample

        sound, scale = resample(sound, sample_rate, _SILERO_RATE), sample_rate / _SILERO_RATE
    found = silero.get_speech_timestamps(sound, model, sampling_rate=_SILERO_RATE)
    parts = [[int(part["start"] * scale), min(len(samples), int(part["end"] * scale))] for part in found]
    return _without_short_gaps(parts, _PAUSE_SECONDS * sample_rate)


def speech_finder(name: str) -> SpeechFinder:
    """`energy` or `silero`; ConfigError for another name, or where Silero is not installed."""
    if name == "energy":
        return speech_by_energy
    if name != "silero":
        raise ConfigError(f"there is no way called {name} to find speech: give energy or silero")
    _silero()
    return speech_by_silero


@cache
def _silero() -> tuple[Any, Any]:
    threads = torch.get_num_threads()
    try:
        import silero_vad
    except ImportError:
        raise ConfigError(
            "finding speech with silero needs a package: pip install 'asr_seq2seq[silero]', or use energy"
        ) from None
    torch.set_num_threads(threads)  # its import leaves one thread to all the process
    return silero_vad, silero_vad.load_silero_vad()


def _without_short_gaps(parts: list[list[int]], shortest: float) -> npt.NDArray[np.int64]:
    joined: list[list[int]] = []
    for begin, end in parts:
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
