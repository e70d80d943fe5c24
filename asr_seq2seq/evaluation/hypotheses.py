"""Recognized utterances beside their references, as JSON lines: what ``evaluate`` leaves for ``compare``."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeGuard

from pydantic import Field, TypeAdapter, ValidationError

from asr_seq2seq.errors import CorpusError, brief
from asr_seq2seq.evaluation.text import read_file
from asr_seq2seq.faults import AnyText, first_fault
from asr_seq2seq.files import atomic_write, parse_json, to_json

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]


@dataclass(frozen=True)
class Candidate:
    """One of the best texts of an utterance, its score, and what that is the weighted sum of.

    ``decoder``, ``ctc`` and ``lm`` are log probabilities of the whole text, ``length`` the number of
    characters and ``reward`` what they earn, ``coverage`` that of frames that attention has covered,
    ``boost`` what hot words add.
    """

    text: AnyText
    score: Number
    decoder: Number
    length: Annotated[int, Field(strict=True)]
    ctc: Number | None = None
    lm: Number | None = None
    coverage: Number | None = None
    reward: Number = 0.0
    boost: Number | None = None


@dataclass(frozen=True)
class HypothesisLine:
    """One utterance: its reference and hypothesis, and where known the score, duration (s) and speaker.

    ``score`` is the search's log probability of the hypothesis. Texts are as they were before normalization.
    ``n_best`` holds the best texts, best first, where they were asked for. ``confidences`` has the
    probability that it is right for each word of the hypothesis, where that is known; ``keys`` is what else
    the corpus says of the utterance.
    """

    id: AnyText
    reference: AnyText
    hypothesis: AnyText
    score: Number | None = None
    duration: Number | None = None
    speaker: AnyText | None = None
    n_best: tuple[Candidate, ...] = ()
    confidences: tuple[Number, ...] = ()
    keys: Mapping[AnyText, Any] = field(default_factory=dict)


_LINE = TypeAdapter(HypothesisLine)


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
        file.writelines(to_json(to_dict(line)) + "\n" for line in lines)


def read(path: Path) -> list[HypothesisLine]:
    """Return the lines of ``path``; blank lines and unknown keys are passed over.

    ``CorpusError`` naming the line if one is not a JSON object, lacks ``id``, ``reference`` or
    ``hypothesis``, has a value of the wrong type or repeats an id, or if the file cannot be read.
    """
    lines: dict[str, HypothesisLine] = {}
    # Not splitlines(): JSON strings may hold line separators of Unicode, only \n ends a line of JSON.
    for number, content in enumerate(read_file(path).split("\n"), start=1):
        if not content.strip():
            continue
        try:
            line = from_dict(parse_json(content))
            if line.id in lines:
                raise ValueError(f'the id "{brief(line.id)}" was used before')
        except ValueError as error:
            raise CorpusError(f"{path}, line {number}: {error}; correct or remove the line") from error
        lines[line.id] = line
    return list(lines.values())


def to_dict(line: HypothesisLine) -> dict[str, Any]:
    """Return what is known of an utterance, ready for JSON."""
    return asdict(line, dict_factory=lambda items: {k: v for k, v in items if v not in (None, (), {})})


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether it is a number that JSON can hold; Python's reader takes NaN and Infinity too."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # of an integer that is no float
        return False


def from_dict(data: Any) -> HypothesisLine:
    """Return the utterance that :func:`to_dict` made an object of; ``ValueError`` if it cannot be one."""
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    try:
        return _LINE.validate_python({name: value for name, value in data.items() if value is not None})
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
