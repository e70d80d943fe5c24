"""All verbs together: what `asr-seq2seq` parses."""

from __future__ import annotations

from typing import Annotated

import typer

from asr_seq2seq import __version__
from asr_seq2seq.cli.average import average
from asr_seq2seq.cli.compare import compare
from asr_seq2seq.cli.evaluate import evaluate
from asr_seq2seq.cli.export import export
from asr_seq2seq.cli.inspect import inspect
from asr_seq2seq.cli.listen import listen
from asr_seq2seq.cli.output import print_line
from asr_seq2seq.cli.prepare import prepare
from asr_seq2seq.cli.score import score
from asr_seq2seq.cli.serve import serve
from asr_seq2seq.cli.split import split
from asr_seq2seq.cli.train import train
from asr_seq2seq.cli.train_lm import train_lm
from asr_seq2seq.cli.transcribe import transcribe

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
    (score, "score test.jsonl hypotheses.trn --report r.html"),
    (compare, "compare test.jsonl old.jsonl new.jsonl"),
    (prepare, "prepare librispeech downloads/LibriSpeech data/librispeech"),
    (split, "split recordings data/mine --test 0.1 --dev 0.1"),
    (inspect, "inspect train.jsonl dev.jsonl"),
    (serve, "serve --model english --port 8000"),
    (listen, "listen --model english"),
    (export, "export runs/fsdd/model.safetensors digits.onnx.zip --int8"),
):
    app.command(epilog=f"Example:  asr-seq2seq {example}")(verb)


@app.callback()
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
