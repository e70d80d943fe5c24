"""Make rooms (impulse responses) and noises for `augmentation.reverberation` and `augmentation.noise`.

A room is a direct sound, a few early reflections and a tail of noise that decays by 60 dB in the
reverberation time, faster in high frequencies (Schroeder's model of diffuse sound). A noise is colored
noise that swells and falls, a hum with its harmonics, or the babble of several utterances of a corpus.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import corpus_folder
import numpy as np
import typer
from corpus_folder import Samples, read_manifest

from asr_seq2seq import audio
from asr_seq2seq.cli.run import run_function
from asr_seq2seq.errors import ConfigError, OutputError
from asr_seq2seq.progress import counted

SECONDS = 10.0  # of a noise


def main(
    out: Annotated[Path, typer.Option(help="Folder to make, with folders rooms and noises in it.")],
    rooms: Annotated[int, typer.Option(min=0, help="Impulse responses to make.")] = 200,
    noises: Annotated[int, typer.Option(min=0, help="Noises to make.")] = 100,
    speech: Annotated[Path | None, typer.Option(help="Manifest of a corpus that babble is made of.")] = None,
    sample_rate: Annotated[int, typer.Option(help="In Hz.")] = 16000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same sounds.")] = 1,
) -> None:
    """Make rooms of any size and noises of any color.

    Example: python tools/make_acoustics.py --speech ../shared/data/librispeech/train.jsonl
    --out corpora/acoustics
    """
    if out.exists():
        raise OutputError(f"{out} exists already: choose another folder")
    if not rooms and not noises:
        raise ConfigError("neither rooms nor noises are asked for")
    talk = [record["audio_filepath"] for record in read_manifest(speech)] if speech else []
    with corpus_folder.made_whole(out) as folder:
        for kind, count in (("rooms", rooms), ("noises", noises)):
            with corpus_folder.writing(out):
                (folder / kind).mkdir()
            for index in counted(range(count), count, kind):
                rng = np.random.default_rng([seed, kind == "noises", index])
                made = room(sample_rate, rng) if kind == "rooms" else noise(sample_rate, talk, rng)
                made *= 0.9 / np.abs(made).max()
                sound = corpus_folder.flac_bytes(made, sample_rate)
                with corpus_folder.writing(out):
                    (folder / kind / f"{index:04d}.flac").write_bytes(sound)


def room(rate: int, rng: np.random.Generator) -> Samples:
    """(N,) a response of 0.1 to 0.8 s of reverberation, the direct sound 12 dB above it to 6 dB below."""
    decay = rng.uniform(0.1, 0.8)
    time = np.arange(round(decay * rate)) / rate
    tail = _colored(len(time), rng.uniform(0.0, 0.7), rng) * np.exp(-6.9 * time / decay)
    first = round(rng.uniform(0.002, 0.02) * rate)  # the nearest wall
    response = np.concatenate((np.zeros(first), tail))
    for _ in range(rng.integers(2, 7)):
        response[rng.integers(first, min(4 * first, len(response)))] += rng.uniform(-2, 2)
    response *= 10 ** (rng.uniform(-12.0, 6.0) / 20) / np.sqrt(np.sum(response**2))
    peak = np.abs(response).max()
    response[0] = max(1.0, 1.01 * peak)  # the loudest, from which the response counts
    return response.astype(np.float32)


def noise(rate: int, talk: list[str], rng: np.random.Generator) -> Samples:
    """(N,) ten seconds of babble where there is talk, of hum, or of colored noise."""
    count = round(SECONDS * rate)
    if talk and rng.random() < 0.4:
        sound = np.zeros(count)
        for _ in range(rng.integers(3, 9)):
            voice = audio.load(talk[rng.integers(len(talk))], rate)
            voice = np.resize(voice, count) / max(1e-6, float(np.sqrt(np.mean(voice**2))))
            sound += np.roll(voice, rng.integers(count)) * rng.uniform(0.3, 1.0)
        return sound.astype(np.float32)
    time = np.arange(count) / rate
    if rng.random() < 0.15:
        base = rng.uniform(45.0, 180.0)
        sound = sum(
            rng.uniform(0, 1) / order * np.sin(2 * np.pi * (base * order * time + rng.random()))
            for order in range(1, 12)
        ) + 0.05 * _colored(count, 0.5, rng)
    else:
        sound = _colored(count, rng.uniform(0.0, 1.2), rng)
    swell = 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * (rng.uniform(0.05, 2.0) * time + rng.random()))
    return (sound * swell).astype(np.float32)


def _colored(count: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """(N,) noise of unit power whose amplitudes fall with frequency to the power of `slope`."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum *= np.maximum(np.arange(len(spectrum)), max(1.0, len(spectrum) / 100)) ** -slope
    sound = np.fft.irfft(spectrum, count)
    return sound / max(1e-12, float(np.sqrt(np.mean(sound**2))))


if __name__ == "__main__":
    run_function(main)
