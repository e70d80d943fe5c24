"""The one class that an application needs: a model file and decoding options -> transcripts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypedDict, overload

import numpy.typing as npt

from asr_seq2seq import audio
from asr_seq2seq.audio.segmentation import Samples, cutter
from asr_seq2seq.config import LogMelConfig, RecognizerSettings
from asr_seq2seq.decoding.guides import Guide
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.decoding.scorers import TextScorer
from asr_seq2seq.errors import AsrError, AudioError, ConfigError, ModelFileError
from asr_seq2seq.inference.loading import LoadedModel, load, load_text_scorer, save_copy
from asr_seq2seq.inference.pipeline import BATCH_SIZE, WATCHED_SECONDS, Pipeline, Recognition
from asr_seq2seq.runtime.session import RuntimeOptions
from asr_seq2seq.transcript import Segment, Transcript, Word

Source = str | Path | bytes | BinaryIO | npt.ArrayLike
Progress = Callable[[float], None]
OnSegment = Callable[[int, Segment], None]
_BATCHES_AHEAD = 4  # of many sounds so many batches are gathered, and divided by length


@dataclass
class Job:
    """One source on its way: how many of its segments are still to be decoded, and what came out.

    `start` is the second of the source at which what is transcribed begins, `seconds` how long it is;
    `guide` has its hot words and phrases where they are not the pipeline's own.
    """

    number: int = 0
    channel: int | None = None
    start: float = 0.0
    guide: Guide | None = None
    waiting: int = 0
    seconds: float = 0.0
    segments: list[Segment] = field(default_factory=list)
    rejected_seconds: float = 0.0
    error: AsrError | None = None

    def counted(
        self, blocks: Iterable[Samples], rate: int, check: Callable[[], None] | None = None
    ) -> Iterator[Samples]:
        """The same blocks, whose seconds are added up on the way; `check` is called after each."""
        for block in blocks:
            self.seconds += len(block) / rate
            if check is not None:
                check()
            yield block

    @property
    def silent_seconds(self) -> float:
        """How much of it was never in a segment."""
        recognized = sum(segment.end - segment.start for segment in self.segments) + self.rejected_seconds
        return max(0.0, self.seconds - recognized)

    def add(self, start: float, end: float, recognition: Recognition) -> bool:
        """Take what was recognized between two times as the next segment; False where it is no speech."""
        if not recognition.is_speech:
            self.rejected_seconds += end - start
        else:
            self.segments.append(as_segment(len(self.segments), start, end, recognition))
        return recognition.is_speech

    def result(self) -> Transcript | AsrError:
        """The transcript, or what is wrong with the source."""
        if self.error is not None:
            return self.error
        return self.transcript()

    def transcript(self) -> Transcript:
        """The segments so far as a transcript."""
        text = " ".join(segment.text for segment in self.segments if segment.text)
        segments, dropped = tuple(self.segments), self.dropped()
        return Transcript(text, segments, None, self.seconds, dropped, self.channel, self.start)

    def dropped(self) -> tuple[tuple[float, float], ...]:
        """The stretches in seconds that belong to no segment."""
        ends = [self.start, *(segment.end for segment in self.segments)]
        starts = [*(segment.start for segment in self.segments), self.start + self.seconds]
        return tuple((end, start) for end, start in zip(ends, starts, strict=True) if start - end > 1e-6)


class _Seconds(TypedDict):
    """Which part of a sound is read."""

    offset: float
    duration: float | None


_Part = tuple[Job, float, Samples]  # a segment, with the second at which it begins


class Recognizer:
    """Speech in, text out.

    >>> recognizer = Recognizer.load()                            # doctest: +SKIP
    >>> recognizer.transcribe("digits.flac").text                 # doctest: +SKIP
    'one two three'
    """

    def __init__(
        self,
        model: LoadedModel,
        options: DecodingOptions | None = None,
        lm: TextScorer | None = None,
        *,
        batch_size: int = BATCH_SIZE,
        vad: str = "energy",
        attention: bool = False,
    ) -> None:
        """`options` are the model's own where not given; `batch_size` segments are decoded together.

        `vad` says how pauses are found in long sound, by `energy` or by `silero`. With `attention` each
        segment holds the attention of the decoder.
        """
        self.model = model
        self.cut = cutter(vad)
        features = model.config.features
        if not isinstance(features, LogMelConfig):
            raise ModelFileError(
                "this model takes features of another program and no sound; evaluate it on a corpus of them"
            )
        self._rate = features.sample_rate
        self.pipeline = Pipeline(
            model,
            options,
            lm,
            batch_size=batch_size,
            times=True,
            attention=attention,
            speech_only=True,
        )

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        device: str = "auto",
        backend: str = "onnx",
        compute_type: str = "float32",
        threads: int | None = None,
        decoding: Mapping[str, Any] | None = None,
        language_model: str | Path | None = None,
        batch_size: int = BATCH_SIZE,
        vad: str = "energy",
        attention: bool = False,
    ) -> Recognizer:
        """Read a model file, or a bundled model by its name; `english` where `path` is None.

        `device`, `backend`, `compute_type` and `threads` are those of `RuntimeOptions`. `decoding` names
        options of `DecodingOptions` that take the place of the model's own, such as `{"beam_size": 4}`.
        Hot words and phrases are given there: `{"hotwords": ("Anna Schmidt",), "phrases": ("yes", "no")}`.
        `language_model` is a file of `train-lm` or of word n-grams. ConfigError for an option that the model
        cannot follow.
        """
        decoding = decoding or {}
        runtime = RuntimeOptions(compute_type, threads, device, backend)
        if language_model is None and decoding.get("lm_weight") is not None:
            raise ConfigError("lm_weight is given and no language model: name one")
        model = load(path, runtime)
        lm = None if language_model is None else load_text_scorer(language_model, model.alphabet, runtime)
        options = model.options(decoding, lm)
        return cls(model, options, lm, batch_size=batch_size, vad=vad, attention=attention)

    def save(self, path: str | Path, *, half: bool = False) -> None:
        """Write a model file that `load` reads: the weights, and these decoding options as its own.

        The language model stays a file of its own, and so do the options that it brings. `half` stores
        weights as float16. ModelFileError where the file that the model was loaded from is gone; OutputError
        for a path that cannot be written.
        """
        save_copy(self.model, self.pipeline.options, Path(path), lm=self.pipeline.lm, half=half)

    @property
    def sample_rate(self) -> int:
        """Samples per second that the model takes."""
        return self._rate

    @property
    def longest_seconds(self) -> float:
        """The longest segment; longer sound is cut at pauses."""
        return self.pipeline.longest_seconds

    @property
    def config(self) -> RecognizerSettings:
        """The settings that the model was trained with."""
        return self.model.config

    @overload
    def transcribe(
        self,
        source: Source,
        *,
        rate: int | None = None,
        channel: int | None = None,
        start: float = 0.0,
        end: float | None = None,
        hotwords: Sequence[str] = (),
    ) -> Transcript: ...
    @overload
    def transcribe(
        self,
        source: list[Source] | tuple[Source, ...],
        *,
        rate: int | None = None,
        channel: int | None = None,
        start: float = 0.0,
        end: float | None = None,
        hotwords: Sequence[str] = (),
    ) -> list[Transcript]: ...
    def transcribe(
        self,
        source: Source | list[Source] | tuple[Source, ...],
        *,
        rate: int | None = None,
        channel: int | None = None,
        start: float = 0.0,
        end: float | None = None,
        hotwords: Sequence[str] = (),
    ) -> Transcript | list[Transcript]:
        """A path, bytes, an open file, samples, or a list of them -> a transcript, or a list of them.

        Arrays and tensors hold samples (N,) or (channels, N); `rate` is theirs in Hz and must be given.
        `channel`, counted from 0, is transcribed alone; without it all are, as one. `start` and `end`, in
        seconds, choose a part; the times of the result are those of the whole. `hotwords` are words to
        expect besides those of the options. Raises AudioError for the first sound that cannot be used.
        """
        results = []
        sources = list(source) if isinstance(source, list | tuple) else [source]
        channels = [channel] * len(sources)
        found = self.transcribe_each(
            sources, rate=rate, channels=channels, start=start, end=end, hotwords=hotwords
        )
        for result in found:
            if isinstance(result, AsrError):
                raise result
            results.append(result)
        return results if isinstance(source, list | tuple) else results[0]

    def transcribe_each(
        self,
        sources: Sequence[Source],
        *,
        rate: int | None = None,
        channels: Sequence[int | None] | None = None,
        start: float = 0.0,
        end: float | None = None,
        hotwords: Sequence[str] = (),
        on_progress: Progress | None = None,
        on_segment: OnSegment | None = None,
    ) -> Iterator[Transcript | AsrError]:
        """In the order of `sources`, each one's transcript or what is wrong with it.

        One bad sound does not stop the others. Sound is read in blocks; what is longer than the model
        knows is cut at pauses, and segments of all sources are decoded in batches of similar length.
        `channels` has one of each source, or None for all of them as one; `start` and `end` choose a part
        of every source, in seconds; `hotwords` are those of `transcribe`. `on_progress` is told the seconds
        of sound that were just recognized or found silent, `on_segment` each finished segment after the
        number of its source, from 0.
        """
        guide = self.pipeline.guide_with(hotwords)
        jobs: deque[Job] = deque()
        parts: list[_Part] = []
        watched = not (on_progress is None and on_segment is None)
        enough = self.pipeline.batch_size * (_BATCHES_AHEAD if len(sources) > 1 else 1)
        for number, source in enumerate(sources):
            job = Job(number, channels[number] if channels else None, start, guide)
            jobs.append(job)
            try:
                blocks = job.counted(self._blocks(source, rate, job.channel, start, end), self._rate)
                for first, samples in self.pipeline.segments(blocks, self.cut):
                    job.waiting += 1
                    parts.append((job, start + first / self._rate, samples))
                    if len(parts) == enough or self._waits(parts, watched and len(sources) == 1):
                        self._decode(parts, on_progress, on_segment)
                        parts = []
            except AsrError as error:
                job.error = error
            while jobs and not jobs[0].waiting:
                yield self._finished(jobs.popleft(), on_progress)
        self._decode(parts, on_progress, on_segment)
        yield from (self._finished(job, on_progress) for job in jobs)

    def stream(self, blocks: Iterable[npt.ArrayLike], *, rate: int) -> Iterator[Segment]:
        """Samples block by block, at `rate` Hz, as from a microphone -> each segment once it is finished.

        The segments are those of `transcribe` on the whole sound: each ends at the last pause that leaves
        it no longer than `longest_seconds`, which is known so long, and a block, after its beginning.
        Raises AudioError for samples that cannot be used.
        """
        job = Job()
        sound = audio.from_blocks(blocks, rate, self._rate)
        for start, samples in self.pipeline.segments(sound, self.cut):
            known = len(job.segments)
            self._decode([(job, start / self._rate, samples)])
            yield from job.segments[known:]

    def _waits(self, parts: Sequence[_Part], watched: bool) -> bool:
        """Whether so much sound waits that one who watches should see some of it done."""
        return watched and sum(len(samples) for _, _, samples in parts) >= WATCHED_SECONDS * self._rate

    def _finished(self, job: Job, on_progress: Progress | None) -> Transcript | AsrError:
        """The result of a source all of whose segments are decoded."""
        if on_progress is not None:
            on_progress(job.silent_seconds)
        return job.result()

    def _decode(
        self,
        parts: Sequence[_Part],
        on_progress: Progress | None = None,
        on_segment: OnSegment | None = None,
    ) -> None:
        """Recognize segments, and give each source its own, in order."""
        guides = [job.guide or self.pipeline.guide for job, _, _ in parts]
        found = self.pipeline.recognize([samples for _, _, samples in parts], on_progress, guides)
        for (job, start, samples), recognition in zip(parts, found, strict=True):
            job.waiting -= 1
            if job.add(start, start + len(samples) / self._rate, recognition) and on_segment is not None:
                on_segment(job.number, job.segments[-1])

    def _blocks(
        self, source: Source, rate: int | None, channel: int | None, start: float, end: float | None
    ) -> Iterator[Samples]:
        part = _Seconds(offset=start, duration=None if end is None else end - start)
        if hasattr(source, "ndim"):  # an array, or a tensor
            if rate is None:
                example = "transcribe(samples, rate=16000)"
                raise AudioError(
                    f"an array of samples does not tell its rate: give it in Hz, as in {example}"
                )
            return audio.from_blocks([source], rate, self._rate, channel=channel, **part)  # type: ignore[list-item]
        return audio.blocks(source, self._rate, channel=channel, **part)  # type: ignore[arg-type]


def as_segment(number: int, start: float, end: float, recognition: Recognition) -> Segment:
    """What was recognized between two times of a source, as its transcript holds it."""
    best = recognition.best
    return Segment(
        id=number,
        start=start,
        end=end,
        text=recognition.text,
        tokens=best.tokens if recognition.is_speech else (),
        avg_logprob=best.decoder / (best.length + 1),
        words=tuple(_moved(word, start) for word in recognition.words),
        timing=recognition.timing,
        attention=recognition.attention,
    )


def _moved(word: Word, start: float) -> Word:
    """A word with the times of its source, rounded as they are written."""
    begin, end = (None if time is None else round(start + time, 3) for time in (word.start, word.end))
    confidence = None if word.confidence is None else round(word.confidence, 4)
    return Word(word.text, begin, end, confidence)
