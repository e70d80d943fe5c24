"""Evaluate a model on all that its card names, and write the card: no figure in it is typed by hand.

A card's recipe is YAML: `title` and `about`; `model`; `recipe`, how it was trained, and `training`, rows of
its corpora; `tests`, each a `name`, a `corpus`, and `groups` to tell apart; `searches`, each a `name` and
options of `evaluate`; `limits`, sentences. The evaluations are kept in a folder and are not done again
while the program, the model's and the corpus's file and the search stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import asr_seq2seq
from asr_seq2seq import bundled
from asr_seq2seq.cli.run import run_function
from asr_seq2seq.errors import AsrError, ConfigError
from asr_seq2seq.evaluation.assessment import Assessment, assess
from asr_seq2seq.evaluation.hypotheses import HypothesisLine, read
from asr_seq2seq.evaluation.intervals import Interval
from asr_seq2seq.files import atomic_write
from asr_seq2seq.model.files import ModelFile, load_model
from asr_seq2seq.outputs import keep_inputs


class Room(BaseModel):
    """A section of a card's recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Room):
    """What the model learned from."""

    data: str
    hours: float
    license: str


class Groups(Room):
    """Utterances told apart by a key of the corpus: each value a group, or two groups at a number."""

    key: str
    below: float | None = None


class Test(Room):
    """A corpus to evaluate on."""

    name: str
    corpus: str
    groups: list[Groups] = Field(default=[])


class Search(Room):
    """A way to search, by options of `evaluate`."""

    name: str
    options: list[str] = Field(default=[])


class Card(Room):
    """The recipe of a card."""

    title: str
    about: str
    model: str
    recipe: str = Field(description="how the model was trained: commands or sentences")
    training: list[Source]
    tests: list[Test]
    searches: list[Search]
    limits: list[str]


class EvaluationError(AsrError):
    """`asr-seq2seq evaluate` failed."""


def main(
    recipe: Annotated[Path, typer.Argument(help="The card's recipe, YAML.")],
    out: Annotated[Path, typer.Option(help="Markdown file to write.")],
    runs: Annotated[Path, typer.Option(help="Folder that keeps the evaluations.")] = Path("runs/cards"),
) -> None:
    """Run the evaluations that are missing and write the card.

    Example: python tools/model_card.py docs/cards/digits.yaml --out digits.md
    """
    keep_inputs([out], [recipe])
    card = read_card(recipe)
    card = card.model_copy(update={"model": str(bundled.find(card.model))})
    recognizer = load_model(card.model)
    folder = runs / recipe.stem
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for test in card.tests:
        for search in card.searches:
            print(f"{test.name}, {search.name}", file=sys.stderr)
            results.append((test, search, *evaluation(card, test, search, folder)))
    with atomic_write(out) as file:
        file.write("\n".join(render(card, recognizer, results)) + "\n")


def read_card(path: Path) -> Card:
    """The recipe of a card; ConfigError in one sentence where it is none."""
    try:
        return Card.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {place}: {first['msg']}; see the head of tools/model_card.py") from None


def evaluation(card: Card, test: Test, search: Search, folder: Path) -> tuple[Any, list[HypothesisLine]]:
    """The figures of an evaluation and its hypotheses, run now unless they stand in `folder`."""
    name = re.sub(r"\W+", "_", f"{test.name} {search.name}").strip("_").lower()
    figures, hypotheses = folder / f"{name}.json", folder / f"{name}.jsonl"
    key = [test.corpus, search.options, program(), *contents([card.model, test.corpus, *search.options])]
    if figures.exists():
        kept = json.loads(figures.read_text(encoding="utf-8"))
        if kept["key"] == key:
            return kept, read(hypotheses)
    command = [sys.executable, "-m", "asr_seq2seq", "evaluate", card.model, test.corpus, *search.options]
    command += ["--hypotheses", str(hypotheses), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise EvaluationError(f"{' '.join(command[3:])} failed, see above")
    found = json.loads(done.stdout)
    found |= {"key": key, "date": time.strftime("%Y-%m-%d"), "machine": machine()}
    with atomic_write(figures) as file:
        json.dump(found, file)
    return found, read(hypotheses)


def contents(names: Sequence[str]) -> list[str]:
    """Digests of those names that are files, or models of the package."""
    paths = [path for name in names if (path := bundled.find(name)).is_file()]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


@cache
def program() -> str:
    """A digest of the program, which may recognize otherwise when it has changed."""
    digest = hashlib.sha256()
    for path in sorted(Path(asr_seq2seq.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def machine() -> str:
    """What the evaluations ran on, for the card."""
    name = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        names = re.findall(r"^model name\s*:\s*(.*)$", cpus.read_text(), re.MULTILINE)
        name = names[0] if names else name
    threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
    return f"{os.cpu_count()} cores of {name}, {threads} thread{'s' if threads != '1' else ''}"


def render(
    card: Card, recognizer: ModelFile, results: Sequence[tuple[Test, Search, Any, list[HypothesisLine]]]
) -> Iterator[str]:
    """The lines of the card."""
    size = Path(card.model).stat().st_size / 1e6
    model, provenance = recognizer.config.model, recognizer.provenance
    parameters = sum(weight.numel() for weight in recognizer.model.parameters()) / 1e6
    layers = ", ".join(f"{layer.units} (time / {layer.reduction})" for layer in model.encoder.layers)
    yield from (f"# {card.title}", "", card.about.strip(), "")
    facts = {
        "file": f"`{Path(card.model).name}`, {parameters:.2f} million parameters, {size:.1f} MB",
        "encoder": f"{'bidirectional ' if model.encoder.bidirectional else ''}{model.encoder.cell.upper()} "
        f"layers of {layers}",
        "decoder": f"{model.decoder.cell.upper()} of {model.decoder.units}, attention: "
        f"{model.decoder.attention}; context: {model.context.pooling}; CTC weight {model.ctc_weight:g}",
        "symbols": f"{len(recognizer.alphabet)}: `{recognizer.alphabet.characters}`",
        "seed": str(provenance.get("recipe", {}).get("seed", "?")),
        "best epoch": f"{provenance.get('epoch', '?'):g}, {provenance.get('date', 'no date')}"
        if "epoch" in provenance
        else "not recorded",
        "longest segment": f"{recognizer.longest_seconds:g} s; longer sound is cut at pauses",
    }
    yield from ("| | |", "|---|---|", *(f"| {name} | {fact} |" for name, fact in facts.items()), "")
    yield from ("## How it was trained", "", card.recipe.strip(), "")
    yield from ("| data | hours | license |", "|---|---|---|")
    yield from (f"| {one.data} | {one.hours:g} | {one.license} |" for one in card.training)
    yield from ("", "## Results", "", "With 95 % intervals by a bootstrap over speakers.", "")
    yield "| test | search | utterances | words | WER | CER | confidence off by |"
    yield "|---|---|---|---|---|---|---|"
    for test, search, figures, lines in results:
        whole = assess(lines, recognizer.normalizer)
        sure = f"{figures['calibration_error']:.2%}"
        yield _row(test.name, search.name, whole, sure)
        for name, members in groups_of(test, lines):
            yield _row(f"&nbsp;&nbsp;{name}", search.name, assess(members, recognizer.normalizer), "")
    yield from (
        "",
        "## Speed",
        "",
        "| search | seconds of work per second of sound | measured on |",
        "|---|---|---|",
    )
    for search in card.searches:
        own = [figures for _, one, figures, _ in results if one == search]
        factor = sum(one["seconds"] for one in own) / sum(one["sound_seconds"] for one in own)
        places = sorted({f"{one['machine']}, {one['date']}" for one in own})
        yield f"| {search.name} | {factor:.3f} | {'; '.join(places)} |"
    yield from ("", "## What it cannot do", "", *(f"- {limit}" for limit in card.limits))


def groups_of(test: Test, lines: Sequence[HypothesisLine]) -> Iterator[tuple[str, list[HypothesisLine]]]:
    """Names and utterances of the groups of a test; nothing where all utterances are of one group."""
    for groups in test.groups:
        members: dict[str, list[HypothesisLine]] = {}
        for line in lines:
            members.setdefault(_group(groups, line), []).append(line)
        if len(members) > 1:
            yield from sorted(members.items(), key=lambda item: (" from " in item[0], item[0]))


def _group(groups: Groups, line: HypothesisLine) -> str:
    value = line.keys.get(groups.key)
    if value is None:
        return f"{groups.key} not given"
    if groups.below is None:
        return f"{groups.key} {value}"
    return f"{groups.key} {'under' if float(value) < groups.below else 'from'} {groups.below:g}"


def _row(test: str, search: str, found: Assessment, sure: str) -> str:
    def with_interval(rate: float, interval: Interval | None) -> str:
        low_high = "" if interval is None else f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
        return f"{rate:.2%}{low_high}"

    score, ends = found.score, found.intervals
    cells = (
        test,
        search,
        f"{score.utterances:,}",
        f"{score.words:,}",
        with_interval(score.wer, ends.wer),
        with_interval(score.cer, ends.cer),
        sure,
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    run_function(main)
