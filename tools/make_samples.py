"""Make the sample sound in ``data/samples``: digit strings spoken by espeak-ng in ordinary voices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import corpus_folder
import typer
from make_synthetic import Utterance, find, speak

from asr_seq2seq.cli.run import run_function
from asr_seq2seq.files import atomic_write, output_error

SAMPLE_RATE = 16000
# Text, voice, words a minute, pitch.
SAMPLES = (
    ("three one four one five", "en-us", 140, 45),
    ("two seven one eight two eight", "en-gb", 150, 50),
    ("nine zero two", "en-us+f2", 130, 55),
    ("six six one four zero seven nine", "en-gb-x-rp+m3", 150, 40),
    ("eight five three zero", "en-gb-scotland+f4", 140, 50),
    ("four nine two seven one", "en-029+m7", 135, 50),
    ("zero five eight three six one", "en-gb-x-gbclan+f5", 155, 60),
)


def main(
    out: Annotated[Path, typer.Option(help="Folder to write NAME.flac and NAME.txt into.")] = Path(
        "data/samples"
    ),
) -> None:
    """Speak the sample digit strings (16 kHz, 16-bit FLAC), each with its text beside it.

    Example: python tools/make_samples.py --out data/samples
    """
    find("espeak-ng")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(out, error) from None
    for number, (text, voice, rate, pitch) in enumerate(SAMPLES, start=1):
        name = f"digits_{number:02d}"
        samples = speak(Utterance(name, text, voice, rate, pitch, gap=2, seed=(0, number)), SAMPLE_RATE)
        with atomic_write(out / f"{name}.flac", "wb") as file:
            file.write(corpus_folder.flac_bytes(samples, SAMPLE_RATE))
        with atomic_write(out / f"{name}.txt") as lines:
            lines.write(f"{text}\n")
    typer.echo(f"{out}: {len(SAMPLES)} samples", err=True)


if __name__ == "__main__":
    run_function(main)
