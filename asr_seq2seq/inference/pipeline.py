"""The one road from segments of sound, or features, to what was recognized in them.

Segments of similar length are batched, encoded and decoded together; neither the batch that a segment is in
nor its padding changes its result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.audio.leveling import even_out
from asr_seq2seq.audio.segmentation import Cutter, Samples, split
from asr_seq2seq.audio.trimming import Trimmed, trim, untrimmed, without_offset
from asr_seq2seq.config import LogMelConfig
from asr_seq2seq.decoding.alignment import (
    Frames,
    Loudness,
    attention_of,
    character_frames,
    peak_frames,
    word_times,
)
from asr_seq2seq.decoding.beam import search
from asr_seq2seq.decoding.confidence import PlattScaling, word_confidences, word_places
from asr_seq2seq.decoding.guides import Guide, is_rejected, with_hotwords
from asr_seq2seq.decoding.hypothesis import Hypothesis
from asr_seq2seq.decoding.no_speech import Figures, character_evidence, figures, no_speech_probability
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.decoding.repetition import without_repeats
from asr_seq2seq.decoding.scorers import TextScorer
from asr_seq2seq.inference.loading import LoadedModel
from asr_seq2seq.runtime.features import pad
from asr_seq2seq.runtime.protocol import Encoded, Floats
from asr_seq2seq.transcript import Word

Inputs = npt.NDArray[np.floating[Any]]  # sound (N,) at the model's rate, or features (T, S)
BATCH_SIZE = 16  # segments that are decoded together
_FASTEST = 20.0  # characters that are spoken in a second
WATCHED_SECONDS = 120.0  # the most sound of a batch, padding included, where progress is told after each


@dataclass(frozen=True)
class Recognition:
    """What was recognized in one segment.

    `hypotheses` are the best texts, best first, `text` the first of them. `confidences` has the probability
    that it is right for each word of the text. `words` are the same words with times in seconds from the
    beginning of the segment; they, `frames` (the encoded frames of each character) and `timing` (what
    the times rest on, or why there are none) are filled in where times were asked for, `attention`
    (U + 1, T') where the decoder's attention was. Where `is_speech` is false the segment is taken for one
    without speech: it has hypotheses, but neither text nor words; `figures` are what told, where they did.
    """

    hypotheses: tuple[Hypothesis, ...]
    text: str
    confidences: tuple[float, ...]
    words: tuple[Word, ...] = ()
    frames: Frames | None = None
    timing: str | None = None
    attention: npt.NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    is_speech: bool = True
    figures: Figures | None = field(default=None, compare=False, repr=False)

    @property
    def best(self) -> Hypothesis:
        """The hypothesis whose text this is."""
        return self.hypotheses[0]


class Pipeline:
    """Segments in, recognitions out: batches, encoder, search, times and confidences."""

    def __init__(
        self,
        model: LoadedModel,
        options: DecodingOptions | None = None,
        lm: TextScorer | None = None,
        *,
        batch_size: int = BATCH_SIZE,
        times: bool = False,
        attention: bool = False,
        speech_only: bool = False,
    ) -> None:
        """`options` are the model's own where not given; with `times` the words of sound get their times.

        With `speech_only`, as transcripts need it and with times, segments without speech have no text, as
        the option `no_speech_threshold` says, and endless repeats are cut. The first needs a CTC head;
        neither is done with phrases, where [unk] and [repeat] say what there is.
        """
        self.model, self.alphabet, self.lm = model.acoustic, model.alphabet, lm
        self.options = options or model.options()
        self.normalizer = model.normalizer
        self.guide = Guide.of(self.options, self.alphabet, self.normalizer)
        self.batch_size = batch_size
        self.scaling = PlattScaling.of(self.options)
        self.longest_seconds = model.longest_seconds
        features = model.config.features
        self.input_rate = features.rate  # samples, or frames of features, per second
        self.sample_rate = features.sample_rate if isinstance(features, LogMelConfig) else None
        self.times, self.attention = times, attention
        self.speech_only = speech_only and times and self.sample_rate is not None

    def segments(self, blocks: Iterable[Samples], cut: Cutter | None = None) -> Iterator[tuple[int, Samples]]:
        """Successive blocks of sound -> segments that the model can take, each with its first sample.

        Sound that is longer than `longest_seconds` is cut at pauses, by their level or as `cut` finds them.
        """
        assert self.sample_rate is not None
        return split(blocks, self.sample_rate, self.longest_seconds, cut)

    def recognize_whole(self, inputs: Sequence[Inputs]) -> list[list[Recognition]]:
        """Recognize whole utterances: each has its segments, in order, and none where it is silent."""
        parts = [
            [one] if self.sample_rate is None else [segment for _, segment in self.segments([one])]
            for one in inputs
        ]
        found = iter(self.recognize(list(chain.from_iterable(parts))))
        return [[next(found) for _ in segments] for segments in parts]

    def attention_map(self, inputs: Inputs, text: str) -> npt.NDArray[np.float32] | None:
        """Where the decoder looks along a text, (U + 1, T'); None without attention, or over one segment."""
        rate = self.sample_rate
        if rate is not None and len(inputs) > int(self.longest_seconds * rate):
            return None
        prepared = self._prepared(inputs)
        features, lengths = self.model.features(*pad([prepared.samples]))
        looked = attention_of(self.model, self.model.encode(features, lengths), [self.alphabet.encode(text)])
        return None if looked is None else prepared.spread(looked[0], self._frame_size)

    def guide_with(self, hotwords: Sequence[str]) -> Guide:
        """The pipeline's own hot words and phrases, and more hot words."""
        if not hotwords:
            return self.guide
        return Guide.of(with_hotwords(self.options, hotwords), self.alphabet, self.normalizer)

    def hotwords_in(self, prompt: str, others: int = 0) -> tuple[str, ...]:
        """Those parts of a text, between commas and line ends, that can be hot words in this search.

        As many at most as there is room for beside the pipeline's own and `others` more.
        """
        if self.options.beam_size == 1:
            return ()
        from asr_seq2seq.decoding.hotwords import MOST, usable_hotwords

        room = MOST - len(self.options.hotwords) - others
        return usable_hotwords(prompt, self.alphabet, self.normalizer, room)

    def recognize(
        self,
        segments: Sequence[Inputs],
        on_progress: Callable[[float], None] | None = None,
        guides: Sequence[Guide] | None = None,
    ) -> list[Recognition]:
        """Recognize segments, those of similar length together; the results are in their order.

        `on_progress` is told the seconds of each batch that is done; a batch then has few seconds of sound,
        so that it is told often. `guides` has the hot words and phrases of each segment; the pipeline's own
        without it.
        """
        guides = guides or [self.guide] * len(segments)
        by_length = sorted(range(len(segments)), key=lambda number: len(segments[number]))
        found: dict[int, Recognition] = {}
        most = math.inf if on_progress is None else WATCHED_SECONDS * self.input_rate
        while by_length:
            longest = [len(segments[number]) for number in by_length[: self.batch_size]]
            size = max(1, sum(count * length <= most for count, length in enumerate(longest, start=1)))
            numbers, by_length = by_length[:size], by_length[size:]
            batch = self._recognize_batch([(segments[number], guides[number]) for number in numbers])
            found |= zip(numbers, batch, strict=True)
            if on_progress is not None:
                on_progress(sum(len(segments[number]) for number in numbers) / self.input_rate)
        return [found[number] for number in range(len(segments))]

    def _recognize_batch(self, guided: list[tuple[Inputs, Guide]]) -> Iterator[Recognition]:
        guides = [guide for _, guide in guided]
        prepared = [self._prepared(segment) for segment, _ in guided]
        features, lengths = self.model.features(*pad([one.samples for one in prepared]))
        encoded = self.model.encode(features, lengths)
        found = search(self.model, encoded, self.options, self.lm, [guide.automata for guide in guides])
        unknown = self._unknown_speech(encoded, guides, found)
        texts = [hypotheses[0].tokens for hypotheses in found]
        by_ctc: list[Frames | None] = [None] * len(found)
        if self.times and encoded.ctc is not None:
            by_ctc = character_frames(encoded.ctc, encoded.lengths, texts)
        if self.speech_only and self._cut_repeats(encoded, guides, found, by_ctc):
            texts = [hypotheses[0].tokens for hypotheses in found]
            if encoded.ctc is not None:
                by_ctc = character_frames(encoded.ctc, encoded.lengths, texts)
        attention = None
        if self.attention or (self.times and encoded.ctc is None):
            attention = attention_of(self.model, encoded, texts)
        has_ctc = encoded.ctc is not None
        for number, hypotheses in enumerate(found):
            looked = None if attention is None else attention[number]
            one = self._recognition(prepared[number], hypotheses, by_ctc[number], looked, has_ctc)
            if number in unknown:
                one = self._unknown(one, prepared[number])
            elif self.speech_only and has_ctc and not guides[number].phrases:
                ctc = encoded.ctc[number]
                one = self._without_noise(one, ctc, by_ctc[number], prepared[number])
            yield one

    def _cut_repeats(
        self,
        encoded: Encoded,
        guides: list[Guide],
        found: list[list[Hypothesis]],
        by_ctc: list[Frames | None],
    ) -> bool:
        """Put the best texts without endless repeats in place; whether there were any.

        Without CTC the characters have no evidence where there are more in a second than anyone speaks.
        """
        cut = False
        for number, hypotheses in enumerate(found):
            if guides[number].phrases:
                continue
            best = hypotheses[0]
            if encoded.ctc is not None:
                evidence = character_evidence(encoded.ctc[number], best.tokens, by_ctc[number])
            else:
                seconds = float(encoded.lengths[number]) * self.model.seconds_per_frame
                evidence = np.full(best.length, float(best.length <= _FASTEST * seconds))
            less = without_repeats(best, self.alphabet.space, evidence)
            if less is not best:
                found[number] = [less, *hypotheses[1:]]
                cut = True
        return cut

    def _without_noise(
        self, recognition: Recognition, ctc: Floats, frames: Frames | None, prepared: Trimmed
    ) -> Recognition:
        """The same, or without its text where that was found in no speech."""
        assert self.sample_rate is not None
        tokens = recognition.best.tokens
        if not tokens or self.options.no_speech_threshold == 1:
            return recognition
        evidence = character_evidence(ctc, tokens, frames)
        found = figures(prepared.samples, self.sample_rate, evidence)
        recognition = replace(recognition, figures=found)
        if no_speech_probability(found) <= self.options.no_speech_threshold:
            return recognition
        return replace(recognition, text="", confidences=(), words=(), frames=None, is_speech=False)

    def _unknown_speech(
        self, encoded: Encoded, guides: list[Guide], found: list[list[Hypothesis]]
    ) -> set[int]:
        """The utterances that no phrase fits, by a search that is not bound to phrases."""
        rejecting = [number for number, guide in enumerate(guides) if guide.rejects]
        if not rejecting:
            return set()
        hotwords = [guides[number].hotwords for number in rejecting]
        free = search(self.model, encoded.keep(np.array(rejecting)), self.options, self.lm, hotwords)
        return {
            number
            for number, unbound in zip(rejecting, free, strict=True)
            if is_rejected(found[number][0], unbound[0], self.options.phrase_margin)
        }

    def _unknown(self, recognition: Recognition, prepared: Trimmed) -> Recognition:
        """The same segment with [unk] as its text and only word."""
        from asr_seq2seq.decoding.phrases import UNKNOWN_PHRASE

        seconds = prepared.length / self.input_rate
        words = (Word(UNKNOWN_PHRASE, 0.0, seconds, None),) if self.times else ()
        timing = "the whole segment" if self.times else None
        return replace(
            recognition, text=UNKNOWN_PHRASE, confidences=(), words=words, frames=None, timing=timing
        )

    @property
    def _frame_size(self) -> float:
        """Samples from one encoded frame to the next."""
        return self.model.seconds_per_frame * self.input_rate

    def _prepared(self, segment: Inputs) -> Trimmed:
        """What of a segment is encoded: without loud events, an offset and long silence. Features stay."""
        if self.sample_rate is None:
            return untrimmed(segment)
        even = even_out(without_offset(segment, self.sample_rate), self.sample_rate)
        return trim(even, self.sample_rate) if self.options.trim_silence else untrimmed(even)

    def _recognition(
        self,
        prepared: Trimmed,
        hypotheses: list[Hypothesis],
        frames: Frames | None,
        attention: npt.NDArray[np.float32] | None,
        has_ctc: bool,
    ) -> Recognition:
        best, alphabet = hypotheses[0], self.alphabet
        sure = tuple(word_confidences(best, alphabet.space, self.scaling))
        words: tuple[Word, ...] = ()
        timing = None
        if self.times:
            if not has_ctc and attention is not None:
                frames = peak_frames(attention[:-1])
            timing = _timing(best, frames, has_ctc=has_ctc, has_attention=attention is not None)
            words = tuple(self._words(best, frames, prepared, sure))
        return Recognition(
            hypotheses=tuple(hypotheses),
            text=alphabet.decode(best.tokens).strip(),
            confidences=sure,
            words=words,
            frames=None if frames is None else prepared.frames(frames, self._frame_size),
            timing=timing,
            attention=prepared.spread(attention, self._frame_size)
            if self.attention and attention is not None
            else None,
        )

    def _words(
        self, best: Hypothesis, frames: Frames | None, prepared: Trimmed, sure: tuple[float, ...]
    ) -> Iterator[Word]:
        """The words of a segment; without times where no frames are known."""
        places = word_places(best.tokens, self.alphabet.space)
        times: Sequence[tuple[float | None, float | None]] = [(None, None)] * len(places)
        if frames is not None and self.sample_rate is not None:
            in_words = [[frames[place] for place in word] for word in places]
            loudness = Loudness.of(prepared.samples, self.sample_rate)
            found = word_times(in_words, self.model.seconds_per_frame, loudness)
            times = [prepared.seconds(begin, end, self.sample_rate) for begin, end in found]
        for word, (begin, end), confidence in zip(places, times, sure, strict=True):
            yield Word(self.alphabet.decode([best.tokens[place] for place in word]), begin, end, confidence)


def _timing(best: Hypothesis, frames: Frames | None, *, has_ctc: bool, has_attention: bool) -> str:
    """What the times of a segment's words rest on, or why they are not known."""
    if has_ctc:
        if frames is not None or not best.tokens:
            return "CTC alignment"
        return "none: the text has more characters than CTC has frames for"
    return "attention peaks" if has_attention else "none: the model has neither a CTC head nor attention"
