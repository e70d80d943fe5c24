"""Archives by workers of Ray."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asr_seq2seq.archive import cluster
from asr_seq2seq.archive.plan import Plan
from asr_seq2seq.archive.work import PartResult, transcribe_part
from asr_seq2seq.cli.application import make_app
from asr_seq2seq.cli.run import run

SAMPLES = Path(__file__).parents[2] / "data" / "samples"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "--ray needs a folder for the results: name one with -o"),
        (["-o", "out", "--channel", "1"], "--channel and --ray exclude each other"),
        (["-o", "out", "-f", "srt"], "-f srt: --ray writes jsonl or parquet"),
    ],
)
def test_what_does_not_go_together(
    options: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(make_app(), ["transcribe", str(SAMPLES), "--ray", "auto", *options]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_archive_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def transcribe_parts(address: str, load: Any, plan: Plan, threads: int) -> Iterator[PartResult]:
        recognizer = load()
        for part, sources in plan.waiting():
            yield transcribe_part(recognizer, plan, part, sources)

    monkeypatch.setattr(cluster, "transcribe_parts", transcribe_parts)
    monkeypatch.setattr(cluster, "need_ray", lambda: None)
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / os.fsdecode(b"b\xff.wav")
    bad.write_bytes(b"no sound")
    for ending in ("jsonl", "parquet"):
        command = ["transcribe", str(SAMPLES), str(bad), "--ray", "auto", "-o", ending, "-f", ending]
        assert run(make_app(), command) == 1  # one failed
        assert "8 sounds" in capsys.readouterr().err
        assert len((tmp_path / ending / "failed.jsonl").read_text().splitlines()) == 1
    other = ["transcribe", str(SAMPLES), "--ray", "auto", "-o", "jsonl", "-f", "jsonl"]
    assert run(make_app(), other) == 2
    assert "holds results of other sounds" in capsys.readouterr().err
    assert run(make_app(), ["transcribe", "--ray", "auto", "-o", "new"]) == 2
    assert "no sound is named" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    texts = {}
    for number in range(600):
        sample = SAMPLES / f"digits_0{number % 7 + 1}.flac"
        copy = sounds / f"{number:03d}.flac"
        shutil.copy(sample, copy)
        texts[str(copy)] = sample.with_suffix(".txt").read_text().strip()
    (sounds / "bad.wav").write_bytes(b"no sound")
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "asr_seq2seq",
        "transcribe",
        str(sounds),
        "--ray",
        "auto",
        "-o",
        str(out),
    ]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not list(out.glob("parts/part-*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    found = subprocess.run(["pgrep", "-f", "ray::_Worker"], capture_output=True, text=True, check=False)
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    assert running.wait(600) == 0, running.stderr.read() if running.stderr else ""
    done = [path for path in out.glob("parts/part-*.jsonl") if "failed" not in path.name]
    rows = [json.loads(line) for path in done for line in path.read_text().splitlines()]
    assert len(rows) == 600
    assert {row["audio_filepath"]: row["text"] for row in rows} == texts
    (failed,) = (out / "failed.jsonl").read_text().splitlines()
    assert json.loads(failed)["audio_filepath"] == str(sounds / "bad.wav")
    times = {path: path.stat().st_mtime_ns for path in done}
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "10 of 10 parts are done already" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == times
