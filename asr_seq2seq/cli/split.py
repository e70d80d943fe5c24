"""The verb `split`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from asr_seq2seq.cli.options import AsJson
from asr_seq2seq.cli.prepare import print_parts


def split(
    corpus: Annotated[Path, typer.Argument(help="A corpus of any form.")],
    out: Annotated[Path, typer.Argument(help="Folder for train.jsonl, dev.jsonl and test.jsonl.")],
    test: Annotated[float, typer.Option(min=0, max=0.99, help="Part of the sound for test.")] = 0.1,
    dev: Annotated[float, typer.Option(min=0, max=0.99, help="Part of the sound for dev.")] = 0.1,
    by: Annotated[
        Literal["speaker", "sentence"], typer.Option(help="What is never on two sides.")
    ] = "speaker",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same parts.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Split a corpus into train, dev and test, whole speakers or sentences to each."""
    from asr_seq2seq.corpora import load_corpora
    from asr_seq2seq.corpora import split as splitting
    from asr_seq2seq.messages import message

    utterances = load_corpora([corpus])
    parts = splitting.split(utterances, {"dev": dev, "test": test}, by=by, seed=seed)
    unknown = sum(one.speaker is None for one in utterances)
    if by == "speaker" and unknown:
        message(
            f"warning: {unknown} of {len(utterances)} utterances have no speaker: they are split one by one, "
            "and a speaker may be on two sides"
        )
    print_parts(splitting.write_split(parts, out, [corpus]), as_json)
