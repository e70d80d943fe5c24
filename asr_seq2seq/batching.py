"""Utterances of a CutSet -> padded batches under a budget of seconds of sound."""

from __future__ import annotations

import hashlib
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.dataset.sampling import DynamicBucketingSampler, DynamicCutSampler
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset
from torchaudio.transforms import SpeedPerturbation

from asr_seq2seq import audio
from asr_seq2seq.config import DataConfig
from asr_seq2seq.corpora.embedded import is_embedded, read_embedded
from asr_seq2seq.errors import AudioError, CorpusError
from asr_seq2seq.text import Alphabet, Normalizer


@dataclass(frozen=True)
class Batch:
    """sound (B, N) and lengths (B,) in samples; tokens (B, U) and token_lengths (B,); names and texts.

    `problems` says which utterances could not be read, and why; they are not in the batch.
    """

    sound: Tensor
    lengths: Tensor
    tokens: Tensor
    token_lengths: Tensor
    ids: list[str]
    texts: list[str]
    seconds: float
    problems: list[str]

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on `device`."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in memory that a GPU copies from while it works; the loader calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return replace(
            self,
            sound=change(self.sound),
            lengths=change(self.lengths),
            tokens=change(self.tokens),
            token_lengths=change(self.token_lengths),
        )


def pad_sound(sounds: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Waveforms (N_i,) -> (B, N) with zeros behind, and lengths (B,)."""
    lengths = torch.tensor([len(sound) for sound in sounds], dtype=torch.long)
    return pad_sequence(list(sounds) or [torch.zeros(0)], batch_first=True)[: len(sounds)], lengths


def sound_of(cut: Cut) -> str | bytes | None:
    """The path or bytes of the sound file that `cut` is a piece of; None where only lhotse can read it."""
    sources = cut.recording.sources
    if len(sources) > 1 or len(sources[0].channels) > 1 or cut.recording.transforms:
        return None
    if is_embedded(sources[0]):
        return read_embedded(sources[0])
    return str(sources[0].source) if sources[0].type == "file" else None


def read_cut(cut: Cut, sample_rate: int) -> Tensor:
    """The sound of an utterance, mono (N,), at `sample_rate`."""
    place = sound_of(cut)
    if place is not None:
        return audio.load(place, sample_rate, offset=cut.start, duration=cut.duration)
    try:
        samples = cut.load_audio()
    except Exception as error:  # lhotse raises whatever its readers meet
        reason = " ".join(str(error).split())[:200]
        raise AudioError(f"lhotse cannot read it ({reason}); mend the CutSet") from None
    return audio.from_samples(samples, cut.sampling_rate, sample_rate)


def read_batch(
    cuts: CutSet,
    *,
    sample_rate: int,
    alphabet: Alphabet,
    normalizer: Normalizer,
    speed: Callable[[Tensor], tuple[Tensor, Tensor | None]] | None,
) -> Batch:
    """Read, normalise, perhaps change the speed of, and pad the utterances of a batch."""
    sounds, ids, texts, problems = [], [], [], []
    for cut in cuts:
        try:
            sound = read_cut(cut, sample_rate)
        except AudioError as error:
            problems.append(f"utterance {cut.id}: {error}")
            continue
        sounds.append(sound if speed is None else speed(sound)[0])
        ids.append(cut.id)
        texts.append(normalizer(cut.supervisions[0].text))
    tokens = [torch.tensor(alphabet.encode(text), dtype=torch.long) for text in texts]
    sound, lengths = pad_sound(sounds)
    return Batch(
        sound=sound,
        lengths=lengths,
        tokens=pad_sequence(tokens or [torch.zeros(0, dtype=torch.long)], batch_first=True)[: len(ids)],
        token_lengths=torch.tensor([len(t) for t in tokens], dtype=torch.long),
        ids=ids,
        texts=texts,
        seconds=int(lengths.sum()) / sample_rate,
        problems=problems,
    )


class _Reader(Dataset[Batch]):
    """What lhotse's samplers index: a CutSet in, a batch out; it runs in the worker processes."""

    def __init__(self, read: Callable[[CutSet], Batch]) -> None:
        self.read = read

    def __getitem__(self, cuts: CutSet) -> Batch:
        return self.read(cuts)


def _be_quiet(worker: int) -> None:
    """Let the training process alone answer to Ctrl-C, which reaches every process of a terminal.

    What goes wrong in a worker is raised there too; a worker itself would only print that its other
    end has gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = lambda *_: None


class Batches:
    """Iterate for one epoch of batches; `epoch` set before decides the order."""

    def __init__(
        self,
        cuts: CutSet,
        config: DataConfig,
        *,
        sample_rate: int,
        alphabet: Alphabet,
        normalizer: Normalizer,
        speed_factors: Sequence[float] = (1.0,),
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        speed = SpeedPerturbation(sample_rate, list(speed_factors)) if list(speed_factors) != [1.0] else None
        read = partial(
            read_batch, sample_rate=sample_rate, alphabet=alphabet, normalizer=normalizer, speed=speed
        )
        self.seconds = sum(cut.duration for cut in cuts)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*eagerly read CutSet")
            budget: dict[str, Any] = {
                "max_duration": config.batch_seconds,
                "shuffle": shuffle,
                "seed": seed,
                "drop_last": False,
            }
            buckets = min(config.buckets, len(cuts) // 4)  # lhotse warns of buckets that are empty
            self.sampler = (
                DynamicBucketingSampler(cuts, num_buckets=buckets, **budget)
                if buckets > 1
                else DynamicCutSampler(cuts, **budget)  # the other one refuses a single bucket
            )
        loading: dict[str, Any] = {"num_workers": config.workers, "batch_size": None}
        if config.workers:
            loading |= {"persistent_workers": True, "prefetch_factor": 4, "worker_init_fn": _be_quiet}
        self.loader: DataLoader[Batch] = DataLoader(
            _Reader(read), sampler=self.sampler, pin_memory=torch.cuda.is_available(), **loading
        )
        self.epoch = 0

    def __iter__(self) -> Iterator[Batch]:
        self.sampler.set_epoch(self.epoch)
        return iter(self.loader)


def within_limits(cuts: CutSet, config: DataConfig) -> tuple[CutSet, int]:
    """The utterances that are neither too short nor too long to train on, and how many were left out."""
    kept = [cut for cut in cuts if config.min_seconds <= cut.duration <= config.max_seconds]
    if not kept:
        raise CorpusError(
            f"none of the {len(cuts)} training utterances is as long as data.min_seconds "
            f"({config.min_seconds:g}) and data.max_seconds ({config.max_seconds:g}) want; change these"
        )
    return CutSet.from_cuts(kept), len(cuts) - len(kept)


def hold_out(cuts: CutSet, fraction: float) -> tuple[CutSet, CutSet]:
    """Split into training and dev utterances by a hash of their names: the same on every machine.

    Copies of an utterance, as of a corpus that is named twice to weigh more, stay on one side; the
    dev set has it once.
    """
    names = sorted({_name(cut) for cut in cuts}, key=lambda name: hashlib.md5(name.encode()).hexdigest())
    count = max(1, round(fraction * len(names)))
    if count >= len(names):
        raise CorpusError(f"{len(names)} utterances are too few to hold some out; give data.dev instead")
    held = set(names[:count])
    dev = {_name(cut): cut for cut in cuts if _name(cut) in held}
    return CutSet.from_cuts(cut for cut in cuts if _name(cut) not in held), CutSet.from_cuts(dev.values())


def _name(cut: Cut) -> str:
    """The utterance's name without the number that tells copies of it apart."""
    return re.sub(r"#\d+$", "", str(cut.id))
