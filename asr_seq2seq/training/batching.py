"""Utterances of a corpus -> padded batches under a budget of seconds of sound."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from asr_seq2seq.config import FeaturesConfig, LogMelConfig
from asr_seq2seq.corpora import Utterance
from asr_seq2seq.corpora.features import read_features
from asr_seq2seq.corpora.reading import read_sound
from asr_seq2seq.errors import AudioError, CorpusError
from asr_seq2seq.model.features import pad
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.augmentation import Augmentation, Joined, join_utterances, joined_seconds
from asr_seq2seq.training.sampling import BUFFERED, plan_batches
from asr_seq2seq.training_config import AugmentationConfig, DataConfig, JoiningConfig
from asr_seq2seq.workers import Workers


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

    def part(self, begin: int, end: int) -> Batch:
        """The utterances from number `begin` to before `end`, without the padding that only others needed."""
        longest = int(self.lengths[begin:end].max())
        most = max(1, int(self.token_lengths[begin:end].max()))
        return replace(
            self,
            inputs=self.inputs[begin:end, :longest],
            lengths=self.lengths[begin:end],
            tokens=self.tokens[begin:end, :most],
            token_lengths=self.token_lengths[begin:end],
            ids=self.ids[begin:end],
            texts=self.texts[begin:end],
            seconds=self.seconds * (end - begin) / len(self.ids),
        )

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
    """A batch before its sound is read: the epoch, its number in it, and its utterances.

    Each is a tuple, of one utterance or of several that are read one after another.
    """

    epoch: int
    number: int
    utterances: Sequence[Joined]


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
        for parts in draw.utterances:
            name = "+".join(part.id for part in parts)
            try:
                read = torch.cat([self._read(part) for part in parts])
                if self.augmentation is not None:
                    chance = torch.Generator().manual_seed(seed_from(self.seed, draw.epoch, name))
                    read = self.augmentation(read, chance)
            except (AudioError, CorpusError) as error:  # of the utterance, or of a noise or room
                problems.append(f"utterance {name}: {error}")
                continue
            inputs.append(read)
            ids.append(name)
            texts.append(" ".join(filter(None, (self.normalizer(part.text) for part in parts))))
        tokens, token_lengths = pad([torch.tensor(self.alphabet.encode(text)).long() for text in texts])
        padded, lengths = pad(inputs)
        seconds = int(lengths.sum()) / self.features.rate
        return Batch(padded, lengths, tokens.long(), token_lengths, ids, texts, seconds, problems)

    def _read(self, utterance: Utterance) -> Tensor:
        if isinstance(self.features, LogMelConfig):
            return torch.from_numpy(read_sound(utterance, self.features.sample_rate))
        return torch.from_numpy(read_features(utterance, self.features.size))


def seed_from(*parts: object) -> int:
    """A seed for torch that follows from the recipe's seed, the epoch and what is drawn for."""
    text = " ".join(map(str, parts)).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class BatchSampler:
    """Which utterances form which batch of an epoch: a function of the corpus, the seed and the epoch.

    `skip` batches at the beginning are passed over without being read. Of several processes, each
    gets the batches whose numbers leave its `rank` when divided by their `size`.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        config: DataConfig,
        joining: JoiningConfig,
        shuffle: bool,
        seed: int,
    ) -> None:
        self.utterances = utterances
        self.joining = joining
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self.skip = 0
        self.rank, self.size = 0, 1
        self.buckets = min(config.buckets, len(utterances) // 4)
        self.batch_seconds = config.batch_seconds

    def __iter__(self) -> Iterator[Draw]:
        seed = f"{self.seed} {self.epoch}"
        groups: list[Joined] = [(one,) for one in self.utterances]
        if self.joining.probability:
            groups = join_utterances(self.utterances, self.joining, seed)
        if self.shuffle and len(groups) > BUFFERED:
            random.Random(seed).shuffle(groups)
        batches = plan_batches(
            [joined_seconds(group) for group in groups],
            self.batch_seconds,
            buckets=self.buckets,
            shuffle=self.shuffle,
            seed=self.seed + self.epoch,
        )
        for number, batch in enumerate(batches):
            if number >= self.skip and number % self.size == self.rank:
                yield Draw(self.epoch, number, [groups[index] for index in batch])


class Batches:
    """Iterate for one epoch of batches; `sampler.epoch` set before decides the order."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
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
        self.seconds = sum(one.duration for one in utterances)
        self.sampler = BatchSampler(utterances, config, joining, shuffle, seed)
        self.reader = BatchReader(features, alphabet, normalizer, changes, seed)
        self.workers = Workers(self.reader.__getitem__, config.workers) if config.workers else None
        # A worker keeps what its parent's memory held when it was begun. Those of training begin early
        # and stay; others begin when it has grown by gigabytes, and end with their turn.
        self.keep_workers = shuffle

    def __iter__(self) -> Iterator[Batch]:
        batches = (
            map(self.reader.__getitem__, self.sampler)
            if self.workers is None
            else self.workers.map(self.sampler, keep=self.keep_workers)
        )
        return map(Batch.pin_memory, batches) if torch.cuda.is_available() else batches

    def longest(self) -> Batch:
        """As many of the longest utterances as a batch holds, read here and now."""
        seconds, chosen = 0.0, list[Joined]()
        for one in sorted(self.sampler.utterances, key=lambda one: -one.duration):
            seconds += one.duration
            if chosen and seconds > self.sampler.batch_seconds:
                break
            chosen.append((one,))
        return self.reader[Draw(0, 0, chosen)]


def readable(utterances: Sequence[Utterance]) -> tuple[list[Utterance], list[str]]:
    """The utterances of which nothing bad is known, and what is known of the others, each named."""
    problems = [f"utterance {one.id}: {one.problem}" for one in utterances if one.problem]
    kept = [one for one in utterances if one.problem is None]
    if problems and not kept:
        raise CorpusError(f"none of {len(problems)} utterances can be read; {problems[0]}")
    return kept, problems


def within_limits(utterances: Sequence[Utterance], config: DataConfig) -> tuple[list[Utterance], int]:
    """The utterances that are neither too short nor too long to train on, and how many were left out."""
    kept = [one for one in utterances if config.min_seconds <= one.duration <= config.max_seconds]
    if not kept:
        raise CorpusError(
            f"none of the {len(utterances)} training utterances is as long as data.min_seconds "
            f"({config.min_seconds:g}) and data.max_seconds ({config.max_seconds:g}) want; change these"
        )
    return kept, len(utterances) - len(kept)


def hold_out(utterances: Sequence[Utterance], fraction: float) -> tuple[list[Utterance], list[Utterance]]:
    """Split into training and dev utterances by a hash of their names: the same on every machine.

    Copies of an utterance, as of a corpus that is named twice to weigh more, stay on one side; the
    dev set has it once, and others of its name beside it.
    """
    names = sorted({_name(one) for one in utterances}, key=_md5)
    count = max(1, round(fraction * len(names)))
    if count >= len(names):
        raise CorpusError(f"{len(names)} utterances are too few to hold some out; give data.dev instead")
    held = set(names[:count])
    train = list[Utterance]()
    dev: dict[str, list[Utterance]] = {}
    for one in utterances:
        if (name := _name(one)) not in held:
            train.append(one)
        elif all(replace(one, id="") != replace(other, id="") for other in dev.setdefault(name, [])):
            dev[name].append(one)
    return train, [one for same in dev.values() for one in same]


def _md5(name: str) -> str:
    return hashlib.md5(name.encode("utf-8", "surrogatepass")).hexdigest()


def _name(utterance: Utterance) -> str:
    """The utterance's name without the number of a copy."""
    return re.sub(r"#\d+$", "", utterance.id)
