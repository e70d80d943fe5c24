"""What a training run reads: training and dev utterances as batches, and the characters of their texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from asr_seq2seq.corpora import Utterance, digest, load_corpora
from asr_seq2seq.corpora.parts import write_manifest
from asr_seq2seq.errors import ConfigError, CorpusError
from asr_seq2seq.messages import message
from asr_seq2seq.model.files import ModelFile
from asr_seq2seq.model_file.vocabulary import vocabulary_of
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.spoken import FIGURES
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.batching import Batches, hold_out, readable, within_limits
from asr_seq2seq.training.choosing import shared
from asr_seq2seq.training.distributed import DistributedContext
from asr_seq2seq.training.fine_tuning import extend, model_to_start_from, new_characters
from asr_seq2seq.training_config import Config

_SHOWN = 30  # new characters
_LIMIT_MARGIN = 1.2  # a text may be so much denser than the densest of training


@dataclass(frozen=True)
class TrainingData:
    """The batches of a run. `lengths` has the characters of each training text, `left_out` counts utterances
    that are too short or too long; `start` is the model whose weights the run starts from, `vocabulary` what
    the model file tells of the words.
    """

    train: Batches
    dev: Batches
    alphabet: Alphabet
    normalizer: Normalizer
    lengths: Sequence[int]
    left_out: int
    start: ModelFile | None
    train_digest: str
    dev_digest: str
    vocabulary: dict[str, Any]

    @property
    def utterances(self) -> Sequence[Utterance]:
        """The training utterances."""
        return self.train.sampler.utterances

    def tokens_per_frame(self, seconds_per_frame: float) -> float:
        """The limit of characters per encoded frame, from the densest training text (with a margin)."""
        frames = (math.ceil(one.duration / seconds_per_frame) for one in self.utterances)
        densest = max(length / count for length, count in zip(self.lengths, frames, strict=True))
        return round(_LIMIT_MARGIN * densest, 4)

    def share(self, context: DistributedContext) -> None:
        """Let this process read its part of the batches."""
        for batches in (self.train, self.dev):
            batches.sampler.rank, batches.sampler.size = context.rank, context.size

    def write_manifests(self, run: Path) -> None:
        """Write both sets as ``train.jsonl`` and ``dev.jsonl`` of the run, with absolute paths."""
        for name, batches in (("train", self.train), ("dev", self.dev)):
            try:
                write_manifest(run / f"{name}.jsonl", batches.sampler.utterances, absolute=True)
            except CorpusError as error:  # of an archive, which has no files to name
                message(f"not written: {error}")

    def provenance(self, config: Config) -> dict[str, Any]:
        """What the model file tells of its training, whatever the epoch."""
        joining = config.augmentation.joining
        longest = max(one.duration for one in self.utterances)
        return {
            "trained_on": config.data.train,
            "utterances": len(self.utterances),
            "hours": round(self.train.seconds / 3600, 3),
            "longest_seconds": round(max(longest, joining.max_seconds if joining.probability else 0.0), 3),
            **self.vocabulary,
            "torch": torch.__version__,
            "recipe": config.provenance(),
        }


def load_data(config: Config, say: Callable[[str], None]) -> TrainingData:
    """Read the corpora of a recipe; ConfigError or CorpusError where they cannot be trained on."""
    train, dev, left_out = _utterances(config, say)
    if common_to_both := shared(train, dev):
        say(f"warning: training and dev share {', '.join(common_to_both)}; expect more errors on new ones")
    normalizer = Normalizer.named(config.data.normalizer)
    texts = [normalizer(one.text) for one in train]
    if config.data.normalizer == "english-v1" and (count := sum(map(bool, map(FIGURES.search, texts)))):
        say(
            f"{count:,} training texts have numbers in figures, which are learned as characters; of English, "
            "--set data.normalizer=english-v2 makes words of them"
        )
    spelled = [*texts, " "] if config.augmentation.joining.probability else texts
    path = config.training.start_from
    start = model_to_start_from(path, config) if path else None
    if start is not None and (foreign := new_characters(start, spelled)):
        more = " ..." if foreign[_SHOWN:] else ""
        shown = " ".join(map(repr, foreign[:_SHOWN])) + more
        say(f"{len(foreign)} new characters in the training texts, which {path} could not spell: {shown}")
        start = extend(start, foreign, config.seed)
    alphabet = start.alphabet if start else Alphabet.from_texts(spelled)
    common: dict[str, Any] = {"features": config.features, "alphabet": alphabet, "normalizer": normalizer}
    return TrainingData(
        Batches(
            train, config.data, augmentation=config.augmentation, shuffle=True, seed=config.seed, **common
        ),
        Batches(dev, config.data, **common),
        alphabet,
        normalizer,
        [len(text) for text in texts],
        left_out,
        start,
        digest(train),
        digest(dev),
        vocabulary_of(texts, start.provenance if start else None),
    )


def _utterances(config: Config, say: Callable[[str], None]) -> tuple[list[Utterance], list[Utterance], int]:
    """Training and dev utterances, and how many were left out as too short or too long."""
    if not config.data.train:
        raise ConfigError("data.train names no corpus; give one, e.g. --set data.train=train.jsonl")
    train, left_out = within_limits(_readable(config.data.train, say), config.data)
    if config.data.dev:
        return train, _readable(config.data.dev, say), left_out
    if config.data.dev_fraction:
        return *hold_out(train, config.data.dev_fraction), left_out
    raise ConfigError("data.dev names no corpus; give one, or hold some out with data.dev_fraction=0.1")


def _readable(corpora: Sequence[str], say: Callable[[str], None]) -> list[Utterance]:
    """The utterances of the corpora without those that are known not to be readable, which it names."""
    utterances, problems = readable(load_corpora(corpora))
    if problems:
        say(f"left out: {len(problems)} utterances that cannot be read, the first: {'; '.join(problems[:3])}")
    return utterances


def check_sounds(batches: Batches, context: DistributedContext) -> None:
    """CorpusError for dev utterances that cannot be read to their end: a score must not pass over them."""
    batches.sampler.rank, batches.sampler.size = context.rank, context.size
    problems = context.gather([problem for batch in batches for problem in batch.problems])
    if problems:
        more = f" (and {len(problems) - 1} more of the dev set)" if problems[1:] else ""
        raise CorpusError(f"{problems[0]}{more}; mend the dev corpus or take the utterance out")
