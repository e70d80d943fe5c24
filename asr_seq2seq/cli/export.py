"""The verb `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq import bundled
from asr_seq2seq.cli.output import print_line
from asr_seq2seq.outputs import keep_inputs
from asr_seq2seq.signals import while_importing


def export(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    out: Annotated[Path, typer.Argument(help="Zip archive to write: three ONNX graphs and a description.")],
    int8: Annotated[bool, typer.Option("--int8", help="Weights in 8 bits: smaller and faster.")] = False,
) -> None:
    """Write a model as ONNX graphs for other programs, which docs/export.md describes."""
    keep_inputs([out], [bundled.find(model)])
    with while_importing():
        from asr_seq2seq.export import export_model
        from asr_seq2seq.model_file.acoustic import read_model

    export_model(out, read_model(model), int8=int8)
    print_line(str(out))
