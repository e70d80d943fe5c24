"""The verb `average`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq import bundled
from asr_seq2seq.cli.output import print_line
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.outputs import keep_inputs
from asr_seq2seq.signals import while_importing


def average(
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Run folder with training.keep_epochs, or a model file."),
    ],
    last: Annotated[int | None, typer.Option(min=1, help="How many of the last epochs; else 5.")] = None,
    best: Annotated[int | None, typer.Option(min=1, help="How many of the best epochs by dev WER.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Model file; RUN/averaged.safetensors without it.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Weights as float16: half the size.")] = False,
) -> None:
    """Make one model of the last or the best epochs of a run: the mean of their weights.

    Of one model file, of `train` or `train-lm`, it makes a copy, with --half of half the size.
    """
    with while_importing():
        from asr_seq2seq.epochs import best_checkpoints, checkpoints
        from asr_seq2seq.model_file.averaging import write_average

    if last and best:
        raise ConfigError("--last and --best exclude each other: give one of them")
    if source.is_dir():
        path = output or source / "averaged.safetensors"
        chosen = best_checkpoints(source, best) if best else checkpoints(source)[-(last or 5) :]
    elif output is None or last or best:
        raise ConfigError(
            f"{source}: is no run folder; with a model file give -o, and neither --last nor --best"
        )
    else:
        path, chosen = output, [bundled.find(source)]
    keep_inputs([path], chosen)
    write_average(path, chosen, half=half)
    print_line(str(path))
