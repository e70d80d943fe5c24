"""The verb `evaluate`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq import bundled
from asr_seq2seq.cli.options import (
    AsJson,
    BeamSize,
    By,
    CoverageWeight,
    CtcWeight,
    Device,
    LanguageModel,
    LengthReward,
    LmWeight,
    Report,
    Temperature,
    check_lm_weight,
)
from asr_seq2seq.cli.output import need_standard_output, print_json, print_text
from asr_seq2seq.errors import ConfigError, OutputError
from asr_seq2seq.files import lock
from asr_seq2seq.garbage import importing
from asr_seq2seq.messages import message
from asr_seq2seq.outputs import keep_inputs


def evaluate(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    corpus: Annotated[Path, typer.Argument(help="A corpus with texts, of any form.")],
    beam_size: BeamSize = None,
    ctc_weight: CtcWeight = None,
    language_model: LanguageModel = None,
    lm_weight: LmWeight = None,
    coverage_weight: CoverageWeight = None,
    length_reward: LengthReward = None,
    temperature: Temperature = None,
    hypotheses: Annotated[
        Path | None, typer.Option(help="Write each utterance's texts here (JSON lines).")
    ] = None,
    n_best: Annotated[
        int, typer.Option(min=0, help="Best texts of each utterance to write there with their scores.")
    ] = 0,
    by: By = None,
    normalizer: Annotated[
        str | None,
        typer.Option(help="none, english-v1, whisper-english, whisper-basic; the model's own without it."),
    ] = None,
    report: Report = None,
    listen: Annotated[
        int | None,
        typer.Option(min=0, help="Worst utterances with sound and pictures in the report; 100 without it."),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Recognize a corpus and print word and character error rates, with 95 % intervals."""
    check_lm_weight(language_model, lm_weight)
    if n_best and hypotheses is None:
        raise ConfigError("--n-best needs a file for the texts: name one with --hypotheses")
    if listen is not None and report is None:
        raise ConfigError("--listen needs a page for the utterances: name one with --report")
    if as_json or (hypotheses is None and report is None):
        need_standard_output()
    outputs = [path for path in (hypotheses, report) if path is not None]
    for path in outputs:
        if not path.parent.is_dir():
            raise OutputError(f"cannot write {path}: its folder does not exist; create it first")
    models = [bundled.find(path) for path in (model, language_model) if path is not None]
    keep_inputs(outputs, [*models, corpus])
    with importing():
        from asr_seq2seq.corpora import load_corpora
        from asr_seq2seq.corpora.reading import place_of
        from asr_seq2seq.evaluation.evaluate import evaluate as evaluate_model
        from asr_seq2seq.evaluation.evaluate import open_journal
        from asr_seq2seq.evaluation.hypotheses import write
        from asr_seq2seq.evaluation.normalizers import scoring_normalizer
        from asr_seq2seq.model.files import load_model
        from asr_seq2seq.progress import sound_progress
        from asr_seq2seq.training.device import pick_device

    wanted = None if normalizer is None else scoring_normalizer(normalizer)

    recognizer = load_model(model, pick_device(device))
    search = recognizer.searching(
        beam_size=beam_size,
        ctc_weight=ctc_weight,
        lm_weight=lm_weight,
        coverage_weight=coverage_weight,
        length_reward=length_reward,
        temperature=temperature,
    )
    lm = None
    if language_model is not None:
        from asr_seq2seq.model.language_model_file import load_text_scorer

        lm = load_text_scorer(language_model, recognizer.alphabet, recognizer.device)
    cuts = load_corpora([corpus])
    keep_inputs(outputs, map(place_of, cuts))
    journal = None
    with ExitStack() as held, sound_progress() as progress:
        if hypotheses is not None and (hypotheses.is_file() or not hypotheses.exists()):
            held.enter_context(lock(hypotheses))
            journal = open_journal(hypotheses, models, cuts, search, n_best)
        bar = progress.add_task("evaluating", total=sum(cut.duration for cut in cuts), note="")
        try:
            result = evaluate_model(
                recognizer,
                cuts,
                search,
                lambda seconds, note: progress.update(bar, advance=seconds, note=note),
                lm=lm,
                n_best=n_best,
                journal=journal,
                normalizer=wanted,
                by=by or (),
            )
        except KeyboardInterrupt:
            if journal is not None:
                message(f"{journal.utterances} utterances are saved: the same command goes on")
            raise
        if hypotheses is not None:
            write(hypotheses, result.lines)
        if report is not None:
            from asr_seq2seq.evaluation.exhibits import write_report

            heard = 100 if listen is None else listen
            about = {"Model": str(model), "Corpus": str(corpus)}
            write_report(report, recognizer, cuts, result, about, heard)
        if journal is not None:
            journal.remove()
    if as_json:
        print_json(result.to_dict())
    else:
        print_text(result.describe(by or ()))
