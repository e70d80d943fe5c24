"""The folder that a training run leaves: the frozen recipe, the metrics, the best model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from asr_seq2seq.config import Config, LanguageModelConfig, to_yaml
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.files import atomic_write, output_error

MODEL = "model.safetensors"
METRICS = "metrics.jsonl"


def make_run_folder(run: Path, config: Config | LanguageModelConfig) -> None:
    """Make the folder of a run with its frozen recipe; ConfigError if it holds a run already."""
    if (run / METRICS).exists() or (run / MODEL).exists():
        raise ConfigError(f"{run}: holds a run already; give another folder with --run, or delete this one")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{run}: cannot be made ({error.strerror}); give another folder with --run"
        ) from None
    with atomic_write(run / "config.yaml") as file:
        file.write(to_yaml(config))


def append_metrics(run: Path, figures: Mapping[str, float]) -> None:
    """Add one line to the metrics; JSON knows no infinity, which becomes null."""
    rounded = {name: float(f"{x:.6g}") if math.isfinite(x) else None for name, x in figures.items()}
    try:
        with (run / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded) + "\n")
    except OSError as error:
        raise output_error(run / METRICS, error) from None
