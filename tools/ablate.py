"""What each source of speech and each augmentation brings: short runs from one half-trained model.

Every arm takes as many steps on as many hours, drawn from all sources or from all but one, with the recipe's
augmentation or one thing changed; three seeds of the first arm tell the noise. The corpora are those that
tools/train_english.sh makes. An arm that has a row in OUT/rows.jsonl is not done again.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import corpus_folder
import typer

from asr_seq2seq.cli.run import run_function

SOURCES = {
    "speechocean762": ["speechocean762"],
    "LibriSpeech, 42 voices": ["librispeech", "librispeech5"],
    "LibriSpeech, 243 voices": ["librispeech_voices"],
    "dialogue": ["dialogue"],
    "prompts": ["prompts"],
    "digits": ["fsdd", "digit_strings"],
}
TESTS = {
    "speechocean762": "corpora/english_dev/speechocean762.jsonl",
    "librispeech": "corpora/english_dev/librispeech.jsonl",
    "noise at 10 dB": "corpora/noisy/speechocean762_10/manifest.jsonl",
}
MASKS = ("time_masks=2", "time_width=15", "frequency_masks=1", "frequency_width=12")
CHANGES = {
    "seed 2": ["seed=2"],
    "seed 3": ["seed=3"],
    "without speed": ["augmentation.speed_factors=[1.0]"],
    "without warp": ["features.warp=0"],
    "without joining": ["augmentation.joining.probability=0"],
    "without noise": ["augmentation.noise.probability=0"],
    "without rooms": ["augmentation.reverberation.probability=0"],
    "without telephone": ["augmentation.telephone_probability=0"],
    "padding 0.3": ["augmentation.padding.probability=0.3"],
    "SpecAugment": [f"features.spec_augment.{mask}" for mask in MASKS],
}
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Arm:
    """A run: its name, the utterances, and what it sets."""

    name: str
    rows: Rows
    settings: list[str] = field(default_factory=list)


def drawn(rows: Iterable[dict[str, Any]], hours: float) -> Rows:
    """So many hours of the utterances, always the same ones, some of them twice where there are fewer."""
    pool = list(rows)
    random.Random(1).shuffle(pool)
    taken: Rows = []
    seconds = 0.0
    while seconds < 3600 * hours:
        taken.append(pool[len(taken) % len(pool)])
        seconds += taken[-1]["duration"]
    return taken


def arms(sources: dict[str, Rows], hours: float) -> Iterator[Arm]:
    """All runs, the one that the others are compared with first."""
    pool = [row for rows in sources.values() for row in rows]
    everything = drawn(pool, hours)
    yield Arm("all", everything)
    for left_out in sources:
        kept = (row for name, rows in sources.items() if name != left_out for row in rows)
        yield Arm(f"without {left_out}", drawn(kept, hours))
    more = [*sources["speechocean762"] * 3, *sources["dialogue"][::2]]
    rest = [row for name, rows in sources.items() if name != "dialogue" for row in rows]
    yield Arm("speechocean762 four times, half of the dialogue", drawn([*more, *rest], hours))
    for name, settings in CHANGES.items():
        yield Arm(name, everything, settings)
    yield Arm(
        "consistency 0.5", drawn(pool, hours / 2), ["training.consistency=0.5", "data.batch_seconds=60"]
    )


def run(arm: Arm, start: Path, folder: Path) -> dict[str, Any]:
    """Train the arm and evaluate it: its dev loss, and WER and CER of each test in percent."""
    corpus = folder / "train.jsonl"
    corpus_folder.write_manifest(corpus, arm.rows)
    settings = [f"data.train=[{corpus}]", f"training.start_from={start}", "training.epochs=1"]
    settings += ["training.learning_rate=1e-3", "training.warmup_steps=20", "data.batch_seconds=120"]
    options = [part for setting in [*settings, *arm.settings] for part in ("--set", setting)]
    command = [sys.executable, "-m", "asr_seq2seq"]
    subprocess.run(
        [*command, "train", "configs/english.yaml", "--run", str(folder / "run"), *options], check=True
    )
    last = json.loads((folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    row = {"arm": arm.name, "dev_loss": last["dev_loss"]}
    for name, test in TESTS.items():
        evaluate = [*command, "evaluate", str(folder / "run"), test, "--beam-size", "1", "--json"]
        figures = json.loads(subprocess.run(evaluate, check=True, capture_output=True, text=True).stdout)
        row[name] = [100 * figures["wer"], 100 * figures["cer"]]
    return row


def main(
    start: Annotated[Path, typer.Argument(help="The half-trained model.")],
    out: Annotated[Path, typer.Option(help="Folder for the runs and their figures.")],
    hours: Annotated[float, typer.Option(min=0.01, help="Of speech in each arm.")] = 6.0,
) -> None:
    """Run all arms, one after another.

    Example: OMP_NUM_THREADS=1 python tools/ablate.py runs/english_1/model.safetensors --out runs/ablation
    """
    wav = Path("corpora/wav")
    sources = {
        name: [row for part in parts for row in corpus_folder.read_manifest(wav / part / "manifest.jsonl")]
        for name, parts in SOURCES.items()
    }
    figures = out / "rows.jsonl"
    done = set[str]()
    if figures.exists():
        done = {json.loads(line)["arm"] for line in figures.read_text(encoding="utf-8").splitlines()}
    for arm in arms(sources, hours):
        if arm.name not in done:
            row = run(arm, start.resolve(), out.resolve() / re.sub(r"\W+", "_", arm.name))
            with figures.open("a", encoding="utf-8") as file:
                print(json.dumps(row), file=file, flush=True)
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    run_function(main)
