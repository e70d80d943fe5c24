"""Utterances of a CutSet -> padded batches under a budget of seconds of sound."""

from __future__ import annotations

import hashlib
import random
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import Cut, MixedCut
from lhotse.dataset.sampling import DynamicBucketingSampler, DynamicCutSampler
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from asr_seq2seq.config import AugmentationConfig, DataConfig, FeaturesConfig, JoiningConfig, LogMelConfig
from asr_seq2seq.corpora.features import read_features
from asr_seq2seq.corpora.reading import read_sound
from asr_seq2seq.corpora.utterance import problem_of
from asr_seq2seq.errors import AudioError, CorpusError
from asr_seq2seq.model.features import pad
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.augmentation import Augmentation, join_utterances
from asr_seq2seq.workers import Workers

_SHUFFLED_TOGETHER = 20_000  # utterances in the window that lhotse's samplers draw batches from


@dataclass(frozen=True)
class Batch:
    """inputs (B, N) sound or (B, T, F) features, with lengths (B,); tokens (B, U), token_lengths (B,).

    `problems` says which utterances could not be read, and why; they are not in the batch.
    """

    inputs: Tensor
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
        """The same batch in memory that a GPU copies from while it works."""
        return self._each(Tensor.pin_memory)

    def __getstate__(self) -> dict[str, Any]:
        """As NumPy arrays, which go from process to process by value; torch would use shared memory."""
        state = self.__dict__.items()
        return {name: x.numpy() if isinstance(x, Tensor) else x for name, x in state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, x in state.items():
            object.__setattr__(self, name, torch.from_numpy(x) if isinstance(x, np.ndarray) else x)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return replace(
            self,
            inputs=change(self.inputs),
            lengths=change(self.lengths),
            tokens=change(self.tokens),
            token_lengths=change(self.token_lengths),
        )


@dataclass(frozen=True)
class Draw:
    """A batch before its sound is read: the epoch, its number in it, and its utterances."""

    epoch: int
    number: int
    cuts: CutSet


class BatchReader(Dataset[Batch]):
    """Read, augment, spell and pad the utterances of a batch: what the worker processes run.

    What chance does to an utterance depends on the seed, the epoch and its name alone.
    """

    def __init__(
        self,
        features: FeaturesConfig,
        alphabet: Alphabet,
        normalizer: Normalizer,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.features = features
        self.alphabet = alphabet
        self.normalizer = normalizer
        self.augmentation = augmentation
        self.seed = seed

    def __getitem__(self, draw: Draw) -> Batch:
        inputs, ids, texts, problems = [], [], [], []
        for cut in draw.cuts:
            parts = [track.cut for track in cut.tracks] if isinstance(cut, MixedCut) else [cut]
            try:
                read = torch.cat([self._read(part) for part in parts])
                if self.augmentation is not None:
                    chance = torch.Generator().manual_seed(seed_from(self.seed, draw.epoch, cut.id))
                    read = self.augmentation(read, chance)
            except (AudioError, CorpusError) as error:  # of the utterance, or of a noise or room
                problems.append(f"utterance {cut.id}: {error}")
                continue
            inputs.append(read)
            ids.append(cut.id)
            texts.append(" ".join(filter(None, (self.normalizer(p.supervisions[0].text) for p in parts))))
        tokens, token_lengths = pad([torch.tensor(self.alphabet.encode(text)).long() for text in texts])
        padded, lengths = pad(inputs)
        seconds = int(lengths.sum()) / self.features.rate
        return Batch(padded, lengths, tokens.long(), token_lengths, ids, texts, seconds, problems)

    def _read(self, cut: Cut) -> Tensor:
        if isinstance(self.features, LogMelConfig):
            return torch.from_numpy(read_sound(cut, self.features.sample_rate))
        return torch.from_numpy(read_features(cut, self.features.size))


def seed_from(*parts: object) -> int:
    """A seed for torch that follows from the recipe's seed, the epoch and what is drawn for."""
    text = " ".join(map(str, parts)).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class Plan(Sampler[Draw]):
    """Which utterances form which batch of an epoch: a function of the corpus, the seed and the epoch.

    `skip` batches at the beginning are passed over without being read. Of several processes, each
    gets the batches whose numbers leave its `rank` when divided by their `size`.
    """

    def __init__(
        self, cuts: CutSet, config: DataConfig, joining: JoiningConfig, shuffle: bool, seed: int
    ) -> None:
        self.cuts = cuts
        self.joining = joining
        self.seed = seed
        self.epoch = 0
        self.skip = 0
        self.rank, self.size = 0, 1
        self.buckets = min(config.buckets, len(cuts) // 4)  # lhotse warns of buckets that are empty
        self.budget: dict[str, Any] = {
            "max_duration": config.batch_seconds,
            "shuffle": shuffle,
            "seed": seed,
            "drop_last": False,
            "rank": 0,  # who reads which batch is decided by its number; lhotse would ask torch itself
            "world_size": 1,
        }

    def __iter__(self) -> Iterator[Draw]:
        cuts, seed = self.cuts, f"{self.seed} {self.epoch}"
        if self.joining.probability:
            cuts = join_utterances(cuts, self.joining, seed)
        if self.budget["shuffle"] and len(cuts) > _SHUFFLED_TOGETHER:
            cuts = cuts.shuffle(random.Random(seed))
        with _without_remarks():
            sampler = (
                DynamicBucketingSampler(cuts, num_buckets=self.buckets, **self.budget)
                if self.buckets > 1
                else DynamicCutSampler(cuts, **self.budget)  # the other one refuses a single bucket
            )
        sampler.set_epoch(self.epoch)
        for number, batch in enumerate(_quietly(sampler)):
            if number >= self.skip and number % self.size == self.rank:
                yield Draw(self.epoch, number, batch)


@contextmanager
def _without_remarks() -> Iterator[None]:
    """lhotse warns of what is meant here: corpora that are in memory, an utterance longer than a batch."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(eagerly read CutSet|have only 1 cut)")
        yield


def _quietly(batches: Iterable[CutSet]) -> Iterator[CutSet]:
    iterator = iter(batches)
    while True:
        with _without_remarks():
            batch = next(iterator, None)
        if batch is None:
            return
        yield batch


class Batches:
    """Iterate for one epoch of batches; `plan.epoch` set before decides the order."""

    def __init__(
        self,
        cuts: CutSet,
        config: DataConfig,
        *,
        features: FeaturesConfig,
        alphabet: Alphabet,
        normalizer: Normalizer,
        augmentation: AugmentationConfig | None = None,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        """Nothing is augmented and nothing joined where `augmentation` is None."""
        changes = None if augmentation is None else Augmentation(augmentation, features)
        joining = JoiningConfig() if augmentation is None else augmentation.joining
        self.seconds = sum(cut.duration for cut in cuts)
        self.plan = Plan(cuts, config, joining, shuffle, seed)
        self.reader = BatchReader(features, alphabet, normalizer, changes, seed)
        self.workers = Workers(self.reader.__getitem__, config.workers) if config.workers else None
        # A worker keeps what its parent's memory held when it was begun. Those of training begin early
        # and stay; others begin when it has grown by gigabytes, and end with their turn.
        self.keep_workers = shuffle

    def __iter__(self) -> Iterator[Batch]:
        batches = (
            map(self.reader.__getitem__, self.plan)
            if self.workers is None
            else self.workers.map(self.plan, keep=self.keep_workers)
        )
        return map(Batch.pin_memory, batches) if torch.cuda.is_available() else batches

    def longest(self) -> Batch:
        """As many of the longest utterances as a batch holds, read here and now."""
        seconds, chosen = 0.0, list[Cut]()
        for cut in sorted(self.plan.cuts, key=lambda cut: -cut.duration):
            seconds += cut.duration
            if chosen and seconds > self.plan.budget["max_duration"]:
                break
            chosen.append(cut)
        return self.reader[Draw(0, 0, CutSet.from_cuts(chosen))]


def readable(cuts: CutSet) -> tuple[CutSet, list[str]]:
    """The utterances of which nothing bad is known, and what is known of the others, each named."""
    problems = [f"utterance {cut.id}: {problem}" for cut in cuts if (problem := problem_of(cut))]
    kept = [cut for cut in cuts if problem_of(cut) is None]
    if problems and not kept:
        raise CorpusError(f"none of {len(problems)} utterances can be read; {problems[0]}")
    return CutSet.from_cuts(kept), problems


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
    dev set has it once, and others of its name beside it.
    """
    names = sorted({_name(cut) for cut in cuts}, key=_md5)
    count = max(1, round(fraction * len(names)))
    if count >= len(names):
        raise CorpusError(f"{len(names)} utterances are too few to hold some out; give data.dev instead")
    held = set(names[:count])
    train = list[Cut]()
    dev: dict[str, list[Cut]] = {}
    for cut in cuts:
        if (name := _name(cut)) not in held:
            train.append(cut)
        elif all(cut.with_id("") != other.with_id("") for other in dev.setdefault(name, [])):
            dev[name].append(cut)
    return CutSet.from_cuts(train), CutSet.from_cuts(cut for same in dev.values() for cut in same)


def _md5(name: str) -> str:
    return hashlib.md5(name.encode("utf-8", "surrogatepass")).hexdigest()


def _name(cut: Cut) -> str:
    """The utterance's name without the number that tells copies of it apart."""
    return re.sub(r"#\d+$", "", str(cut.id))
