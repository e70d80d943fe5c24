"""Sound inside of larger files: a piece of an archive, or a cell of a `datasets` folder.

A cut then holds where its sound is instead of the sound itself, so that a large corpus neither fills
the memory nor travels to the processes that read it.
"""

from __future__ import annotations

from pathlib import Path

from lhotse.audio import AudioSource

from asr_seq2seq.corpora.arrow import open_dataset
from asr_seq2seq.corpora.lines import shown
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
        if source.type == _ARCHIVE:
            with Path(place).open("rb") as file:
                file.seek(int(middle))
                return file.read(int(last))
        sound = open_dataset(Path(place))[middle][int(last)].as_py()["bytes"]
    except (OSError, CorpusError, LookupError) as error:
        raise AudioError(f"{place} cannot be read ({shown(str(error))}); load the corpus again") from None
    return bytes(sound)
