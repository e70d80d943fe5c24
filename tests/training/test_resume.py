"""Runs that are broken off, and runs of several processes, end as one that was left alone."""

import errno
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from asr_seq2seq.cli.application import make_app
from asr_seq2seq.errors import AsrError, ConfigError, OutputError
from asr_seq2seq.model.files import ModelFile, load_model
from asr_seq2seq.recipes import to_yaml
from asr_seq2seq.training import fit, state
from asr_seq2seq.training.dev_scoring import DevScore
from asr_seq2seq.training.distributed import DistributedContext
from asr_seq2seq.training_config import Config

app = make_app()

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals of POSIX")


@pytest.fixture
def recipe(tmp_path: Path, make_config: Callable[..., Config], write_wav: Callable[..., Path]) -> Path:
    """A recipe with everything that chance has a part in."""
    lines = []
    for number in range(24):
        write_wav(tmp_path / f"{number}.wav", 0.3 + 0.02 * number, rate=8000, seed=number)
        text, speaker = ("one", "two", "go")[number % 3], "ab"[number % 2]
        entry = {"audio_filepath": f"{tmp_path}/{number}.wav", "text": text, "speaker": speaker}
        lines.append(json.dumps(entry))
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    config = make_config(
        {
            "data.train": str(tmp_path / "corpus.jsonl"),
            "data.dev": str(tmp_path / "corpus.jsonl"),
            "data.batch_seconds": 1.2,
            "data.buckets": 3,
            "data.workers": 2,
            "features.spec_augment": {"time_masks": 2, "time_width": 5, "frequency_masks": 1},
            "model.encoder.dropout": 0.2,
            "model.decoder.attention": "dot",
            "augmentation.speed_factors": [0.9, 1.0, 1.1],
            "augmentation.joining": {"probability": 0.3, "max_seconds": 1.5},
            "training.epochs": 3,
            "training.average_decay": 0.9,
            "training.save_steps": 2,
            "training.warmup_steps": 5,
        }
    )
    (tmp_path / "recipe.yaml").write_text(to_yaml(config))
    return tmp_path / "recipe.yaml"


def command(recipe: Path, run: Path, *more: str) -> list[str]:
    train = [sys.executable, "-m", "asr_seq2seq", "train", str(recipe), "--run", str(run), "--device", "cpu"]
    return [*train, *more]


def state_of(run: Path) -> dict[str, Any]:
    found = state.load_state(run)
    assert found is not None
    return found


def assert_same(one: Path, other: Path) -> None:
    """The best model, and all that the run would go on from, bit for bit."""
    first, second = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for part in ("model", "average"):
        a, b = state_of(one)[part], state_of(other)[part]
        assert all(torch.equal(a[name], b[name]) for name in a)
    clocks = {"elapsed_seconds": 0, "sound_per_second": 0}
    for line, same in zip(metrics(one), metrics(other), strict=True):
        assert line | clocks == same | clocks


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def step_of(run: Path) -> int:
    try:
        return int(state_of(run)["position"]["step"])
    except (AssertionError, AsrError):
        return 0


def test_killed_three_times_and_the_weights_are_those_of_one_run(recipe: Path, tmp_path: Path) -> None:
    subprocess.run(command(recipe, tmp_path / "whole"), check=True, capture_output=True, env=ENVIRONMENT)
    total = step_of(tmp_path / "whole")
    kills = sorted(random.Random(os.urandom(8)).sample(range(1, total - 2), 3))
    for at in kills:
        process = subprocess.Popen(
            command(recipe, tmp_path / "killed"),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while step_of(tmp_path / "killed") < at and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command(recipe, tmp_path / "killed"), check=True, capture_output=True, env=ENVIRONMENT)
    assert_same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_state_and_ends_with_its_code(number: int, recipe: Path, tmp_path: Path) -> None:
    """Sent to every process of the job, as terminals, `timeout` and Slurm do."""
    never = ["--set", "training.save_steps=100000", "--set", "training.epochs=400"]
    process = subprocess.Popen(
        command(recipe, tmp_path / "run", *never),
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "interrupted" in err and "Traceback" not in err
    assert step_of(tmp_path / "run") > 0


def test_a_signal_while_the_dev_set_is_heard_stops_after_it(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asr_seq2seq.recipes import load_config

    config = load_config(recipe, ["training.epochs=2", "data.workers=0"])
    whole = fit.train(config, tmp_path / "whole", "cpu")
    true = fit.score_dev

    def interrupted(*arguments: Any) -> DevScore:
        os.kill(os.getpid(), signal.SIGTERM)
        return true(*arguments)

    monkeypatch.setattr(fit, "score_dev", interrupted)
    for epoch in (1, 2):
        assert fit.train(config, tmp_path / "run", "cpu").stopped == signal.SIGTERM
        assert len(metrics(tmp_path / "run")) == epoch
    assert fit.train(config, tmp_path / "run", "cpu").dev_wer == whole.dev_wer  # no epoch is left
    assert_same(tmp_path / "whole", tmp_path / "run")


def test_only_the_first_process_needs_the_folder_of_the_run(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Path] = []

    def train(config: Config, run: Path, *rest: Any) -> fit.Result:
        runs.append(run)
        return fit.Result(run, 1, 0.0, 0.0)

    monkeypatch.setattr(fit, "train", train)
    arguments = ["train", str(recipe), "--resume", str(tmp_path / "elsewhere")]
    with pytest.raises(ConfigError, match="elsewhere: must be auto, never, or the folder of a run"):
        app(arguments, standalone_mode=False)
    monkeypatch.setenv("RANK", "1")
    app(arguments, standalone_mode=False)
    assert runs == [tmp_path / "elsewhere"]


def test_a_run_does_not_go_on_with_another_corpus(recipe: Path, tmp_path: Path) -> None:
    from asr_seq2seq.recipes import load_config

    config = load_config(recipe, ["training.epochs=1", "data.workers=0"])
    fit.train(config, tmp_path / "run", "cpu")
    (corpus,) = map(Path, config.data.train)
    for text in (corpus.read_text().replace('"go"', '"quick"'), corpus.read_text().partition("\n")[2]):
        corpus.write_text(text)
        with pytest.raises(ConfigError, match="run: the training corpora have changed since the run began"):
            fit.train(config, tmp_path / "run", "cpu")


def test_two_processes_are_one_with_the_same_batches_a_step(recipe: Path, tmp_path: Path) -> None:
    plain = ["--set", "data.workers=0"]
    first = command(recipe, tmp_path / "one", *plain, "--set", "training.accumulate=2")
    subprocess.run(first, check=True, capture_output=True, env=ENVIRONMENT)
    # Behind "--" torchrun does not take our --run for its own --run-path.
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--"]
    torchrun = [sys.executable, *torchrun]
    torchrun += command(recipe, tmp_path / "two", *plain)[2:]
    result = subprocess.run(torchrun, capture_output=True, text=True, env=ENVIRONMENT)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.count("model.safetensors") == 1
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    assert len(one) == len(two) == 3
    for a, b in zip(one, two, strict=True):
        assert a["step"] == b["step"]
        for name in ("loss", "decoder", "ctc", "dev_loss", "dev_wer"):
            assert a[name] == pytest.approx(b[name], abs=1e-4)


def test_a_state_that_is_damaged_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    for content in (b"", b"rubbish", b"PK\x03\x04 cut short"):
        (tmp_path / "state" / "training.pt").write_bytes(content)
        with pytest.raises(AsrError, match=r"training\.pt: cannot be read"):
            state.load_state(tmp_path)
    assert state.load_state(tmp_path / "nothing") is None


def test_a_state_runs_nothing(tmp_path: Path) -> None:
    """Pickles, which run what they name, are refused as bytes of another form."""

    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "canary"),)

    path = tmp_path / "state" / "training.pt"
    path.parent.mkdir()
    torch.save({"position": Trap()}, path)
    with pytest.raises(AsrError, match="of an earlier version"):
        state.load_state(tmp_path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(AsrError, match="cannot be read"):
        state.load_state(tmp_path)
    assert not (tmp_path / "canary").exists()


def test_a_run_goes_on_elsewhere_longer_and_in_other_batches(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from asr_seq2seq.recipes import load_config

    run, plain = tmp_path / "run", ["data.workers=0", "training.average_decay=0"]
    fit.train(load_config(recipe, [*plain, "training.epochs=1"]), run, "cpu")
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in [*tmp_path.glob("*.wav"), tmp_path / "corpus.jsonl"]:
        path.rename(moved / path.name)
    corpus = moved / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace(str(tmp_path), str(moved)))
    elsewhere = [*plain, f"data.train={corpus}", f"data.dev={corpus}"]
    changes = ["training.epochs=2", "data.workers=1", "training.save_steps=1"]
    config = load_config(recipe, [*elsewhere, *changes])
    fit.train(config, run, "cpu")
    assert [line["epoch"] for line in metrics(run)] == [1, 2]
    assert load_config(run / "config.yaml") == config
    changed = load_config(recipe, [*elsewhere, "training.epochs=3", "data.batch_seconds=0.9"])
    fit.train(changed, run, "cpu")
    assert state_of(run)["position"]["plan"].startswith("0.9 ")
    with pytest.raises(ConfigError, match=r"the run there had model.ctc_weight=0.3 and not 0.5"):
        fit.train(load_config(recipe, [*elsewhere, "model.ctc_weight=0.5"]), run, "cpu")
    layers = "model.encoder.layers=[{units: 6, reduction: 2}, {units: 7, reduction: 2}]"
    with pytest.raises(ConfigError, match=r"the run there had model.encoder.layers.1.units=5 and not 7"):
        fit.train(load_config(recipe, [*elsewhere, layers]), run, "cpu")


def test_a_full_disk_at_any_save_is_one_sentence_and_the_run_goes_on(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each save in turn finds the disk full: of the recipe, models, states, metrics and the board."""
    from asr_seq2seq.recipes import load_config

    config = load_config(recipe, ["data.workers=0", "training.epochs=1", "training.keep_epochs=1"])
    fit.train(config, tmp_path / "whole", "cpu")
    real_open, real_fsync = Path.open, os.fsync

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open_full(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        return full() if "a" in mode else real_open(path, mode, *rest, **named)

    for number in range(3):
        calls = iter(range(100))
        monkeypatch.setattr(
            os, "fsync", lambda fd, calls=calls, n=number: (full if next(calls) == n else real_fsync)(fd)
        )
        with pytest.raises(OutputError, match="no space left on the device"):
            fit.train(config, tmp_path / "run", "cpu")
    monkeypatch.setattr(os, "fsync", real_fsync)
    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(OutputError, match=r"cannot write .*: no space left on the device"):
        fit.train(config, tmp_path / "run", "cpu")
    monkeypatch.setattr(Path, "open", real_open)
    fit.train(config, tmp_path / "run", "cpu")
    assert_same(tmp_path / "whole", tmp_path / "run")
    assert not list((tmp_path / "run").rglob(".*"))


def test_a_second_training_in_the_same_folder_is_refused(recipe: Path, tmp_path: Path) -> None:
    from asr_seq2seq.files import lock
    from asr_seq2seq.recipes import load_config

    run = tmp_path / "run"
    run.mkdir()
    with lock(run, "trained"), pytest.raises(AsrError, match="run: is being trained by another process"):
        fit.train(load_config(recipe, ["data.workers=0"]), run, "cpu")
    assert list(run.iterdir()) == []


def test_a_team_of_one_changes_nothing() -> None:
    layer = torch.nn.Linear(2, 2)
    DistributedContext().sum_gradients(layer.parameters(), 2.0)
    assert layer.weight.grad is not None and not layer.weight.grad.any()
    layer(torch.ones(1, 2)).sum().backward()
    expected = layer.weight.grad.clone() / 4
    DistributedContext().sum_gradients(layer.parameters(), 4.0)
    torch.testing.assert_close(layer.weight.grad, expected)
    assert DistributedContext().gather([1, 2]) == [1, 2]
    assert DistributedContext().from_leader("a") == "a"


def test_the_last_epochs_are_kept_and_averaged(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from asr_seq2seq.recipes import load_config

    config = load_config(recipe, ["training.keep_epochs=2", "data.workers=0"])
    fit.train(config, tmp_path / "run", "cpu")
    kept = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert [path.name for path in kept] == ["epoch_0002.safetensors", "epoch_0003.safetensors"]
    capsys.readouterr()
    app(["average", str(tmp_path / "run"), "--last", "2"], standalone_mode=False)
    averaged = load_file(capsys.readouterr().out.strip())
    one, two = map(load_file, kept)
    for name, tensor in averaged.items():
        torch.testing.assert_close(tensor, (one[name] + two[name]) / 2)
    figures = metrics(tmp_path / "run")[1:]
    best = min(figures, key=lambda epoch: [epoch["dev_wer"], epoch["dev_cer"], epoch["dev_loss"]])["epoch"]
    app(["average", str(tmp_path / "run"), "--best", "1"], standalone_mode=False)
    chosen = load_file(capsys.readouterr().out.strip())
    expected = load_file(kept[int(best) - 2])
    assert all(torch.equal(chosen[name], expected[name]) for name in expected)
    with pytest.raises(ConfigError, match="exclude each other"):
        app(["average", str(tmp_path / "run"), "--best", "1", "--last", "1"], standalone_mode=False)
    with pytest.raises(AsrError, match="no models to average"):
        app(["average", str(tmp_path), "--last", "2"], standalone_mode=False)


def test_the_mean_of_the_last_epochs_is_the_model_where_it_is_better(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from asr_seq2seq.recipes import load_config

    config = load_config(recipe, ["training.keep_epochs=2", "data.workers=0"])
    true = fit.score_dev

    def scored(figures: dict[str, dict[str, float]], model: ModelFile, *rest: Any) -> DevScore:
        found = true(model, *rest)
        changed = found.figures | figures["mean" if "averaged" in model.provenance else "epoch"]
        return DevScore(changed, found.lines)

    for found, said in ((0.0, "best"), (9.0, "")):
        figures = {"mean": {"dev_wer": found}, "epoch": {"dev_wer": 5.0}}
        monkeypatch.setattr(fit, "score_dev", partial(scored, figures))
        run = tmp_path / f"run_{found}"
        result = fit.train(config, run, "cpu")
        kept = [load_file(path) for path in sorted((run / "checkpoints").iterdir())]
        model = load_file(result.model)
        is_mean = all(torch.allclose(w, (kept[0][name] + kept[1][name]) / 2) for name, w in model.items())
        assert is_mean == bool(said)
        assert result.dev_wer == min(found, 5.0)
        told = load_model(result.model).provenance
        assert told["dev_wer"] == min(found, 5.0) and ("epoch" in told) != is_mean
        lines = capsys.readouterr().err.splitlines()
        (line,) = (line for line in lines if line.startswith("mean of 2 epochs"))
        assert line.endswith("best") == bool(said)


def test_what_was_trained_and_chosen_on_is_written(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from asr_seq2seq.corpora import load_corpus
    from asr_seq2seq.recipes import load_config

    changes = ["data.dev_fraction=0.25", "training.epochs=1", "data.workers=0"]
    fit.train(load_config(recipe, changes), tmp_path / "run", "cpu")
    train, dev = (load_corpus(tmp_path / "run" / f"{name}.jsonl") for name in ("train", "dev"))
    assert (len(train), len(dev)) == (18, 6)
    assert not {one.id for one in train} & {one.id for one in dev}
    assert "warning: training and dev share 2 speakers, the sentences of" in capsys.readouterr().err


def test_a_state_that_is_replaced_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / state.STATE
    path.parent.mkdir(parents=True)
    content = {"model/w": torch.ones(100)}
    header = {
        "format": state._FORMAT,
        "position": state.without_infinity(state.asdict(state.Position())),
        "schedule": {"steps": 0, "rate": 0.0, "best": None, "waited": 0, "factor": 1.0},
    }
    path.write_bytes(state.save_tensors(content, {state._KEY: json.dumps(header)}))

    def shorter(text: str) -> None:
        raise RuntimeError(f"file <{path}> size <300> is smaller than the required mapping size <400>")

    monkeypatch.setattr(state, "parse_json", shorter)
    with pytest.raises(AsrError, match=r"cannot be read .*; begin another run with --run"):
        state.load_state(tmp_path)
