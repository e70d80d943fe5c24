"""A run that is killed at any system call of a save, before or after the call, resumes to the same bits."""

import json
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from asr_seq2seq.training import fit, state
from asr_seq2seq.training_config import Config

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its runs")
CALLS = ("open", "replace", "fsync", "unlink", "ftruncate", "mkdir")


@pytest.fixture
def config(tmp_path: Path, make_config: Callable[..., Config], write_wav: Callable[..., Path]) -> Config:
    lines = []
    for number in range(4):
        write_wav(tmp_path / f"{number}.wav", 0.3 + 0.02 * number, rate=8000, seed=number)
        lines.append(json.dumps({"audio_filepath": f"{number}.wav", "text": ("one", "two")[number % 2]}))
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    corpus = str(tmp_path / "corpus.jsonl")
    return make_config(
        {
            "data.train": corpus,
            "data.dev": corpus,
            "data.batch_seconds": 0.7,
            "model.encoder.dropout": 0.2,
            "training.epochs": 2,
            "training.average_decay": 0.9,
            "training.save_steps": 1,
            "training.keep_epochs": 2,
        }
    )


def void(_: object) -> None:
    pass


def in_child(work: Callable[[], None]) -> int:
    """The exit code of a forked process that does the work; negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            work()
            os._exit(0)
        except BaseException:
            print(traceback.format_exc(), file=sys.stdout, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(point: int, order: str, run: Path) -> list[str]:
    """From now on count the calls that concern the run, and kill this process at one; what was called."""
    seen: list[str] = []

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            first = arguments[0]
            place = Path(f"/proc/self/fd/{first}").readlink() if isinstance(first, int) else os.fspath(first)
            if not str(place).startswith(str(run)):
                return call(*arguments, **named)
            here = len(seen) == point
            seen.append(f"{name} {place}")
            if here and order == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            if here and order == "half" and name == "fsync":  # not all has reached the disk
                os.truncate(first, os.fstat(first).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return call(*arguments, **named)
            finally:
                if here and order == "after":
                    os.kill(os.getpid(), signal.SIGKILL)

        return wrapper

    for name in CALLS:
        setattr(os, name, counted(name, getattr(os, name)))
    return seen


def assert_same(whole: Path, run: Path) -> None:
    def files(folder: Path) -> list[str]:
        found = (path for path in folder.rglob("*") if "tensorboard" not in path.parts)
        return sorted(str(path.relative_to(folder)) for path in found)

    assert files(run) == files(whole)  # and so no leftover
    for path in sorted(whole.rglob("*.safetensors")):
        one, other = load_file(path), load_file(run / path.relative_to(whole))
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one), path
    one, other = state.load_state(whole), state.load_state(run)
    assert one is not None and other is not None
    for part in ("model", "average", "optimizer"):
        assert one[part].keys() == other[part].keys()
        assert all(torch.equal(one[part][name], other[part][name]) for name in one[part]), part
    assert one["position"] | {"elapsed": 0} == other["position"] | {"elapsed": 0}
    assert one["schedule"] == other["schedule"]
    clocks = {"elapsed_seconds": 0, "sound_per_second": 0}
    lines = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (whole, run)]
    for line, same in zip(*lines, strict=True):
        assert json.loads(line) | clocks == json.loads(same) | clocks


def points(config: Config, whole: Path, record: Path) -> int:
    """Train a whole run; how many calls it made."""

    def work() -> None:
        seen = kill_at(-1, "before", whole)
        fit.train(config, whole, "cpu")
        record.write_text("\n".join(seen))

    assert in_child(work) == 0
    return len(record.read_text().splitlines())


def kill_and_resume(config: Config, run: Path, point: int, order: str) -> None:
    def killed() -> None:
        kill_at(point, order, run)
        fit.train(config, run, "cpu")

    def resumed() -> None:
        fit.train(config, run, "cpu")

    assert in_child(killed) == -signal.SIGKILL
    assert in_child(resumed) == 0


def test_some_points_chosen_by_chance(config: Config, tmp_path: Path) -> None:
    count = points(config, tmp_path / "whole", tmp_path / "record")
    for order in ("before", "after"):
        point = random.Random(os.urandom(8)).randrange(count)
        kill_and_resume(config, tmp_path / f"run_{order}", point, order)
        assert_same(tmp_path / "whole", tmp_path / f"run_{order}")


@pytest.mark.slow
@pytest.mark.parametrize("order", ["before", "half", "after"])
def test_every_point_of_a_run(config: Config, tmp_path: Path, order: str) -> None:
    count = points(config, tmp_path / "whole", tmp_path / "record")
    calls = (tmp_path / "record").read_text().splitlines()
    assert count > 50
    for point, call in enumerate(calls):
        if order == "half" and not call.startswith("fsync"):
            continue
        kill_and_resume(config, tmp_path / f"run_{point}", point, order)
        assert_same(tmp_path / "whole", tmp_path / f"run_{point}")


def test_a_line_of_metrics_that_was_cut_off_is_written_again(config: Config, tmp_path: Path) -> None:
    points(config, tmp_path / "whole", tmp_path / "record")
    calls = (tmp_path / "record").read_text().splitlines()
    run = tmp_path / "run"
    kept = next(n for n, call in enumerate(calls) if call.endswith("/.epoch_0002.safetensors.tmp"))

    def killed() -> None:
        kill_at(kept, "after", run)
        fit.train(config, run, "cpu")

    assert in_child(killed) == -signal.SIGKILL
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "st')
    assert in_child(lambda: void(fit.train(config, run, "cpu"))) == 0
    assert_same(tmp_path / "whole", run)
