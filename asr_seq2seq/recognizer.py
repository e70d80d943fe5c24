"""The one class that an application needs: a model file and a search -> transcripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asr_seq2seq import audio
from asr_seq2seq.batching import pad_sound
from asr_seq2seq.config import Config, SearchConfig
from asr_seq2seq.errors import AsrError, ConfigError
from asr_seq2seq.model_file import ModelFile, load_model
from asr_seq2seq.search import Hypothesis, search
from asr_seq2seq.transcript import Segment, Transcript

Source = str | Path | bytes | BinaryIO | npt.NDArray[Any] | Tensor


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA, else Apple's MPS, else the CPU; any other name is torch's."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ConfigError(f"device {name}: is not on this machine; use auto, cpu, cuda or mps") from None
    return device


def transcribe_sounds(
    recogniser: ModelFile, sounds: Sequence[Tensor], config: SearchConfig
) -> list[Transcript]:
    """One batch of waveforms (N_i,) at the model's rate -> their transcripts."""
    device = next(recogniser.model.parameters()).device
    sound, lengths = pad_sound(sounds)
    with torch.inference_mode():
        encoded = recogniser.model.encode(sound.to(device), lengths.to(device))
    rate = recogniser.config.features.sample_rate
    found = search(recogniser.model, encoded, config)
    return [
        _transcript(recogniser, best[0], len(sound) / rate) for best, sound in zip(found, sounds, strict=True)
    ]


def _transcript(recogniser: ModelFile, hypothesis: Hypothesis, seconds: float) -> Transcript:
    text = recogniser.alphabet.decode(hypothesis.tokens).strip()
    segment = Segment(
        id=0,
        start=0.0,
        end=seconds,
        text=text,
        tokens=hypothesis.tokens,
        avg_logprob=hypothesis.decoder / (len(hypothesis.tokens) + 1),
    )
    return Transcript(text=text, segments=(segment,), language=None, duration=seconds)


class Recognizer:
    """Speech in, text out.

    >>> recognizer = Recognizer.load()                            # doctest: +SKIP
    >>> recognizer.transcribe("digits.flac").text                 # doctest: +SKIP
    'one two three'
    """

    def __init__(self, recogniser: ModelFile, search: SearchConfig | None = None) -> None:
        self.recogniser = recogniser
        self.search = search or recogniser.config.search

    @classmethod
    def load(
        cls, path: str | Path | None = None, *, device: str = "auto", beam_size: int | None = None
    ) -> Recognizer:
        """Read a model file; the bundled model of English digits where `path` is None."""
        recogniser = load_model(path, pick_device(device))
        changes = {} if beam_size is None else {"beam_size": beam_size}
        return cls(recogniser, recogniser.config.search.model_copy(update=changes))

    @property
    def config(self) -> Config:
        """The settings that the model was trained with."""
        return self.recogniser.config

    @overload
    def transcribe(self, source: Source, *, rate: int | None = None) -> Transcript: ...
    @overload
    def transcribe(self, source: list[Source], *, rate: int | None = None) -> list[Transcript]: ...
    def transcribe(
        self, source: Source | list[Source], *, rate: int | None = None
    ) -> Transcript | list[Transcript]:
        """A path, bytes, an open file, samples, or a list of them -> a transcript, or a list of them.

        Arrays and tensors hold samples (N,) or (channels, N); `rate` is theirs in Hz, the model's
        own where it is not given. Raises AudioError for the first sound that cannot be used.
        """
        results = []
        for result in self.transcribe_each(source if isinstance(source, list) else [source], rate=rate):
            if isinstance(result, AsrError):
                raise result
            results.append(result)
        return results if isinstance(source, list) else results[0]

    def transcribe_each(
        self,
        sources: Sequence[Source],
        *,
        rate: int | None = None,
        on_batch: Callable[[int], None] = lambda count: None,
    ) -> Iterator[Transcript | AsrError]:
        """In the order of `sources`, each one's transcript or what is wrong with it.

        One bad sound does not stop the others; `on_batch` is told how many were just finished.
        """
        size = self.search.batch_size
        for start in range(0, len(sources), size):
            loaded = [self._load(source, rate) for source in sources[start : start + size]]
            sounds = [sound for sound in loaded if isinstance(sound, Tensor)]
            transcripts = iter(transcribe_sounds(self.recogniser, sounds, self.search) if sounds else ())
            on_batch(len(loaded))
            for item in loaded:
                yield item if isinstance(item, AsrError) else next(transcripts)

    def _load(self, source: Source, rate: int | None) -> Tensor | AsrError:
        own = self.config.features.sample_rate
        try:
            if isinstance(source, np.ndarray | Tensor):
                return audio.from_samples(source, rate or own, own)
            return audio.load(source, own)
        except AsrError as error:
            return error
