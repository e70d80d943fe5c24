from pathlib import Path

import pytest

from asr_seq2seq.errors import CorpusError, OutputError
from asr_seq2seq.evaluation.hypotheses import Candidate, HypothesisLine, read, write

LINES = [
    HypothesisLine("a-1", "grüß gott", "grüß\u2028gott", -1.5, 2.25, "anna"),
    HypothesisLine("a-2", "", ""),
    HypothesisLine("a-3", 'say "yes"', "say yes", score=-0.5),
    HypothesisLine("a\udcff", "\ud800", "", keys={"f\udcff": "x", "take": 2, "noisy": True}),
    HypothesisLine(
        "a-4",
        "one",
        "one",
        n_best=(Candidate("one", -1.0, -0.5, 3, ctc=-2.0, lm=-4.5), Candidate("on", -1.5, -1.5, 2)),
    ),
]


def test_lines_survive_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "hypotheses.jsonl"
    write(path, LINES)
    assert read(path) == LINES
    assert path.read_bytes().count(b"\n") == len(LINES)
    assert "null" not in path.read_text(encoding="utf-8")
    assert "speaker" not in path.read_text(encoding="utf-8").split("\n")[1]


def test_blank_lines_and_unknown_keys_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "hypotheses.jsonl"
    path.write_text('\n{"id": "x", "reference": "a", "hypothesis": "b", "beam": 8, "score": null}\r\n\n')
    assert read(path) == [HypothesisLine("x", "a", "b")]


GOOD = '{"id": "x", "reference": "a", "hypothesis": "b"}'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "y", "refer', "not valid JSON"),
        ("[1]", "not a JSON object"),
        ('{"id": "y", "reference": "a"}', "the key `hypothesis` is missing"),
        ('{"id": 5, "reference": "a", "hypothesis": "b"}', "`id` must be text, not 5"),
        (
            '{"id": "y", "reference": "a", "hypothesis": "b", "score": "1"}',
            "`score` should be a valid number",
        ),
        (
            '{"id": "y", "reference": "a", "hypothesis": "b", "duration": true}',
            "`duration` should be a valid number",
        ),
        ('{"id": "y", "reference": "a", "hypothesis": "b", "score": NaN}', "NaN is not a JSON number"),
        (
            '{"id": "y", "reference": "a", "hypothesis": "b", "n_best": {}}',
            "`n_best` should be",
        ),
        (
            '{"id": "y", "reference": "a", "hypothesis": "b", "n_best": ["b"]}',
            r"`n_best\.0` must be an object",
        ),
        (
            '{"id": "y", "reference": "a", "hypothesis": "b", "n_best": [{"text": "b", "score": -1}]}',
            r"the key `n_best\.0\.decoder` is missing",
        ),
        ('{"id": "y", "reference": "a", "hypothesis": "b", "score": 1' + 400 * "0" + "}", "`score` "),
        ('{"id": "y", "reference": "a", "hypothesis": "b", "keys": []}', "`keys` "),
        (GOOD, 'the id "x" was used before'),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "hypotheses.jsonl"
    path.write_text(f"{GOOD}\n\n{line}\n")
    with pytest.raises(CorpusError, match=rf"hypotheses\.jsonl, line 3: .*{message}"):
        read(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="No such file"):
        read(tmp_path / "missing.jsonl")
    (tmp_path / "sound.wav").write_bytes(b"RIFF\xff\xfe")
    with pytest.raises(CorpusError, match="not UTF-8"):
        read(tmp_path / "sound.wav")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder does not exist"):
        write(tmp_path / "missing" / "out.jsonl", LINES)
    assert list(tmp_path.iterdir()) == []
