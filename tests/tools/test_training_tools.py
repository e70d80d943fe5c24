"""The tools that train: one run an arm, one run a speaker."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

TOOLS = Path(__file__).resolve().parents[2] / "tools"
TINY = {
    "features": {"sample_rate": 8000, "mels": 8},
    "data": {"batch_seconds": 2.0, "workers": 0},
    "model": {
        "encoder": {"layers": [{"units": 8, "reduction": 2}]},
        "context": {"size": 8},
        "decoder": {"units": 8, "embedding": 4},
        "ctc_weight": 0.3,
    },
    "training": {"epochs": 1},
}


def _run(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOOLS / f"{tool}.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def corpus(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    """Twelve noises of 0.45 s, by two speakers."""
    lines = []
    for number in range(12):
        write_wav(tmp_path / f"{number}.wav", 0.45, rate=8000, seed=number)
        line = {"audio_filepath": f"{number}.wav", "text": ("one", "two")[number % 2], "duration": 0.45}
        lines.append(json.dumps(line | {"speaker": "ab"[number // 6]}))
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def recipe(tmp_path: Path, corpus: Path) -> Path:
    data = TINY["data"] | {"train": str(corpus), "dev": str(corpus)}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(TINY | {"data": data}))
    return path


def test_arms_differ_in_one_thing_and_are_not_run_twice(tmp_path: Path, corpus: Path, recipe: Path) -> None:
    plan = {
        "config": str(recipe),
        "set": ["training.learning_rate=1e-4"],
        "sources": {"few": str(corpus), "more": str(corpus)},
        "hours": {"few": 1.8 / 3600},
        "arms": [
            {"name": "few"},
            {"name": "slow", "set": ["training.learning_rate=1e-5"]},
            {"name": "more", "hours": {"few": 0.9 / 3600, "more": 7.2 / 3600}},
        ],
        "tests": [{"name": "noises", "corpus": str(corpus)}],
    }
    path, out = tmp_path / "plan.yaml", tmp_path / "arms"
    path.write_text(yaml.safe_dump(plan))
    done = _run("ablate", path, "--out", out, "--only", "3,1")
    assert done.returncode == 0, done.stderr
    head, _, *rows = done.stdout.splitlines()
    assert head == "| | hours | dev loss | noises: WER, CER |"
    assert [row.split(" | ")[0] for row in rows] == ["| few", "| more"]

    drawn = [(out / name).read_text().splitlines() for name in ("arm_1/few.jsonl", "arm_3/few.jsonl")]
    assert len(drawn[0]) == 4 and drawn[0][:2] == drawn[1]
    repeated = (out / "arm_3" / "more.jsonl").read_text().splitlines()
    assert len(repeated) == 16 and repeated[12:] == repeated[:4]
    sound = out / "arm_3" / json.loads(repeated[0])["audio_filepath"]
    assert sound.resolve().parent == tmp_path

    before = (out / "arm_1.json").stat().st_mtime_ns
    done = _run("ablate", path, "--out", out)
    assert done.returncode == 0, done.stderr
    assert [row.split(" | ")[0] for row in done.stdout.splitlines()[2:]] == ["| few", "| slow", "| more"]
    assert (out / "arm_1.json").stat().st_mtime_ns == before
    done = _run("ablate", path, "--out", out, "--only", "1,4")
    assert done.returncode == 2 and "numbers from 1 to 3" in done.stderr
    assert "learning_rate: 1.0e-05" in (out / "arm_2" / "run" / "config.yaml").read_text()
    text = corpus.read_text()
    corpus.write_text(text + "\n")
    done = _run("ablate", path, "--out", out)
    assert done.returncode == 2 and "arm_1.json: is of other settings" in done.stderr
    corpus.write_text(text)
    path.write_text(yaml.safe_dump(plan | {"set": []}))
    done = _run("ablate", path, "--out", out)
    assert done.returncode == 2 and "arm_1.json: is of other settings than `few` has now" in done.stderr


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"hours": {"rare": 1.0}}, "hours of rare"),
        ({"arms": [{"name": "x"}]}, "c.yaml cannot be read"),
        ({"arm": []}, "arm: Extra inputs"),
        ({"set": 3}, "set: "),
    ],
)
def test_a_wrong_plan_is_one_sentence(tmp_path: Path, change: dict[str, object], problem: str) -> None:
    plan = {"config": "c.yaml", "sources": {"a": "a.jsonl"}, "hours": {"a": 1.0}, "arms": [], "tests": []}
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(plan | change))
    done = _run("ablate", path, "--out", tmp_path / "out")
    assert done.returncode == 2 and problem in done.stderr and len(done.stderr.splitlines()) == 1


def test_each_speaker_is_left_out_once(tmp_path: Path, corpus: Path, recipe: Path) -> None:
    done = _run("leave_one_speaker_out", recipe, "--source", corpus, "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert [row.split(" |")[0] for row in done.stdout.splitlines()[2:]] == ["| a", "| b", "| mean"]
