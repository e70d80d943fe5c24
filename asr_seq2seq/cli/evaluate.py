"""The verb `evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_seq2seq import bundled
from asr_seq2seq.cli.options import (
    AsJson,
    Backend,
    BatchSize,
    BeamSize,
    By,
    ComputeType,
    CoverageWeight,
    CtcWeight,
    EvaluatedCorpus,
    EvaluatedModel,
    Hotwords,
    Hypotheses,
    LanguageModel,
    LengthReward,
    Listen,
    LmWeight,
    NBest,
    PhraseList,
    Report,
    RuntimeDevice,
    ScoringNormalizer,
    Temperature,
    Threads,
    check_lm_weight,
    expected,
)
from asr_seq2seq.cli.output import need_standard_output, print_json, print_text
from asr_seq2seq.errors import ConfigError, OutputError
from asr_seq2seq.files import lock
from asr_seq2seq.messages import message
from asr_seq2seq.outputs import keep_inputs
from asr_seq2seq.signals import while_importing

if TYPE_CHECKING:
    from asr_seq2seq.evaluation.evaluate import Evaluation
    from asr_seq2seq.evaluation.normalizers import TextNormalizer
    from asr_seq2seq.runtime.session import RuntimeOptions

_LISTEN = 100  # utterances with sound and pictures


@dataclass(frozen=True)
class _Files:
    """What an evaluation reads and writes."""

    model: Path
    language_model: Path | None
    corpus: Path
    hypotheses: Path | None
    report: Path | None

    @property
    def models(self) -> list[Path]:
        return [bundled.find(path) for path in (self.model, self.language_model) if path is not None]

    @property
    def outputs(self) -> list[Path]:
        return [path for path in (self.hypotheses, self.report) if path is not None]

    def check(self) -> None:
        """OutputError where a result has no folder, or would take the place of what is read."""
        for path in self.outputs:
            if not path.parent.is_dir():
                raise OutputError(f"cannot write {path}: its folder does not exist; create it first")
        keep_inputs(self.outputs, [*self.models, self.corpus])


@dataclass(frozen=True)
class _Scoring:
    """How the hypotheses are scored, and how many of the worst stand in a report with their sound."""

    normalizer: TextNormalizer | None
    by: list[str]
    listen: int


def evaluate(
    model: EvaluatedModel,
    corpus: EvaluatedCorpus,
    beam_size: BeamSize = None,
    ctc_weight: CtcWeight = None,
    language_model: LanguageModel = None,
    lm_weight: LmWeight = None,
    coverage_weight: CoverageWeight = None,
    length_reward: LengthReward = None,
    temperature: Temperature = None,
    hotwords: Hotwords = None,
    phrases: PhraseList = None,
    hypotheses: Hypotheses = None,
    n_best: NBest = 0,
    by: By = None,
    normalizer: ScoringNormalizer = None,
    report: Report = None,
    listen: Listen = None,
    batch_size: BatchSize = 16,
    device: RuntimeDevice = "auto",
    backend: Backend = "onnx",
    compute_type: ComputeType = "float32",
    threads: Threads = None,
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
    files = _Files(model, language_model, corpus, hypotheses, report)
    files.check()
    with while_importing():
        from asr_seq2seq.evaluation.normalizers import scoring_normalizer
        from asr_seq2seq.runtime.session import RuntimeOptions

    decoding = {
        "beam_size": beam_size,
        "n_best": n_best or None,
        "ctc_weight": ctc_weight,
        "lm_weight": lm_weight,
        "coverage_weight": coverage_weight,
        "length_reward": length_reward,
        "temperature": temperature,
        **expected(hotwords, phrases),
    }
    scoring = _Scoring(
        None if normalizer is None else scoring_normalizer(normalizer),
        by or [],
        _LISTEN if listen is None else listen,
    )
    runtime = RuntimeOptions(compute_type, threads, device, backend)
    result = _evaluate(files, scoring, decoding, runtime, batch_size)
    if as_json:
        print_json(result.to_dict())
    else:
        print_text(result.describe(scoring.by))


def _evaluate(
    files: _Files,
    scoring: _Scoring,
    decoding: Mapping[str, Any],
    runtime: RuntimeOptions,
    batch_size: int,
) -> Evaluation:
    """Decode and score the corpus, and write what is asked for."""
    with while_importing():
        from asr_seq2seq.corpora import load_corpora
        from asr_seq2seq.corpora.reading import place_of
        from asr_seq2seq.evaluation.evaluate import evaluate as evaluate_model
        from asr_seq2seq.evaluation.evaluate import open_journal
        from asr_seq2seq.evaluation.exhibits import check_report_packages, write_report
        from asr_seq2seq.evaluation.hypotheses import write
        from asr_seq2seq.inference.loading import load, load_text_scorer
        from asr_seq2seq.progress import sound_progress

    if files.report is not None and scoring.listen:
        check_report_packages()
    model = load(files.model, runtime)
    lm = None
    if files.language_model is not None:
        lm = load_text_scorer(files.language_model, model.alphabet, runtime)
    options = model.options(decoding, lm)
    utterances = load_corpora([files.corpus])
    keep_inputs(files.outputs, map(place_of, utterances))
    journal = None
    with ExitStack() as held, sound_progress() as progress:
        if files.hypotheses is not None and (files.hypotheses.is_file() or not files.hypotheses.exists()):
            held.enter_context(lock(files.hypotheses))
            journal = open_journal(files.hypotheses, files.models, utterances, options)
        bar = progress.add_task("evaluating", total=sum(one.duration for one in utterances), note="")
        try:
            result = evaluate_model(
                model,
                utterances,
                options,
                lambda seconds, note: progress.update(bar, advance=seconds, note=note),
                lm=lm,
                batch_size=batch_size,
                journal=journal,
                normalizer=scoring.normalizer,
                by=scoring.by,
            )
        except KeyboardInterrupt:
            if journal is not None:
                message(f"{journal.utterances} utterances are saved: the same command resumes")
            raise
        if files.hypotheses is not None:
            write(files.hypotheses, result.lines)
        if files.report is not None:
            about = {"Model": str(files.model), "Corpus": str(files.corpus)}
            write_report(files.report, model, utterances, result, about, scoring.listen)
        if journal is not None:
            journal.remove()
    return result
