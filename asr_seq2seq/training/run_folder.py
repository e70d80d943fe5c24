"""The folder that a training run leaves: the frozen recipe, the metrics, the best model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from asr_seq2seq.config import Config, LanguageModelConfig
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.files import atomic_write, output_error
from asr_seq2seq.model_file import ModelFile, save_model
from asr_seq2seq.recipes import load_config, to_yaml
from asr_seq2seq.training.checkpoint import load_state

MODEL = "model.safetensors"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
Resume = Literal["auto", "never"]


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


def open_run(run: Path, config: Config, resume: Resume) -> dict[str, Any] | None:
    """Make the folder of a run; or, unless `resume` is "never", the state that one there goes on from.

    Raises ConfigError if a run is there that may not or cannot go on, or that had other settings.
    """
    state = None if resume == "never" else load_state(run)
    if state is None:
        make_run_folder(run, config)
        return None
    frozen = load_config(run / "config.yaml")
    if frozen != config:
        key, was, now = next(_differences(frozen.model_dump(), config.model_dump()))
        raise ConfigError(
            f"{run}: the run there had {key}={was!r} and not {now!r}; go on with its own settings "
            f"({run / 'config.yaml'}), or give another folder with --run"
        )
    metrics = run / METRICS
    if metrics.exists():
        lines = metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        with atomic_write(metrics) as file:
            file.writelines(lines[: state["position"]["epoch"] - 1])
    return state


def _differences(one: Any, other: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from _differences(one[key], other[key], f"{place}.{key}" if place else key)
    elif one != other:
        yield place, one, other


def checkpoints(run: Path) -> list[Path]:
    """The model files of single epochs that the run has kept, in order."""
    return sorted((run / CHECKPOINTS).glob("epoch_*.safetensors"))


def best_checkpoints(run: Path, count: int) -> list[Path]:
    """Of the kept model files those of the `count` best epochs by dev WER, CER and loss, in order."""
    kept = {int(path.stem.split("_")[1]): path for path in checkpoints(run)}
    metrics = run / METRICS
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
    epochs = [figures for line in lines if (figures := json.loads(line))["epoch"] in kept]
    ranks = ("dev_wer", "dev_cer", "dev_loss")
    epochs.sort(key=lambda epoch: [math.inf if epoch[rank] is None else epoch[rank] for rank in ranks])
    return sorted(kept[int(epoch["epoch"])] for epoch in epochs[:count])


def keep_checkpoint(run: Path, recogniser: ModelFile, epoch: int, count: int) -> None:
    """Keep the model of an epoch; only the last `count` stay."""
    if not count:
        return
    (run / CHECKPOINTS).mkdir(exist_ok=True)
    save_model(run / CHECKPOINTS / f"epoch_{epoch:04d}.safetensors", recogniser)
    for old in checkpoints(run)[:-count]:
        old.unlink()


def append_metrics(run: Path, figures: Mapping[str, float]) -> None:
    """Add one line to the metrics; JSON knows no infinity, which becomes null."""
    rounded = {name: float(f"{x:.6g}") if math.isfinite(x) else None for name, x in figures.items()}
    try:
        with (run / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded) + "\n")
    except OSError as error:
        raise output_error(run / METRICS, error) from None
