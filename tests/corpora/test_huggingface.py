import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asr_seq2seq.corpora import load_corpus
from asr_seq2seq.corpora.huggingface import open_dataset
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.extras import MissingExtraError

datasets = pytest.importorskip("datasets", reason="the extra `huggingface` is not installed")
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path, write_wav: Callable[..., Path]) -> Save:
    """Save a dataset of two rows, of which both have the same sound."""
    sound = str(write_wav(tmp_path / "a.wav", 0.5))

    def write(**columns: list[Any]) -> Path:
        columns = {"audio": [sound, sound], "text": ["one", "two"]} | columns
        made = datasets.Dataset.from_dict({name: values for name, values in columns.items() if values})
        if columns["audio"]:
            made = made.cast_column("audio", datasets.Audio(sampling_rate=8000))
        made.save_to_disk(str(tmp_path / "d"))
        return tmp_path / "d"

    return write


def test_rows_become_utterances(save: Save) -> None:
    first, second = load_corpus(save(speaker=[None, "ann"]))
    assert (first.id, second.id) == ("a@0", "a@1")
    assert (first.duration, first.text) == (0.5, "one")
    assert [first.speaker, second.speaker] == [None, "ann"]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"audio": []}, "must have one column of the type Audio, not none"),
        ({"text": []}, "no column holds the text; rename one to text or"),
        ({"sentence": ["one", "two"]}, "text and sentence mean the same"),
        ({"text": ["one", None]}, "row 1: the column `text` is None and not text"),
        ({"text": [1, 2]}, "row 0: the column `text` is 1 and not text"),
        ({"audio": [None, None]}, "row 0: has no sound"),
    ],
)
def test_what_is_wrong_is_named(save: Save, columns: dict[str, list[Any]], reason: str) -> None:
    folder = save(**columns)
    with pytest.raises(CorpusError, match=reason) as caught:
        load_corpus(folder)
    assert str(caught.value).startswith(str(folder))


def test_one_split_has_to_be_named(save: Save, tmp_path: Path) -> None:
    save().rename(tmp_path / "train")
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
    with pytest.raises(CorpusError, match=r"holds a dataset for each split; name .*train"):
        load_corpus(tmp_path)
    assert len(load_corpus(tmp_path / "train")) == 2


def test_a_damaged_dataset_is_named(save: Save) -> None:
    folder = save()
    (folder / "dataset_info.json").write_text("{")
    with pytest.raises(CorpusError, match=r"cannot be read as a dataset .*save it anew") as caught:
        load_corpus(folder)
    assert "\n" not in str(caught.value)


def test_without_the_package_the_extra_is_named(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save()
    open_dataset.cache_clear()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"needs pyarrow: pip install 'asr_seq2seq\[huggingface\]'"):
        load_corpus(folder)
