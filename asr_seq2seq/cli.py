"""The command line: one verb, one function call, one result.

Results go to stdout, messages and progress to stderr. Exit code 0 is success, 1 that some of
several files failed, 2 a mistake in the input, 130 an interruption by Ctrl-C.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from asr_seq2seq.errors import AsrError, ConfigError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Sequence-to-sequence speech recognition: transcribe, train, evaluate.",
)

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
BeamSize = Annotated[int | None, typer.Option(min=1, max=1000, help="Texts held open; 1 is greedy.")]
CtcWeight = Annotated[float | None, typer.Option(min=0, max=0.99, help="Share of the CTC score.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@app.command(epilog="Example:  asr-seq2seq transcribe data/samples/*.flac")
def transcribe(
    files: Annotated[list[str], typer.Argument(help="Sound files; - is standard input.")],
    model: Annotated[
        Path | None, typer.Option(help="Model file; the bundled English digits without it.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for the results.")] = None,
    formats: Annotated[str, typer.Option("-f", "--formats", help="txt, json or all, with commas.")] = "txt",
    beam_size: BeamSize = None,
    ctc_weight: CtcWeight = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Files decoded together.")] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write down what is said in sound files.

    The text of one file is printed alone; of several, each on a line after its name and a tab.
    """
    from asr_seq2seq.writers import parse_formats, write

    wanted = parse_formats(formats)
    stems = [Path(name).stem if name != "-" else "stdin" for name in files]
    if output is not None and len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise ConfigError(f"two inputs would both be written to {output / twice}; rename one of them")

    from asr_seq2seq.progress import count_progress
    from asr_seq2seq.recognizer import Recognizer

    recognizer = Recognizer.load(model, device=device)
    recognizer.search = _searching(recognizer.search, beam_size, ctc_weight, batch_size)
    results, failed = [], 0
    with count_progress() as progress:
        bar = progress.add_task("transcribing", total=len(files))
        found = recognizer.transcribe_each(files, on_batch=lambda count: progress.advance(bar, count))
        for name, stem, result in zip(files, stems, found, strict=True):
            if isinstance(result, AsrError):
                if len(files) == 1:
                    raise result
                failed += 1
                print(f"error: {result}", file=sys.stderr)
                continue
            if output is not None:
                write(result, output, stem, wanted)
            elif not as_json:
                print(result.text if len(files) == 1 else f"{name}\t{result.text}", flush=True)
            results.append({"file": name, **result.to_dict()})
    if as_json:
        _print_json(results[0] if len(files) == 1 else {"files": results, "failed": failed})
    if failed:
        print(f"{failed} of {len(files)} files could not be transcribed", file=sys.stderr)
        raise typer.Exit(1)


@app.command(epilog="Example:  asr-seq2seq train configs/fsdd.yaml --set training.epochs=10")
def train(
    config: Annotated[Path, typer.Argument(help="A recipe in YAML; see configs/.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="path.to.key=value; repeatable.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; runs/NAME of the recipe without it.")] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a model by a recipe; the best one by dev WER is RUN/model.safetensors."""
    from asr_seq2seq.config import load_config

    recipe = load_config(config, settings or [])
    from asr_seq2seq.training.loop import train as train_model

    result = train_model(recipe, run or Path("runs") / config.stem, device)
    if result.interrupted:
        saved = f"; the best model so far is {result.model}" if result.epoch else "; no epoch was finished"
        print(f"interrupted{saved}", file=sys.stderr)
        raise typer.Exit(130)
    if as_json:
        _print_json({"model": str(result.model), "epoch": result.epoch, "dev_wer": result.dev_wer})
    else:
        print(result.model)


@app.command(epilog="Example:  asr-seq2seq evaluate runs/fsdd/model.safetensors test.jsonl --beam-size 8")
def evaluate(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    corpus: Annotated[Path, typer.Argument(help="JSON-lines manifest or CutSet with texts.")],
    beam_size: BeamSize = None,
    ctc_weight: CtcWeight = None,
    hypotheses: Annotated[
        Path | None, typer.Option(help="Write each utterance's texts here (JSON lines).")
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Recognise a corpus and print word and character error rates."""
    from asr_seq2seq.corpora import load_corpus
    from asr_seq2seq.evaluation import evaluate as evaluate_model
    from asr_seq2seq.model_file import load_model
    from asr_seq2seq.progress import sound_progress
    from asr_seq2seq.recognizer import pick_device
    from asr_seq2seq.scoring.hypotheses import write

    recogniser = load_model(model, pick_device(device))
    search = _searching(recogniser.config.search, beam_size, ctc_weight)
    cuts = load_corpus(corpus)
    with sound_progress() as progress:
        bar = progress.add_task("evaluating", total=sum(cut.duration for cut in cuts), note="")
        result = evaluate_model(recogniser, cuts, search, lambda seconds: progress.advance(bar, seconds))
    if hypotheses is not None:
        write(hypotheses, result.lines)
    score = result.score
    if as_json:
        _print_json(
            score.to_dict()
            | {
                "normalizer": recogniser.normalizer.name,
                "sound_seconds": round(result.sound_seconds, 3),
                "seconds": round(result.seconds, 3),
                "real_time_factor": round(result.seconds / result.sound_seconds, 5),
            }
        )
        return
    print(
        f"WER {score.wer:.2%}  ({score.substitutions} substitutions, {score.insertions} insertions, "
        f"{score.deletions} deletions in {score.words:,} words)\n"
        f"CER {score.cer:.2%}  ({score.character_edits} of {score.characters:,} characters)\n"
        f"SER {score.ser:.2%}  ({score.sentence_errors} of {score.utterances:,} utterances)\n"
        f"{result.sound_seconds:.1f} s of sound in {result.seconds:.1f} s; "
        f"texts normalised by {recogniser.normalizer.name}"
    )


@app.command(epilog="Example:  asr-seq2seq inspect runs/fsdd/model.safetensors")
def inspect(
    path: Annotated[Path, typer.Argument(help="A corpus, a model file or a run folder.")],
    as_json: AsJson = False,
) -> None:
    """Say what a corpus, a model file or a run folder holds."""
    from asr_seq2seq.inspection import inspect as inspect_path

    facts = inspect_path(path)
    if as_json:
        _print_json(facts)
        return
    import yaml

    print(
        yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110), end=""
    )


def _searching(
    search: Any, beam_size: int | None, ctc_weight: float | None, batch_size: int | None = None
) -> Any:
    """The model's own search settings with those of the command line in their place."""
    given = {"beam_size": beam_size, "ctc_weight": ctc_weight, "batch_size": batch_size}
    return search.model_copy(update={name: value for name, value in given.items() if value is not None})


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))


def main() -> None:
    """Run the command line; a user's mistake becomes one line and exit code 2."""
    try:
        try:
            app()
        except SystemExit:
            sys.stdout.flush()
            raise
    except AsrError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(
            f"error: standard output cannot be written ({error.strerror}); send it elsewhere", file=sys.stderr
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
