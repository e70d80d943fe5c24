import json
import re
import subprocess
from pathlib import Path

import pytest

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.evaluation.texts import read_pairs
from asr_seq2seq.evaluation.wer import score
from asr_seq2seq.text.normalizer import Normalizer

HOSTILE = '<script>alert(1)</script> "x" \u2028 \x07 مرحبا שלום'


def _file(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_plain_lines_go_together_by_their_numbers(tmp_path: Path) -> None:
    reference = _file(tmp_path / "r.txt", f"one two\n\n{HOSTILE}\n")
    [lines] = read_pairs(reference, _file(tmp_path / "h.txt", f"one\n\n{HOSTILE}"))
    assert [(line.reference, line.hypothesis) for line in lines] == [
        ("one two", "one"),
        ("", ""),
        (HOSTILE, HOSTILE),
    ]


def test_trn_goes_by_names_and_knows_speakers(tmp_path: Path) -> None:
    reference = _file(tmp_path / "r.trn", f"one two (ann-1)\n;; a remark\n{HOSTILE} (x) (bob_2)\n (solo)\n")
    heard = _file(tmp_path / "h.trn", "three (bob_2)\n(solo)\none (ann-1)\n")
    [lines] = read_pairs(reference, heard)
    assert [(line.id, line.speaker, line.hypothesis) for line in lines] == [
        ("ann-1", "ann", "one"),
        ("bob_2", "bob", "three"),
        ("solo", None, ""),
    ]
    assert lines[1].reference == f"{HOSTILE} (x)"


def test_a_manifest_goes_together_with_hypotheses_of_evaluate(tmp_path: Path) -> None:
    manifest = [
        {
            "audio_filepath": "x/a.flac",
            "text": "one",
            "speaker": "s",
            "gender": "f",
            "age": 6,
            "tags": ["no"],
        },
        {"audio_filepath": "b.flac", "id": "mine", "text": HOSTILE, "duration": 2.5},
    ]
    heard = [
        {
            "id": "mine",
            "reference": "zzz",
            "hypothesis": HOSTILE,
            "confidences": [0.5],
            "keys": {"room": "b"},
        },
        {"id": "a@1", "reference": "zzz", "hypothesis": "two"},
    ]
    files = [
        _file(tmp_path / name, "\n".join(map(json.dumps, entries)))
        for name, entries in (("m.jsonl", manifest), ("h.jsonl", heard))
    ]
    [lines] = read_pairs(*files)
    assert [(line.id, line.reference, line.hypothesis) for line in lines] == [
        ("a@1", "one", "two"),
        ("mine", HOSTILE, HOSTILE),
    ]
    assert (lines[0].speaker, lines[0].keys) == ("s", {"gender": "f", "age": 6})
    assert (lines[1].duration, lines[1].confidences, lines[1].keys) == (2.5, (0.5,), {"room": "b"})
    [both] = read_pairs(files[1], files[1])
    assert [(line.reference, line.hypothesis) for line in both] == [("zzz", HOSTILE), ("zzz", "two")]


STM = """;; CATEGORY "0" "" ""
talk 1 ann 0.00 2.00 <o,f0,female> one two three
talk 1 bob 2.50 4.00 <o,f0,male> four five
talk 1 bob 4.00 5.00 ignore_time_segment_in_scoring
talk 2 cat 0.00 1.00 <o,f0,female> six
"""
CTM = """talk 1 0.10 0.20 one
talk 1 0.50 0.20 too 0.71
talk 1 2.10 0.20 uh
talk 1 2.60 0.30 four
talk 1 3.90 0.30 six
talk 2 0.10 0.30 six
"""


def test_words_with_times_find_their_segments(tmp_path: Path) -> None:
    files = _file(tmp_path / "r.stm", STM), _file(tmp_path / "h.ctm", CTM)
    [lines] = read_pairs(*files)
    assert [(line.speaker, line.reference, line.hypothesis) for line in lines] == [
        ("ann", "one two three", "one too"),
        ("bob", "four five", "uh four"),
        ("cat", "six", "six"),
    ]
    assert lines[0].keys == {"labels": "o,f0,female"}


def test_words_with_times_are_scored_as_sclite_scores_them(tmp_path: Path, sclite_command: list[str]) -> None:
    files = _file(tmp_path / "r.stm", STM), _file(tmp_path / "h.ctm", CTM)
    [lines] = read_pairs(*files)
    ours = score(
        [line.reference for line in lines], [line.hypothesis for line in lines], Normalizer.named("none")
    )
    command = [*sclite_command, "-r", "r.stm", "stm", "-h", "h.ctm", "ctm", "-o", "pralign", "stdout"]
    report = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    found = re.findall(r"\(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)", report)
    theirs = tuple(map(sum, zip(*(map(int, counts) for counts in found), strict=True)))
    assert (ours.hits, ours.substitutions, ours.deletions, ours.insertions) == theirs


@pytest.mark.parametrize(
    ("reference", "heard", "message"),
    [
        (
            ("r.txt", "one\ntwo\nthree\n"),
            ("h.txt", "one\n"),
            r'h.txt: the utterance "2" and 1 others',
        ),
        (
            ("r.trn", "a (x)\n"),
            ("h.trn", "a (x)\nb (y)\n"),
            r'r.trn: the utterance "y" of .*h.trn is not there',
        ),
        (
            ("r.trn", "a (x)\nno name\n"),
            ("h.trn", "a (x)\n"),
            "r.trn, line 2: must be a text and then its name",
        ),
        (("r.trn", "a (x)\nb (x)\n"), ("h.trn", "a (x)\n"), 'the utterance "x" is there twice'),
        (("r.txt", ""), ("h.txt", ""), "r.txt: holds no utterance"),
        (
            ("r.jsonl", '{"text": 5}\n'),
            ("h.jsonl", "{}"),
            "r.jsonl, line 1: the key `text` is missing or not",
        ),
        (("r.jsonl", "{}\n"), ("h.jsonl", "{}"), "r.jsonl, line 1: the key `reference` is missing"),
        # What failed is not taken for what was said.
        (("r.jsonl", '{"text": "a"}'), ("h.jsonl", '{"pred_text": null, "text": "a"}'), "key `pred_text`"),
        (("r.jsonl", "[1]\n"), ("h.jsonl", "{}"), "r.jsonl, line 1: is not a JSON object"),
        (("r.stm", "a 1 x 0\n"), ("h.ctm", ""), "r.stm, line 1: must be sound, channel, speaker, start, end"),
        (("r.stm", "a 1 x 0 z b\n"), ("h.ctm", ""), "times must be numbers of seconds, not 'z'"),
        (("r.stm", STM), ("h.ctm", "b 1 0 1 c\n"), "no sound b, channel 1"),
        (("r.stm", STM), ("h.ctm", "b 1 0\n"), "h.ctm, line 1: must be sound, channel, start, duration"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, reference: tuple[str, str], heard: tuple[str, str], message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        read_pairs(*(_file(tmp_path / name, text) for name, text in (reference, heard)))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"cannot read .*: No such file"):
        read_pairs(tmp_path / "no.txt", tmp_path / "no.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(CorpusError, match="is not UTF-8"):
        read_pairs(tmp_path / "bytes.txt", tmp_path / "bytes.txt")


def test_numbers_that_json_does_not_know_are_passed_over(tmp_path: Path) -> None:
    numbers = f'"snr": -Infinity, "age": 7, "huge": 1{400 * "0"}, "duration": NaN'
    line = f'{{"text": "a", {numbers}, "confidences": [NaN]}}\n'
    _file(tmp_path / "r.jsonl", line)
    [[pair]] = read_pairs(tmp_path / "r.jsonl", tmp_path / "r.jsonl")
    assert (pair.keys, pair.duration, pair.confidences) == ({"age": 7}, None, ())
