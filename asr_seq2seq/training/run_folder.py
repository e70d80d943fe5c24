"""The folder that a training run leaves: the frozen recipe, the metrics, the best model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from asr_seq2seq.epochs import CHECKPOINTS, METRICS, checkpoints, lines_before, metrics_lines
from asr_seq2seq.errors import ConfigError, brief
from asr_seq2seq.files import atomic_write, make_folder, remove_left
from asr_seq2seq.model.files import ModelFile, save_model
from asr_seq2seq.recipes import load_config, to_yaml
from asr_seq2seq.training.run_log import EXAMPLES, STEPS
from asr_seq2seq.training.state import STATE, load_state
from asr_seq2seq.training_config import Config, LanguageModelConfig

MODEL = "model.safetensors"
RECIPE = "config.yaml"
Resume = Literal["auto", "never"]


def make_run_folder(run: Path, config: Config | LanguageModelConfig) -> None:
    """Make the folder of a run with its frozen recipe; ConfigError if it holds a run already."""
    if (run / METRICS).exists() or (run / MODEL).exists():
        raise ConfigError(f"{run}: holds a run already; give another folder with --run, or delete this one")
    make_folder(run)
    _freeze(run, config)


def _freeze(run: Path, config: Config | LanguageModelConfig) -> None:
    with atomic_write(run / RECIPE) as file:
        file.write(to_yaml(config))


# What may differ where a run is resumed: where things lie, how fast they are read, when is saved, how long
# it lasts. What the corpora hold is compared by digests; a changed plan of batches begins the epoch again.
_MAY_DIFFER = (
    "data.train",
    "data.dev",
    "data.workers",
    "data.batch_seconds",
    "data.buckets",
    "training.epochs",
    "training.save_steps",
    "training.keep_epochs",
    "training.log_steps",
    "training.patience",
)
_MAY_LIE_ELSEWHERE = ("augmentation.noise.folder", "augmentation.reverberation.folder", "training.start_from")


def open_run(run: Path, config: Config, resume: Resume) -> dict[str, Any] | None:
    """Make the folder of a run; or, unless `resume` is "never", the saved state to resume from.

    Raises ConfigError if a run is there that may not or cannot be resumed, or that had other settings.
    """
    state = None if resume == "never" else load_state(run)
    begun = state is not None or (resume != "never" and _was_killed_early(run))
    if not begun:
        make_run_folder(run, config)
        make_folder(run / STATE.parent)
        return None
    frozen = load_config(run / RECIPE)
    if frozen != config:
        for key, was, now in _differences(frozen.model_dump(), config.model_dump()):
            moved = key in _MAY_LIE_ELSEWHERE and was is not None and now is not None
            if key not in _MAY_DIFFER and not moved:
                was, now = brief(repr(was), 40), brief(repr(now), 40)
                raise ConfigError(
                    f"{run}: the run there had {key}={was} and not {now}; resume with its own settings "
                    f"(in its {RECIPE}), or give another folder with --run"
                )
    for name in (RECIPE, METRICS, EXAMPLES, STEPS, MODEL, STATE):
        remove_left(run / name)
    if frozen != config:
        _freeze(run, config)
    epoch, step = (state["position"]["epoch"], state["position"]["step"]) if state else (0, -1)
    for name, key, end in ((METRICS, "epoch", epoch), (EXAMPLES, "epoch", epoch), (STEPS, "step", step + 1)):
        if (run / name).exists():
            lines = lines_before(run / name, key, end)
            with atomic_write(run / name, "wb") as file:
                file.write(b"".join(line + b"\n" for line in lines))
    return state


def _was_killed_early(run: Path) -> bool:
    """Whether a run was ended before its first state was saved: the folder for it is there and empty."""
    if not (run / STATE.parent).is_dir() or not (run / RECIPE).is_file():
        return False
    return not (run / METRICS).exists() or len(metrics_lines(run / METRICS)) <= 1


def _differences(one: Any, other: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from _differences(one[key], other[key], f"{place}.{key}" if place else key)
    elif _are_tables(one) and _are_tables(other) and len(one) == len(other):
        for number, (table, same) in enumerate(zip(one, other, strict=True)):
            yield from _differences(table, same, f"{place}.{number}")
    elif one != other:
        yield place, one, other


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(table, dict) for table in value)


def keep_checkpoint(run: Path, recognizer: ModelFile, epoch: int, count: int) -> None:
    """Keep the model of an epoch; only the last `count` stay."""
    if not count:
        return
    make_folder(run / CHECKPOINTS)
    save_model(run / CHECKPOINTS / f"epoch_{epoch:04d}.safetensors", recognizer)
    for old in checkpoints(run)[:-count]:
        old.unlink()
