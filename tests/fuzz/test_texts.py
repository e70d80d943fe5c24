"""Files of references and hypotheses that somebody changed, in every form that `score` reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mutate import mutate_bytes, mutate_json, mutate_json_lines, mutate_lines

from asr_seq2seq.evaluation import hypotheses
from asr_seq2seq.evaluation.texts import read_pairs

MANIFEST = b'{"audio_filepath": "x/a.wav", "text": "the cat", "duration": 1.5, "speaker": "s", "age": 7}\n'
HEARD = (
    b'{"id": "a", "reference": "the cat", "hypothesis": "the hat", "score": -1.5, "confidences": [0.5, 1],'
    b' "n_best": [{"text": "b", "score": -1, "decoder": -1, "length": 1}], "keys": {"room": "b"}}\n'
    b'{"id": "b", "reference": "a dog", "hypothesis": "a dog", "duration": 2}\n'
)
TRANSCRIPT = (
    b'{"text": "the cat", "segments": [{"id": 0, "start": 0.0, "end": 1.5, "text": " the cat"}],'
    b' "language": null, "duration": 2.0}'
)
SRT = b"1\n00:00:00,000 --> 00:00:02,000\n<i>the</i> cat\n\n2\n00:01:02,500 --> 00:01:04,000\na dog\n"
VTT = (
    b"WEBVTT\n\nNOTE x\n\nintro\n00:00.000 --> 00:02.000 align:start\n<v Ann>the cat\n\n"
    b"01:02.500 --> 01:04.000\na &amp; b\n"
)
STM = b';; CATEGORY "0" "" ""\ntalk 1 ann 0.00 2.00 <o,f0,female> one two\ntalk 1 bob 2.50 4.00 four\n'
CTM = b"talk 1 0.10 0.20 one\ntalk 1 0.50 0.20 too 0.71\ntalk 1 2.60 0.30 four\n"

FORMS = {
    "manifest": ("jsonl", [MANIFEST, HEARD], [mutate_json_lines]),
    "transcript": ("json", [TRANSCRIPT], [mutate_json]),
    "subtitles": ("srt", [SRT, VTT], [mutate_lines, mutate_bytes]),
    "trn": ("trn", [b"one two (ann-1)\nthree (bob_2)\n"], [mutate_lines, mutate_bytes]),
    "ctm": ("ctm", [CTM], [mutate_lines]),
    "stm": ("stm", [STM], [mutate_lines]),
    "table": ("csv", [b'path,sentence,duration\na.wav,"the cat, sat",1.5\nb.wav,a dog,2\n'], [mutate_lines]),
    "Kaldi's text": ("", [b"u1 the cat\nu2 a dog\n", b"u1\tone\nu2\ttwo\n"], [mutate_lines, mutate_bytes]),
}


@pytest.mark.parametrize("form", FORMS)
def test_texts(campaign: Callable[..., Any], tmp_path: Path, form: str) -> None:
    ending, seeds, mutators = FORMS[form]
    path = tmp_path / f"x.{ending}"
    stm = tmp_path / "r.stm"
    stm.write_bytes(STM)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        read_pairs(stm if form == "ctm" else path, path)

    campaign(f"texts: {form}", seeds, read, mutators)


def test_hypotheses(campaign: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        hypotheses.read(path)

    campaign("hypotheses", [HEARD], read, [mutate_json_lines, mutate_bytes])
