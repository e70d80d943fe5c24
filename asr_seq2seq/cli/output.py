"""What the verbs print."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import typer


def stop_interrupted(model: Path, epoch: int, number: int = signal.SIGINT) -> NoReturn:
    """Say what a training that was stopped has saved, and end as the signal asks."""
    saved = f"; the best model so far is {model}" if epoch else "; no epoch was finished"
    print(f"interrupted{saved}", file=sys.stderr)
    raise typer.Exit(128 + number)


def print_json(value: Any) -> None:
    """Print a result as one line of JSON."""
    from asr_seq2seq.scoring.hypotheses import to_json

    print(to_json(value))
