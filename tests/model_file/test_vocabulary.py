from pathlib import Path

import pytest

from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.inference.loading import load
from asr_seq2seq.model.files import ModelFile, load_model, save_model
from asr_seq2seq.model_file.vocabulary import vocabulary, vocabulary_of


def test_few_words_are_listed_and_many_counted() -> None:
    few = vocabulary(vocabulary_of(["one two", "two  three", ""]))
    assert few is not None and few.is_small
    assert (few.size, few.words) == (3, ["one", "three", "two"])
    many = vocabulary(vocabulary_of([f"word{number}" for number in range(101)]))
    assert many is not None and not many.is_small
    assert (many.size, many.words) == (101, [])
    assert vocabulary_of(["", " "]) == {}


def test_words_of_the_model_that_was_started_from_count_too() -> None:
    digits = vocabulary_of(["one two"])
    both = vocabulary(vocabulary_of(["yes no"], digits))
    assert both is not None and both.words == ["no", "one", "two", "yes"]
    assert vocabulary_of(["yes no"], {}) == {}  # it may know any word
    many = vocabulary_of([f"word{number}" for number in range(101)])
    assert vocabulary_of(["yes no"], many) == many


def test_the_bundled_digits_tell_their_words() -> None:
    found = load("digits").vocabulary
    assert found is not None and found.size == 10 and "zero" in found.words and "oh" not in found.words


@pytest.mark.parametrize(
    "damaged", [3, [], {"size": 0}, {"size": "many"}, {"size": 2, "words": [1, 2]}, {"words": ["a"]}]
)
def test_a_damaged_vocabulary_is_a_sentence(damaged: object, tiny_model: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(path, tiny_model.with_provenance(vocabulary=damaged))
    with pytest.raises(ModelFileError, match="vocabulary") as caught:
        load_model(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
