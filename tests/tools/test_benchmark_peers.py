import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import benchmark_peers
from benchmark_peers import SECTIONS, Measured, Sizes, measure, table

from asr_seq2seq.errors import ConfigError

CPU = torch.device("cpu")
TINY = Sizes(
    mels=8,
    units=8,
    symbols=12,
    channels=2,
    width=3,
    batch=2,
    frames=40,
    characters=5,
    search_batches=(2,),
    encoded_frames=20,
    tokens=10,
    beam=3,
    seconds=0.2,
)
CASES = {"search": ["beam 3, batch 2", "beam 3, batch 2, CTC 0.3"], "train": ["step of 2 x 40 frames"]}
CASES["features"] = ["log-mel of 0.2 s"]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_peers, "LONG_ENOUGH", 1e-6)
    monkeypatch.setattr(benchmark_peers, "PATIENCE", 0.0)


@pytest.mark.parametrize("section", SECTIONS)
def test_our_side_does_the_work(section: str) -> None:
    works = list(SECTIONS[section](TINY, CPU, False))
    assert [work.name for work in works] == CASES[section]
    for work in works:
        measured = measure(work, 2, CPU)
        assert list(measured.ours) == (["log-mel"] if section == "features" else ["dot", "location"])
        assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in measured.ours.values())
        assert measured.peers == {}


def test_texts_have_the_length_asked_for() -> None:
    for work in SECTIONS["search"](TINY, CPU, False):
        for run in work.ours.values():
            texts: Any = run()
            assert [[len(text) for text in row] for row in texts] == [[10] * 3] * 2


@pytest.mark.parametrize("kind", benchmark_peers.ATTENTIONS)
def test_a_training_step_changes_every_weight(kind: str) -> None:
    model = benchmark_peers.our_network(TINY, kind, 0.0, CPU)
    before = [parameter.clone() for parameter in model.parameters()]
    lengths, token_lengths = torch.tensor([40, 40]), torch.tensor([5, 5])
    inputs = (torch.randn(2, 40, 8), lengths, torch.randint(4, 12, (2, 5)), token_lengths, 0.0)
    benchmark_peers.training_step(model, lambda: model(*inputs).total)()
    assert all((old != new).any() for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("section", SECTIONS)
def test_speechbrain_does_the_same_work(section: str) -> None:
    pytest.importorskip("speechbrain", reason="the extra `bench` is not installed")
    for work in SECTIONS[section](TINY, CPU, True):
        ctc = ["SpeechBrain, full", "SpeechBrain, partial"]
        assert list(work.peers) == (ctc if "CTC" in work.name else ["SpeechBrain"])
        assert all(len(rounds) == 1 for rounds in measure(work, 1, CPU).peers.values())


def test_table_compares_medians_and_rounds() -> None:
    ours, theirs = [0.010, 0.020, 0.030], [0.030, 0.030, 0.040]
    (line,) = table("train", Measured("step", {"dot": ours}, {"SpeechBrain": theirs}, 3))
    assert line == "| train | step | dot | 20.0 | SpeechBrain | 30.0 | 1.50 (1.33 to 3.00) |"
    (line,) = table("train", Measured("step", {"dot": ours}, {}, 3))
    assert line == "| train | step | dot | 20.0 | | | |"


def test_without_speechbrain_one_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark_peers, "Sizes", lambda: TINY)
    monkeypatch.setattr(benchmark_peers.importlib.util, "find_spec", lambda name: None)
    out = tmp_path / "out.json"
    threads = torch.get_num_threads()
    benchmark_peers.main(threads=threads, rounds=1, only="features,train", device="cpu", json_file=out)
    shown = capsys.readouterr()
    assert shown.err.count("pip install 'asr_seq2seq[bench]'") == 1
    assert [line.count("|") for line in shown.out.splitlines()] == [8] * 5
    report = json.loads(out.read_text())
    assert set(report["versions"]) == {"asr_seq2seq", "torch"}
    assert [work["name"] for work in report["seconds"]["train"]] == CASES["train"]


def test_unknown_section_is_an_error() -> None:
    with pytest.raises(ConfigError, match="--only speed: no such section; the sections are search, train"):
        benchmark_peers.main(only="speed")


def test_own_work_is_not_taken_for_that_of_others() -> None:
    if not Path("/proc/stat").exists():
        pytest.skip("no /proc/stat on this system")
    before, mine = benchmark_peers.others_seconds(), sum(os.times()[:2])
    while sum(os.times()[:2]) < mine + 0.2:
        pass
    assert benchmark_peers.others_seconds() - before >= -0.05
