"""Recognised utterances beside their references, as JSON lines: what ``evaluate`` leaves for ``compare``."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.files import atomic_write, output_error


@dataclass(frozen=True)
class HypothesisLine:
    """One utterance: its reference and hypothesis, and where known the score, duration (s) and speaker.

    ``score`` is the search's log probability of the hypothesis. Texts are as they were before normalisation.
    """

    id: str
    reference: str
    hypothesis: str
    score: float | None = None
    duration: float | None = None
    speaker: str | None = None


def write(path: Path, lines: Iterable[HypothesisLine]) -> None:
    """Write ``lines`` to ``path``, all or nothing; ``OutputError`` if that fails.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "test.jsonl"
    ...     write(path, [HypothesisLine("a", "hello", "hallo", score=-1.5)])
    ...     read(path)[0].hypothesis
    'hallo'
    """
    with atomic_write(path) as file:
        file.writelines(_dump(line) for line in lines)


def append(path: Path, lines: Iterable[HypothesisLine]) -> None:
    """Add ``lines`` at the end of ``path``, which is made if need be; ``OutputError`` if that fails."""
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.writelines(_dump(line) for line in lines)
    except OSError as error:
        raise output_error(path, error) from error


def read(path: Path) -> list[HypothesisLine]:
    """Return the lines of ``path``; blank lines and unknown keys are passed over.

    ``CorpusError`` naming the line if one is not a JSON object, lacks ``id``, ``reference`` or
    ``hypothesis``, has a value of the wrong type or repeats an id, or if the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CorpusError(
            f"cannot read the hypotheses {path}: {error.strerror}; check the path and its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path} is not UTF-8 text: give a file of JSON lines as evaluate writes it"
        ) from error
    lines: dict[str, HypothesisLine] = {}
    # Not splitlines(): JSON strings may hold line separators of Unicode, only \n ends a line of JSON.
    for number, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            line = _parse(content)
            if line.id in lines:
                raise ValueError(f'the id "{line.id}" was used before')
        except ValueError as error:
            raise CorpusError(f"{path}, line {number}: {error}; correct or remove the line") from error
        lines[line.id] = line
    return list(lines.values())


def _dump(line: HypothesisLine) -> str:
    known = {name: value for name, value in asdict(line).items() if value is not None}
    return json.dumps(known, ensure_ascii=False, allow_nan=False) + "\n"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _parse(content: str) -> HypothesisLine:
    try:
        data: Any = json.loads(content, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    values: dict[str, Any] = {field.name: data.get(field.name) for field in fields(HypothesisLine)}
    for name, value in values.items():
        if value is None and name in ("id", "reference", "hypothesis"):
            raise ValueError(f'"{name}" is missing')
        kinds, kind = ((int, float), "a number") if name in ("score", "duration") else (str, "a text")
        # JSON's true and false are ints to Python.
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
            raise ValueError(f'"{name}" is not {kind}')
    return HypothesisLine(**values)
