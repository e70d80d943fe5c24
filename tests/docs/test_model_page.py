"""docs/model.md quotes the code; what it quotes must be what the code says."""

import re
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "model.md"
SOURCE = re.compile(r"From `([^`]+)`:")


def excerpts(page: str) -> list[tuple[str | None, str]]:
    """Each fenced python block: the file named in the line before it, None if there is none, and its text."""
    found, lines = [], page.splitlines()
    fences = [number for number, line in enumerate(lines) if line.startswith("```")]
    for opening, closing in zip(fences[::2], fences[1::2], strict=True):
        if lines[opening] == "```python":
            source = SOURCE.fullmatch(lines[opening - 1]) if opening else None
            found.append((source[1] if source else None, "\n".join(lines[opening + 1 : closing])))
    return found


def occurs(excerpt: str, text: str) -> bool:
    """Whether the excerpt's lines stand in the text, one after another, at whatever common indentation."""
    wanted, lines = dedent(excerpt).splitlines(), text.splitlines()
    return bool(wanted) and any(
        dedent("\n".join(lines[start : start + len(wanted)])).splitlines() == wanted
        for start in range(len(lines) - len(wanted) + 1)
    )


@pytest.mark.parametrize(("source", "excerpt"), excerpts(PAGE.read_text(encoding="utf-8")))
def test_an_excerpt_is_in_the_file_it_names(source: str | None, excerpt: str) -> None:
    assert source is not None, "a python block must follow a line such as: From `asr_seq2seq/config.py`:"
    assert occurs(excerpt, (ROOT / source).read_text(encoding="utf-8")), f"not in {source}:\n{excerpt}"


def test_every_piece_of_the_model_is_quoted() -> None:
    sources = {source for source, _ in excerpts(PAGE.read_text(encoding="utf-8"))}
    rooms = ["features", "encoder", "context", "decoder", "attention"]
    assert {f"asr_seq2seq/model/{room}.py" for room in rooms} | {"asr_seq2seq/decoding/beam.py"} <= sources


@pytest.mark.parametrize(
    ("excerpt", "expected"),
    [
        ("if x:\n    y()", True),
        ("    y()\nz()", True),
        ("y()", True),
        ("if x:\ny()", False),
        ("if x:\nz()", False),
        ("y", False),
        ("", False),
    ],
)
def test_lines_occur_whole_in_order_and_indented_alike(excerpt: str, expected: bool) -> None:
    assert occurs(excerpt, "def f():\n    if x:\n        y()\n    z()\n") is expected
