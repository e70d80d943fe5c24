"""What a user expects to be said, made ready for the search: hot words and phrases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asr_seq2seq.decoding.hypothesis import Hypothesis
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.errors import ConfigError, brief
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet

if TYPE_CHECKING:  # what few searches need is imported where it is used
    from asr_seq2seq.decoding.automata import Automaton

_LARGEST_FILE = 4 * 1024 * 1024  # bytes of a list


@dataclass(frozen=True, eq=False)
class Guide:
    """The automata of hot words and phrases; with `rejects`, what no phrase fits comes out as [unk]."""

    hotwords: tuple[Automaton, ...] = ()
    phrases: tuple[Automaton, ...] = ()
    rejects: bool = False

    @property
    def automata(self) -> tuple[Automaton, ...]:
        """Those that join the search."""
        return self.hotwords + self.phrases

    @classmethod
    def of(cls, options: DecodingOptions, alphabet: Alphabet, normalizer: Normalizer) -> Guide:
        """The hot words and phrases of these options; ConfigError for one that the model cannot write."""
        hotwords: tuple[Automaton, ...] = ()
        if options.hotwords:
            from asr_seq2seq.decoding.hotwords import hotword_automaton

            hotwords = (hotword_automaton(options.hotwords, options.hotword_boost, alphabet, normalizer),)
        if not options.phrases:
            return cls(hotwords)
        from asr_seq2seq.decoding.phrases import phrase_automaton, read_phrases

        phrases = read_phrases(options.phrases, alphabet, normalizer)
        return cls(hotwords, (phrase_automaton(phrases, alphabet),), phrases.rejects)


def with_hotwords(options: DecodingOptions, words: Iterable[str]) -> DecodingOptions:
    """The same options with more hot words."""
    return replace(options, hotwords=(*options.hotwords, *words))


def is_rejected(phrase: Hypothesis, free: Hypothesis, margin: float) -> bool:
    """Whether the text of an unbound search is better by more than `margin` for each character of a phrase.

    Both scores are taken without boost; the end counts as a character.
    """
    gain = (free.score - (free.boost or 0.0)) - (phrase.score - (phrase.boost or 0.0))
    return gain > margin * (phrase.length + 1)


def hotwords_of(given: str | None) -> tuple[str, ...]:
    """The hot words of an option: words with commas between, or @FILE with one a line."""
    if given is None:
        return ()
    if given.startswith("@"):
        return read_list(Path(given[1:]), "hot words")
    from asr_seq2seq.decoding.hotwords import split_hotwords

    return split_hotwords(given)


def read_list(path: Path, what: str) -> tuple[str, ...]:
    """The lines of a text file that are not empty; ConfigError for one that cannot be read or has none."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no such name"
        raise ConfigError(f"{what}: cannot read {brief(str(path), 120)} ({why}): give a text file") from None
    if len(content) > _LARGEST_FILE:
        raise ConfigError(f"{what}: {brief(str(path), 120)} is larger than 4 MiB: give a shorter list")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ConfigError(f"{what}: {brief(str(path), 120)} is no text in UTF-8: convert it") from None
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise ConfigError(f"{what}: {brief(str(path), 120)} is empty: write one a line")
    return found
