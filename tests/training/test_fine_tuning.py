import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asr_seq2seq.errors import ConfigError, ModelFileError
from asr_seq2seq.model.files import ModelFile, load_model, save_model
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training import fit
from asr_seq2seq.training.fine_tuning import model_to_start_from
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
    config = _recipe(make_config, corpus, start, **changes)
    result = load_model(fit.train(config, tmp_path / "run", "cpu").model)
    assert result.alphabet.characters == "enotwxyz"
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


def test_characters_that_it_cannot_spell_are_named(
    make_config: MakeConfig, corpus: Path, start: Path
) -> None:
    config = _recipe(make_config, corpus, start)
    with pytest.raises(ConfigError, match="cannot spell 'a' 'q'"):
        model_to_start_from(str(start), config, ["one", "aqto"])


def test_a_missing_file_is_one_sentence(make_config: MakeConfig, corpus: Path, tmp_path: Path) -> None:
    config = _recipe(make_config, corpus, tmp_path / "none.safetensors")
    with pytest.raises(ModelFileError, match=r"none\.safetensors"):
        fit.train(config, tmp_path / "run", "cpu")
