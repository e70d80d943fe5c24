"""What a source of data or a kind of augmentation is worth: runs that differ in one thing, in one table.

The recipe is YAML: `config`, the recipe of training that all runs share, with `set`, settings as of
`train`; `sources`, a manifest by each name; `hours`, how much of each is learned from; `arms`, the runs,
each a `name` and its own `hours` and `set`; `tests`, each a `name` and a `corpus`. Of a source the
utterances are drawn in one order by chance, so what two arms have of it they have in common; hours beyond
its length repeat it.
"""

from __future__ import annotations

import hashlib
import json
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import corpus_folder
import numpy as np
import typer
from pydantic import Field
from tool_recipe import Room, read_recipe
from trainings import train_on

from asr_seq2seq.corpora import digest, load_corpora
from asr_seq2seq.errors import ConfigError, CorpusError
from asr_seq2seq.evaluation.evaluate import evaluate
from asr_seq2seq.files import atomic_write


class Arm(Room):
    """A run; `hours` takes the place of the common ones, `set` comes after the common settings."""

    name: str
    hours: dict[str, float] = Field(default={})
    set: list[str] = Field(default=[])


class Test(Room):
    """A corpus to evaluate on."""

    name: str
    corpus: str


class Ablation(Room):
    """The recipe."""

    config: str
    set: list[str] = Field(default=[])
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
    numbers = {str(number) for number in range(1, len(plan.arms) + 1)}
    chosen = set(only.split(",")) if only else numbers
    if unknown := chosen - numbers:
        raise ConfigError(f"--only {', '.join(sorted(unknown))}: want numbers from 1 to {len(numbers)}")
    for number, arm in enumerate(plan.arms, start=1):
        figures = out / f"arm_{number}.json"
        made_of = ingredients(plan, arm, settings or [])
        if figures.exists():
            if json.loads(figures.read_text(encoding="utf-8"))["made_of"] != made_of:
                raise ConfigError(
                    f"{figures}: is of other settings than `{arm.name}` has now; delete it and the folder "
                    f"{out / f'arm_{number}'}, or give another --out"
                )
        elif str(number) in chosen:
            found = figures_of(plan, made_of, out / f"arm_{number}")
            with atomic_write(figures) as file:
                json.dump(found | {"made_of": made_of}, file)
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
    plan = read_recipe(path, Ablation, "ablate")
    unknown = {name for hours in (plan.hours, *(arm.hours for arm in plan.arms)) for name in hours}
    unknown -= plan.sources.keys()
    if unknown:
        raise ConfigError(f"{path}: hours of {', '.join(sorted(unknown))}, which `sources` does not name")
    return plan


def ingredients(plan: Ablation, arm: Arm, settings: list[str]) -> dict[str, Any]:
    """All that the figures of an arm follow from."""
    hours = arm.hours or plan.hours
    try:
        recipe = Path(plan.config).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"config: {plan.config} cannot be read ({error}); give a recipe of train") from None
    return {
        "recipe": recipe,
        "set": [*plan.set, *settings, *arm.set],
        "hours": hours,
        "sources": {name: [plan.sources[name], digest_of(plan.sources[name])] for name in hours},
        "tests": [[test.corpus, digest_of(test.corpus)] for test in plan.tests],
    }


def digest_of(corpus: str) -> str:
    """What a corpus holds, in short; CorpusError where it cannot be read."""
    path = Path(corpus)
    try:
        if path.is_file():
            return hashlib.sha256(path.read_bytes()).hexdigest()
        return digest(load_corpora([path]))
    except OSError as error:
        raise CorpusError(f"{corpus} cannot be read ({error.strerror}); give a corpus") from None


def figures_of(plan: Ablation, made_of: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train one arm in `folder` and evaluate it greedily: hours, dev loss, [WER, CER] of each test."""
    corpora = []
    for name, hours in made_of["hours"].items():
        corpora.append(folder / f"{name}.jsonl")
        draw(Path(plan.sources[name]), hours, corpora[-1])
    recognizer = train_on(corpora, Path(plan.config), made_of["set"], folder / "run")
    model = recognizer.loaded()
    greedy = model.options({"beam_size": 1})
    scores = [evaluate(model, load_corpora([Path(test.corpus)]), greedy).score for test in plan.tests]
    return {
        "hours": sum(made_of["hours"].values()),
        "dev_loss": recognizer.provenance["dev_loss"],
        "tests": [[score.wer, score.cer] for score in scores],
    }


def draw(source: Path, hours: float, out: Path) -> None:
    """Write to `out` as many utterances of `source` as make up `hours`."""
    records = corpus_folder.read_manifest(source)
    order = np.random.default_rng(1).permutation(len(records))
    seconds = 0.0
    drawn = []
    for index in cycle(order):
        if seconds >= 3600 * hours:
            break
        duration = records[index].get("duration")
        if not isinstance(duration, int | float) or not duration > 0:
            raise CorpusError(f"{source}: {records[index]['audio_filepath']} has no duration; add it")
        drawn.append(records[index])
        seconds += duration
    corpus_folder.write_manifest(out, drawn)


if __name__ == "__main__":
    corpus_folder.run(main)
