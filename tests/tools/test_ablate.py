"""The arms of an ablation: as much speech in each, and one source less where one is left out."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from ablate import CHANGES, SOURCES, arms, drawn

from asr_seq2seq.recipes import load_config


def _rows(source: str, count: int, seconds: float) -> list[dict[str, Any]]:
    return [{"source": source, "number": number, "duration": seconds} for number in range(count)]


def test_every_arm_has_as_many_hours_and_what_it_says() -> None:
    sources = {name: _rows(name, 40, 3.0) for name in SOURCES}
    found = {arm.name: arm for arm in arms(sources, 0.05)}
    assert len(found) == 1 + len(sources) + 1 + len(CHANGES) + 1
    for name, arm in found.items():
        hours = 0.025 if name.startswith("consistency") else 0.05
        assert 3600 * hours <= sum(row["duration"] for row in arm.rows) < 3600 * hours + 3
        heard = {row["source"] for row in arm.rows}
        assert name.removeprefix("without ") not in heard
    assert found["seed 2"].rows == found["all"].rows and found["seed 2"].settings == ["seed=2"]
    mixed = [row["source"] for row in found["speechocean762 four times, half of the dialogue"].rows]
    assert mixed.count("speechocean762") > 2 * mixed.count("digits") > mixed.count("dialogue")


def test_utterances_are_drawn_again_where_there_are_too_few() -> None:
    assert len(drawn(_rows("a", 3, 10.0), 0.02)) == 8


@pytest.mark.parametrize("settings", CHANGES.values())
def test_every_change_is_one_of_the_recipe(settings: list[str]) -> None:
    assert load_config("english", settings) != load_config("english")
