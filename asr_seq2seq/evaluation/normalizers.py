"""Named normalizers for scoring: the recognizer's own, and whisper's where its package is installed.

Whisper's change with their package, so its version is part of their name in every result.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from asr_seq2seq.errors import ConfigError
from asr_seq2seq.extras import needed
from asr_seq2seq.text.normalizer import NAMES, Normalizer

_WHISPER = ("whisper-english", "whisper-basic")


class TextNormalizer(Protocol):
    """What makes two texts comparable, and under which name."""

    @property
    def name(self) -> str:
        """The name with its version."""

    def __call__(self, text: str) -> str:
        """Return the text in its comparable form, words parted by single spaces."""


@dataclass(frozen=True)
class _Whisper:
    name: str
    apply: Callable[[str], str]

    def __call__(self, text: str) -> str:
        return " ".join(self.apply(text).split())


def scoring_normalizer(name: str) -> TextNormalizer:
    """Return the normalizer of this name.

    ``ConfigError`` with the nearest name if there is none, or if its package is not installed.

    >>> scoring_normalizer("english-v1")("Twenty-one!")
    'twenty one'
    """
    if name in _WHISPER:
        return _whisper(name)
    if name not in NAMES:
        known = NAMES + _WHISPER
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise ConfigError(
            f'there is no normalizer named "{name}": did you mean "{nearest}"? '
            f"(available: {', '.join(known)})"
        )
    return Normalizer.named(name)


def _whisper(name: str) -> TextNormalizer:
    from importlib.metadata import version

    with needed(f"the normalizer {name}", "whisper"):
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    kind = EnglishTextNormalizer if name == "whisper-english" else BasicTextNormalizer
    return _Whisper(f"{name} (whisper-normalizer {version('whisper-normalizer')})", kind())
