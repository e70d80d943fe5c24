"""The verb `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq.cli.options import AsJson
from asr_seq2seq.cli.output import need_standard_output, print_json, print_text


def inspect(
    paths: Annotated[
        list[Path], typer.Argument(help="A corpus, a model file or a run folder; or several corpora.")
    ],
    quick: Annotated[bool, typer.Option("--quick", help="Do not read the sound of a corpus.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a corpus, a model file or a run folder holds.

    Of a corpus it also says what looks wrong, and of several what they share.
    """
    from asr_seq2seq.inspection import as_text
    from asr_seq2seq.inspection import inspect as inspect_paths

    need_standard_output()
    facts = inspect_paths(*paths, quick=quick)
    if as_json:
        print_json(facts)
    else:
        print_text(as_text(facts))
