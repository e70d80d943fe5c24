"""The verb `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq import bundled
from asr_seq2seq.cli.output import print_line
from asr_seq2seq.garbage import importing
from asr_seq2seq.outputs import keep_inputs


def export(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    out: Annotated[Path, typer.Argument(help="File for the ONNX form; a .zip of three graphs.")],
    int8: Annotated[bool, typer.Option("--int8", help="Weights in 8 bits: smaller and faster.")] = False,
) -> None:
    """Write a model for onnxruntime; transcribe, evaluate and inspect take it like any other."""
    keep_inputs([out], [bundled.find(model)])
    with importing():
        from asr_seq2seq.export import export_model
        from asr_seq2seq.model.files import load_model

    export_model(out, load_model(model), int8=int8)
    print_line(str(out))
