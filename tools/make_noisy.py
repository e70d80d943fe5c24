"""Lay noise under a corpus at a fixed ratio, for evaluation: the same corpus, harder to recognize."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from corpus_folder import CorpusFolder, read_manifest

from asr_seq2seq import audio
from asr_seq2seq.audio.discovery import sounds_in
from asr_seq2seq.cli.run import run_function
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.progress import counted
from asr_seq2seq.training.augmentation import add_noise


def main(
    source: Annotated[Path, typer.Option(help="Manifest of the corpus.")],
    noises: Annotated[Path, typer.Option(help="Folder of noises, as tools/make_acoustics.py makes them.")],
    snr: Annotated[float, typer.Option(help="Power of the speech over that of the noise, in decibels.")],
    out: Annotated[Path, typer.Option(help="Corpus folder to make: audio/*.flac and manifest.jsonl.")],
    sample_rate: Annotated[int, typer.Option(help="Rate of the corpus in Hz.")] = 16000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same noises.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Add to each utterance a stretch of a noise, both drawn by chance.

    Example: python tools/make_noisy.py --source ../shared/data/fsdd/test.jsonl
    --noises corpora/acoustics/noises --snr 10 --out corpora/noisy/fsdd_10
    """
    sounds = sounds_in(noises)
    if not sounds:
        raise ConfigError(f"--noises {noises}: is a folder without sound files: name another")
    records = read_manifest(source)
    with CorpusFolder(out, overwrite=overwrite, inputs=[source, noises]) as corpus:
        for number, record in enumerate(counted(records, len(records), "adding noise")):
            rng = np.random.default_rng([seed, number])
            path = record.pop("audio_filepath")
            part = {"offset": record.pop("offset", 0.0), "duration": record.pop("duration", None)}
            sound = torch.from_numpy(audio.load(path, sample_rate, **part))
            name = sounds[rng.integers(len(sounds))]
            noise = torch.from_numpy(audio.load(name, sample_rate))
            noisy = add_noise(sound, noise, snr, -int(rng.integers(len(noise))))
            fields = record | {"noise": str(name), "snr": snr}
            level = max(1.0, float(torch.max(noisy.abs())))  # louder than full scale would be cut off
            corpus.add(f"{number:06d}_{Path(path).stem}", (noisy / level).numpy(), sample_rate, **fields)
    typer.echo(f"{out}: {corpus.utterances} utterances, {corpus.seconds / 3600:.2f} h", err=True)


if __name__ == "__main__":
    run_function(main)
