"""The verb `prepare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asr_seq2seq.cli.options import AsJson
from asr_seq2seq.cli.output import print_json, print_line
from asr_seq2seq.messages import message
from asr_seq2seq.signals import while_importing

if TYPE_CHECKING:
    from asr_seq2seq.corpora.parts import Part


def prepare(
    corpus: Annotated[
        str,
        typer.Argument(
            help="fsdd, an4, librispeech, speechocean762, common_voice, ljspeech, or lhotse:NAME for a "
            "recipe of lhotse."
        ),
    ],
    source: Annotated[Path, typer.Argument(help="The folder that the corpus was unpacked to.")],
    out: Annotated[Path, typer.Argument(help="Folder for the manifests.")],
    as_json: AsJson = False,
) -> None:
    """Write manifests for a known corpus, one for each of its parts."""
    with while_importing():
        from asr_seq2seq.corpora.prepare import prepare as prepare_corpus

    print_parts(prepare_corpus(corpus, source, out), as_json)


def print_parts(parts: Sequence[Part], as_json: bool) -> None:
    """Print the manifests that were written and, on standard error, what was left out of them."""
    for part in parts:
        if part.left_out:
            first = "; ".join(part.left_out[:3])
            message(f"{part.path}: {len(part.left_out)} left out that cannot be read: {first}")
    if as_json:
        manifests = [
            {
                "path": str(part.path),
                "utterances": part.utterances,
                "hours": round(part.hours, 3),
                "speakers": part.speakers,
                "left_out": list(part.left_out),
            }
            for part in parts
        ]
        print_json({"manifests": manifests})
        return
    for part in parts:
        print_line(
            str(part.path),
            f"{part.utterances} utterances",
            f"{part.hours:.2f} hours",
            f"{part.speakers} speakers",
        )
