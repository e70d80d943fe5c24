"""What a user did wrong, in one sentence: what, where, and the way out.

Every error that a user can cause is an :class:`AsrError`; the command line prints it as one line
and exits with a non-zero code. Anything else that is raised is a bug of ours.
"""

import re

# C0 and C1 controls, line and paragraph separators, characters that change the direction of what
# stands around them (Unicode Standard Annex 9), and halves of surrogate pairs.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def printable(text: str) -> str:
    r"""Return text from elsewhere as a terminal can show it: control characters as escapes.

    >>> print(printable("\x1b[31mred\n"))
    \x1b[31mred\n
    """
    return _UNPRINTABLE.sub(_escape, text)


def brief(text: str, most: int = 60) -> str:
    """Return text from elsewhere as a part of a message: printable, and of at most `most` characters.

    >>> brief("0123456789", 7)
    '0123...'
    """
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def shown(value: object, limit: int = 60) -> str:
    r"""A value from a file as a message shows it: on one line, and of long text its beginning and end.

    >>> shown("a\nb"), shown("x" * 100, limit=9)
    ('a\\nb', 'xxxx...xx')
    """
    text = value if isinstance(value, str) else repr(value)
    if len(text) > limit:
        tail = limit // 3
        text = f"{text[: limit - tail - 3 + (limit % 3 == 0)]}...{text[len(text) - tail + 1 :]}"
    return printable(text)


def printable_json(text: str) -> str:
    r"""Return JSON as a terminal can show it: what JSON leaves of such characters as its own escapes.

    >>> print(printable_json('{"id": "\x9b1m\u202e"}'))
    {"id": "\u009b1m\u202e"}
    """
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return _SHORT.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


class AsrError(Exception):
    """Base of every error whose cause is the input, not the program."""


class AudioError(AsrError):
    """A sound that cannot be read or used."""


class SilentAudioError(AudioError):
    """A sound whose samples are all zero."""


class CorpusError(AsrError):
    """A corpus or a manifest that cannot be read or used."""


class ConfigError(AsrError):
    """A setting that is unknown, mistyped or does not fit the others."""


class ModelFileError(AsrError):
    """A model file that is damaged, from another program, or from a newer version."""


class OutputError(AsrError):
    """A result that cannot be written: no space, no permission, no such folder."""
