"""Which commands, options and settings of `asr-seq2seq` texts show."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"`([^`\n]+)`")
_SHELLS = ("", "bash", "console", "sh")
_PARTS = re.compile(r"&&|\|\||[|;]")  # one command of a shell and the next
_PROGRAMS = ("asr-seq2seq", "asr_seq2seq")  # the second is that of `python -m`


@dataclass(frozen=True)
class Shown:
    """A command, as words after the program's name, or another bit of text, and where it stands."""

    words: tuple[str, ...]
    place: str

    def __str__(self) -> str:
        return f"{self.place}: {' '.join(self.words)}"


def pages(root: Path) -> list[Path]:
    """Every page that people read; docs/history.md tells of commands as they were."""
    found = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), root / "data" / "README.md"]
    found += (root / "asr_seq2seq").rglob("*.md")
    return sorted(path for path in found if path.name not in ("history.md", "CHANGELOG.md"))


def commands_in(path: Path) -> Iterator[Shown]:
    """The commands in the fenced blocks of a page, or in the comments of a recipe."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        comments = [(number, line.lstrip("# ")) for number, line in enumerate(text.splitlines(), 1)]
        blocks = [(number, line) for number, line in comments if line.startswith(_PROGRAMS)]
    else:
        fences = [match for match in _FENCE.finditer(text) if match[1] in _SHELLS]
        blocks = [(text.count("\n", 0, fence.start(2)) + 1, fence[2]) for fence in fences]
        for number, line in enumerate(_without_fences(text).splitlines(), 1):
            blocks += [(number, line)] if line.startswith("    ") else []
    for number, block in blocks:
        for line in re.sub(r"\\\n *", " ", block).splitlines():
            for part in _PARTS.split(re.sub(r"(^|\s)#.*", "", line)):
                words = words_of(part)
                for at, word in enumerate(words[:-1]):
                    if word in _PROGRAMS and words[at - 1 : at] != ["import"]:
                        yield Shown(tuple(words[at + 1 :]), f"{path.name}:{number}")


def quoted_in(path: Path) -> Iterator[Shown]:
    """What stands in backquotes outside of the blocks, without the program's name."""
    for number, line in enumerate(_without_fences(path.read_text(encoding="utf-8")).splitlines(), 1):
        for match in _QUOTED.finditer(line):
            words = [word for word in words_of(match[1]) if word not in _PROGRAMS]
            if words:
                yield Shown(tuple(words), f"{path.name}:{number}")


def texts_in_source(package: Path) -> Iterator[Shown]:
    """The texts in the package's modules: messages, help, docstrings."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield Shown((node.value,), f"{path.relative_to(package)}:{node.lineno}")


def _without_fences(text: str) -> str:
    """The same lines, those of fenced blocks empty."""
    return _FENCE.sub(lambda fence: re.sub(r"[^\n]", "", fence[0]), text)


def words_of(part: str) -> list[str]:
    """The words of a command; those between spaces where a quotation mark is one of prose."""
    try:
        return shlex.split(part)
    except ValueError:
        return part.split()
