import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_seq2seq.errors import ConfigError, ModelFileError
from asr_seq2seq.evaluation.hypotheses import HypothesisLine
from asr_seq2seq.inspection import inspect
from asr_seq2seq.model.files import ModelFile, load_model, save_model
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training import before_after, fit
from asr_seq2seq.training.dev_scoring import DevScore
from asr_seq2seq.training.fine_tuning import OUTPUTS, extend, new_characters
from asr_seq2seq.training_config import Config

MakeConfig = Callable[..., Config]


@pytest.fixture
def corpus(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    """Six noises, each with a short text."""
    lines = []
    for number in range(6):
        write_wav(tmp_path / f"{number}.wav", 0.4, rate=8000, seed=number)
        lines.append(json.dumps({"audio_filepath": f"{number}.wav", "text": ("one", "two")[number % 2]}))
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def start(tmp_path: Path, make_config: MakeConfig, make_model: Callable[..., object]) -> Path:
    """A model of untrained weights that can spell more than the corpus needs."""
    alphabet = Alphabet("enotwxyz")
    model = make_model(vocabulary=len(alphabet), seed=5)
    save_model(
        tmp_path / "start.safetensors", ModelFile(model, make_config().recognizer(), alphabet, _NORMALIZER)
    )  # type: ignore[arg-type]
    return tmp_path / "start.safetensors"


_NORMALIZER = Normalizer.named("english-v1")


def _recipe(make_config: MakeConfig, corpus: Path, start: Path, **changes: object) -> Config:
    return make_config(
        {
            "data.train": str(corpus),
            "data.dev": str(corpus),
            "training.epochs": 1,
            "training.start_from": str(start),
            **changes,
        }
    )


def test_a_run_begins_with_the_weights_and_the_alphabet_of_another(
    make_config: MakeConfig, corpus: Path, start: Path, tmp_path: Path
) -> None:
    # Steps so small that the weights stay where they began, though dropout and masks may differ.
    changes = {"training.learning_rate": 1e-12, "training.weight_decay": 0, "model.encoder.dropout": 0.1}
    config = _recipe(make_config, corpus, start, **changes, **{"data.normalizer": "english-v2"})
    result = load_model(fit.train(config, tmp_path / "run", "cpu").model)
    assert result.alphabet.characters == "enotwxyz"
    assert result.normalizer.name == "english-v2"
    before = load_model(start).model.state_dict()
    for name, weight in result.model.state_dict().items():
        torch.testing.assert_close(weight, before[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"features.mels": 12}, "was trained on other features"),
        ({"data.normalizer": "none"}, "normalized by english-v1"),
        ({"model.context.size": 4, "model.decoder.units": 4}, "other layers or sizes"),
    ],
)
def test_what_does_not_fit_is_refused(
    changes: dict[str, object],
    reason: str,
    make_config: MakeConfig,
    corpus: Path,
    start: Path,
    tmp_path: Path,
) -> None:
    config = _recipe(make_config, corpus, start, **changes)
    with pytest.raises(ConfigError, match=f"training.start_from: .*{reason}"):
        fit.train(config, tmp_path / "run", "cpu")
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_new_characters_extend_the_model_and_keep_the_rest_bit_by_bit(
    make_config: MakeConfig, make_sounds: Callable[..., list[torch.Tensor]], start: Path
) -> None:
    before = load_model(start)
    assert new_characters(before, ["one", "aqto", "e\u0301"]) == ["a", "q", "\u00e9"]
    after = extend(before, ["a", "q", "\u00e9"], seed=1)
    assert after.alphabet.characters == "aenoqtwxyz\u00e9"
    old, new = before.model.state_dict(), after.model.state_dict()
    places = {character: 4 + place for place, character in enumerate(after.alphabet.characters)}
    rows = [0, 1, 2, 3, *(places[character] for character in before.alphabet.characters)]
    for name, weight in old.items():
        grown = name in ("decoder.embedding.weight", *OUTPUTS)
        assert torch.equal(new[name][rows] if grown else new[name], weight), name
    for name in OUTPUTS:  # the new ones are as unlikely as what never was in a text
        assert all(torch.equal(new[name][places[one]], old[name][3]) for one in "aq\u00e9")
    embedded = new["decoder.embedding.weight"]
    assert not torch.equal(embedded[places["a"]], embedded[places["q"]])
    again = extend(before, ["a", "q", "\u00e9"], seed=1).model.state_dict()
    assert all(torch.equal(again[name], weight) for name, weight in new.items())


def test_a_corpus_with_new_characters_is_learned_and_they_are_named(
    make_config: MakeConfig, corpus: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus.write_text(corpus.read_text().replace("two", "quo 2"))
    config = _recipe(make_config, corpus, start, **{"training.freeze_encoder_steps": 1})
    result = fit.train(config, tmp_path / "run", "cpu")
    assert load_model(result.model).alphabet.characters == " 2enoqtuwxyz"
    told = capsys.readouterr().err
    assert f"4 new characters in the training texts, which {start} could not spell: ' ' '2' 'q' 'u'\n" in told
    assert "3 training texts have numbers in figures" in told
    assert "--set data.normalizer=english-v2" in told
    # In its one step the encoder was frozen, and nothing else.
    found, before = load_model(result.model).model.state_dict(), load_model(start).model.state_dict()
    for name, weight in before.items():
        if name.startswith(("encoder.", "features.")):
            assert torch.equal(found[name], weight), name
    assert not torch.equal(found["context.projection.weight"], before["context.projection.weight"])
    # It resumes with the same alphabet, and the encoder learns from the second step on.
    longer = fit.train(config_with(config, epochs=2), tmp_path / "run", "cpu")
    found = load_model(longer.model).model.state_dict()
    assert not all(torch.equal(found[name], before[name]) for name in before if name.startswith("encoder."))


def config_with(config: Config, **training: object) -> Config:
    return config.model_copy(update={"training": config.training.model_copy(update=training)})


def _metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_model_before_any_step_is_scored_as_epoch_0(
    make_config: MakeConfig, corpus: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = _recipe(make_config, corpus, start, **{"training.epochs": 2})
    result = fit.train(config, tmp_path / "run", "cpu")
    rows = _metrics(tmp_path / "run")
    assert [row["epoch"] for row in rows] == [0, 1, 2] and rows[0]["step"] == 0
    told = capsys.readouterr().err
    assert told.count("epoch   0  ") == 1 and f"{start} before any step  dev loss" in told
    # The same as the model scores when nothing was learned.
    still = {"training.learning_rate": 1e-12, "training.weight_decay": 0}
    unmoved = fit.train(_recipe(make_config, corpus, start, **still), tmp_path / "still", "cpu")
    before, after = _metrics(tmp_path / "still")
    for name in ("dev_loss", "dev_wer", "dev_cer"):
        assert before[name] == pytest.approx(after[name], abs=1e-5) == pytest.approx(rows[0][name], abs=1e-5)
    assert inspect(tmp_path / "run")["epochs"] == 2
    assert inspect(tmp_path / "run")["before"] == rows[0]
    assert result.fine_tuning is not None and unmoved.fine_tuning is not None
    assert unmoved.fine_tuning.better is None and unmoved.fine_tuning.p == 1.0
    assert result.fine_tuning.scores[0].wer == pytest.approx(rows[0]["dev_wer"], abs=1e-5)
    assert result.fine_tuning.scores[1].wer == pytest.approx(result.dev_wer)
    told = capsys.readouterr().err.splitlines()[-1]
    assert "after: cannot tell (p = 1.0000, paired tests); nothing shows that the new model is better" in told


@pytest.mark.parametrize(("before", "after", "answer"), [("uh", None, "better"), (None, "uh", "worse")])
def test_better_and_worse_are_said(
    before: str | None, after: str | None, answer: str, tmp_path: Path
) -> None:
    lines = [HypothesisLine(str(number), "one two", "one two") for number in range(20)]
    wrong = [replace(line, hypothesis=str(before or after)) for line in lines]
    before_after.keep_before(tmp_path, wrong if before else lines)
    assert before_after.compare_with_start(tmp_path, _NORMALIZER) is None
    before_after.keep_after(tmp_path, wrong[::-1] if after else lines[::-1])
    found = before_after.compare_with_start(tmp_path, _NORMALIZER)
    assert found is not None
    line = before_after.describe(found, "english")
    figures = "100.00% before, 0.00% after" if before else "0.00% before, 100.00% after"
    assert line.startswith(f"fine-tuning: dev WER {figures}: {answer} (p < 0.0001")
    assert ("keep english" in line) == (answer == "worse")


def test_before_and_after_survive_a_resume(
    make_config: MakeConfig, corpus: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _recipe(make_config, corpus, start, **{"training.epochs": 3})
    whole = fit.train(config, tmp_path / "whole", "cpu")
    true, scored = fit.score_dev, list[int]()

    def interrupted(*arguments: Any) -> DevScore:
        scored.append(1)
        os.kill(os.getpid(), signal.SIGTERM)
        return true(*arguments)

    run = tmp_path / "run"
    monkeypatch.setattr(fit, "score_dev", interrupted)
    for _ in range(4):  # in epoch 0, then after each epoch
        result = fit.train(config, run, "cpu")
        assert result.stopped == signal.SIGTERM and result.fine_tuning is None
    result = fit.train(config, run, "cpu")
    assert len(scored) == 4
    assert result.fine_tuning is not None and whole.fine_tuning is not None
    assert result.fine_tuning.to_dict() == whole.fine_tuning.to_dict()
    clocks = {"elapsed_seconds": 0, "sound_per_second": 0}
    assert [row | clocks for row in _metrics(run)] == [row | clocks for row in _metrics(tmp_path / "whole")]
    (run / "dev_before.jsonl").unlink()  # as of a run that an earlier version began
    monkeypatch.setattr(fit, "score_dev", true)
    longer = fit.train(_recipe(make_config, corpus, start, **{"training.epochs": 4}), run, "cpu")
    assert longer.fine_tuning is not None and whole.fine_tuning is not None
    assert longer.fine_tuning.scores[0] == whole.fine_tuning.scores[0]
    assert [row["epoch"] for row in _metrics(run)] == [0, 1, 2, 3, 4]


def test_a_missing_file_is_one_sentence(make_config: MakeConfig, corpus: Path, tmp_path: Path) -> None:
    config = _recipe(make_config, corpus, tmp_path / "none.safetensors")
    with pytest.raises(ModelFileError, match=r"none\.safetensors"):
        fit.train(config, tmp_path / "run", "cpu")
