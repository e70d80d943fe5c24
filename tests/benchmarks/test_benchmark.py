import json
import os
import time
from pathlib import Path

import benchmark
import command_costs
import pytest
import torch
from benchmark import SECTIONS, Growth, Job, Stopwatch, exponent
from benchmarking import Sizes
from command_costs import BUDGETS, NEW, Cost, prepare_commands, run_anew, run_command
from torch.nn import functional

from asr_seq2seq.cli.application import VERBS
from asr_seq2seq.errors import AsrError, ConfigError

TINY = Sizes(
    mels=8,
    units=8,
    symbols=12,
    channels=2,
    width=3,
    batch=2,
    frames=40,
    characters=3,
    search_batches=(2,),
    encoded_frames=20,
    tokens=10,
    beam=3,
    seconds=0.2,
)
DOUBLED = Growth(2, (16, 32), (20, 40), (1, 2), (1, 2), (0.1, 0.2))
JOB = Job(TINY, DOUBLED, torch.device("cpu"), 2)


@pytest.mark.parametrize(
    ("section", "works", "parts"),
    [
        ("train", 1, ["features", "encoder", "CTC", "decoder", "backward", "optimizer"]),
        ("search", 2, ["encoder", "CTC scoring", "decoder steps"]),
    ],
)
def test_parts_make_up_the_whole(section: str, works: int, parts: list[str]) -> None:
    columns, measure = SECTIONS[section]
    rows = list(measure(JOB))
    parts = [*parts, "the rest", "whole"]
    assert [row.facts["part"] for row in rows] == parts * works * 2  # of both kinds of attention
    assert all(len(row.cells) == len(columns) for row in rows)
    for number in range(0, len(rows), len(parts)):
        *found, whole = (row.facts["seconds"] for row in rows[number : number + len(parts)])
        assert [sum(seconds) for seconds in zip(*found, strict=True)] == pytest.approx(whole)
        assert min(map(min, found)) > 0


def test_precisions_are_compared_by_batch() -> None:
    columns, measure = SECTIONS["precision"]
    rows = list(measure(JOB))
    assert [row.facts["work"] for row in rows] == ["step of 1 x 40 frames", "step of 2 x 40 frames"]
    assert all(len(row.cells) == len(columns) for row in rows)
    assert all(list(row.facts["seconds"]) == ["float32", "bfloat16"] for row in rows)


def test_nothing_is_watched_afterwards() -> None:
    before = functional.ctc_loss
    stopwatch = Stopwatch(JOB)
    with stopwatch.watching("sleep", time, "sleep"), stopwatch.watching("CTC", functional, "ctc_loss"):
        assert functional.ctc_loss is not before
        time.sleep(0.01)
        time.sleep(0.01)
    time.sleep(0.2)
    assert functional.ctc_loss is before
    assert list(stopwatch.seconds) == ["sleep"]
    assert 0.02 <= stopwatch.seconds["sleep"] < 0.2


def test_exponent_is_that_of_the_larger_sizes() -> None:
    sizes = (1, 2, 4, 8, 16)
    assert exponent(sizes, [9.0, 9.0, *(3 * size**1.5 for size in sizes[2:])]) == pytest.approx(1.5)
    assert exponent(sizes[:2], [1.0, 2.0]) == pytest.approx(1)


def test_growth_is_measured_along_each_axis() -> None:
    columns, measure = SECTIONS["growth"]
    rows = list(measure(JOB))
    assert [(row.facts["work"], row.facts["axis"]) for row in rows[:5]] == [
        ("training step", "frames"),
        ("training step", "batch"),
        ("search", "encoded_frames"),
        ("search", "batch"),
        ("search", "beam"),
    ]
    assert [row.facts["kind"] for row in rows] == ["dot"] * 5 + ["location"] * 5
    for row in rows:
        assert len(row.cells) == len(columns)
        assert [len(seconds) for seconds in row.facts["seconds"]] == [2, 2]


def test_commands_cover_every_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[tuple[str, ...]] = []
    monkeypatch.setattr(command_costs, "run_command", lambda *arguments: run.append(arguments))
    commands = prepare_commands(tmp_path)
    assert list(commands) == list(BUDGETS)
    # Two run until they are stopped, one needs the Hub.
    verbs = set(VERBS) - {"listen", "serve", "push-to-hub"}
    assert verbs - {command[0] for command in commands.values()} == set()
    # Something is there to average, and what is trained anew goes elsewhere each time.
    assert [command[0] for command in run] == ["train"]
    run_anew(commands["train"])
    run_anew(commands["train"])
    assert NEW in commands["train"]
    assert len({command[-1] for command in run if command[0] == "train"}) == 3


def test_memory_of_a_command_is_not_that_of_its_parent() -> None:
    ours = torch.ones(2**26)  # 256 MB
    cost = run_command("--version")
    assert 5 < cost.megabytes < 100 < ours.nbytes / 2**20
    assert cost.seconds > 0 < cost.processor_seconds


def test_failing_command_is_named() -> None:
    with pytest.raises(AsrError, match="asr-seq2seq inspect /nowhere failed: error: /nowhere: no such"):
        run_command("inspect", "/nowhere")


def test_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(benchmark, "Sizes", lambda: TINY)
    monkeypatch.setattr(benchmark, "Growth", lambda: DOUBLED)
    monkeypatch.setattr(benchmark, "prepare_commands", lambda folder: {"--help": ["--help"]})
    peaks = iter((500.0, 500.0))
    monkeypatch.setattr(benchmark, "run_command", lambda *arguments: Cost(2.0, 1.0, next(peaks)))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "out.json"
    threads = torch.get_num_threads()
    benchmark.main(threads=threads, rounds=1, only="features,startup,memory", device="cpu", record=out)
    assert os.environ["OMP_NUM_THREADS"] == str(threads)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("On ")
    assert lines[1:7] == ["", "", "features", "", "| work | ms |", "| --- | --- |"]
    assert lines[7].startswith("| log-mel of 0.2 s | ")
    assert sum(line.startswith("| --help | ") for line in lines) == 1
    assert lines[-2:] == ["| 0.1 | 500 | 1.00 |  |", "| 0.2 | 500 | 1.00 | yes |"]
    report = json.loads(out.read_text())
    assert list(report["results"]) == ["features", "startup", "memory"]
    assert report["results"]["startup"][0]["budget"] == command_costs.BUDGETS["--help"]
    assert [row["minutes"] for row in report["results"]["memory"]] == [0.1, 0.2]


def test_unknown_section_is_an_error() -> None:
    with pytest.raises(
        ConfigError, match="--only speed: no such section; the sections are train, precision, search"
    ):
        benchmark.main(only="speed")
