"""A folder that `save_to_disk` of the Hugging Face package `datasets` wrote; needs that package.

Sound is never decoded by `datasets`: what is embedded is read from its folder when its turn comes, and
where only a path is stored, from that file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lhotse import MonoCut

from asr_seq2seq.corpora.embedded import in_dataset, open_dataset
from asr_seq2seq.corpora.table import SPEAKER, TEXT, pick
from asr_seq2seq.corpora.utterance import find_sound, utterance
from asr_seq2seq.errors import CorpusError


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a saved dataset, or holds several as its splits."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def read_dataset(folder: Path) -> Iterator[MonoCut]:
    """The utterances in the order of the rows; CorpusError names the row that is wrong."""
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(path.parent for path in folder.glob("*/state.json"))
        named = " or ".join(map(str, splits)) or "one"
        raise CorpusError(f"{folder}: holds a dataset for each split; name {named}")
    try:
        plain = open_dataset(folder)
        features = plain.features
    except CorpusError:
        raise
    except Exception as error:  # `datasets` and pyarrow raise whatever their readers meet
        reason = " ".join(str(error).split())[:200]
        raise CorpusError(f"{folder}: cannot be read as a dataset ({reason}); save it anew") from None
    columns = list(features)
    sounds = [name for name in columns if type(features[name]).__name__ == "Audio"]
    if len(sounds) != 1:
        there = ", ".join(sounds) or "none"
        raise CorpusError(f"{folder}: must have one column of the type Audio, not {there}; cast or drop some")
    text, speaker = pick(columns, TEXT, str(folder)), pick(columns, SPEAKER, str(folder))
    if text is None:
        raise CorpusError(f"{folder}: no column holds the text; rename one to {' or '.join(TEXT)}")
    [column] = sounds
    for row, entry in enumerate(open_dataset(folder, column)):
        where, sound, words = f"{folder}, row {row}", entry[column] or {}, entry[text]
        path: str = sound.get("path") or ""
        if not isinstance(words, str):
            raise CorpusError(f"{where}: the column `{text}` is {words!r} and not text; drop the row")
        if sound.get("bytes") is None and not path:
            raise CorpusError(f"{where}: has no sound; drop the row")
        who = entry[speaker] if speaker else None
        yield utterance(
            f"{Path(path).stem if path else folder.name}@{row}",
            in_dataset(folder, column, row)
            if sound.get("bytes") is not None
            else find_sound(where, path, Path(), advice="copy it there, or save the dataset with its sound"),
            words,
            where,
            speaker=None if who is None else str(who),
        )
