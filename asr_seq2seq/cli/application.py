"""All verbs together: what `asr-seq2seq` parses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Annotated

import typer

from asr_seq2seq import __version__
from asr_seq2seq.cli.output import print_line

# Each verb is a function of its own module, and has an example of its use.
VERBS = {
    "transcribe": "transcribe data/samples/*.flac --model digits",
    "train": "train configs/fsdd.yaml --set training.epochs=10",
    "average": "average runs/fsdd --last 5",
    "train-lm": "train-lm configs/lm_chars.yaml --set data.train=sentences.txt",
    "evaluate": "evaluate runs/fsdd/model.safetensors test.jsonl --beam-size 8",
    "score": "score test.jsonl hypotheses.trn --report r.html",
    "compare": "compare test.jsonl old.jsonl new.jsonl",
    "prepare": "prepare librispeech downloads/LibriSpeech data/librispeech",
    "split": "split recordings data/mine --test 0.1 --dev 0.1",
    "align": "align english book.mp3 book.txt --cut data/book",
    "inspect": "inspect train.jsonl dev.jsonl",
    "serve": "serve --model english --port 8000",
    "listen": "listen --model english",
    "push-to-hub": "push-to-hub runs/mine me/my-recognizer --license cc-by-4.0 --language en",
    "export": "export runs/fsdd/model.safetensors digits.onnx.zip --int8",
}


def make_app(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """The command line with these verbs, whose modules are imported."""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(options)
    for verb in verbs:
        name = verb.replace("-", "_")
        function = getattr(import_module(f"asr_seq2seq.cli.{name}"), name)
        app.command(verb, epilog=f"Example:  asr-seq2seq {VERBS[verb]}")(function)
    return app


def needed_verbs(arguments: Sequence[str]) -> Iterable[str]:
    """The verb that a command line begins with; all of them where it has none that there is."""
    verb = next((argument for argument in arguments if argument != "--traceback"), "")
    return [verb] if verb in VERBS else VERBS


def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option("--traceback", help="Show where an unexpected error comes from; before or after VERB."),
    ] = False,
) -> None:
    """Sequence-to-sequence speech recognition: transcribe, train, evaluate."""
    if version:
        print_line(__version__)
        raise typer.Exit
