"""What a source of data or a kind of augmentation is worth: runs that differ in one thing, in one table.

The recipe is YAML: `config`, the recipe of training that all runs share, with `set`, settings as of
`train`; `sources`, a manifest by each name; `hours`, how much of each is learnt from; `arms`, the runs,
each a `name` and its own `hours` and `set`; `tests`, each a `name` and a `corpus`. Of a source the
utterances are drawn in one order by chance, so what two arms have of it they have in common; hours beyond
its length repeat it.
"""

from __future__ import annotations

import json
import os
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import corpus_folder
import numpy as np
import typer
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.evaluation import evaluate
from asr_seq2seq.files import atomic_write
from asr_seq2seq.model_file import load_model
from asr_seq2seq.recipes import load_config
from asr_seq2seq.training.loop import train


class _Room(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Room):
    """A run; `hours` takes the place of the common ones, `set` comes after the common settings."""

    name: str
    hours: dict[str, float] = {}
    set: list[str] = []


class Test(_Room):
    """A corpus to evaluate on."""

    name: str
    corpus: str


class Ablation(_Room):
    """The recipe."""

    config: str
    set: list[str] = []
    sources: dict[str, str]
    hours: dict[str, float]
    arms: list[Arm]
    tests: list[Test]


def main(
    recipe: Annotated[Path, typer.Argument(help="The recipe, YAML.")],
    out: Annotated[Path, typer.Option(help="Folder for manifests, runs and figures.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="path.to.key=value for all runs; repeatable.")
    ] = None,
    only: Annotated[str, typer.Option(help="Only the arms with these numbers, from 1: 1,4,5.")] = "",
) -> None:
    """Train and evaluate all arms that are not done yet, and print the table of those that are.

    Example: python tools/ablate.py docs/ablations/english.yaml --out runs/english_ablation
    """
    plan = read_plan(recipe)
    numbers = {str(number): number for number in range(1, len(plan.arms) + 1)}
    chosen = only.split(",") if only else list(numbers)
    if unknown := set(chosen) - numbers.keys():
        raise ConfigError(f"--only {', '.join(sorted(unknown))}: want numbers from 1 to {len(numbers)}")
    for number in (numbers[name] for name in chosen):
        figures = out / f"arm_{number}.json"
        if not figures.exists():
            found = figures_of(plan, plan.arms[number - 1], out / f"arm_{number}", settings or [])
            with atomic_write(figures) as file:
                json.dump(found, file)
    names = [test.name for test in plan.tests]
    print("| | hours | dev loss | " + " | ".join(f"{name}: WER, CER" for name in names) + " |")
    print("|---" * (3 + len(names)) + "|")
    for number, arm in enumerate(plan.arms, start=1):
        figures = out / f"arm_{number}.json"
        if figures.exists():
            found = json.loads(figures.read_text(encoding="utf-8"))
            rates = " | ".join(f"{100 * wer:.1f}, {100 * cer:.1f} %" for wer, cer in found["tests"])
            print(f"| {arm.name} | {found['hours']:.1f} | {found['dev_loss']:.3f} | {rates} |")


def read_plan(path: Path) -> Ablation:
    """The recipe at `path`; ConfigError in one sentence where it is none."""
    try:
        plan = Ablation.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {place}: {first['msg']}; see the head of tools/ablate.py") from None
    unknown = {name for hours in (plan.hours, *(arm.hours for arm in plan.arms)) for name in hours}
    unknown -= plan.sources.keys()
    if unknown:
        raise ConfigError(f"{path}: hours of {', '.join(sorted(unknown))}, which `sources` does not name")
    return plan


def figures_of(plan: Ablation, arm: Arm, folder: Path, settings: list[str]) -> dict[str, Any]:
    """Train one arm in `folder` and evaluate it greedily: hours, dev loss, [WER, CER] of each test."""
    corpora = []
    for name, hours in (arm.hours or plan.hours).items():
        corpora.append(folder / f"{name}.jsonl")
        draw(Path(plan.sources[name]), hours, corpora[-1])
    sources = json.dumps(list(map(str, corpora)))
    recipe = load_config(Path(plan.config), [*plan.set, *settings, *arm.set, f"data.train={sources}"])
    result = train(recipe, folder / "run")
    if result.stopped:
        raise KeyboardInterrupt
    recogniser = load_model(result.model)
    search = recogniser.config.search.model_copy(update={"beam_size": 1})
    scores = [evaluate(recogniser, load_corpora([Path(test.corpus)]), search).score for test in plan.tests]
    lines = (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return {
        "hours": sum((arm.hours or plan.hours).values()),
        "dev_loss": json.loads(lines[-1])["dev_loss"],
        "tests": [[score.wer, score.cer] for score in scores],
    }


def draw(source: Path, hours: float, out: Path) -> None:
    """Write to `out` as many utterances of `source` as make up `hours`."""
    records = corpus_folder.read_manifest(source)
    order = np.random.default_rng(1).permutation(len(records))
    seconds = 0.0
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as file:
        for index in cycle(order):
            if seconds >= 3600 * hours:
                return
            record = records[index]
            path = os.path.relpath(record["audio_filepath"], out.parent)
            file.write(json.dumps(record | {"audio_filepath": path}, ensure_ascii=False) + "\n")
            seconds += record["duration"]


if __name__ == "__main__":
    corpus_folder.run(main)
