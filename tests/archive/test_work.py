"""A part of an archive, from sounds to files."""

import json
from pathlib import Path

import pytest

from asr_seq2seq import Recognizer
from asr_seq2seq.archive.plan import Plan, find_sources
from asr_seq2seq.archive.work import PartResult, transcribe_part

SAMPLES = Path(__file__).parents[2] / "data" / "samples"


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load(threads=1)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_results_and_failures_are_written(ending: str, recognizer: Recognizer, tmp_path: Path) -> None:
    sounds = [str(SAMPLES / "digits_01.flac"), str(tmp_path / "missing.wav"), str(SAMPLES / "digits_02.flac")]
    plan = Plan.make(tmp_path / "out", find_sources(sounds, None, recursive=False), {}, ending)
    ((part, sources),) = plan.waiting()
    result = transcribe_part(recognizer, plan, part, sources)
    assert result == PartResult(3, 1, pytest.approx(result.seconds))
    assert list(plan.waiting()) == []
    if ending == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `ray` is not installed")
        rows = parquet.read_table(plan.results(part)).to_pylist()
    else:
        rows = [json.loads(line) for line in plan.results(part).read_text().splitlines()]
    assert [row["audio_filepath"] for row in rows] == [sounds[0], sounds[2]]
    for row in rows:
        alone = recognizer.transcribe(row["audio_filepath"])
        assert row["text"] == alone.text
        assert row["duration"] == pytest.approx(alone.duration)
        assert [segment["text"] for segment in row["segments"]] == [one.text for one in alone.segments]
    (line,) = plan.failures(part).read_text().splitlines()
    assert json.loads(line)["audio_filepath"] == sounds[1]
    assert "does not exist" in json.loads(line)["error"]
