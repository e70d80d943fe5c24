from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.inference.loading import load_text_scorer
from asr_seq2seq.model.files import (
    ModelFile,
    load_language_model,
    load_model,
    save_language_model,
    save_model,
)
from asr_seq2seq.text.tokenizer import Alphabet

Make = Callable[..., Any]


def test_written_and_read_again_gives_identical_output(make_language_model: Make, tmp_path: Path) -> None:
    lm = make_language_model(" abc")
    save_language_model(tmp_path / "lm.safetensors", lm)
    again = load_language_model(tmp_path / "lm.safetensors")
    tokens = torch.tensor([[1, 4, 5, 6]])
    with torch.inference_mode():
        assert torch.equal(lm.model(tokens), again.model(tokens))
    assert (again.config, again.alphabet, again.normalizer, again.provenance) == (
        lm.config,
        lm.alphabet,
        lm.normalizer,
        lm.provenance,
    )


def test_a_mix_up_is_told_in_one_sentence(
    make_language_model: Make, tiny_model: ModelFile, tmp_path: Path
) -> None:
    lm, recognizer = tmp_path / "lm.safetensors", tmp_path / "model.safetensors"
    save_language_model(lm, make_language_model("abc"))
    save_model(recognizer, tiny_model)
    with pytest.raises(ModelFileError, match=r"holds a language model, not a recognizer; .*`train`"):
        load_model(lm)
    with pytest.raises(ModelFileError, match=r"holds a recognizer, not a language model; .*`train-lm`"):
        load_language_model(recognizer)


def test_a_file_that_is_none_or_is_missing(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is no model at all, only text")
    with pytest.raises(ModelFileError, match="`train-lm`"):
        load_text_scorer(tmp_path / "text", Alphabet("abc"))
    with pytest.raises(ModelFileError, match="no such"):
        load_text_scorer(tmp_path / "none.safetensors", Alphabet("abc"))
