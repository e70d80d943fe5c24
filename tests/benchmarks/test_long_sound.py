"""The tool that measures memory and times on long sound."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import soundfile

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("long_sound", BENCHMARKS / "long_sound.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(BENCHMARKS))
    return module


def test_recordings_are_where_it_says(
    tool: ModuleType, tmp_path: Path, write_wav: Callable[..., Path]
) -> None:
    entries = []
    for number, text in enumerate(("one", "two three", "four")):
        write_wav(tmp_path / f"{number}.wav", 0.3 + 0.1 * number, rate=8000, seed=number)
        entries.append({"audio_filepath": f"{number}.wav", "text": text})
    entries[1]["words"] = [["two", 0.05, 0.2], ["three", 0.2, 0.35]]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, entries)))
    places = tool.join(tmp_path / "m.jsonl", tmp_path / "out.wav", 20, (0.2, 0.4), 1)
    sound, rate = soundfile.read(tmp_path / "out.wav")
    assert 20 <= len(sound) / rate < 21
    for word, start, end in places:
        inside = abs(sound[round(start * rate) : round(end * rate)]).mean()
        assert inside > 0.05
        assert end - start == pytest.approx({"one": 0.3, "two": 0.15, "three": 0.15, "four": 0.5}[word])
        if word in ("one", "four"):
            assert abs(sound[round((start - 0.15) * rate) : round(start * rate) - 1]).max() < 0.001


def test_times_are_compared_where_words_are_right(tool: ModuleType) -> None:
    places = [("one", 1.0, 1.5), ("two", 2.0, 2.5), ("three", float("nan"), float("nan"))]
    words = [("one", 1.05, 1.7), ("too", 2.0, 2.5), ("three", 3.0, 3.1)]
    segments = [{"words": [{"word": f" {w}", "start": start, "end": end} for w, start, end in words]}]
    facts = tool.compare(places, {"segments": segments}, 0.1)
    assert facts == {"words": 3, "wer": pytest.approx(1 / 3), "timed": 1, "starts": 1, "ends": 0, "both": 0}
