"""The tool that evaluates a model and writes its card."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "data" / "samples"
BUNDLED = ROOT / "asr_seq2seq" / "model_file" / "pretrained" / "digits.safetensors"


def _run(recipe: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "model_card.py", recipe, "--out", recipe.with_suffix(".md")]
    return subprocess.run([*command, "--runs", recipe.parent / "runs"], capture_output=True, text=True)


@pytest.fixture
def card(tmp_path: Path) -> dict[str, Any]:
    """A card of the bundled model on three samples, one of them by a child."""
    lines = []
    for number in (1, 2, 3):
        sound = SAMPLES / f"digits_0{number}.flac"
        text = sound.with_suffix(".txt").read_text().strip()
        age = 6 if number == 2 else 30
        lines.append(json.dumps({"audio_filepath": str(sound), "text": text, "age": age}))
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    return {
        "title": "A model",
        "about": "What it is.",
        "model": str(BUNDLED),
        "recipe": "By a command.",
        "training": [{"data": "strings", "hours": 1.5, "license": "free"}],
        "tests": [
            {
                "name": "samples",
                "corpus": str(tmp_path / "corpus.jsonl"),
                "groups": [{"key": "age", "below": 16}, {"key": "gender"}],
            }
        ],
        "searches": [{"name": "greedy", "options": ["--beam-size", "1"]}],
        "limits": ["It is small."],
    }


def test_a_card_holds_what_was_measured_and_is_not_measured_twice(
    card: dict[str, Any], tmp_path: Path
) -> None:
    recipe = tmp_path / "card.yaml"
    recipe.write_text(yaml.safe_dump(card))
    done = _run(recipe)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "card.md").read_text()
    rows = [line for line in text.splitlines() if line.endswith("|") and "| greedy |" in line]
    assert rows[0].startswith("| samples | greedy | 3 | 14 | 0.00%")
    # Nobody's gender is given, so all are of one group and none is told apart by it.
    names = [row.split("|")[1].strip() for row in rows[1:] if row.count("|") == 8]
    assert names == ["&nbsp;&nbsp;age under 16", "&nbsp;&nbsp;age from 16"]
    assert (
        "| strings | 1.5 | free |" in text and "1.63 million parameters" in text and "- It is small." in text
    )
    kept = tmp_path / "runs" / "card" / "samples_greedy.json"
    made = kept.stat().st_mtime_ns
    assert _run(recipe).returncode == 0
    assert kept.stat().st_mtime_ns == made and (tmp_path / "card.md").read_text() == text
    corpus = Path(card["tests"][0]["corpus"])
    corpus.write_text(corpus.read_text() + "\n")
    assert _run(recipe).returncode == 0
    assert kept.stat().st_mtime_ns != made


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"titel": "x"}, "titel: Extra inputs are not permitted"),
        ({"title": None}, "title: Input should be a valid string"),
        ({"model": "nowhere.safetensors"}, "nowhere.safetensors"),
        ({"model": "english_lm"}, "english_lm.safetensors: holds a language model"),
    ],
)
def test_a_recipe_with_a_mistake_is_one_sentence(
    change: dict[str, object], reason: str, card: dict[str, Any], tmp_path: Path
) -> None:
    recipe = tmp_path / "card.yaml"
    recipe.write_text(yaml.safe_dump(card | change))
    done = _run(recipe)
    assert done.returncode == 2 and not (tmp_path / "card.md").exists()
    assert done.stderr.startswith("error: ") and reason in done.stderr and done.stderr.count("\n") == 1


def test_an_evaluation_that_fails_leaves_no_card(card: dict[str, Any], tmp_path: Path) -> None:
    recipe = tmp_path / "card.yaml"
    tests = [{"name": "none", "corpus": str(tmp_path / "none.jsonl")}]
    recipe.write_text(yaml.safe_dump(card | {"tests": tests}))
    done = _run(recipe)
    assert done.returncode == 2 and not (tmp_path / "card.md").exists()
    assert "evaluate" in done.stderr and "none.jsonl" in done.stderr
