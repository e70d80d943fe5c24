import json
import math
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asr_seq2seq.errors import AsrError, ConfigError, CorpusError
from asr_seq2seq.model.files import load_language_model
from asr_seq2seq.recipes import load_language_model_config
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.lm import batches, train_language_model
from asr_seq2seq.training.optim import Schedule
from asr_seq2seq.training.sentences import hold_out, read_sentences
from asr_seq2seq.training_config import LanguageModelConfig, validate_language_model

NORMALIZER = Normalizer.named("english-v1")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Counting from any digit to the next three, so that nearly every character can be foretold."""
    digits = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    lines = [" ".join(digits[(start + k) % 10] for k in range(3)) for start in range(10)]
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines * 10), encoding="utf-8")
    return path


def recipe(train: Path, **changes: Any) -> LanguageModelConfig:
    data = {"train": str(train), "dev": str(train), "batch_characters": 200, **changes.pop("data", {})}
    training = {"epochs": 4, "learning_rate": 0.02, "warmup_steps": 5, **changes.pop("training", {})}
    model = {"embedding": 8, "units": 32, "layers": 1, "dropout": 0.0}
    return validate_language_model({"data": data, "model": model, "training": training}, "the recipe")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_learns_and_leaves_its_folder(text: Path, tmp_path: Path, precision: str) -> None:
    config = recipe(text, training={"epochs": 12, "precision": precision})
    result = train_language_model(config, tmp_path / "run", "cpu")
    assert load_language_model_config(tmp_path / "run" / "config.yaml") == config
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in metrics] == [*range(1, 13)]
    for line in metrics:
        assert line["dev_perplexity"] == pytest.approx(math.exp(line["dev_loss"]), rel=1e-4)
    best = min(metrics, key=lambda line: line["dev_loss"])
    assert result.epoch == best["epoch"]
    assert result.dev_perplexity == pytest.approx(best["dev_perplexity"], rel=1e-4)
    assert result.dev_perplexity < 4  # a model of single characters cannot come below 13.5
    lm = load_language_model(result.model)
    assert lm.config == config.settings()
    assert lm.alphabet.characters == " efghinorstuvwxz"
    assert lm.provenance["sentences"] == 100


def test_the_same_seed_gives_the_same_model(text: Path, tmp_path: Path) -> None:
    config = recipe(text, training={"epochs": 1})
    one, two = (
        load_language_model(train_language_model(config, tmp_path / name, "cpu").model).model.state_dict()
        for name in "12"
    )
    assert all(one[name].equal(two[name]) for name in one)


def test_ctrl_c_keeps_the_best_model_so_far(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_epoch, epochs = Schedule.after_epoch, []

    def interrupted_in_the_second(self: Schedule, dev_loss: float) -> None:
        epochs.append(dev_loss)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        after_epoch(self, dev_loss)

    monkeypatch.setattr(Schedule, "after_epoch", interrupted_in_the_second)
    result = train_language_model(recipe(text), tmp_path / "run", "cpu")
    assert (result.epoch, result.stopped) == (1, signal.SIGINT)
    assert load_language_model(result.model).provenance["epoch"] == 1


def test_a_loss_that_is_no_number_stops_the_run(text: Path, tmp_path: Path) -> None:
    config = recipe(text, training={"learning_rate": 1e30, "optimizer": "sgd", "weight_decay": 1e9})
    with pytest.raises(AsrError, match=r"training\.learning_rate"):
        train_language_model(config, tmp_path / "run", "cpu")


def test_sentences_come_from_texts_and_corpora(
    text: Path, tmp_path: Path, write_wav: Callable[..., Path]
) -> None:
    write_wav(tmp_path / "a.wav", 0.1)
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(json.dumps({"audio_filepath": "a.wav", "text": "It’s  ELEVEN!"}))
    (tmp_path / "more.txt").write_text("Twelve.\n\n ... \r\nthirteen\n", encoding="utf-8")
    found = read_sentences([str(corpus), str(tmp_path / "more.txt")], NORMALIZER)
    assert found == ["it's eleven", "twelve", "thirteen"]
    (tmp_path / "table.csv").write_text("path,text\na.wav,Fourteen!\n")
    folder = write_wav(tmp_path / "folder" / "b.wav", 0.1).parent
    (folder / "b.txt").write_text("Fifteen.")
    assert read_sentences([str(tmp_path / "table.csv"), str(folder)], NORMALIZER) == ["fourteen", "fifteen"]


def test_copies_of_a_sentence_are_held_out_together() -> None:
    sentences = [str(number % 40) for number in range(100)]
    kept, held = hold_out(sentences, 0.25)
    assert not set(kept) & set(held)
    assert len(set(held)) == 10
    assert sorted(kept + held) == sorted(sentences)


@pytest.mark.parametrize("shuffle", [None, random.Random(0)])
def test_batches_hold_every_sentence_once_within_the_budget(shuffle: random.Random | None) -> None:
    sentences = ["ab" * (1 + number % 7) for number in range(50)] + ["b" * 90]
    alphabet, found = Alphabet("ab"), []
    for tokens, lengths in batches(sentences, alphabet, 60, shuffle):
        assert tokens.shape[0] * (tokens.shape[1] + 1) <= 60 or len(lengths) == 1
        found += [alphabet.decode(row[:n].tolist()) for row, n in zip(tokens, lengths, strict=True)]
    assert sorted(found) == sorted(sentences)


def test_a_sentence_that_is_too_long_is_left_out(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text.write_text(text.read_text() + "\n" + "nine " * 100)
    config = recipe(text, data={"max_characters": 60}, training={"epochs": 1})
    result = train_language_model(config, tmp_path / "run", "cpu")
    assert load_language_model(result.model).provenance["sentences"] == 100
    assert "1 too long left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"train": []}, "data.train names no text"),
        ({"dev": []}, "data.dev names no text"),
        ({"dev": "none.txt"}, "none.txt: no such text"),
        ({"max_characters": 1}, "data.max_characters"),
        ({"normalizer": "english"}, "english-v1"),
    ],
)
def test_recipes_that_cannot_run(text: Path, tmp_path: Path, data: dict[str, Any], words: str) -> None:
    with pytest.raises(AsrError, match=words):
        train_language_model(recipe(text, data=data), tmp_path / "run", "cpu")
    assert not (tmp_path / "run").exists()


def test_texts_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(CorpusError, match="not UTF-8"):
        read_sentences([str(tmp_path / "latin.txt")], NORMALIZER)
    with pytest.raises(CorpusError, match="is a folder without sound"):
        read_sentences([str(tmp_path)], NORMALIZER)


def test_a_folder_that_holds_a_run_is_not_overwritten(text: Path, tmp_path: Path) -> None:
    config = recipe(text, training={"epochs": 1})
    train_language_model(config, tmp_path / "run", "cpu")
    with pytest.raises(ConfigError, match="holds a run already"):
        train_language_model(config, tmp_path / "run", "cpu")
