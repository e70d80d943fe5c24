"""The verb `score`: texts against texts, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq.cli.options import AsJson, By, Form, NormalizerName, Reference, Report
from asr_seq2seq.cli.output import need_standard_output, print_json, print_text
from asr_seq2seq.outputs import keep_inputs


def score(
    reference: Reference,
    hypothesis: Annotated[Path, typer.Argument(help="Hypotheses, in any of these forms.")],
    by: By = None,
    normalizer: NormalizerName = "english-v1",
    form: Form = None,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Compare texts with what was said: WER, CER and their parts, with 95 % intervals."""
    from asr_seq2seq.evaluation.assessment import assess
    from asr_seq2seq.evaluation.normalizers import scoring_normalizer
    from asr_seq2seq.evaluation.texts import read_pairs

    if as_json or report is None:
        need_standard_output()
    if report is not None:
        keep_inputs([report], [reference, hypothesis])
    [lines] = read_pairs(reference, hypothesis, form=form)
    found = assess(lines, scoring_normalizer(normalizer), by=by or ())
    if report is not None:
        from asr_seq2seq.evaluation.report import write

        write(report, found, {"References": str(reference), "Hypotheses": str(hypothesis)})
    if as_json:
        print_json(found.to_dict())
    else:
        print_text(found.describe(by or ()))
