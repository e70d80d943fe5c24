"""The CTC log-probabilities and the loudness of a sound of any length, block by block.

A bidirectional encoder sees only its block, and least at the block's ends: blocks overlap, as long as the
utterances that the model was trained on, and of each the middle is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.audio.leveling import even_out
from asr_seq2seq.audio.segmentation import Samples
from asr_seq2seq.audio.trimming import without_offset
from asr_seq2seq.decoding.alignment import frame_samples, levels, smooth
from asr_seq2seq.inference.loading import LoadedModel
from asr_seq2seq.runtime.features import pad

LONGEST_BLOCK = 25.0  # seconds
CONTEXT = 0.1  # of a block on each side, that only the middle is computed with
_BATCH = 8

_Progress = Callable[[float], None]


@dataclass(frozen=True)
class Posteriors:
    """CTC log-probabilities (T, V) of a whole sound of so many `seconds`.

    `decibels` is its level, every `level_seconds`.
    """

    ctc: npt.NDArray[np.float32]
    decibels: npt.NDArray[np.float64]
    level_seconds: float
    seconds: float


@dataclass(frozen=True)
class _Block:
    """Samples with what is kept of their encoded frames."""

    samples: Samples
    first: int
    stop: int | None


def posteriors(
    model: LoadedModel,
    blocks: Iterable[Samples],
    sample_rate: int,
    *,
    block_seconds: float | None = None,
    on_progress: _Progress = lambda seconds: None,
) -> Posteriors:
    """Successive samples (N_i,) at the model's rate -> what is computed of all of them.

    However the samples are divided, the result is the same. `block_seconds` is the longest that the model
    knows, and no more than 25 s, unless given. `on_progress` is told the seconds that were computed.
    """
    seconds = min(block_seconds or LONGEST_BLOCK, model.longest_seconds, LONGEST_BLOCK)
    frame = round(model.acoustic.seconds_per_frame * sample_rate)  # samples
    context = max(1, round(CONTEXT * seconds * sample_rate / frame))  # encoded frames
    stride = max(1, int(seconds * sample_rate / frame) - 2 * context)
    loudness: list[npt.NDArray[np.float64]] = []
    ctc: list[npt.NDArray[np.float32]] = []
    batch: list[_Block] = []
    measured = _Measured(blocks, frame_samples(sample_rate), loudness)
    for one in _overlapping(measured, frame, context, stride):
        batch.append(one)
        if len(batch) == _BATCH:
            ctc += _encode(model, batch, sample_rate)
            on_progress(len(batch) * stride * frame / sample_rate)
            batch = []
    if batch:
        ctc += _encode(model, batch, sample_rate)
    measured.finish()
    return Posteriors(
        np.concatenate(ctc),
        smooth(np.concatenate(loudness)),
        measured.frame / sample_rate,
        measured.samples / sample_rate,
    )


class _Measured:
    """Blocks of samples that pass; the level of each frame of them is added to a list."""

    def __init__(
        self, blocks: Iterable[Samples], frame: int, loudness: list[npt.NDArray[np.float64]]
    ) -> None:
        self.blocks, self.frame, self.loudness = blocks, frame, loudness
        self.samples = 0
        self._rest: Samples = np.zeros(0, np.float32)

    def __iter__(self) -> Iterator[Samples]:
        for block in self.blocks:
            self.samples += len(block)
            held = np.concatenate((self._rest, block))
            whole = len(held) // self.frame * self.frame
            if whole:
                self.loudness.append(levels(held[:whole], self.frame))
            self._rest = held[whole:]
            yield block

    def finish(self) -> None:
        """Of a sound that is shorter than a frame there is one level."""
        if not self.loudness:
            self.loudness.append(levels(self._rest, self.frame))


def _overlapping(blocks: Iterable[Samples], frame: int, context: int, stride: int) -> Iterator[_Block]:
    """Blocks of `stride` frames with `context` on both sides; all of the last one is kept."""
    source = iter(blocks)
    held = np.zeros(0, np.float32)
    before = 0  # frames of context that are held before the block
    ended = False
    while True:
        wanted = (before + stride + context) * frame
        parts, length = [held], len(held)
        while length <= wanted and not ended:
            part = next(source, None)
            if part is None:
                ended = True
                break
            parts.append(part)
            length += len(part)
        held = np.concatenate(parts)
        if length <= wanted:  # the sound ends with it
            yield _Block(held, before, None)
            return
        yield _Block(held[:wanted], before, before + stride)
        drop = max(0, before + stride - context)
        held, before = held[drop * frame :], before + stride - drop


def _encode(model: LoadedModel, batch: list[_Block], sample_rate: int) -> Iterator[npt.NDArray[Any]]:
    """The CTC log-probabilities of what is kept of each block."""
    sounds = [even_out(without_offset(one.samples, sample_rate), sample_rate) for one in batch]
    features, lengths = model.acoustic.features(*pad(sounds))
    encoded = model.acoustic.encode(features, lengths)
    for one, log_p, count in zip(batch, encoded.ctc, encoded.lengths, strict=True):
        yield log_p[one.first : count if one.stop is None else min(count, one.stop)].copy()
