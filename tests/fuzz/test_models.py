"""Model files and language models that somebody changed."""

import gzip
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutate import Mutator, mutate_bytes, mutate_json, mutate_lines

from asr_seq2seq.inference.loading import load_text_scorer
from asr_seq2seq.model.files import (
    ModelFile,
    load_language_model,
    save_language_model,
    save_model,
)
from asr_seq2seq.model_file.word_ngrams import HistoryLevel, WordNgrams, write_word_ngrams
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet

ARPA = b"""\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.4
-0.8\t</s>
-0.6\ta\t-0.2
-0.7\tb\t-0.1

\\2-grams:
-0.3\t<s> a
-0.2\ta b
-0.5\tb </s>

\\end\\
"""


def _in_header(mutate: Mutator) -> Mutator:
    """Changes of the description in the header of a safetensors file."""

    def change(content: bytes, chance: random.Random) -> bytes:
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])
        if chance.random() < 0.3:  # names, shapes, types and places of the tensors
            changed = mutate_json(json.dumps(header).encode(), chance)
        else:
            described = mutate(header["__metadata__"]["asr_seq2seq"].encode(), chance)
            header["__metadata__"]["asr_seq2seq"] = described.decode("utf-8", "replace")
            changed = json.dumps(header).encode()
        return struct.pack("<Q", len(changed)) + changed + content[8 + size :]

    return change


def _reader(path: Path, load: Callable[[Path], object]) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        path.write_bytes(content)
        load(path)

    return read


def test_model_files(campaign: Callable[..., Any], tiny_model: ModelFile, tmp_path: Path) -> None:
    from asr_seq2seq.inspection import as_text, inspect

    path = tmp_path / "model.safetensors"
    save_model(path, tiny_model)
    read = _reader(path, lambda path: as_text(inspect(path)))
    campaign("model file", [path.read_bytes()], read, [_in_header(mutate_json)] * 3 + [mutate_bytes])


def test_language_model_files(
    campaign: Callable[..., Any], make_language_model: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "lm.safetensors"
    save_language_model(path, make_language_model(" abc"))
    read = _reader(path, load_language_model)
    campaign("language model", [path.read_bytes()], read, [_in_header(mutate_json)] * 3 + [mutate_bytes])


def test_look_ahead_files(campaign: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "words.safetensors"
    pairs = HistoryLevel(*map(np.array, ([0, 2], [2, 1], [1, 2, 0], [0.5, 0.2, 0.8], [0.3, 0.2])))
    uniform = np.log(np.full((3, 3, 3), 1 / 3))
    english = Normalizer.named("english-v1")
    model = WordNgrams(("a", "ab"), np.full(4, 0.25), (pairs,), uniform, Alphabet("ab"), english)
    write_word_ngrams(path, model)

    def load(path: Path) -> None:
        scorer = load_text_scorer(path, Alphabet(" ab"))
        state = scorer.advance(scorer.start(1), np.array([[0, 0]]), np.array([[5, 4]]))
        assert not np.isnan(scorer.scores(state)).any()

    read = _reader(path, load)
    campaign("words", [path.read_bytes()], read, [_in_header(mutate_json)] * 3 + [mutate_bytes])


def test_word_ngram_files(campaign: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("kenlm", reason="the extra kenlm is not installed")
    read = _reader(tmp_path / "words.arpa", lambda path: load_text_scorer(path, Alphabet(" ab")).start(1))
    campaign("ARPA file", [ARPA, gzip.compress(ARPA)], read, [mutate_lines, mutate_bytes])
