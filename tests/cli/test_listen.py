import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from asr_seq2seq import audio
from asr_seq2seq.cli.application import make_app
from asr_seq2seq.cli.run import run
from asr_seq2seq.inference.recognizer import Recognizer

app = make_app()

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "samples" / "digits_02.flac"


def _pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_samples_in_a_pipe_are_transcribed_at_pauses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = np.concatenate([audio.load(SAMPLE, 16000), np.zeros(16000, np.float32)] * 2)
    data = (32767 * sound).astype("<i2").tobytes() + b"\x00"  # the last sample is cut
    _pipe(monkeypatch, data)
    assert run(app, ["listen", "-", "--threads", "1"]) == 0
    wanted = Recognizer.load("digits", threads=1).transcribe(SAMPLE).text
    assert capsys.readouterr().out == f"{wanted}\n{wanted}\n"
    _pipe(monkeypatch, data)
    assert run(app, ["listen", "-", "--threads", "1", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == [wanted, wanted]
    assert [word["text"] for word in lines[1]["words"]] == wanted.split()


def test_a_file_is_for_transcribe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["listen", "x.wav"]) == 2
    assert "transcribe x.wav" in capsys.readouterr().err


def test_a_microphone_without_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert run(app, ["listen"]) == 2
    assert "asr_seq2seq[mic]" in capsys.readouterr().err
