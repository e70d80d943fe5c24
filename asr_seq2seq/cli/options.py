"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from asr_seq2seq.errors import ConfigError

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
RuntimeDevice = Annotated[
    str, typer.Option("--device", help="auto, cpu or cuda; of PyTorch with --backend torch.")
]
Backend = Annotated[str, typer.Option(help="onnx (onnxruntime), or torch where PyTorch is installed.")]
BatchSize = Annotated[int, typer.Option(min=1, max=10_000, help="Segments decoded together.")]
ComputeType = Annotated[str, typer.Option(help="float32, int8 (smaller and faster), or auto.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads; all without it.")]
BeamSize = Annotated[int | None, typer.Option(min=1, max=1000, help="Beam size; 1 is greedy search.")]
CtcWeight = Annotated[float | None, typer.Option(min=0, max=0.99, help="Share of the CTC score.")]
LanguageModel = Annotated[
    Path | None, typer.Option(help="Model of train-lm, a bundled one, or word n-grams (ARPA, kenlm).")
]
LmWeight = Annotated[float | None, typer.Option(min=0, help="Weight of the language model.")]
CoverageWeight = Annotated[float | None, typer.Option(min=0, help="Score for each frame attended to.")]
Hotwords = Annotated[
    str | None,
    typer.Option(help="Words to expect, with commas, each NAME or NAME:WEIGHT; @FILE for one a line."),
]
PhraseList = Annotated[
    Path | None,
    typer.Option("--phrases", help="Only the lines of this file can come out; [unk] among them: none fits."),
]
LengthReward = Annotated[float | None, typer.Option(help="Score for each character.")]
Temperature = Annotated[float | None, typer.Option(min=0.01, help="The decoder's logits are divided by it.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="path.to.key=value; repeatable.")]
HelpSettings = Annotated[
    bool, typer.Option("--help-settings", help="Print every setting with its value and meaning, and stop.")
]
RunFolder = Annotated[Path | None, typer.Option(help="Run folder; runs/NAME of the recipe without it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Reference = Annotated[
    Path,
    typer.Argument(
        help="References: plain lines, Kaldi's text, a table, JSON lines, .srt, .vtt, .trn, .stm, .ctm."
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
    str, typer.Option("--normalizer", help="none, english-v1, english-v2, whisper-english or whisper-basic.")
]
Report = Annotated[Path | None, typer.Option(help="Write a report here (.html).")]

EvaluatedModel = Annotated[Path, typer.Argument(help="Model file, or the name of a bundled one.")]
EvaluatedCorpus = Annotated[Path, typer.Argument(help="A corpus with texts, of any form.")]
Hypotheses = Annotated[
    Path | None, typer.Option(help="Write the hypotheses here (JSON lines); interrupted, it resumes.")
]
NBest = Annotated[int, typer.Option(min=0, help="Best hypotheses of each utterance to write with scores.")]
ScoringNormalizer = Annotated[
    str | None,
    typer.Option(
        "--normalizer",
        help="none, english-v1, english-v2, whisper-english, whisper-basic; the model's own without it.",
    ),
]
Listen = Annotated[
    int | None,
    typer.Option(min=0, help="Worst utterances with sound and pictures in the report; 100 without it."),
]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(help="Sound files, folders of them, quoted patterns; - is standard input."),
]
ListFile = Annotated[
    str | None,
    typer.Option("--list", help="Also the files named in this list, one a line; - is standard input."),
]
NullEnds = Annotated[bool, typer.Option("-0", "--null", help="Null bytes end the names in --list.")]
Start = Annotated[
    str | None, typer.Option(help="Begin here in each sound: seconds, or [HH:]MM:SS.mmm.", metavar="TIME")
]
End = Annotated[str | None, typer.Option(help="Stop here; times stay those of the whole.", metavar="TIME")]
MinConfidence = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Leave less sure segments out of the manifest of -f jsonl."),
]
NoSpeechThreshold = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Leave out a segment where no speech is more probable; 1 keeps all."),
]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Show each segment when it is done, and each file written.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No messages but errors, and no progress bar.")]
OptionalModel = Annotated[
    Path | None,
    typer.Option("--model", help="Model file, or the name of a bundled one; english without it."),
]
OutputFolder = Annotated[Path | None, typer.Option("-o", "--output", help="Folder for the results.")]
Formats = Annotated[
    str,
    typer.Option(
        "-f", "--formats", help="txt, srt, vtt, tsv, json, ctm, textgrid or all, and jsonl; with commas."
    ),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Search the folders in folders too.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Pass over inputs whose results are all in -o already.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace results beside their sounds too, where -o has these.")
]
InputChannel = Annotated[
    str | None, typer.Option("--channel", help="Transcribe this channel, counted from 1, or all: each alone.")
]
Ray = Annotated[
    str | None,
    typer.Option(help="Transcribe an archive by workers of Ray: auto, or the address of a cluster."),
]
Style = Annotated[
    str, typer.Option(help="plain, or written: English numbers in digits, capitals, full stops.")
]
Vad = Annotated[str, typer.Option(help="How pauses are found in long sound: energy or silero.")]
WriteAttention = Annotated[
    bool, typer.Option("--attention", help="Also write the decoder's attention: NAME.attention.npz.")
]


def expected(hotwords: str | None, phrases: Path | None) -> dict[str, Any]:
    """The decoding options of hot words and phrases; ConfigError for a file of them that cannot be read."""
    if hotwords is None and phrases is None:
        return {}
    from asr_seq2seq.decoding.guides import hotwords_of, read_list

    lines = None if phrases is None else read_list(phrases, "phrases")
    return {"hotwords": hotwords_of(hotwords) or None, "phrases": lines}


def check_lm_weight(language_model: Path | None, lm_weight: float | None) -> None:
    """ConfigError where a weight is given and no language model that it weighs."""
    if lm_weight is not None and language_model is None:
        raise ConfigError("--lm-weight needs a language model: name one with --language-model")
