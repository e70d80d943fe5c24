"""Train once for each speaker of a corpus on all the others, and recognize the one left out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import corpus_folder
import typer
from make_digit_strings import choose_records
from select_utterances import select
from trainings import train_on

from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.evaluation.evaluate import evaluate


def main(
    config: Annotated[Path, typer.Argument(help="A recipe; its data.train is replaced.")],
    source: Annotated[Path, typer.Option(help="Manifest with all speakers.")],
    out: Annotated[Path, typer.Option(help="Folder for manifests and runs.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="path.to.key=value; repeatable.")
    ] = None,
    only: Annotated[str, typer.Option(help="Leave out only these speakers: a,b.")] = "",
) -> None:
    """Leave one speaker out: a Markdown table of WER on each speaker never heard in training.

    Example: python tools/leave_one_speaker_out.py configs/fsdd.yaml
    --source ../shared/data/fsdd/train.jsonl --out runs/fsdd_speakers
    """
    chosen = sorted({record["speaker"] for record in choose_records(source, only, "", "")})
    print("| speaker | utterances | errors | WER |\n|---|---|---|---|", flush=True)
    rates = []
    for speaker in chosen:
        learn, held = out / f"not_{speaker}.jsonl", out / f"{speaker}.jsonl"
        select(source, learn, exclude_speakers=speaker)
        select(source, held, speakers=speaker)
        recognizer = train_on([learn], config, settings or [], out / f"run_{speaker}")
        score = evaluate(recognizer.loaded(), load_corpora([held])).score
        errors = score.substitutions + score.insertions + score.deletions
        rates.append(score.wer)
        print(f"| {speaker} | {score.utterances} | {errors} | {score.wer:.2%} |", flush=True)
    print(f"| mean | | | {sum(rates) / len(rates):.2%} |")


if __name__ == "__main__":
    corpus_folder.run(main)
