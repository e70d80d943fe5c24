"""Endless repeats are cut, and what was said often stays."""

from itertools import pairwise

import numpy as np
import pytest

from asr_seq2seq.decoding.hypothesis import Hypothesis
from asr_seq2seq.decoding.repetition import endless, without_repeats

SPACE = 4


def spelled(text: str) -> tuple[int, ...]:
    return tuple(SPACE if sign == " " else ord(sign) for sign in text)


def cut(text: str, supported: int) -> str:
    """The text that is left where the first `supported` characters have frames."""
    tokens = spelled(text)
    evidence = np.where(np.arange(len(tokens)) < supported, 0.9, 0.0)
    chosen = tuple(-0.1 * number for number in range(len(tokens) + 1))
    less = without_repeats(Hypothesis(tokens, -1.0, -1.0, chosen=chosen), SPACE, evidence)
    assert len(less.chosen) == len(less.tokens) + 1
    return "".join(" " if token == SPACE else chr(token) for token in less.tokens)


@pytest.mark.parametrize(
    ("text", "supported", "left"),
    [
        ("the " * 30 + "the", 0, "the"),
        ("go to the " * 9 + "go to", 9, "go to the"),
        ("he said one one one one one one one", 19, "he said one one one"),
        ("a b a b a b a b a b then c", 3, "a b then c"),
        ("one one one one", 99, "one one one one"),
        ("six six six six six six six six", 99, "six six six six six six six six"),
        ("no no no", 0, "no no no"),
        ("", 0, ""),
        ("one two three four", 0, "one two three four"),
    ],
)
def test_what_has_no_frames_is_cut(text: str, supported: int, left: str) -> None:
    assert cut(text, supported) == left


def test_runs_are_the_longest_by_brute_force() -> None:
    rng = np.random.default_rng(9)
    for _ in range(300):
        words = [[int(one)] for one in rng.integers(0, 2, rng.integers(0, 14))]
        lengths = [
            end - begin
            for size in range(1, 11)
            for begin in range(len(words))
            for end in range(begin + 3 * size + 1, len(words) + 1)
            if all(words[at] == words[at - size] for at in range(begin + size, end))
        ]
        found = endless(words)
        assert (0 if found is None else found[1] - found[0]) == max(lengths, default=0)
        if found is not None:
            parts = [words[at : at + found[2]] for at in range(found[0], found[1] - found[2] + 1, found[2])]
            assert all(one == other for one, other in pairwise(parts))
