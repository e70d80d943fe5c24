"""The command line: one verb, one function call, one result.

Results go to stdout, messages and progress to stderr. Exit code 0 is success, 1 that some of
several files failed, 2 a mistake in the input, 130 an interruption by Ctrl-C.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from asr_seq2seq import __version__, bundled, cli_scoring
from asr_seq2seq.errors import AsrError, ConfigError, OutputError
from asr_seq2seq.garbage import importing

if TYPE_CHECKING:
    from asr_seq2seq.transcript import Segment

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
BeamSize = Annotated[int | None, typer.Option(min=1, max=1000, help="Texts held open; 1 is greedy.")]
CtcWeight = Annotated[float | None, typer.Option(min=0, max=0.99, help="Share of the CTC score.")]
LanguageModel = Annotated[
    Path | None, typer.Option(help="Model of train-lm, a bundled one, or word n-grams (.arpa; .bin, .klm).")
]
LmWeight = Annotated[float | None, typer.Option(min=0, help="Weight of the language model.")]
CoverageWeight = Annotated[float | None, typer.Option(min=0, help="Score for each frame attended to.")]
LengthReward = Annotated[float | None, typer.Option(help="Score for each character.")]
Temperature = Annotated[float | None, typer.Option(min=0.01, help="Flattens the decoder's choices above 1.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="path.to.key=value; repeatable.")]
RunFolder = Annotated[Path | None, typer.Option(help="Run folder; runs/NAME of the recipe without it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)
    ] = False,
) -> None:
    """Sequence-to-sequence speech recognition: transcribe, train, evaluate."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command(epilog="Example:  asr-seq2seq transcribe data/samples/*.flac")
def transcribe(
    files: Annotated[
        list[str],
        typer.Argument(help="Sound files, folders of them, quoted patterns; - is standard input."),
    ],
    model: Annotated[
        Path | None, typer.Option(help="Model file, or the name of a bundled one; digits without it.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for the results.")] = None,
    formats: Annotated[
        str, typer.Option("-f", "--formats", help="txt, srt, vtt, tsv, json, ctm or all, with commas.")
    ] = "txt",
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Search the folders in folders too.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Pass over inputs whose results are all in -o already.")
    ] = False,
    beam_size: BeamSize = None,
    ctc_weight: CtcWeight = None,
    language_model: LanguageModel = None,
    lm_weight: LmWeight = None,
    coverage_weight: CoverageWeight = None,
    length_reward: LengthReward = None,
    temperature: Temperature = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pieces decoded together.")] = None,
    vad: Annotated[
        str, typer.Option(help="How pauses are found in long sound: energy or silero.")
    ] = "energy",
    attention: Annotated[
        bool, typer.Option("--attention", help="Also write where the decoder looked: NAME.attention.npz.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write down what is said in sound files.

    The text of one file is printed alone; of several, each on a line after its name and a tab.
    """
    from asr_seq2seq.inputs import find_sounds
    from asr_seq2seq.writers import are_written, parse_formats, write, write_attention

    _check_lm_weight(language_model, lm_weight)
    wanted = parse_formats(formats)
    if output is None and (skip_existing or attention or wanted != ["txt"]):
        flag = "--skip-existing" if skip_existing else "--attention" if attention else f"-f {formats}"
        raise ConfigError(f"{flag} needs a folder for the results: name one with -o")
    sounds, unmatched = find_sounds(files, recursive=recursive)
    alone = len(files) == 1 and (sounds == files or not sounds)
    if alone and unmatched:
        raise unmatched[0]
    for error in unmatched:
        print(f"error: {error}", file=sys.stderr)
    total, failed = len(sounds) + len(unmatched), len(unmatched)

    stems = [Path(name).stem if name != "-" else "stdin" for name in sounds]
    if output is not None and len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise ConfigError(f"two inputs would both be written to {output / twice}; rename one of them")
    inputs = list(zip(sounds, stems, strict=True))
    if output is not None and skip_existing:
        parts = [*wanted, "attention.npz"] if attention else wanted
        inputs = [(name, stem) for name, stem in inputs if not are_written(output, stem, parts)]
        print(f"{len(sounds) - len(inputs)} of {total} files skipped: already in {output}", file=sys.stderr)

    with importing():
        from asr_seq2seq.audio import expected_seconds
        from asr_seq2seq.progress import sound_progress
        from asr_seq2seq.recognizer import Recognizer

    recognizer = Recognizer.load(
        model,
        device=device,
        language_model=language_model,
        vad=vad,
        attention=attention,
        beam_size=beam_size,
        ctc_weight=ctc_weight,
        lm_weight=lm_weight,
        coverage_weight=coverage_weight,
        length_reward=length_reward,
        temperature=temperature,
        batch_size=batch_size,
    )
    results = []
    untimed = None
    with sound_progress() as progress:
        seconds = 0.0 if progress.disable else sum(expected_seconds(name) for name, _ in inputs)
        bar = progress.add_task("transcribing", total=seconds or None, note=f"0/{len(inputs)} files")
        found = recognizer.transcribe_each(
            [name for name, _ in inputs], on_progress=lambda seconds: progress.advance(bar, seconds)
        )
        for done, ((name, stem), result) in enumerate(zip(inputs, found, strict=True), start=1):
            progress.update(bar, note=f"{done}/{len(inputs)} files")
            try:
                if isinstance(result, AsrError):
                    raise result
                if output is not None:
                    untimed = untimed or next((s for s in result.segments if _is_untimed(s)), None)
                    if attention:
                        write_attention(result, output, stem)
                    write(result, output, stem, wanted)
            except OutputError:
                raise
            except AsrError as error:
                if alone:
                    raise
                failed += 1
                print(f"error: {error}", file=sys.stderr)
                continue
            if output is None and not as_json:
                print(result.text if alone else f"{name}\t{result.text}", flush=True)
            results.append({"file": name, **result.to_dict()})
    if untimed is not None:
        print(f"words have no times ({untimed.timing})", file=sys.stderr)
    if as_json:
        _print_json(results[0] if alone and results else {"files": results, "failed": failed})
    if failed:
        print(f"{failed} of {total} files could not be transcribed", file=sys.stderr)
        raise typer.Exit(1)


@app.command(epilog="Example:  asr-seq2seq train configs/fsdd.yaml --set training.epochs=10")
def train(
    config: Annotated[Path, typer.Argument(help="A recipe in YAML; see configs/.")],
    settings: Settings = None,
    run: RunFolder = None,
    resume: Annotated[
        str, typer.Option(help="auto: go on with a run that was broken off; never; or the folder of one.")
    ] = "auto",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a model by a recipe; the best one by dev WER is RUN/model.safetensors."""
    from asr_seq2seq.recipes import load_config

    recipe = load_config(config, settings or [])
    with importing():
        from asr_seq2seq.device import keep_freed_memory
        from asr_seq2seq.training.loop import train as train_model

    leads = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun one has the folder and reports
    if resume not in ("auto", "never"):
        if run is not None or (leads and not (Path(resume) / "state").is_dir()):
            raise ConfigError(f"--resume {resume}: must be auto, never, or the folder of a run without --run")
        run, resume = Path(resume), "auto"
    keep_freed_memory()
    result = train_model(
        recipe, run or Path("runs") / config.stem, device, "never" if resume == "never" else "auto"
    )
    if result.stopped:
        print("the state is saved: the same command goes on", file=sys.stderr)
        _stop_interrupted(result.model, result.epoch, result.stopped)
    if leads:
        if as_json:
            figures = {"epoch": result.epoch, "dev_wer": round(result.dev_wer, 6)}
            _print_json({"model": str(result.model)} | figures)
        else:
            print(result.model)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # All is saved and said. While Python ends, a thread of the collective library was seen, rarely, to
        # abort the process, which torchrun takes for a failed training.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


@app.command(epilog="Example:  asr-seq2seq average runs/fsdd --last 5")
def average(
    run: Annotated[Path, typer.Argument(help="Folder of a run with training.keep_epochs.")],
    last: Annotated[int | None, typer.Option(min=1, help="How many of the last epochs; else 5.")] = None,
    best: Annotated[int | None, typer.Option(min=1, help="How many of the best epochs by dev WER.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Model file; RUN/averaged.safetensors without it.")
    ] = None,
) -> None:
    """Make one model of the last or the best epochs of a run: the mean of their weights."""
    with importing():
        from asr_seq2seq.model_file import average_models, save_model
        from asr_seq2seq.training.run_folder import best_checkpoints, checkpoints

    if last and best:
        raise ConfigError("--last and --best exclude each other: give one of them")
    path = output or run / "averaged.safetensors"
    save_model(
        path, average_models(best_checkpoints(run, best) if best else checkpoints(run)[-(last or 5) :])
    )
    print(path)


@app.command(epilog="Example:  asr-seq2seq train-lm configs/lm_chars.yaml --set data.train=sentences.txt")
def train_lm(
    config: Annotated[Path, typer.Argument(help="A recipe in YAML; see configs/lm_chars.yaml.")],
    settings: Settings = None,
    run: RunFolder = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a character language model on text; the best one by dev loss is RUN/model.safetensors."""
    from asr_seq2seq.recipes import load_language_model_config

    recipe = load_language_model_config(config, settings or [])
    with importing():
        from asr_seq2seq.device import keep_freed_memory
        from asr_seq2seq.training.language_model import train_language_model

    keep_freed_memory()
    result = train_language_model(recipe, run or Path("runs") / config.stem, device)
    if result.interrupted:
        _stop_interrupted(result.model, result.epoch)
    if as_json:
        _print_json(
            {"model": str(result.model), "epoch": result.epoch, "dev_perplexity": result.dev_perplexity}
        )
    else:
        print(result.model)


@app.command(epilog="Example:  asr-seq2seq evaluate runs/fsdd/model.safetensors test.jsonl --beam-size 8")
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
    by: cli_scoring.By = None,
    normalizer: Annotated[
        str | None,
        typer.Option(help="none, english-v1, whisper-english, whisper-basic; the model's own without it."),
    ] = None,
    report: cli_scoring.Report = None,
    listen: Annotated[
        int | None,
        typer.Option(min=0, help="Worst utterances with sound and pictures in the report; 100 without it."),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Recognise a corpus and print word and character error rates, with 95 % intervals."""
    _check_lm_weight(language_model, lm_weight)
    if n_best and hypotheses is None:
        raise ConfigError("--n-best needs a file for the texts: name one with --hypotheses")
    if listen is not None and report is None:
        raise ConfigError("--listen needs a page for the utterances: name one with --report")
    for path in (hypotheses, report):
        if path is not None and not path.parent.is_dir():
            raise OutputError(f"cannot write {path}: its folder does not exist; create it first")
    with importing():
        from asr_seq2seq.corpora import load_corpora
        from asr_seq2seq.device import pick_device
        from asr_seq2seq.evaluation import evaluate as evaluate_model
        from asr_seq2seq.evaluation import open_journal
        from asr_seq2seq.model_file import load_model
        from asr_seq2seq.progress import sound_progress
        from asr_seq2seq.scoring.hypotheses import write
        from asr_seq2seq.scoring.normalizers import scoring_normalizer

    wanted = None if normalizer is None else scoring_normalizer(normalizer)

    recogniser = load_model(model, pick_device(device))
    search = recogniser.searching(
        beam_size=beam_size,
        ctc_weight=ctc_weight,
        lm_weight=lm_weight,
        coverage_weight=coverage_weight,
        length_reward=length_reward,
        temperature=temperature,
    )
    lm = None
    if language_model is not None:
        from asr_seq2seq.language_model_file import load_text_scorer

        lm = load_text_scorer(language_model, recogniser.alphabet, recogniser.device)
    cuts = load_corpora([corpus])
    journal = None
    if hypotheses is not None and (hypotheses.is_file() or not hypotheses.exists()):
        files = [bundled.find(path) for path in (model, language_model) if path is not None]
        journal = open_journal(hypotheses, files, cuts, search, n_best)
    with sound_progress() as progress:
        bar = progress.add_task("evaluating", total=sum(cut.duration for cut in cuts), note="")
        try:
            result = evaluate_model(
                recogniser,
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
                print(f"{journal.utterances} utterances are saved: the same command goes on", file=sys.stderr)
            raise
    if hypotheses is not None:
        write(hypotheses, result.lines)
    if report is not None:
        from asr_seq2seq.exhibits import write_report

        heard = 100 if listen is None else listen
        write_report(report, recogniser, cuts, result, {"Model": str(model), "Corpus": str(corpus)}, heard)
    if journal is not None:
        journal.remove()
    if as_json:
        _print_json(result.to_dict())
    else:
        print(result.describe(by or ()))


app.command(epilog="Example:  asr-seq2seq score test.jsonl heard.trn --report r.html")(cli_scoring.score)
app.command(epilog="Example:  asr-seq2seq compare test.jsonl old.jsonl new.jsonl")(cli_scoring.compare)


@app.command(epilog="Example:  asr-seq2seq prepare librispeech downloads/LibriSpeech data/librispeech")
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
    with importing():
        from asr_seq2seq.corpora.prepare import prepare as prepare_corpus

    parts = prepare_corpus(corpus, source, out)
    if as_json:
        manifests = [
            {"path": str(part.path), "utterances": part.utterances, "hours": round(part.hours, 3)}
            for part in parts
        ]
        _print_json({"manifests": manifests})
        return
    for part in parts:
        print(f"{part.path}\t{part.utterances} utterances\t{part.hours:.2f} hours")


@app.command(epilog="Example:  asr-seq2seq inspect train.jsonl dev.jsonl")
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

    facts = inspect_paths(*paths, quick=quick)
    if as_json:
        _print_json(facts)
    else:
        print(as_text(facts))


@app.command(epilog="Example:  asr-seq2seq export runs/fsdd/model.safetensors digits.onnx.zip --int8")
def export(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    out: Annotated[Path, typer.Argument(help="File for the ONNX form; a .zip of three graphs.")],
    int8: Annotated[bool, typer.Option("--int8", help="Weights in 8 bits: smaller and faster.")] = False,
) -> None:
    """Write a model for onnxruntime; transcribe, evaluate and inspect take it like any other."""
    with importing():
        from asr_seq2seq.export import export_model
        from asr_seq2seq.model_file import load_model

    export_model(out, load_model(model), int8=int8)
    print(out)


def _is_untimed(segment: Segment) -> bool:
    return any(word.start is None for word in segment.words)


def _check_lm_weight(language_model: Path | None, lm_weight: float | None) -> None:
    if lm_weight is not None and language_model is None:
        raise ConfigError("--lm-weight needs a language model: name one with --language-model")


def _stop_interrupted(model: Path, epoch: int, number: int = signal.SIGINT) -> NoReturn:
    saved = f"; the best model so far is {model}" if epoch else "; no epoch was finished"
    print(f"interrupted{saved}", file=sys.stderr)
    raise typer.Exit(128 + number)


def _print_json(value: Any) -> None:
    from asr_seq2seq.scoring.hypotheses import to_json

    print(to_json(value))


def main() -> None:
    """Run the command line; a user's mistake becomes one line and exit code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files need not be text
    try:
        try:
            app()
        except SystemExit:
            sys.stdout.flush()
            raise
    except AsrError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        what = error.filename or "standard output"
        print(f"error: {what} cannot be written ({error.strerror}); send it elsewhere", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
