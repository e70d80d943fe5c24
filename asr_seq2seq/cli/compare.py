"""The verb `compare`: two systems on the same utterances, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq.cli.options import AsJson, Form, NormalizerName, Reference
from asr_seq2seq.cli.output import need_standard_output, print_json, print_text


def compare(
    reference: Reference,
    first: Annotated[Path, typer.Argument(metavar="A", help="Hypotheses of one system.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Hypotheses of the other.")],
    normalizer: NormalizerName = "english-v1",
    form: Form = None,
    as_json: AsJson = False,
) -> None:
    """Say which of two systems is better on the same utterances, or that the data cannot tell."""
    from asr_seq2seq.evaluation.comparison import compare as compare_systems
    from asr_seq2seq.evaluation.normalizers import scoring_normalizer
    from asr_seq2seq.evaluation.texts import read_pairs

    need_standard_output()
    one, other = read_pairs(reference, first, second, form=form)
    names = (first.stem, second.stem) if first.stem != second.stem else (str(first), str(second))
    found = compare_systems(
        [line.reference for line in one],
        [line.hypothesis for line in one],
        [line.hypothesis for line in other],
        scoring_normalizer(normalizer),
        speakers=[line.speaker for line in one],
        names=names,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        print_text(found.describe())
