"""The tools that select utterances and draw figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from asr_seq2seq.scoring.hypotheses import HypothesisLine, write

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def _run(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOOLS / f"{tool}.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    lines = [
        {"audio_filepath": f"sound/{text}_{number}.wav", "text": text.upper(), "speaker": speaker}
        for number, (text, speaker) in enumerate([("one", "a"), ("two", "b"), ("one two", "b"), ("cat", "a")])
    ]
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--words", "one, two"], ["ONE", "TWO", "ONE TWO"]),
        (["--speakers", "a"], ["ONE", "CAT"]),
        (["--exclude-speakers", "a", "--words", "two"], ["TWO"]),
        (["--numbers", "0-1"], ["ONE", "TWO"]),
    ],
)
def test_selected_lines_point_to_the_same_sound(
    manifest: Path, tmp_path: Path, options: list[str], texts: list[str]
) -> None:
    out = tmp_path / "part" / "some.jsonl"
    done = _run("select_utterances", "--source", manifest, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["text"] for line in lines] == texts
    for line in lines:
        assert (out.parent / line["audio_filepath"]).resolve().parent == tmp_path / "sound"


def test_nothing_selected_is_an_error_and_no_file(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "some.jsonl"
    done = _run("select_utterances", "--source", manifest, "--out", out, "--words", "dog")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert not out.exists()


def test_wer_by_length_as_a_table_and_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    write(
        tmp_path / "h.jsonl",
        [
            HypothesisLine("1", "one", "one"),
            HypothesisLine("2", "one two", "one"),
            HypothesisLine("3", "two two", "two two"),
        ],
    )
    picture = tmp_path / "wer.png"
    done = _run("plot_by_length", f"system={tmp_path / 'h.jsonl'}", "--picture", picture)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2:] == ["| 1 | 0.00% |", "| 2 | 25.00% |"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert _run("plot_by_length", tmp_path / "h.jsonl").returncode == 2
