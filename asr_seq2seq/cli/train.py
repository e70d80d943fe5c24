"""The verb `train`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr_seq2seq.bundled import find_recipe
from asr_seq2seq.cli.options import AsJson, Device, HelpSettings, RunFolder, Settings
from asr_seq2seq.cli.output import print_json, print_line, print_settings, stop_interrupted
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.extras import needed
from asr_seq2seq.messages import message
from asr_seq2seq.outputs import keep_inputs, keep_recipe
from asr_seq2seq.signals import while_importing

if TYPE_CHECKING:
    from asr_seq2seq.training.fit import Result

_HELD_OUT = 0.1  # of the corpora that are named without a dev corpus


def train(
    config: Annotated[
        Path, typer.Argument(help="A recipe: a YAML file or the name of a bundled one; or a corpus.")
    ],
    settings: Settings = None,
    help_settings: HelpSettings = False,
    corpora: Annotated[
        list[str] | None, typer.Option("--train", help="Corpus to train on; repeatable.")
    ] = None,
    dev: Annotated[
        list[str] | None, typer.Option(help="Corpus to choose the best model on; repeatable.")
    ] = None,
    dev_fraction: Annotated[
        float | None, typer.Option(min=0.001, max=0.9, help="Part to hold out instead of a dev corpus.")
    ] = None,
    run: RunFolder = None,
    resume: Annotated[
        str, typer.Option(help="auto: resume a run that was interrupted; never; or the folder of one.")
    ] = "auto",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a model by a recipe; the best one by dev WER is RUN/model.safetensors.

    For a corpus instead of a recipe, the recipe is chosen by its size. A tenth of the corpora that --train
    names is held out where neither --dev nor --dev-fraction is given.
    """
    from asr_seq2seq.recipes import load_config, to_yaml

    config, corpora = _recipe_for(config, corpora or [])
    settings = [*(settings or []), *_data_settings(corpora, dev or [], dev_fraction)]
    recipe = load_config(config, settings)
    if help_settings:
        return print_settings(recipe, as_json)
    with needed("training", "train"), while_importing():
        from asr_seq2seq.model.device import keep_freed_memory
        from asr_seq2seq.training.fit import train as train_model

    leads = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun one has the folder and reports
    if resume not in ("auto", "never"):
        if run is not None or (leads and not (Path(resume) / "state").is_dir()):
            raise ConfigError(f"--resume {resume}: must be auto, never, or the folder of a run without --run")
        run, resume = Path(resume), "auto"
    run = run or Path("runs") / config.stem
    if leads:
        keep_recipe(run, config, lambda: to_yaml(load_config(config, [])))
        start = recipe.training.start_from
        keep_inputs(
            (run / "checkpoints").glob("*.safetensors"), [start, *recipe.data.train, *recipe.data.dev]
        )
    keep_freed_memory()
    result = train_model(recipe, run, device, "never" if resume == "never" else "auto")
    if result.stopped:
        message("the state is saved: the same command resumes")
        stop_interrupted(result.model, result.epoch, result.stopped)
    if leads:
        _print_result(result, as_json)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        _end_at_once()


def _print_result(result: Result, as_json: bool) -> None:
    if not as_json:
        return print_line(str(result.model))
    figures = {"epoch": result.epoch, "dev_wer": round(result.dev_wer, 6)}
    compared = {} if result.fine_tuning is None else {"fine_tuning": result.fine_tuning.to_dict()}
    print_json({"model": str(result.model)} | figures | compared)


def _end_at_once() -> None:
    """End a process of several, whose work is saved and reported.

    While Python ends, a thread of the collective library was seen, rarely, to abort the process, which
    torchrun takes for a failed training.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _recipe_for(given: Path, corpora: list[str]) -> tuple[Path, list[str]]:
    """The recipe and the corpora to train on; for a corpus in place of a recipe, one that suits its size."""
    given = find_recipe(given)
    if not given.is_dir() and given.suffix not in (".jsonl", ".json", ".gz", ".csv", ".tsv"):
        return given, corpora
    from asr_seq2seq.corpora import load_corpora
    from asr_seq2seq.training.choosing import choose_recipe

    corpora = [str(given), *corpora]
    choice = choose_recipe(sum(one.duration for one in load_corpora(corpora) if not one.problem) / 3600)
    message(f"recipe {choice.recipe}: {choice.reason}")
    return find_recipe(choice.recipe), corpora


def _data_settings(corpora: list[str], dev: list[str], fraction: float | None) -> list[str]:
    """The options as settings of the recipe."""
    if dev and fraction:
        raise ConfigError("--dev and --dev-fraction exclude each other: give one of them")
    settings = [f"data.train={json.dumps(corpora)}"] if corpora else []
    if dev:
        settings.append(f"data.dev={json.dumps(dev)}")
    elif corpora or fraction:
        settings.append(f"data.dev_fraction={fraction or _HELD_OUT}")
    return settings
