"""How probable it is that a segment has no speech, from what CTC says of its text and from its sound.

A decoder with attention writes words for whatever it is given, and is sure of some of them. CTC looks at
each frame alone, and gives the characters of such words little probability where nothing was spoken; where
music or machines deceive it as well, the sound tells. The figures are weighed as in logistic regression, by
`tools/fit_no_speech.py`: docs/reliability.md says on what, and what it is worth.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import numpy as np

from asr_seq2seq.audio.music import rhythm, tonality
from asr_seq2seq.audio.segmentation import Samples
from asr_seq2seq.audio.voice import voice
from asr_seq2seq.decoding.alignment import Frames
from asr_seq2seq.runtime.protocol import Floats

# Log odds: what they are where nothing tells anything, and for each of the figures.
WEIGHTS = (15.4, -8.4, -7.8, -6.8, 7.8, 5.2, -2.1)
_USUAL_GLIDING = 0.2  # of the time, in noisy speech
_USUAL_VARIETY = 0.15
_LEAST_MOVEMENT, _USUAL_MOVEMENT = 1.0, 4.0  # decibels, of noise and of speech
_USUAL_TONALITY = 0.5  # of speech
_MUSIC_SECONDS = 5.0  # of a beat or a note; a voice may have either for a shorter time
_TELLING_SECONDS = 1.0  # of sound, fewer of which tell little

Figures = tuple[float, float, float, float, float, float, float]


def figures(samples: Samples, sample_rate: int, evidence: Floats) -> Figures:
    """What is weighed of a segment's samples (N,) and the `character_evidence` (U,) of its text.

    They are 1, the mean evidence, how much of the time a pitch glides or, where it is more, how fast the
    spectrum moves, how far loud frames differ, each up to what is usual in speech, which is 1, the square of
    rhythm and how far tonality exceeds that of speech, both less where they last for less time than in music,
    and how much the segment is too short, as a part of the length that tells enough.
    """
    seconds = len(samples) / sample_rate
    gliding, variety, movement = voice(samples, sample_rate)
    moving = (movement - _LEAST_MOVEMENT) / (_USUAL_MOVEMENT - _LEAST_MOVEMENT)
    tonal = max(0.0, tonality(samples, sample_rate) - _USUAL_TONALITY) / (1 - _USUAL_TONALITY)
    lasting = min(1.0, seconds / _MUSIC_SECONDS)
    return (
        1.0,
        float(evidence.mean()),
        min(1.0, max(gliding / _USUAL_GLIDING, moving)),
        min(1.0, variety / _USUAL_VARIETY),
        rhythm(samples, sample_rate) ** 2 * lasting,
        tonal * lasting,
        max(0.0, 1 - seconds / _TELLING_SECONDS),
    )


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
