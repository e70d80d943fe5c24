import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from asr_seq2seq.errors import AsrError, ConfigError, CorpusError
from asr_seq2seq.inspection import inspect
from asr_seq2seq.model.files import load_model
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.recipes import load_config
from asr_seq2seq.training import fit, learner
from asr_seq2seq.training.batching import Batch
from asr_seq2seq.training.data import load_data
from asr_seq2seq.training.dev_scoring import DevScore
from asr_seq2seq.training.distributed import DistributedContext
from asr_seq2seq.training_config import Config

MakeConfig = Callable[..., Config]


@pytest.fixture
def corpus(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    """Twelve noises of 0.3 to 0.6 s, each with a short text."""
    lines = []
    for number in range(12):
        write_wav(tmp_path / f"{number}.wav", 0.3 + 0.3 * (number % 4) / 3, rate=8000, seed=number)
        text = ("one", "two", "go")[number % 3]
        lines.append(json.dumps({"audio_filepath": f"{number}.wav", "text": text}))
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(lines))
    return path


def _recipe(make_config: MakeConfig, corpus: Path, **changes: object) -> Config:
    return make_config(
        {
            "data.train": str(corpus),
            "data.dev": str(corpus),
            "data.batch_seconds": 2.0,
            "training.epochs": 2,
            "decoding.beam_size": 2,
            **changes,
        }
    )


def test_what_cannot_be_read_is_left_out_and_named(
    make_config: MakeConfig, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A long text of a file that is empty must not decide how long a text can be."""
    (tmp_path / "bad.wav").touch()
    with corpus.open("a") as file:
        file.write("\n" + json.dumps({"audio_filepath": "bad.wav", "text": "two" * 1000}))
    config = _recipe(make_config, corpus, **{"training.epochs": 1})
    result = fit.train(config, tmp_path / "run", "cpu")
    told = capsys.readouterr().err
    assert "left out: 1 utterances that cannot be read, the first: utterance bad@13: " in told
    recognizer = load_model(result.model)
    assert recognizer.provenance["utterances"] == 12
    found = recognizer.config.decoding.tokens_per_frame
    assert found is not None and found < 10


def test_a_run_leaves_its_folder(make_config: MakeConfig, corpus: Path, tmp_path: Path) -> None:
    config = _recipe(make_config, corpus, **{"training.average_decay": 0.5, "training.label_smoothing": 0.1})
    result = fit.train(config, tmp_path / "run", "cpu")
    assert load_config(tmp_path / "run" / "config.yaml") == config
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in metrics] == [1, 2]
    best = min(metrics, key=lambda line: (line["dev_wer"], line["dev_cer"], line["dev_loss"]))
    assert (result.epoch, round(result.dev_wer, 6)) == (best["epoch"], best["dev_wer"])
    recognizer = load_model(result.model)
    found = recognizer.config.decoding
    assert found.tokens_per_frame is not None and 0 < found.tokens_per_frame < 10
    assert recognizer.config == config.recognizer().model_copy(update={"decoding": found})
    assert found == config.decoding.changed(
        tokens_per_frame=found.tokens_per_frame,
        confidence_temperature=found.confidence_temperature,
        confidence_offset=found.confidence_offset,
    )
    assert recognizer.alphabet.characters == "egnotw"
    assert recognizer.provenance["utterances"] == 12
    words = {json.loads(line)["text"] for line in corpus.read_text().splitlines()}
    assert recognizer.provenance["vocabulary"] == {"size": len(words), "words": sorted(words)}
    assert any((tmp_path / "run" / "tensorboard").iterdir())
    facts = inspect(tmp_path / "run")
    assert (facts["epochs"], facts["best"]["epoch"], facts["model"]["alphabet"]) == (
        2,
        best["epoch"],
        "egnotw",
    )


def test_the_log_has_rows_of_steps_and_dev_texts_of_epochs(
    make_config: MakeConfig, corpus: Path, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    changes = {"training.log_steps": 2, "data.batch_seconds": 1.2, "training.epochs": 2}
    config, run = _recipe(make_config, corpus, **changes), tmp_path / "run"
    fit.train(config, run, "cpu")
    rows = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(2, 2 * len(rows) + 1, 2)) and len(rows) > 2
    for row in rows:
        assert row["loss"] > 0 and row["gradient_norm"] > 0 and row["sound_per_second"] > 0
        assert 0 <= row["learning_rate"] <= config.training.learning_rate
    texts = [json.loads(line) for line in (run / "examples.jsonl").read_text().splitlines()]
    assert [text["epoch"] for text in texts] == [1] * 5 + [2] * 5
    assert [text["id"] for text in texts[:5]] == [text["id"] for text in texts[5:]]
    assert {text["reference"] for text in texts} <= {"one", "two", "go"}
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Tensors("dev")][-1] == board.Scalars("dev_wer")[-1].step
    (text,) = board.Tensors("dev")[0].tensor_proto.string_val
    assert text.decode().startswith("| reference | hypothesis |\n|---|---|\n| go | ")
    norms = [event.value for event in board.Scalars("step/gradient_norm")]
    assert norms == pytest.approx([row["gradient_norm"] for row in rows], rel=1e-4)


def test_a_run_ends_early_where_dev_gets_no_better_and_can_be_continued(
    make_config: MakeConfig,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = iter([(0.9, 2.0), (0.8, 1.9), (0.9, 1.8), (0.9, 1.9), (0.85, 1.8), (0.7, 1.9), (0.6, 1.5)])

    def scored(model: object, *rest: object) -> DevScore:
        wer, loss = next(found)
        return DevScore({"dev_wer": wer, "dev_cer": 0.5, "dev_loss": loss}, [])

    monkeypatch.setattr(fit, "score_dev", scored)
    changes = {"training.epochs": 50, "training.patience": 2}
    result = fit.train(_recipe(make_config, corpus, **changes), tmp_path / "run", "cpu")
    assert (result.epoch, result.dev_wer) == (2, 0.8)  # epoch 3 has a better loss, 4 and 5 have nothing
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 5
    assert "ending after epoch 5: 2 epochs without a better dev WER or loss" in capsys.readouterr().err
    again = fit.train(_recipe(make_config, corpus, **changes), tmp_path / "run", "cpu")
    assert again.epoch == 2 and len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 5
    more = changes | {"training.patience": 3, "training.epochs": 7}
    assert fit.train(_recipe(make_config, corpus, **more), tmp_path / "run", "cpu").epoch == 7


@pytest.mark.parametrize("kind", ["processor", "gpu"])
def test_a_batch_that_does_not_fit_into_memory_is_split_and_the_gradient_is_the_same(
    kind: str,
    make_config: MakeConfig,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = _recipe(make_config, corpus, **{"data.batch_seconds": 4.0, "training.label_smoothing": 0.1})
    data = load_data(config, print)
    batches = list(data.train)
    torch.manual_seed(1)
    made = learner.Learner(
        config, Seq2Seq(config, len(data.alphabet)), torch.device("cpu"), DistributedContext()
    )

    def gradients() -> list[torch.Tensor]:
        share = made.gradients(batches, 1, 0, 0.0, stop=False)
        assert share["batches"] == len(batches)
        assert share["seconds"] == pytest.approx(sum(one.seconds for one in batches))
        return [parameter.grad.clone() for parameter in made.model.parameters() if parameter.grad is not None]

    whole, true, tried = gradients(), learner.Learner.gradient, list[int]()

    def failing(self: learner.Learner, batch: Batch, progress: float) -> tuple[torch.Tensor, int]:
        tried.append(len(batch.ids))
        losses = true(self, batch, progress)  # it fails after some gradients are there already
        if len(batch.ids) > most:
            if kind == "gpu":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried"
            )
        return losses

    monkeypatch.setattr(learner.Learner, "gradient", failing)
    most = 2
    capsys.readouterr()
    for one, other in zip(gradients(), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert max(tried) > most
    gradients()
    told = capsys.readouterr().err
    assert told.count("utterances does not fit into the memory of cpu: it and others") == 1
    most = 0
    with pytest.raises(AsrError, match=r"utterance \S+ of 0.\d s does not fit .* lower data.max_seconds"):
        gradients()


def test_another_error_while_computing_is_no_lack_of_memory(
    make_config: MakeConfig, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*rest: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(learner.Learner, "gradient", failing)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        fit.train(_recipe(make_config, corpus), tmp_path / "run", "cpu")


def test_the_same_seed_gives_the_same_weights(make_config: MakeConfig, corpus: Path, tmp_path: Path) -> None:
    changes = {"augmentation.speed_factors": [0.9, 1.0], "model.encoder.dropout": 0.2}
    config = _recipe(make_config, corpus, **changes)
    one, two = (load_model(fit.train(config, tmp_path / name, "cpu").model).model for name in ("1", "2"))
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, two.state_dict()[name]), name


def test_corpus_statistics_are_in_the_model_file(
    make_config: MakeConfig, corpus: Path, tmp_path: Path
) -> None:
    config = _recipe(make_config, corpus, **{"features.normalization": "corpus", "training.epochs": 1})
    features = load_model(fit.train(config, tmp_path / "run", "cpu").model).model.features
    assert float(features.mean.abs().min()) > 0


def test_dev_utterances_can_be_held_out(make_config: MakeConfig, corpus: Path, tmp_path: Path) -> None:
    config = _recipe(make_config, corpus, **{"data.dev": [], "data.dev_fraction": 0.25, "training.epochs": 1})
    recognizer = load_model(fit.train(config, tmp_path / "run", "cpu").model)
    assert recognizer.provenance["utterances"] == 9


def test_what_is_joined_is_spelled_with_a_space_and_counts_as_heard(
    make_config: MakeConfig, corpus: Path, tmp_path: Path
) -> None:
    changes = {"augmentation.joining": {"probability": 1.0, "max_seconds": 1.5}, "training.epochs": 1}
    recognizer = load_model(fit.train(_recipe(make_config, corpus, **changes), tmp_path / "run", "cpu").model)
    assert recognizer.alphabet.characters == " egnotw"
    assert recognizer.longest_seconds == 1.5


def test_an_unreadable_utterance_is_left_out_by_name(
    make_config: MakeConfig, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dev = tmp_path / "dev.jsonl"
    dev.write_text(corpus.read_text())
    (tmp_path / "broken.wav").write_text("no sound")
    bad = json.dumps({"audio_filepath": "broken.wav", "text": "one", "duration": 0.4})
    corpus.write_text(corpus.read_text() + "\n" + bad)
    fit.train(_recipe(make_config, corpus, **{"data.dev": str(dev)}), tmp_path / "run", "cpu")
    err = capsys.readouterr().err
    assert err.count("left out: utterance broken@13") == 1
    with pytest.raises(CorpusError, match="broken@13"):
        fit.train(_recipe(make_config, corpus), tmp_path / "run2", "cpu")


def test_nothing_readable_is_an_error_and_no_model(
    make_config: MakeConfig, corpus: Path, tmp_path: Path
) -> None:
    dev = tmp_path / "dev.jsonl"
    (tmp_path / "broken.wav").write_text("no sound")
    bad = json.dumps({"audio_filepath": "broken.wav", "text": "one", "duration": 0.4})
    dev.write_text(bad)
    for number, (train, normalization) in enumerate(
        ((dev, "utterance"), (dev, "corpus"), (corpus, "corpus"))
    ):
        changes = {"data.train": str(train), "data.dev": str(dev), "features.normalization": normalization}
        run = tmp_path / f"run{number}"
        with pytest.raises(CorpusError):
            fit.train(_recipe(make_config, corpus, **changes), run, "cpu")
        assert not (run / "model.safetensors").exists()


def test_a_loss_that_is_never_finite_stops_the_run(
    make_config: MakeConfig, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner, "_MOST_SKIPPED", 2)
    monkeypatch.setattr(
        "asr_seq2seq.model.decoder.FixedVectorDecoder.forced",
        lambda self, tokens, encoded, lengths, context: (
            self.output(context)[:, None].expand(-1, tokens.shape[1], -1) / 0,
            None,
        ),
    )
    with pytest.raises(AsrError, match="2 batches in a row"):
        fit.train(_recipe(make_config, corpus), tmp_path / "run", "cpu")
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data.train": []}, "data.train names no corpus"),
        ({"data.dev": []}, "data.dev names no corpus"),
        ({"data.max_seconds": 0.1}, "data.max_seconds"),
        ({"data.normalizer": "english"}, "english-v1"),
    ],
)
def test_recipes_that_cannot_run(
    make_config: MakeConfig, corpus: Path, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(AsrError, match=words):
        fit.train(_recipe(make_config, corpus, **changes), tmp_path / "run", "cpu")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_not_overwritten(
    make_config: MakeConfig, corpus: Path, tmp_path: Path
) -> None:
    config = _recipe(make_config, corpus, **{"training.epochs": 1})
    fit.train(config, tmp_path / "run", "cpu")
    with pytest.raises(ConfigError, match="holds a run already"):
        fit.train(config, tmp_path / "run", "cpu", resume="never")
    other = _recipe(make_config, corpus, **{"training.epochs": 1, "training.optimizer": "sgd"})
    with pytest.raises(ConfigError, match=r"the run there had training.optimizer='adamw' and not 'sgd'"):
        fit.train(other, tmp_path / "run", "cpu")
    before = load_file(tmp_path / "run" / "model.safetensors")
    again = fit.train(config, tmp_path / "run", "cpu")  # finished: nothing is left to do
    after = load_file(again.model)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_ends_with_the_best_model_so_far(
    make_config: MakeConfig, corpus: Path, tmp_path: Path
) -> None:
    from asr_seq2seq.recipes import to_yaml

    config = _recipe(make_config, corpus, **{"training.epochs": 100000, "data.workers": 1})
    (tmp_path / "endless.yaml").write_text(to_yaml(config))
    command = [sys.executable, "-m", "asr_seq2seq", "train", "endless.yaml", "--run", "run"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    for _ in range(600):
        if (tmp_path / "run" / "model.safetensors").exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; the best model so far is run/model.safetensors" in err
    assert "Traceback" not in err
    load_model(tmp_path / "run" / "model.safetensors")
