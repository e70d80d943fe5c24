"""What a run folder tells of its epochs: their figures, one JSON object a line, and the models kept."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from asr_seq2seq.errors import AsrError, brief
from asr_seq2seq.files import output_error, parse_json, to_json

METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
_Integer = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]
_Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Figures = TypeAdapter(
    Annotated[dict[Annotated[str, Field(max_length=100)], _Integer | _Float | None], Field(max_length=100)]
)


def metrics_lines(path: Path) -> list[bytes]:
    """The lines of the file as they stand there."""
    try:
        if not path.is_file():
            raise AsrError(f"{path}: is no file; delete it")
        return path.read_bytes().splitlines()
    except OSError as error:
        raise AsrError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def lines_before(path: Path, key: str, end: int) -> list[bytes]:
    """The first lines of the file, as they stand there, as long as their `key` is a number below `end`."""
    kept = []
    for line in metrics_lines(path):
        try:
            value = parse_json(line).get(key)
        except (ValueError, AttributeError):  # half a line, or none of ours
            break
        if not isinstance(value, int | float) or value >= end:
            break
        kept.append(line)
    return kept


def read_metrics(run: Path) -> list[dict[str, float | None]]:
    """The figures of each epoch; AsrError that names the line that is none."""
    path = run / METRICS
    if not path.exists():
        return []
    epochs = []
    for number, line in enumerate(metrics_lines(path), 1):
        try:
            epochs.append(_Figures.validate_python(parse_json(line)))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            reason = f"{'.'.join(map(str, problem['loc'][:1]))} {problem['msg']}".strip()
            raise AsrError(f"{path}: line {number}: {brief(reason, 100)}; delete that line") from None
        except ValueError as error:
            raise AsrError(f"{path}: line {number}: {brief(str(error), 100)}; delete that line") from None
    return epochs


def rank(epoch: Mapping[str, float | None]) -> list[float]:
    """What makes one epoch better than another: dev WER, CER and loss; what is unknown counts as infinite."""
    found = [epoch.get(name) for name in ("dev_wer", "dev_cer", "dev_loss")]
    return [math.inf if value is None else value for value in found]


def append_row(path: Path, *rows: Mapping[str, float | str]) -> None:
    """Add JSON lines to a log; JSON knows no infinity and no NaN, which become null."""
    lines = [to_json({name: _rounded(value) for name, value in row.items()}) + "\n" for row in rows]
    try:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(lines)
    except OSError as error:
        raise output_error(path, error) from None


def _rounded(value: float | str) -> float | str | None:
    if isinstance(value, str):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def checkpoints(run: Path) -> list[Path]:
    """The model files of single epochs that the run has kept, in order."""
    found = _kept(run)
    return [found[epoch] for epoch in sorted(found)]


def _kept(run: Path) -> dict[int, Path]:
    """The kept model files by epoch."""
    paths = (run / CHECKPOINTS).glob("epoch_*.safetensors")
    names = ((re.fullmatch(r"epoch_([0-9]{1,9})", path.stem), path) for path in paths)
    return {int(name[1]): path for name, path in names if name}


def best_checkpoints(run: Path, count: int) -> list[Path]:
    """Of the kept model files those of the `count` best epochs by dev WER, CER and loss, in order."""
    kept = _kept(run)
    epochs = [epoch for epoch in read_metrics(run) if epoch.get("epoch") in kept]
    best = sorted(epochs, key=rank)[:count]
    return [kept[number] for number in sorted(int(epoch["epoch"] or 0) for epoch in best)]
