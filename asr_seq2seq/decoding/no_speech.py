"""How probable it is that a segment has no speech, from what CTC says of its text and from its sound.

A decoder with attention writes words for whatever it is given, and is sure of some of them. CTC looks at
each frame alone, and gives the characters of such words little probability where nothing was spoken; where
music or drums deceive it as well, the sound tells. The figures are weighed as in logistic regression, with
rounded weights: docs/reliability.md says on what they were fitted and measured.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import numpy as np

from asr_seq2seq.audio.music import rhythm, tonality
from asr_seq2seq.audio.segmentation import Samples
from asr_seq2seq.decoding.alignment import Frames
from asr_seq2seq.runtime.protocol import Floats

# Log odds: what they are where nothing tells anything, and for each of the figures.
WEIGHTS = (4.8, -17.0, 24.5, 27.5, -6.0, 4.0)
_USUAL_TONALITY = 0.5  # of speech
_USUAL_RHYTHM = 0.8
_MUSIC_SECONDS = 5.0  # of tonality; a monotonous voice may have it for a shorter time
_USUAL_RATE = 2.0  # characters a second, of slow speech
_TELLING_SECONDS = 1.0  # of sound, fewer of which tell little

Figures = tuple[float, float, float, float, float, float]


def figures(samples: Samples, sample_rate: int, evidence: Floats) -> Figures:
    """What is weighed of a segment's samples (N,) and the `character_evidence` (U,) of its text.

    They are 1, the mean evidence, how far tonality exceeds that of speech, less where it lasts for less time
    than music does, rhythm likewise, as a part of what it can, how much the segment is too short, as a part
    of the length that tells enough, and how far it has fewer characters a second than speech.
    """
    seconds = len(samples) / sample_rate
    tonal = max(0.0, tonality(samples, sample_rate) - _USUAL_TONALITY) * min(1.0, seconds / _MUSIC_SECONDS)
    rhythmic = max(0.0, rhythm(samples, sample_rate) - _USUAL_RHYTHM) / (1 - _USUAL_RHYTHM)
    short = max(0.0, 1 - seconds / _TELLING_SECONDS)
    slow = max(0.0, 1 - len(evidence) / seconds / _USUAL_RATE)
    return 1.0, float(evidence.mean()), tonal, rhythmic, short, slow


def no_speech_probability(figures: Figures) -> float:
    """The probability that there is no speech in a segment with these `figures`."""
    return 1 / (1 + math.exp(-sum(map(operator.mul, WEIGHTS, figures))))


def character_evidence(ctc: Floats, tokens: Sequence[int], frames: Frames | None) -> Floats:
    """CTC log-probabilities (T, V), characters (U,) and their frames -> the probability of each, (U,).

    That of a character is the highest in its frames, and 0 where CTC cannot align the text.
    """
    if frames is None:
        return np.zeros(len(tokens))
    return np.exp([ctc[first:stop, token].max() for token, (first, stop) in zip(tokens, frames, strict=True)])
