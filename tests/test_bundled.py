from pathlib import Path

import pytest

from asr_seq2seq import Recognizer, bundled
from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.inspection import inspect
from asr_seq2seq.model.files import load_language_model, load_model


def test_a_name_is_the_model_in_the_package() -> None:
    assert "digits" in bundled.names()
    path = bundled.find("digits")
    assert path.is_file() and path.name == "digits.safetensors"
    assert load_model("digits").config == load_model(path).config
    assert inspect(Path("digits")) == inspect(path)
    assert Recognizer.load("digits", device="cpu").config == load_model(path).config


def test_the_model_without_a_name_writes_english() -> None:
    assert bundled.default() == bundled.find("english")
    assert load_model().config == load_model("english").config


def test_a_file_of_that_name_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits").write_text("not a model")
    monkeypatch.chdir(tmp_path)
    assert bundled.find("digits") == Path("digits")
    with pytest.raises(ModelFileError, match="not a model file"):
        load_model("digits")
    assert load_model().alphabet  # the default is that of the package, whatever lies here


def test_a_folder_of_that_name_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "english").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_model("english").config == load_model().config


@pytest.mark.parametrize("path", ["./digits/x", "digits.onnx", "other"])
def test_what_is_no_name_stays_a_path(path: str) -> None:
    assert bundled.find(path) == Path(path)


def test_a_name_that_is_not_known_is_answered_with_those_that_are() -> None:
    with pytest.raises(ModelFileError, match=r"digitz: no such .* the package has digits, english"):
        load_model("digitz")
    with pytest.raises(ModelFileError, match="holds a recognizer"):
        load_language_model("digits")


def test_a_run_folder_is_its_best_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bundled.default().read_bytes())
    assert bundled.find(tmp_path) == tmp_path / "model.safetensors"
    assert load_model(tmp_path).alphabet == load_model().alphabet
