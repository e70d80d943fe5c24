"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq.errors import ConfigError

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
RuntimeDevice = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
ComputeType = Annotated[str, typer.Option(help="float32, int8 (smaller and faster), or auto.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads; all without it.")]
BeamSize = Annotated[int | None, typer.Option(min=1, max=1000, help="Texts held open; 1 is greedy.")]
CtcWeight = Annotated[float | None, typer.Option(min=0, max=0.99, help="Share of the CTC score.")]
LanguageModel = Annotated[
    Path | None, typer.Option(help="Model of train-lm, a bundled one, or word n-grams (ARPA, kenlm).")
]
LmWeight = Annotated[float | None, typer.Option(min=0, help="Weight of the language model.")]
CoverageWeight = Annotated[float | None, typer.Option(min=0, help="Score for each frame attended to.")]
LengthReward = Annotated[float | None, typer.Option(help="Score for each character.")]
Temperature = Annotated[float | None, typer.Option(min=0.01, help="Flattens the decoder's choices above 1.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="path.to.key=value; repeatable.")]
RunFolder = Annotated[Path | None, typer.Option(help="Run folder; runs/NAME of the recipe without it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Reference = Annotated[
    Path,
    typer.Argument(
        help="What was said: plain lines, Kaldi's text, a table, JSON lines, .srt, .vtt, .trn, .stm, .ctm."
    ),
]
Form = Annotated[
    str | None, typer.Option(help="How lines are read where it does not show: lines, kaldi or trn.")
]
By = Annotated[
    list[str] | None,
    typer.Option(help="Also by this key of the corpus, speaker or length; repeatable."),
]
NormalizerName = Annotated[
    str, typer.Option("--normalizer", help="none, english-v1, whisper-english or whisper-basic.")
]
Report = Annotated[Path | None, typer.Option(help="Write a page to read, search and hear here (.html).")]


def check_lm_weight(language_model: Path | None, lm_weight: float | None) -> None:
    """ConfigError where a weight is given and no language model that it weighs."""
    if lm_weight is not None and language_model is None:
        raise ConfigError("--lm-weight needs a language model: name one with --language-model")
