"""Write a corpus as 16-bit WAV at one sample rate, so that training reads it without decoding.

Opus and MP3 would be decoded in every epoch. Utterances whose text is not
what is said can be left out on the way.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import corpus_folder
import numpy as np
import soundfile
import typer

from asr_seq2seq import audio
from asr_seq2seq.cli.run import run_function
from asr_seq2seq.errors import ConfigError, CorpusError
from asr_seq2seq.progress import counted


def names_in(path: Path | None) -> set[str]:
    """The first word of each line of a text file; nothing after a # counts."""
    if path is None:
        return set()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a list of names: {error}") from None
    return {words[0] for line in lines if (words := line.split("#")[0].split())}


def chosen(
    records: list[dict[str, Any]], without: Collection[str], foreign: str, sources: Collection[str]
) -> list[dict[str, Any]]:
    """Those of these sources (all if empty) that are not named, and whose text holds no foreign character."""
    return [
        record
        for record in records
        if Path(record["audio_filepath"]).stem not in without
        and not set(record["text"]) & set(foreign)
        and (not sources or record.get("source") in sources)
    ]


def decode(records: list[dict[str, Any]], out: Path, sample_rate: int) -> float:
    """Write the sound of `records` and their manifest into the new folder `out`; returns the hours."""
    seconds, written = 0.0, set[str]()
    with corpus_folder.made_whole(out) as folder:
        lines = []
        for record in counted(records, len(records), str(out)):
            sound = audio.load(
                record["audio_filepath"],
                sample_rate,
                offset=record.get("offset", 0.0),
                duration=record.get("duration"),
            )
            name = f"{Path(record['audio_filepath']).stem}.wav"
            if name in written:
                raise CorpusError(f"{name[:-4]}: two recordings have this name; write them apart")
            written.add(name)
            samples = np.clip(sound, -1.0, 32767 / 32768)
            with corpus_folder.writing(out):
                soundfile.write(folder / name, samples, sample_rate, subtype="PCM_16")
            length = len(samples) / sample_rate
            seconds += length
            plain = {key: value for key, value in record.items() if key != "offset"}
            lines.append(json.dumps(plain | {"audio_filepath": name, "duration": round(length, 4)}))
        with corpus_folder.writing(out):
            (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return seconds / 3600


def main(
    source: Annotated[Path, typer.Option(help="JSON-lines manifest.")],
    out: Annotated[Path, typer.Option(help="Folder to make: WAV files and manifest.jsonl.")],
    sample_rate: Annotated[int, typer.Option(help="Hz, of all of them.")] = 16000,
    without: Annotated[
        Path | None, typer.Option(help="List of files to leave out, stems, one a line.")
    ] = None,
    foreign: Annotated[str, typer.Option(help="Leave out texts that hold any of these characters.")] = "",
    only_sources: Annotated[str, typer.Option(help="Only lines with one of these as `source`: a,b.")] = "",
) -> None:
    """Write a corpus as 16-bit WAV at one sample rate.

    Example: python tools/decode_corpus.py --source ../shared/data/librispeech5/train.jsonl
    --out corpora/wav/librispeech5
    """
    if out.exists():
        raise ConfigError(f"{out} exists already: choose another folder or remove it")
    records = corpus_folder.read_manifest(source)
    sources = {name for name in only_sources.split(",") if name}
    kept = chosen(records, names_in(without), foreign, sources)
    if not kept:
        raise CorpusError(f"{source}: nothing is left of {len(records)} utterances; ask for more of them")
    hours = decode(kept, out, sample_rate)
    left_out = len(records) - len(kept)
    typer.echo(f"{out}: {len(kept)} utterances, {hours:.2f} h; {left_out} left out", err=True)


if __name__ == "__main__":
    run_function(main)
