"""A known text and the sound that it was read in -> when each of its words and utterances was spoken."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from asr_seq2seq.config import LogMelConfig
from asr_seq2seq.decoding.alignment import Frames, Loudness, word_times
from asr_seq2seq.decoding.long_alignment import align_long, frames_of, path_scores, worst_mean
from asr_seq2seq.errors import ConfigError, ModelFileError
from asr_seq2seq.inference.loading import LoadedModel
from asr_seq2seq.inference.posteriors import Posteriors
from asr_seq2seq.inference.script import Script
from asr_seq2seq.transcript import Segment, Transcript, Word

SCORED_SECONDS = 1.2  # the part of an utterance that fits worst decides its score: 30 frames in the paper
SENTENCE_PAUSE = 0.5  # seconds; where a text has no punctuation, sentences end in such a pause
_QUIET, _NEAR, _REACH = 0.2, 10.0, 1.0  # see `Loudness`
_PAUSE = 0.2  # seconds of quiet, in which no word continues
_TIMING = "CTC alignment of the given text"


@dataclass(frozen=True)
class AlignedText:
    """A text with its times: (start, end) in seconds and a confidence of each word of the script.

    The confidence, from 0 to 1, is the geometric mean of the probabilities along the word's path; None where
    the model knows no character of the word, whose times are then those between its neighbors. `scores` (T,)
    are the log-probabilities of the path at each frame of `seconds_per_frame`, `duration` are the sound's
    seconds.
    """

    script: Script
    times: tuple[tuple[float, float], ...]
    confidences: tuple[float | None, ...]
    scores: npt.NDArray[np.float64]
    seconds_per_frame: float
    duration: float

    def score(self, first: int, stop: int) -> float:
        """How well the words `first:stop` fit their sound: natural logarithm, 0 the best.

        The mean log-probability of a frame in the second or so that fits worst (Kuerzinger et al. 2020,
        section 2.3); of words that the model cannot spell it is minus infinity.
        """
        if all(confidence is None for confidence in self.confidences[first:stop]):
            return -math.inf
        begin = int(self.times[first][0] / self.seconds_per_frame)
        end = max(begin + 1, round(self.times[stop - 1][1] / self.seconds_per_frame))
        part = self.scores[begin:end]
        return worst_mean(part, round(SCORED_SECONDS / self.seconds_per_frame)) if len(part) else -math.inf

    def transcript(self, utterances: Sequence[tuple[int, int]]) -> Transcript:
        """The words `first:stop` of each utterance as a segment, with its score."""
        segments = []
        for number, (first, stop) in enumerate(utterances):
            words = tuple(
                Word(word.text, round(start, 3), round(end, 3), None if sure is None else round(sure, 4))
                for word, (start, end), sure in zip(
                    self.script.words[first:stop],
                    self.times[first:stop],
                    self.confidences[first:stop],
                    strict=True,
                )
            )
            score = self.score(first, stop)
            text = " ".join(word.text for word in words)
            start, end = self.times[first][0], self.times[stop - 1][1]
            tokens = tuple(token for word in self.script.words[first:stop] for token in word.characters)
            mean = self._mean(start, end)
            segments.append(
                Segment(number, start, end, text, tokens, mean, words, _TIMING, score=_finite(score))
            )
        whole = " ".join(segment.text for segment in segments)
        return Transcript(whole, tuple(segments), None, self.duration)

    def _mean(self, start: float, end: float) -> float:
        begin = int(start / self.seconds_per_frame)
        part = self.scores[begin : max(begin + 1, round(end / self.seconds_per_frame))]
        return float(part.mean()) if len(part) else 0.0


def _finite(score: float) -> float | None:
    return round(score, 4) if math.isfinite(score) else None


def check_model(model: LoadedModel) -> int:
    """The samples per second that the model takes; ModelFileError where it cannot align."""
    features = model.config.features
    if not isinstance(features, LogMelConfig):
        raise ModelFileError(
            "this model takes features of another program and no sound; give another to align"
        )
    if not model.config.model.ctc_weight:
        raise ModelFileError(
            "this model has no CTC head, which alignment needs: give one trained with model.ctc_weight > 0"
        )
    return features.sample_rate


def align_text(
    found: Posteriors,
    script: Script,
    model: LoadedModel,
    on_progress: Callable[[int], None] = lambda frames: None,
) -> AlignedText:
    """The text in the sound; ConfigError where it cannot be there."""
    text, gaps, breaks, places = script.spelled(model.alphabet.space)
    if not text:
        raise ConfigError("the text holds no character that the model knows; give another text or model")
    seconds_per_frame = model.acoustic.seconds_per_frame
    loudness = Loudness(found.decibels, found.level_seconds, _QUIET, _NEAR, _REACH)
    pauses = loudness.pauses(_PAUSE, seconds_per_frame, len(found.ctc))
    path = align_long(found.ctc, text, gaps, breaks, pauses, on_progress=on_progress)
    if path is None:
        raise ConfigError(
            f"the text has {len(text):,} characters, too many for {found.seconds:.1f} s of sound: "
            "give the text of this sound alone"
        )
    frames = frames_of(path, len(text))
    scores = path_scores(found.ctc, path, text)
    known = [number for number, (first, last) in enumerate(places) if last > first]
    in_words: list[Frames] = [frames[slice(*places[number])] for number in known]
    times = dict(zip(known, word_times(in_words, seconds_per_frame, loudness), strict=True))
    sure = {
        number: math.exp(scores[word[0][0] : word[-1][1]].mean())
        for number, word in zip(known, in_words, strict=True)
    }
    return AlignedText(
        script,
        tuple(_with_unknown(times, len(places), found.seconds)),
        tuple(sure.get(number) for number in range(len(places))),
        scores,
        seconds_per_frame,
        found.seconds,
    )


def _with_unknown(
    times: dict[int, tuple[float, float]], count: int, seconds: float
) -> Iterable[tuple[float, float]]:
    """The times of all words: those that are not known lie between their neighbors, in equal parts."""
    known = [-1, *sorted(times), count]
    for before, after in pairwise(known):
        if before >= 0:
            yield times[before]
        start = times[before][1] if before >= 0 else 0.0
        end = times[after][0] if after < count else seconds
        if before < 0 or after == count:  # nobody knows how far from its only neighbor
            start, end = (end, end) if before < 0 else (start, start)
        missing = after - before - 1
        for number in range(missing):
            yield (
                start + (end - start) * number / missing,
                start + (end - start) * (number + 1) / missing,
            )


def utterances(aligned: AlignedText, longest: float | None, *, running: bool) -> list[tuple[int, int]]:
    """The words (first, last + 1) of each utterance.

    A line of the script is one. Where the text is `running` its parts are divided at the ends of sentences,
    and one without any in pauses; and what is longer than `longest` seconds in its longest pauses.
    """
    found: list[tuple[int, int]] = []
    begin = 0
    for end in aligned.script.ends:
        parts = _sentences(aligned, begin, end) if running else [(begin, end)]
        for first, stop in parts:
            found += [(first, stop)] if longest is None else _shorter(aligned, first, stop, longest)
        begin = end
    return found


def _sentences(aligned: AlignedText, begin: int, end: int) -> list[tuple[int, int]]:
    words = aligned.script.words
    ends = [number + 1 for number in range(begin, end - 1) if words[number].ends_sentence]
    if not ends:
        ends = [
            number + 1 for number in range(begin, end - 1) if _pause(aligned, number + 1) >= SENTENCE_PAUSE
        ]
    return list(pairwise([begin, *ends, end]))


def _pause(aligned: AlignedText, number: int) -> float:
    """Seconds between a word and the one before it."""
    return aligned.times[number][0] - aligned.times[number - 1][1]


def _shorter(aligned: AlignedText, begin: int, end: int, longest: float) -> list[tuple[int, int]]:
    """Words divided in their longest pauses, among equal ones in the middle, until no part is too long."""
    open_parts, found = [(begin, end)], []
    while open_parts:
        first, stop = open_parts.pop()
        start, last = aligned.times[first][0], aligned.times[stop - 1][1]
        if last - start <= longest or stop - first < 2:
            found.append((first, stop))
            continue
        middle = (start + last) / 2
        cut = max(
            range(first + 1, stop),
            key=lambda number: (round(_pause(aligned, number), 2), -abs(aligned.times[number][0] - middle)),
        )
        open_parts += [(cut, stop), (first, cut)]
    return found


def widened(
    aligned: AlignedText, parts: Sequence[tuple[int, int]], margin: float
) -> list[tuple[float, float]]:
    """(start, end) in seconds of each utterance with up to `margin` seconds of what is beside it.

    Between two utterances each has at most half of what is between them.
    """
    bounds = [(aligned.times[first][0], aligned.times[stop - 1][1]) for first, stop in parts]
    ends = [0.0, *(end for _, end in bounds)]
    starts = [*(start for start, _ in bounds), aligned.duration]
    found = []
    for number, (start, end) in enumerate(bounds):
        before = start - ends[number]
        behind = starts[number + 1] - end
        before = before if number == 0 else before / 2
        behind = behind if number == len(bounds) - 1 else behind / 2
        found.append((start - min(margin, max(0.0, before)), end + min(margin, max(0.0, behind))))
    return found
