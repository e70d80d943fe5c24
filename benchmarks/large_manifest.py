"""How long a large manifest takes to its first batch, and how much memory its utterances need.

    python benchmarks/large_manifest.py --lines 1000000

The lines are made up: names, texts and lengths differ, and all point to a few files of noise.
"""

from __future__ import annotations

import json
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
import typer

from asr_seq2seq.config import LogMelConfig
from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.batching import Batches, within_limits
from asr_seq2seq.training_config import AugmentationConfig, DataConfig

FILES = 10


def main(
    lines: Annotated[int, typer.Option(min=10, help="Utterances in the manifest.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Decides lengths and texts.")] = 1,
) -> None:
    """Make a manifest, load it, and draw the first batches as training does."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = make(Path(folder), lines, random.Random(seed))
        before = peak()
        started = time.perf_counter()
        utterances, _ = within_limits(load_corpora([manifest]), config := DataConfig(workers=0))
        loaded = time.perf_counter() - started
        normalizer = Normalizer.named(config.normalizer)
        alphabet = Alphabet.from_texts(normalizer(one.text) for one in utterances)
        batches = Batches(
            utterances,
            config,
            features=LogMelConfig(),
            alphabet=alphabet,
            normalizer=normalizer,
            augmentation=AugmentationConfig(),
            shuffle=True,
        )
        first = next(iter(batches))
        seconds = time.perf_counter() - started
        print(
            f"{lines:,} lines: {loaded:.1f} s to load, {seconds:.1f} s to the first batch "
            f"(of {len(first.ids)}); {(peak() - before) / 1024:.2f} GB more memory"
        )


def make(folder: Path, lines: int, chance: random.Random) -> Path:
    """A manifest of made-up utterances of 1 to 20 s over a few files of noise."""
    for number in range(FILES):
        noise = 0.1 * np.random.default_rng(number).standard_normal(20 * 16000)
        soundfile.write(folder / f"{number}.wav", noise, 16000)
    words = [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(1, 9))) for _ in range(5000)
    ]
    path = folder / "manifest.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(lines):
            seconds = round(chance.uniform(1, 20), 2)
            line = {
                "id": f"utterance-{number:07d}",
                "audio_filepath": f"{number % FILES}.wav",
                "duration": seconds,
                "text": " ".join(chance.choices(words, k=max(1, round(2.5 * seconds)))),
                "speaker": f"speaker-{number % 1000:04d}",
            }
            file.write(json.dumps(line) + "\n")
    return path


def peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    typer.run(main)
