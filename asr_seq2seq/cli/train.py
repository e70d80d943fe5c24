"""The verb `train`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq.cli.options import AsJson, Device, RunFolder, Settings
from asr_seq2seq.cli.output import print_json, print_line, stop_interrupted
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.extras import needed
from asr_seq2seq.messages import message
from asr_seq2seq.outputs import keep_inputs, keep_recipe
from asr_seq2seq.signals import while_importing


def train(
    config: Annotated[Path, typer.Argument(help="A recipe in YAML; see configs/.")],
    settings: Settings = None,
    run: RunFolder = None,
    resume: Annotated[
        str, typer.Option(help="auto: go on with a run that was broken off; never; or the folder of one.")
    ] = "auto",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a model by a recipe; the best one by dev WER is RUN/model.safetensors."""
    from asr_seq2seq.recipes import load_config, to_yaml

    recipe = load_config(config, settings or [])
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
        message("the state is saved: the same command goes on")
        stop_interrupted(result.model, result.epoch, result.stopped)
    if leads:
        if as_json:
            figures = {"epoch": result.epoch, "dev_wer": round(result.dev_wer, 6)}
            print_json({"model": str(result.model)} | figures)
        else:
            print_line(str(result.model))
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # All is saved and said. While Python ends, a thread of the collective library was seen, rarely, to
        # abort the process, which torchrun takes for a failed training.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
