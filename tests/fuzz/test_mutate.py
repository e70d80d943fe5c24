"""What the mutators and the campaign promise to the other tests of this folder."""

import json
import random

import mutate
import pytest

from asr_seq2seq.errors import AsrError

MUTATORS = [mutate.mutate_bytes, mutate.mutate_lines, mutate.mutate_json, mutate.mutate_yaml]


@pytest.mark.parametrize("mutator", [*MUTATORS, mutate.mutate_json_lines])
def test_a_mutation_follows_from_its_seed_and_mostly_changes_something(mutator: mutate.Mutator) -> None:
    content = json.dumps({"a": [1, 2.5, "text"], "b": {"c": None}}).encode()
    first = [mutator(content, random.Random(number)) for number in range(200)]
    assert first == [mutator(content, random.Random(number)) for number in range(200)]
    assert len(set(first)) > 100


def test_only_one_short_line_of_an_asr_error_passes() -> None:
    def read(content: bytes) -> None:
        if len(content) < 3:
            raise AsrError("it is too short; give more")

    outcome = mutate.campaign("bytes", [b"abcd"], read, MUTATORS[:1], 50)
    assert outcome.read and outcome.refused and outcome.read + outcome.refused == 50
    assert outcome.longest_message == 26


@pytest.mark.parametrize(
    "error", [ValueError("no"), AsrError("two\nlines"), AsrError("x" * 301), MemoryError(), KeyError("a")]
)
def test_anything_else_fails(error: Exception) -> None:
    def read(content: bytes) -> None:
        raise error

    with pytest.raises(AssertionError, match="2 of 2 failed"):
        mutate.campaign("bytes", [b"abcd"], read, MUTATORS[:1], 2)


def test_too_slow_and_too_large_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutate, "LONGEST_SECONDS", -1.9)

    def spin(content: bytes) -> None:
        while True:
            pass

    with pytest.raises(AssertionError, match="TooSlow"):
        mutate.campaign("bytes", [b"abcd"], spin, MUTATORS[:1], 1)
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="MemoryError"):
        mutate.campaign("bytes", [b"abcd"], lambda content: bytearray(10**10), MUTATORS[:1], 1)
