"""The one class that an application needs: a model file and a search -> transcripts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asr_seq2seq import audio
from asr_seq2seq.alignment import peak_frames, word_times
from asr_seq2seq.calibration import word_confidences, word_places
from asr_seq2seq.config import Config, LogMelConfig, SearchConfig
from asr_seq2seq.device import pick_device
from asr_seq2seq.errors import AsrError, ConfigError, ModelFileError
from asr_seq2seq.features import pad
from asr_seq2seq.forking import note_computation
from asr_seq2seq.language_model_file import load_text_scorer
from asr_seq2seq.leveling import even_out
from asr_seq2seq.model.ctc import character_frames
from asr_seq2seq.model.seq2seq import Encoded
from asr_seq2seq.model_file import ModelFile, load_model
from asr_seq2seq.search import Hypothesis, search
from asr_seq2seq.search.scorers import TextScorer
from asr_seq2seq.segmentation import Samples, cutter, split
from asr_seq2seq.transcript import Segment, Transcript, Word

Source = str | Path | bytes | BinaryIO | npt.NDArray[Any] | Tensor
Progress = Callable[[float], None]
_BATCHES_AHEAD = 4  # of many sounds so many batches are gathered, and parted by length


@dataclass
class _Job:
    """One source on its way: how many of its pieces are still to be decoded, and what came out."""

    channel: int | None = None
    waiting: int = 0
    seconds: float = 0.0
    segments: list[Segment] = field(default_factory=list)
    error: AsrError | None = None

    def counted(self, blocks: Iterable[Samples], rate: int, on_progress: Progress) -> Iterator[Samples]:
        for block in blocks:
            self.seconds += len(block) / rate
            on_progress(len(block) / rate)
            yield block

    def result(self) -> Transcript | AsrError:
        if self.error is not None:
            return self.error
        text = " ".join(segment.text for segment in self.segments if segment.text)
        return Transcript(text, tuple(self.segments), None, self.seconds, self.dropped(), self.channel)

    def dropped(self) -> tuple[tuple[float, float], ...]:
        """The stretches in seconds that belong to no segment."""
        ends = [0.0, *(segment.end for segment in self.segments)]
        starts = [*(segment.start for segment in self.segments), self.seconds]
        return tuple((end, start) for end, start in zip(ends, starts, strict=True) if start - end > 1e-6)


_Piece = tuple[_Job, float, Samples]  # with the second at which it begins


class Recognizer:
    """Speech in, text out.

    >>> recognizer = Recognizer.load()                            # doctest: +SKIP
    >>> recognizer.transcribe("digits.flac").text                 # doctest: +SKIP
    'one two three'
    """

    def __init__(
        self,
        model_file: ModelFile,
        search: SearchConfig | None = None,
        lm: TextScorer | None = None,
        *,
        vad: str = "energy",
        attention: bool = False,
    ) -> None:
        """`vad` says how pauses are found in long sound, by `energy` or by `silero`.

        With `attention` each segment holds where the decoder looked.
        """
        self.model_file = model_file
        self.lm = lm
        self.cut = cutter(vad)
        self.attention = attention
        self.search = search or model_file.config.search
        features = model_file.config.features
        if not isinstance(features, LogMelConfig):
            raise ModelFileError(
                "this model hears features of another program and no sound; evaluate it on a corpus of them"
            )
        self._rate = features.sample_rate
        self.longest_seconds = model_file.longest_seconds

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        device: str = "auto",
        language_model: str | Path | None = None,
        vad: str = "energy",
        attention: bool = False,
        **search: float | None,
    ) -> Recognizer:
        """Read a model file, or a bundled model by its name; that of English digits where `path` is None.

        `language_model` is a file of `train-lm` or of word n-grams. `search` takes the place of the
        model's own settings: `beam_size`, `batch_size`, `ctc_weight`, `lm_weight` and the other names
        of `SearchConfig`. ConfigError for a setting that the model cannot follow.
        """
        model_file = load_model(path, pick_device(device))
        settings = model_file.searching(**search)
        if language_model is None and search.get("lm_weight") is not None:
            raise ConfigError("lm_weight is given and no language model: name one")
        scorer = None
        if language_model is not None:
            scorer = load_text_scorer(Path(language_model), model_file.alphabet, model_file.device)
        return cls(model_file, settings, scorer, vad=vad, attention=attention)

    @property
    def config(self) -> Config:
        """The settings that the model was trained with."""
        return self.model_file.config

    @overload
    def transcribe(
        self, source: Source, *, rate: int | None = None, channel: int | None = None
    ) -> Transcript: ...
    @overload
    def transcribe(
        self,
        source: list[Source] | tuple[Source, ...],
        *,
        rate: int | None = None,
        channel: int | None = None,
    ) -> list[Transcript]: ...
    def transcribe(
        self,
        source: Source | list[Source] | tuple[Source, ...],
        *,
        rate: int | None = None,
        channel: int | None = None,
    ) -> Transcript | list[Transcript]:
        """A path, bytes, an open file, samples, or a list of them -> a transcript, or a list of them.

        Arrays and tensors hold samples (N,) or (channels, N); `rate` is theirs in Hz, the model's
        own where it is not given. `channel`, counted from 0, is transcribed alone; without it all are,
        as one. Raises AudioError for the first sound that cannot be used.
        """
        results = []
        sources = list(source) if isinstance(source, list | tuple) else [source]
        for result in self.transcribe_each(sources, rate=rate, channels=[channel] * len(sources)):
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
        on_progress: Progress = lambda seconds: None,
    ) -> Iterator[Transcript | AsrError]:
        """In the order of `sources`, each one's transcript or what is wrong with it.

        One bad sound does not stop the others. Sound is read in blocks; what is longer than the model
        knows is split at silence, and pieces of all sources are decoded in batches of similar length.
        `channels` has one of each source, or None for all of them as one. `on_progress` is told the
        seconds of sound that were just taken in.
        """
        jobs: deque[_Job] = deque()
        pieces: list[_Piece] = []
        enough = self.search.batch_size * (_BATCHES_AHEAD if len(sources) > 1 else 1)
        for source, channel in zip(sources, channels or [None] * len(sources), strict=True):
            job = _Job(channel)
            jobs.append(job)
            try:
                blocks = job.counted(self._blocks(source, rate, channel), self._rate, on_progress)
                for start, piece in split(blocks, self._rate, self.longest_seconds, self.cut):
                    job.waiting += 1
                    pieces.append((job, start / self._rate, piece))
                    if len(pieces) == enough:
                        self._decode(pieces)
                        pieces = []
            except AsrError as error:
                job.error = error
            while jobs and not jobs[0].waiting:
                yield jobs.popleft().result()
        self._decode(pieces)
        yield from (job.result() for job in jobs)

    def stream(
        self, blocks: Iterable[npt.NDArray[Any] | Tensor], *, rate: int | None = None
    ) -> Iterator[Segment]:
        """Samples block by block, as from a microphone -> segments, each as soon as it is finished.

        The segments are those of `transcribe` on the whole sound: each ends at the last pause that leaves
        it no longer than `longest_seconds`, which is known so long, and a block, after its beginning.
        Raises AudioError for samples that cannot be used.
        """
        job = _Job()
        sound = audio.from_blocks(blocks, self._rate if rate is None else rate, self._rate)
        for start, piece in split(sound, self._rate, self.longest_seconds, self.cut):
            self._decode([(job, start / self._rate, piece)])
            yield job.segments[-1]

    def _decode(self, pieces: Sequence[_Piece]) -> None:
        """Recognise pieces, those of similar length together, and give each job its segments, in order."""
        size = self.search.batch_size
        by_length = sorted(range(len(pieces)), key=lambda number: len(pieces[number][2]))
        segments: dict[int, Segment] = {}
        for begin in range(0, len(pieces), size):
            numbers = by_length[begin : begin + size]
            segments |= zip(numbers, self._recognise([pieces[n] for n in numbers]), strict=True)
        for number, (job, _, _) in enumerate(pieces):
            job.segments.append(replace(segments[number], id=len(job.segments)))
            job.waiting -= 1

    def _recognise(self, pieces: Sequence[_Piece]) -> Iterator[Segment]:
        """The segments of one batch."""
        note_computation()
        model, alphabet = self.model_file.model, self.model_file.alphabet
        device = self.model_file.device
        sound, lengths = pad([torch.from_numpy(even_out(piece, self._rate)) for _, _, piece in pieces])
        with torch.inference_mode():
            encoded = model.encode(sound.to(device), lengths.to(device))
        found = [hypotheses[0] for hypotheses in search(model, encoded, self.search, self.lm)]
        looked = None
        if self.attention or encoded.ctc is None:
            looked = model.attention(encoded, [best.tokens for best in found])
        for number, ((_, start, piece), best) in enumerate(zip(pieces, found, strict=True)):
            attention = None if looked is None else looked[number]
            frames, timing = _character_frames(encoded, number, best, attention)
            yield Segment(
                id=0,
                start=start,
                end=start + len(piece) / self._rate,
                text=alphabet.decode(best.tokens).strip(),
                tokens=best.tokens,
                avg_logprob=best.decoder / (len(best.tokens) + 1),
                words=self._words(best, frames, piece, start),
                timing=timing,
                attention=attention.numpy() if self.attention and attention is not None else None,
            )

    def _words(
        self, best: Hypothesis, frames: list[tuple[int, int]] | None, piece: Samples, start: float
    ) -> tuple[Word, ...]:
        """The words of a piece that begins at `start`; without times where no frames are known."""
        alphabet = self.model_file.alphabet
        places = word_places(best.tokens, alphabet.space)
        texts = [alphabet.decode([best.tokens[i] for i in word]) for word in places]
        sure = word_confidences(best, alphabet.space, self.search.confidence_temperature)
        times: list[tuple[float | None, float | None]] = [(None, None)] * len(places)
        if frames is not None:
            in_words = [[frames[i] for i in word] for word in places]
            seconds = word_times(
                in_words, self.model_file.model.seconds_per_frame, torch.from_numpy(piece), self._rate
            )
            times = [(round(start + begin, 3), round(start + end, 3)) for begin, end in seconds]
        return tuple(
            Word(text, begin, end, round(probability, 4))
            for text, (begin, end), probability in zip(texts, times, sure, strict=True)
        )

    def _blocks(self, source: Source, rate: int | None, channel: int | None) -> Iterator[Samples]:
        if isinstance(source, np.ndarray | Tensor):
            given = self._rate if rate is None else rate
            return audio.from_blocks([source], given, self._rate, channel=channel)
        return audio.blocks(source, self._rate, channel=channel)


def _character_frames(
    encoded: Encoded, row: int, best: Hypothesis, attention: Tensor | None
) -> tuple[list[tuple[int, int]] | None, str]:
    """The encoded frames of each character and what they rest on; None, and why, where not known."""
    if encoded.ctc is not None:
        frames = character_frames(encoded.ctc[row, : encoded.lengths[row]].cpu(), best.tokens)
        if frames is not None or not best.tokens:
            return frames, "CTC alignment"
        return None, "none: the text has more characters than CTC has frames for"
    if attention is not None:
        return peak_frames(attention[:-1]), "attention peaks"
    return None, "none: the model has neither a CTC head nor attention"
