from pathlib import Path

import pytest

from asr_seq2seq.errors import OutputError
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.evaluation.journal import Entry, Journal

FIRST = Entry([HypothesisLine("a", "x \ud800 שלום", "<b>", keys={"age": 3})], 1.5)
SECOND = Entry([HypothesisLine("b", "", "", confidences=(0.5,))], 0.5)


def test_what_was_written_is_there_after_a_crash(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "h.jsonl", "one")
    journal.append(FIRST)
    journal.append(SECOND)
    with journal.path.open("ab") as file:
        file.write('{"seconds": 1, "lines": [{"id": "ש'.encode()[:-1])  # broken off within a character
    again = Journal(tmp_path / "h.jsonl", "one")
    assert (again.entries, again.utterances, again.replaced) == ([FIRST, SECOND], 2, False)
    again.append(FIRST)
    last = Journal(tmp_path / "h.jsonl", "one")
    assert last.entries == [FIRST, SECOND, FIRST]
    last.remove()
    assert list(tmp_path.iterdir()) == []


def test_another_evaluation_begins_anew(tmp_path: Path) -> None:
    Journal(tmp_path / "h.jsonl", "one").append(FIRST)
    other = Journal(tmp_path / "h.jsonl", "other")
    assert other.replaced and other.entries == []
    with pytest.raises(OutputError, match="folder does not exist"):
        Journal(tmp_path / "no" / "h.jsonl", "one")


@pytest.mark.parametrize("damage", [b"\0\0\0\n", b"{}\n", b"3\n", b"\xff\n"])
def test_what_is_damaged_is_dropped_with_what_follows_it(tmp_path: Path, damage: bytes) -> None:
    journal = Journal(tmp_path / "h.jsonl", "one")
    journal.append(FIRST)
    good = journal.path.read_bytes()
    journal.append(SECOND)
    journal.path.write_bytes(good + damage + journal.path.read_bytes()[len(good) :])
    again = Journal(tmp_path / "h.jsonl", "one")
    assert again.entries == [FIRST]
    assert again.path.read_bytes() == good
