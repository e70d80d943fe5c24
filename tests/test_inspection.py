import json
from collections.abc import Callable
from pathlib import Path

import pytest

from asr_seq2seq.errors import AsrError
from asr_seq2seq.inspection import as_text, inspect
from asr_seq2seq.model.files import ModelFile, save_model


@pytest.fixture
def manifest(tmp_path: Path, write_wav: Callable[..., Path]) -> Callable[..., Path]:
    """Write a manifest of utterances with the given texts, each of other noise."""

    def write(name: str, *texts: str) -> Path:
        lines = []
        for number, text in enumerate(texts):
            path = write_wav(tmp_path / f"{name}{number}.wav", 1.0, seed=number)
            line = {"id": f"u{number}", "audio_filepath": str(path), "text": text, "speaker": "x"}
            lines.append(json.dumps(line))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
        return tmp_path / f"{name}.jsonl"

    return write


def test_one_corpus_as_text(manifest: Callable[..., Path]) -> None:
    text = as_text(inspect(manifest("a", "one", *[""] * 6)))
    assert "utterances: 7\n" in text
    assert "suspicious:\n  empty text        6  u1, u2, u3, u4, u5, ...\n" in text + "\n"


def test_nothing_suspicious_is_said(manifest: Callable[..., Path]) -> None:
    assert as_text(inspect(manifest("a", "one"))).endswith("\nsuspicious: nothing")


def test_two_corpora_as_text(manifest: Callable[..., Path]) -> None:
    one, other = manifest("a", "one", "two"), manifest("b", "one", "")
    text = as_text(inspect(one, other))
    assert f"\n{one}:\n  kind: corpus\n" in text
    assert f"suspicious in {one}: nothing\nsuspicious in {other}:\n  empty text        1  u1\n" in text
    assert f"shared by {one} and {other}:\n  speakers        1  x\n  sounds          2  u0, u1" in text


def test_a_model_as_text(tmp_path: Path, tiny_model: ModelFile) -> None:
    save_model(tmp_path / "m.safetensors", tiny_model)
    text = as_text(inspect(tmp_path / "m.safetensors"))
    assert text.startswith("kind: model file\n")
    assert "suspicious" not in text
    facts = inspect(tmp_path / "m.safetensors")
    assert facts["model"] == tiny_model.config.model.model_dump(mode="json")


def test_only_corpora_are_compared(
    manifest: Callable[..., Path], tmp_path: Path, tiny_model: ModelFile
) -> None:
    save_model(tmp_path / "m.safetensors", tiny_model)
    with pytest.raises(AsrError, match=r"m.safetensors: is not a corpus, and only corpora are compared"):
        inspect(manifest("a", "one"), tmp_path / "m.safetensors")
    with pytest.raises(AsrError, match=r"none.jsonl: no such file or folder"):
        inspect(manifest("a", "one"), tmp_path / "none.jsonl")
