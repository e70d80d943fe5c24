"""The sentences that a language model learns from: text files, also .xz, and transcripts of corpora."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asr_seq2seq.errors import ConfigError, CorpusError
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training_config import TextDataConfig

_MOST_CHARACTERS = 4_000_000_000  # of one text file


@dataclass(frozen=True)
class Sentences:
    """What a language model is trained on and chosen on, normalized."""

    train: list[str]
    dev: list[str]
    left_out: int  # longer than data.max_characters
    normalizer: Normalizer

    @property
    def characters(self) -> int:
        """The characters to train on, ends of sentences included."""
        return sum(len(sentence) + 1 for sentence in self.train)

    @cached_property
    def alphabet(self) -> Alphabet:
        """The characters to learn."""
        return Alphabet.from_texts(self.train)


def read_text(data: TextDataConfig) -> Sentences:
    """The sentences of a recipe; ConfigError or CorpusError where they are none or too few."""
    if not data.train:
        raise ConfigError("data.train names no text; give some, e.g. --set data.train=sentences.txt")
    if not data.dev and not data.dev_fraction:
        raise ConfigError("data.dev names no text; give some, or hold some out with data.dev_fraction=0.1")
    normalizer = Normalizer.named(data.normalizer)
    found = read_sentences(data.train, normalizer)
    train = [sentence for sentence in found if len(sentence) <= data.max_characters]
    left_out = len(found) - len(train)
    if data.dev:
        dev = read_sentences(data.dev, normalizer)
    else:
        train, dev = hold_out(train, data.dev_fraction)
    if not train or not dev:
        raise CorpusError(
            f"{len(train):,} sentences to train on and {len(dev):,} to choose on are too few "
            f"({left_out:,} have more than data.max_characters={data.max_characters}); give more text"
        )
    return Sentences(train, dev, left_out, normalizer)


def read_sentences(paths: Iterable[str], normalizer: Normalizer) -> list[str]:
    """The normalized sentences, empty ones left out, of text files (one a line, also .xz) and of corpora."""
    sentences = []
    for path in map(Path, paths):
        if path.is_dir() or path.name.endswith((".jsonl", ".json", ".jsonl.gz", ".csv", ".tsv")):
            from asr_seq2seq.corpora import load_corpus

            found = [utterance.text for utterance in load_corpus(path)]
        else:
            found = _read_lines(path)
        sentences += [sentence for text in found if (sentence := normalizer(text))]
    return sentences


def _read_lines(path: Path) -> list[str]:
    try:
        if path.suffix != ".xz":
            return path.read_text(encoding="utf-8").split("\n")
        with lzma.open(path, "rt", encoding="utf-8") as file:
            text = file.read(_MOST_CHARACTERS)
            if file.read(1):
                raise CorpusError(f"{path}: expands to more than {_MOST_CHARACTERS:,} characters; divide it")
        return text.split("\n")
    except FileNotFoundError:
        raise CorpusError(
            f"{path}: no such text; give a file with one sentence a line, or a corpus"
        ) from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: is not UTF-8 text; give a file with one sentence a line") from None
    except (lzma.LZMAError, EOFError):
        raise CorpusError(f"{path}: is damaged or cut short; copy it again") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); give a text file") from None


def hold_out(sentences: list[str], fraction: float) -> tuple[list[str], list[str]]:
    """Sentences to learn from and to choose on, by a hash: all copies of one are on the same side."""
    order = sorted(set(sentences), key=lambda sentence: hashlib.md5(sentence.encode()).hexdigest())
    held = set(order[: max(1, round(fraction * len(order)))])
    return [s for s in sentences if s not in held], [s for s in sentences if s in held]
