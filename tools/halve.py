"""Store a model, of speech or of language, in half the space: weights as float16."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import corpus_folder
import typer

from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.model.files import load_model, save_model
from asr_seq2seq.model.language_model_file import load_language_model, save_language_model
from asr_seq2seq.outputs import keep_inputs


def main(
    model: Annotated[Path, typer.Argument(help="Model file of train or train-lm.")],
    out: Annotated[Path, typer.Argument(help="File to write.")],
) -> None:
    """Write MODEL to OUT with weights of 16 bits, which are read back as 32.

    Example: python tools/halve.py runs/english/model.safetensors english.safetensors
    """
    keep_inputs([out], [model])
    try:
        save_model(out, load_model(model), half=True)
    except ModelFileError as error:
        if "holds a language model" not in str(error):
            raise
        save_language_model(out, load_language_model(model), half=True)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB", err=True)


if __name__ == "__main__":
    corpus_folder.run(main)
