"""The verb `push-to-hub`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq import bundled
from asr_seq2seq.cli.options import EvaluatedModel
from asr_seq2seq.cli.output import print_line
from asr_seq2seq.errors import ConfigError


def push_to_hub(
    model: EvaluatedModel,
    repository: Annotated[str, typer.Argument(help="OWNER/NAME; it is made where there is none.")],
    card: Annotated[
        Path | None, typer.Option(help="README for the Hub; without it one that says what `inspect` does.")
    ] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="License of the weights, as the Hub names it: cc-by-4.0.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Language, as the Hub names it: en.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Only its owner sees a new repository.")] = False,
    message: Annotated[str, typer.Option(help="What the commit says.")] = "Upload a speech recognizer",
) -> None:
    """Put a model on the Hugging Face Hub, where `--model hf:OWNER/NAME` finds it.

    The token that HF_TOKEN holds, or the one of `hf auth login`, must be allowed to write.
    """
    from asr_seq2seq import hub
    from asr_seq2seq.inspection import inspect_model

    path = bundled.find(model)
    facts = inspect_model(path)  # of anything but a model it says what is wrong
    if card is None:
        text = hub.card(repository, facts, license_, language)
    elif license_ or language:
        raise ConfigError(f"{card}: holds its own license and language; leave --license and --language out")
    else:
        try:
            text = card.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"{card}: cannot be read as UTF-8 text; check its name") from None
    files = {hub.MODEL_FILE: path.read_bytes(), "README.md": text.encode()}
    print_line(hub.upload(files, repository, private=private, message=message))
