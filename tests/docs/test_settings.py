"""What is made from the settings is current, and every setting says what it does."""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from asr_seq2seq.cli.application import make_app
from asr_seq2seq.cli.run import run
from asr_seq2seq.settings_reference import help_lines, json_schema, tables_of
from asr_seq2seq.training_config import Config, LanguageModelConfig, validate

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import settings_files  # noqa: E402

RECIPES = sorted((ROOT / "configs").glob("*.yaml"))
LINE = "# yaml-language-server: $schema="


@pytest.mark.parametrize("path", settings_files.files(), ids=lambda path: path.name)
def test_a_file_made_from_the_settings_is_current(path: Path) -> None:
    written = path.read_text(encoding="utf-8")
    assert written == settings_files.files()[path], "run: python tools/settings_files.py"


@pytest.mark.parametrize("recipe", [Config, LanguageModelConfig])
def test_every_setting_has_a_description_of_one_line(recipe: type[Config]) -> None:
    for table in tables_of(recipe):
        assert table.description.endswith(".") and "\n" not in table.description, table.path
        for one in table.settings:
            assert one.description and "\n" not in one.description and "|" not in one.description, one.path


def schema_beside(recipe: Path) -> dict[str, Any]:
    first = recipe.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(LINE), f"{recipe}: the first line must name the schema for editors"
    return json.loads((recipe.parent / first.removeprefix(LINE)).read_text(encoding="utf-8"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_schema_that_a_recipe_names_allows_it(recipe: Path) -> None:
    tree = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema_beside(recipe))
    # YAML 1.1 has 1e-3 for a text, which pydantic reads as a number.
    assert [error.message for error in validator.iter_errors(tree)] == []


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"data": {"train": "one.jsonl", "dev": ["two.jsonl"]}}, True),
        ({"features": {"kind": "precomputed", "size": 13}}, True),
        ({"features": {"mels": 40}}, True),
        ({"search": {"beam_size": 4}}, True),  # the old name of `decoding`
        ({"features": {"kind": "precomputed", "size": 13, "mels": 40}}, False),
        ({"features": {"kind": "precomputed"}}, False),
        ({"training": {"epoch": 3}}, False),
        ({"training": {"epochs": 0}}, False),
        ({"training": {"optimizer": "lion"}}, False),
        ({"augmentation": {"noise": {"snr": [5]}}}, False),
    ],
)
def test_the_schema_allows_what_the_reader_does(changes: dict[str, Any], allowed: bool) -> None:
    schema = json_schema(Config)
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(changes) is allowed
    if allowed:
        validate(copy.deepcopy(changes), "here")


def test_help_tells_value_default_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(make_app(), ["train", "fsdd", "--help-settings", "--set", "training.epochs=7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (epochs,) = [line for line in lines if line.startswith("training.epochs=7 ")]
    assert epochs.endswith("passes over the training set (default 30)")
    (momentum,) = [line for line in lines if line.startswith("training.momentum=0.9 ")]
    assert "default" not in momentum
    assert not any(line.startswith("features.size") for line in lines)  # of another kind of features

    assert run(make_app(), ["train-lm", "lm_chars", "--help-settings", "--json"]) == 0
    found = {one["setting"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["model.layers"]["default"] == 2
    assert found["data.max_characters"]["description"] == "longer sentences are left out"


def test_help_tells_of_the_features_that_the_recipe_has() -> None:
    recipe = validate({"features": {"kind": "precomputed", "size": 13}}, "here")
    lines = help_lines(recipe)
    assert any(line.startswith("features.size=13 ") and "default" not in line for line in lines)
    assert sum(line.startswith("features.kind=precomputed ") for line in lines) == 1
    assert not any(line.startswith("features.mels") for line in lines)
    assert len({line.partition("=")[0] for line in lines}) == len(lines)
