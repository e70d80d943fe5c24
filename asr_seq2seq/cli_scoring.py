"""The verbs that need no model: texts against texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Reference = Annotated[
    Path, typer.Argument(help="What was said: plain lines, .trn, .stm, .ctm, or JSON lines (.jsonl).")
]
By = Annotated[
    list[str] | None,
    typer.Option(help="Also by this key of the corpus, speaker or length; repeatable."),
]
NormalizerName = Annotated[
    str, typer.Option("--normalizer", help="none, english-v1, whisper-english or whisper-basic.")
]
Report = Annotated[Path | None, typer.Option(help="Write a page to read, search and hear here (.html).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def score(
    reference: Reference,
    hypothesis: Annotated[Path, typer.Argument(help="What was heard, in any of these forms.")],
    by: By = None,
    normalizer: NormalizerName = "english-v1",
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Compare texts with what was said: WER, CER and their parts, with 95 % intervals."""
    from asr_seq2seq.scoring.assessment import assess
    from asr_seq2seq.scoring.hypotheses import to_json
    from asr_seq2seq.scoring.normalizers import scoring_normalizer
    from asr_seq2seq.scoring.texts import read_pairs

    [lines] = read_pairs(reference, hypothesis)
    found = assess(lines, scoring_normalizer(normalizer), by=by or ())
    if report is not None:
        from asr_seq2seq.scoring.report import write

        write(report, found, {"References": str(reference), "Hypotheses": str(hypothesis)})
    print(to_json(found.to_dict()) if as_json else found.describe(by or ()))


def compare(
    reference: Reference,
    first: Annotated[Path, typer.Argument(metavar="A", help="What one system heard.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="What the other one heard.")],
    normalizer: NormalizerName = "english-v1",
    as_json: AsJson = False,
) -> None:
    """Say which of two systems is better on the same utterances, or that the data cannot tell."""
    from asr_seq2seq.scoring.comparison import compare as compare_systems
    from asr_seq2seq.scoring.hypotheses import to_json
    from asr_seq2seq.scoring.normalizers import scoring_normalizer
    from asr_seq2seq.scoring.texts import read_pairs

    one, other = read_pairs(reference, first, second)
    names = (first.stem, second.stem) if first.stem != second.stem else (str(first), str(second))
    found = compare_systems(
        [line.reference for line in one],
        [line.hypothesis for line in one],
        [line.hypothesis for line in other],
        scoring_normalizer(normalizer),
        speakers=[line.speaker for line in one],
        names=names,
    )
    print(to_json(found.to_dict()) if as_json else found.describe())
