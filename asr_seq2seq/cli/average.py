"""The verb `average`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq.cli.output import print_line
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.garbage import importing
from asr_seq2seq.outputs import keep_inputs


def average(
    run: Annotated[Path, typer.Argument(help="Folder of a run with training.keep_epochs.")],
    last: Annotated[int | None, typer.Option(min=1, help="How many of the last epochs; else 5.")] = None,
    best: Annotated[int | None, typer.Option(min=1, help="How many of the best epochs by dev WER.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Model file; RUN/averaged.safetensors without it.")
    ] = None,
) -> None:
    """Make one model of the last or the best epochs of a run: the mean of their weights."""
    with importing():
        from asr_seq2seq.model.files import average_models, save_model
        from asr_seq2seq.training.run_folder import best_checkpoints, checkpoints

    if last and best:
        raise ConfigError("--last and --best exclude each other: give one of them")
    path = output or run / "averaged.safetensors"
    chosen = best_checkpoints(run, best) if best else checkpoints(run)[-(last or 5) :]
    keep_inputs([path], chosen)
    save_model(path, average_models(chosen))
    print_line(str(path))
