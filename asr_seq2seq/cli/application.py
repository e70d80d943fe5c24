"""All verbs together: what `asr-seq2seq` parses and runs.

Results go to stdout, messages and progress to stderr. Exit code 0 is success, 1 that some of
several files failed, 2 a mistake in the input, 130 an interruption by Ctrl-C.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from asr_seq2seq import __version__
from asr_seq2seq.cli.average import average
from asr_seq2seq.cli.compare import compare
from asr_seq2seq.cli.evaluate import evaluate
from asr_seq2seq.cli.export import export
from asr_seq2seq.cli.inspect import inspect
from asr_seq2seq.cli.prepare import prepare
from asr_seq2seq.cli.score import score
from asr_seq2seq.cli.train import train
from asr_seq2seq.cli.train_lm import train_lm
from asr_seq2seq.cli.transcribe import transcribe
from asr_seq2seq.errors import AsrError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb, example in (
    (transcribe, "transcribe data/samples/*.flac"),
    (train, "train configs/fsdd.yaml --set training.epochs=10"),
    (average, "average runs/fsdd --last 5"),
    (train_lm, "train-lm configs/lm_chars.yaml --set data.train=sentences.txt"),
    (evaluate, "evaluate runs/fsdd/model.safetensors test.jsonl --beam-size 8"),
    (score, "score test.jsonl heard.trn --report r.html"),
    (compare, "compare test.jsonl old.jsonl new.jsonl"),
    (prepare, "prepare librispeech downloads/LibriSpeech data/librispeech"),
    (inspect, "inspect train.jsonl dev.jsonl"),
    (export, "export runs/fsdd/model.safetensors digits.onnx.zip --int8"),
):
    app.command(epilog=f"Example:  asr-seq2seq {example}")(verb)


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


def run() -> None:
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
