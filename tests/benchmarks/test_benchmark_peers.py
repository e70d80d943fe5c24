import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import benchmark_peers
import benchmarking
import peers_speechbrain
import pytest
import torch
from benchmark_peers import SECTIONS
from benchmarking import Measured, Sizes, Work, measure, table
from our_side import ATTENTIONS, our_network

from asr_seq2seq.errors import ConfigError

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _without_lazy_modules() -> Iterator[None]:
    """SpeechBrain leaves modules that fail when looked at, which Hypothesis does with all there are."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "speechbrain"]:
        del sys.modules[name]


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
OURS = frozenset[str]()
CASES = {"search": ["beam 3, batch 2", "beam 3, batch 2, CTC 0.3"], "train": ["step of 2 x 40 frames"]}
CASES["precision"] = ["step of 4 x 40 frames, bfloat16"]
CASES["recipes"] = ["step of 2 x 40 frames, recipes"]
CASES["features"] = ["log-mel of 0.2 s"]
CASES["onnx"] = ["encoder, batch 1, 1.6 s", "encoder, batch 8, 1.6 s"]
CONTESTANTS = {
    "search": ["dot", "dot, torch", "location", "location, torch"],
    "train": ["dot", "location"],
    "precision": ["dot", "location"],
    "recipes": ["dot"],
    "features": ["torch", "NumPy"],
    "onnx": ["ONNX, fp32", "ONNX, int8"],
}


@pytest.mark.parametrize("section", SECTIONS)
def test_our_side_does_the_work(section: str) -> None:
    works = list(SECTIONS[section](TINY, CPU, OURS))
    assert [work.name for work in works] == CASES[section]
    for work in works:
        measured = measure(work, 2, CPU)
        assert list(measured.ours) == CONTESTANTS[section]
        assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in measured.ours.values())
        assert list(measured.peers) == (["torch"] if section == "onnx" else [])


def test_texts_have_the_length_asked_for() -> None:
    for work in SECTIONS["search"](TINY, CPU, OURS):
        for run in work.ours.values():
            texts: Any = run()
            assert [[len(text) for text in row] for row in texts] == [[10] * 3] * 2


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_a_training_step_changes_every_weight(kind: str) -> None:
    model = our_network(TINY, kind, 0.0, CPU)
    before = [parameter.clone() for parameter in model.parameters()]
    lengths, token_lengths = torch.tensor([40, 40]), torch.tensor([5, 5])
    inputs = (torch.randn(2, 40, 8), lengths, torch.randint(4, 12, (2, 5)), token_lengths, 0.0)
    benchmark_peers.training_step(model, lambda: model.loss(*inputs).total)()
    assert all((old != new).any() for old, new in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("section", ["search", "train", "precision", "recipes", "features"])
def test_speechbrain_does_the_same_work(section: str) -> None:
    pytest.importorskip("speechbrain", reason="the extra `bench` is not installed")
    for work in SECTIONS[section](TINY, CPU, frozenset({"speechbrain"})):
        peers = ["SpeechBrain, full", "SpeechBrain, partial"] if "CTC" in work.name else ["SpeechBrain"]
        if section == "recipes":
            peers = ["SpeechBrain, CRDNN", "SpeechBrain, CRDNN pooled"]
        if section == "precision":
            peers = ["SpeechBrain, float32", "SpeechBrain, bfloat16"]
        assert list(work.peers) == peers
        assert all(len(rounds) == 1 for rounds in measure(work, 1, CPU).peers.values())


@pytest.mark.parametrize("section", ["search", "recipes"])
def test_espnet_does_the_same_work(section: str) -> None:
    pytest.importorskip("espnet2", reason="ESPnet is not installed")
    sizes = replace(TINY, search_batches=(2, 1))
    works = list(SECTIONS[section](sizes, CPU, frozenset({"espnet"})))
    found = [list(work.peers) for work in works]
    assert found == ([[], [], ["ESPnet"], ["ESPnet"]] if section == "search" else [["ESPnet, RNN"]])
    for work in works:
        assert all(len(rounds) == 1 for rounds in measure(work, 1, CPU).peers.values())


@pytest.mark.parametrize("pooled", [False, True])
def test_the_encoder_of_the_recipe_makes_time_shorter_by_8(pooled: bool) -> None:
    pytest.importorskip("speechbrain", reason="the extra `bench` is not installed")
    encoder = peers_speechbrain.Crdnn(TINY, pooled=pooled)
    assert encoder(torch.randn(2, 40, 8)).shape == (2, 5, encoder.size)


def test_the_onnx_form_hears_what_torch_hears() -> None:
    pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    work = next(iter(SECTIONS["onnx"](TINY, CPU, frozenset({"onnxruntime"}))))
    assert work.name == "encoder, batch 1, 1.6 s"
    assert list(work.ours) == ["ONNX, fp32", "ONNX, int8"]
    assert list(work.peers) == ["torch"]
    encoded: dict[str, Any] = {name: run() for name, run in (work.ours | work.peers).items()}
    for name, far in {"ONNX, fp32": 1e-5, "ONNX, int8": 0.05}.items():
        context = torch.from_numpy(encoded[name].context)
        torch.testing.assert_close(context, encoded["torch"].context, atol=far, rtol=0)


def test_slow_work_is_done_less_often() -> None:
    calls: list[int] = []
    work = Work("slow", {"dot": lambda: calls.append(1)}, {}, most_rounds=2)
    assert len(measure(work, 5, CPU).ours["dot"]) == 2
    # A call that takes long counts once in each round, and is not tried twice before.
    calls.clear()
    seconds = iter(range(0, 10_000, 100))
    measure(work, 5, CPU, lambda: float(next(seconds)))
    assert len(calls) == 1 + 2


def test_table_compares_medians_and_rounds() -> None:
    ours, theirs = [0.010, 0.020, 0.030], [0.030, 0.030, 0.040]
    (line,) = table("train", Measured("step", {"dot": ours}, {"SpeechBrain": theirs}, [True] * 3))
    assert line == "| train | step | dot | 20.0 | SpeechBrain | 30.0 | 1.50 (1.33 to 3.00) |"
    (line,) = table("train", Measured("step", {"dot": ours}, {}, [True] * 3))
    assert line == "| train | step | dot | 20.0 | | | |"


def test_rounds_on_a_busy_machine_do_not_count() -> None:
    ours, theirs = [0.010, 0.900, 0.010, 0.010], [0.020, 0.020, 0.020, 0.020]
    quiet = [True, False, True, True]
    (line,) = table("train", Measured("step", {"dot": ours}, {"SpeechBrain": theirs}, quiet))
    assert line.endswith("| 20.0 | 2.00 (2.00 to 2.00) |")
    quiet = [True, False, False, False]
    (line,) = table("train", Measured("step", {"dot": ours}, {"SpeechBrain": theirs}, quiet))
    assert line.endswith("| 20.0 | not judged: the machine is busy |")


def test_one_sentence_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark_peers, "Sizes", lambda: TINY)
    monkeypatch.setattr(benchmark_peers.importlib.util, "find_spec", lambda name: None)
    out = tmp_path / "out.json"
    threads = torch.get_num_threads()
    benchmark_peers.main(
        threads=threads, rounds=1, only="features,train,recipes,onnx", device="cpu", record=out
    )
    shown = capsys.readouterr()
    assert shown.err.count("pip install 'asr_seq2seq[bench]'") == 1
    assert shown.err.count("pip install --no-deps espnet") == 1
    assert [line.count("|") for line in shown.out.splitlines()] == [0, 0] + [8] * 11
    report = json.loads(out.read_text())
    assert set(report["versions"]) == {"asr_seq2seq", "onnxruntime", "torch"}
    assert [work["name"] for work in report["results"]["train"]] == CASES["train"]
    assert [work["name"] for work in report["results"]["onnx"]] == CASES["onnx"]


def test_what_no_section_uses_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark_peers, "Sizes", lambda: TINY)
    monkeypatch.setattr(benchmark_peers.importlib.util, "find_spec", lambda name: None)
    benchmark_peers.main(threads=torch.get_num_threads(), rounds=1, only="features", device="cpu")
    assert "ESPnet" not in capsys.readouterr().err


def test_unknown_section_is_an_error() -> None:
    with pytest.raises(ConfigError, match="--only speed: no such section; the sections are search, train"):
        benchmark_peers.main(only="speed")


def test_own_work_is_not_taken_for_that_of_others() -> None:
    if not Path("/proc/stat").exists():
        pytest.skip("no /proc/stat on this system")
    before, mine = benchmarking.others_seconds(), sum(os.times()[:2])
    while sum(os.times()[:2]) < mine + 0.2:
        pass
    assert benchmarking.others_seconds() - before >= -0.05
