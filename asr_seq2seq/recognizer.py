"""The one class that an application needs: a model file and a search -> transcripts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asr_seq2seq import audio
from asr_seq2seq.alignment import character_frames, word_times
from asr_seq2seq.batching import pad
from asr_seq2seq.config import Config, LogMelConfig, SearchConfig
from asr_seq2seq.device import pick_device
from asr_seq2seq.errors import AsrError, ModelFileError
from asr_seq2seq.language_model_file import load_text_scorer
from asr_seq2seq.model_file import ModelFile, load_model
from asr_seq2seq.search import search
from asr_seq2seq.search.scorers import TextScorer
from asr_seq2seq.segmentation import split
from asr_seq2seq.transcript import Segment, Transcript, Word

Source = str | Path | bytes | BinaryIO | npt.NDArray[Any] | Tensor


@dataclass
class _Job:
    """One source on its way: how many of its pieces are still to be decoded, and what came out."""

    waiting: int = 0
    seconds: float = 0.0
    segments: list[Segment] = field(default_factory=list)
    error: AsrError | None = None

    def result(self) -> Transcript | AsrError:
        text = " ".join(segment.text for segment in self.segments if segment.text)
        return self.error or Transcript(text, tuple(self.segments), None, self.seconds)


class Recognizer:
    """Speech in, text out.

    >>> recognizer = Recognizer.load()                            # doctest: +SKIP
    >>> recognizer.transcribe("digits.flac").text                 # doctest: +SKIP
    'one two three'
    """

    def __init__(
        self, model_file: ModelFile, search: SearchConfig | None = None, lm: TextScorer | None = None
    ) -> None:
        self.model_file = model_file
        self.lm = lm
        self.search = search or model_file.config.search
        features = model_file.config.features
        if not isinstance(features, LogMelConfig):
            raise ModelFileError(
                "this model hears features of another program and no sound; evaluate it on a corpus of them"
            )
        self._rate = features.sample_rate
        # A longer sound is cut into pieces: the model has heard none so long in training.
        known = model_file.provenance.get("longest_seconds", model_file.config.data.max_seconds)
        self.longest_seconds = float(known)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        device: str = "auto",
        beam_size: int | None = None,
        ctc_weight: float | None = None,
        batch_size: int | None = None,
        language_model: str | Path | None = None,
        lm_weight: float | None = None,
    ) -> Recognizer:
        """Read a model file; the bundled model of English digits where `path` is None.

        `beam_size`, `ctc_weight`, `batch_size` and `lm_weight` take the place of the model's own
        settings; `language_model` is a file of `train-lm` or of word n-grams.
        """
        where = pick_device(device)
        model_file = load_model(path, where)
        search = model_file.searching(
            beam_size=beam_size, ctc_weight=ctc_weight, batch_size=batch_size, lm_weight=lm_weight
        )
        if language_model is None:
            return cls(model_file, search)
        return cls(model_file, search, load_text_scorer(Path(language_model), model_file.alphabet, where))

    @property
    def config(self) -> Config:
        """The settings that the model was trained with."""
        return self.model_file.config

    @overload
    def transcribe(self, source: Source, *, rate: int | None = None) -> Transcript: ...
    @overload
    def transcribe(
        self, source: list[Source] | tuple[Source, ...], *, rate: int | None = None
    ) -> list[Transcript]: ...
    def transcribe(
        self, source: Source | list[Source] | tuple[Source, ...], *, rate: int | None = None
    ) -> Transcript | list[Transcript]:
        """A path, bytes, an open file, samples, or a list of them -> a transcript, or a list of them.

        Arrays and tensors hold samples (N,) or (channels, N); `rate` is theirs in Hz, the model's
        own where it is not given. Raises AudioError for the first sound that cannot be used.
        """
        results = []
        for result in self.transcribe_each(
            source if isinstance(source, list | tuple) else [source], rate=rate
        ):
            if isinstance(result, AsrError):
                raise result
            results.append(result)
        return results if isinstance(source, list | tuple) else results[0]

    def transcribe_each(
        self,
        sources: Sequence[Source],
        *,
        rate: int | None = None,
    ) -> Iterator[Transcript | AsrError]:
        """In the order of `sources`, each one's transcript or what is wrong with it.

        One bad sound does not stop the others. Sounds longer than the model knows are split at
        silence; pieces of all sources are decoded in batches.
        """
        jobs: deque[_Job] = deque()
        pieces: list[tuple[_Job, float, Tensor]] = []  # with the second at which each begins
        for source in sources:
            job = _Job()
            jobs.append(job)
            try:
                sound = self._load(source, rate)
            except AsrError as error:
                job.error = error
            else:
                job.seconds = len(sound) / self._rate
                for start, stop in split(sound, self._rate, self.longest_seconds):
                    job.waiting += 1
                    pieces.append((job, start / self._rate, sound[start:stop]))
                    if len(pieces) == self.search.batch_size:
                        self._decode(pieces)
                        pieces = []
            while jobs and not jobs[0].waiting:
                yield jobs.popleft().result()
        self._decode(pieces)
        yield from (job.result() for job in jobs)

    def _decode(self, pieces: Sequence[tuple[_Job, float, Tensor]]) -> None:
        """Recognise one batch of pieces and give each job its segments, in order."""
        if not pieces:
            return
        device = next(self.model_file.model.parameters()).device
        sound, lengths = pad([piece for _, _, piece in pieces])
        with torch.inference_mode():
            encoded = self.model_file.model.encode(sound.to(device), lengths.to(device))
        found = search(self.model_file.model, encoded, self.search, self.lm)
        for number, ((job, start, piece), hypotheses) in enumerate(zip(pieces, found, strict=True)):
            best = hypotheses[0]
            ctc = None if encoded.ctc is None else encoded.ctc[number, : encoded.lengths[number]].cpu()
            segment = Segment(
                id=len(job.segments),
                start=start,
                end=start + len(piece) / self._rate,
                text=self.model_file.alphabet.decode(best.tokens).strip(),
                tokens=best.tokens,
                avg_logprob=best.decoder / (len(best.tokens) + 1),
                words=self._words(best.tokens, ctc, piece, start),
            )
            job.segments.append(segment)
            job.waiting -= 1

    def _words(
        self, tokens: Sequence[int], ctc: Tensor | None, piece: Tensor, start: float
    ) -> tuple[Word, ...]:
        """The words of a piece that begins at `start`; without times where CTC cannot align them."""
        alphabet = self.model_file.alphabet
        (space,) = alphabet.encode(" ")
        places = [
            list(group) for key, group in groupby(range(len(tokens)), lambda i: tokens[i] == space) if not key
        ]
        texts = [alphabet.decode([tokens[i] for i in word]) for word in places]
        frames = None if ctc is None else character_frames(ctc, tokens)
        if frames is None:
            return tuple(Word(text, None, None, None) for text in texts)
        times = word_times(
            [[frames[i] for i in word] for word in places],
            self.model_file.model.seconds_per_frame,
            piece,
            self._rate,
        )
        return tuple(
            Word(text, round(start + begin, 3), round(start + end, 3), None)
            for text, (begin, end) in zip(texts, times, strict=True)
        )

    def _load(self, source: Source, rate: int | None) -> Tensor:
        if isinstance(source, np.ndarray | Tensor):
            return audio.from_samples(source, rate or self._rate, self._rate)
        return audio.load(source, self._rate)
