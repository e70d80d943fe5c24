"""Sound inside of larger files: a piece of an archive, or a cell of a `datasets` folder.

A cut then holds where its sound is instead of the sound itself, so that a large corpus neither fills
the memory nor travels to the processes that read it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from lhotse.audio import AudioSource

from asr_seq2seq.errors import AudioError, CorpusError

_ARCHIVE, _DATASET = "archive", "dataset"


def in_archive(path: Path, offset: int, size: int) -> AudioSource:
    """A sound file that is `size` bytes of `path` from `offset` on."""
    return AudioSource(type=_ARCHIVE, channels=[0], source=f"{path}:{offset}:{size}")


def in_dataset(folder: Path, column: str, row: int) -> AudioSource:
    """A sound file that is a cell of a Hugging Face `datasets` folder."""
    return AudioSource(type=_DATASET, channels=[0], source=f"{folder}:{column}:{row}")


def is_embedded(source: AudioSource) -> bool:
    """Whether `read_embedded` reads this source; lhotse itself does not."""
    return source.type in (_ARCHIVE, _DATASET)


def read_embedded(source: AudioSource) -> bytes:
    """The bytes of the sound file. AudioError where what holds them has gone or changed."""
    place, middle, last = source.source.rsplit(":", 2)
    try:
        if source.type == _DATASET:
            return bytes(open_dataset(Path(place), middle)[int(last)][middle]["bytes"])
        with Path(place).open("rb") as file:
            file.seek(int(middle))
            return file.read(int(last))
    except Exception as error:  # `datasets` raises whatever its readers meet
        reason = " ".join(str(error).split())[:200]
        raise AudioError(f"{place} cannot be read ({reason}); load the corpus again") from None


@lru_cache(maxsize=64)
def open_dataset(folder: Path, column: str | None = None) -> Any:
    """The `datasets` folder, opened once a process; the sound of `column` stays in encoded form."""
    try:
        import datasets
    except ImportError:
        raise CorpusError(
            f"{folder}: is a Hugging Face datasets folder, and the package `datasets` is not installed; "
            "pip install 'asr_seq2seq[huggingface]'"
        ) from None
    dataset = datasets.load_from_disk(str(folder))
    return dataset if column is None else dataset.cast_column(column, datasets.Audio(decode=False))
