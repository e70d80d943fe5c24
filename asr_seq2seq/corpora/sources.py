"""Where the sound of an utterance lies: in a file, in an archive, or in a saved dataset.

An utterance holds the place of its sound instead of the sound itself, so that a large corpus neither fills
the memory nor travels to the processes that read it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from asr_seq2seq.errors import AudioError, CorpusError, shown


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """A sound file that is `size` bytes of another file, from `offset` on."""

    path: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.path}:{self.offset}:{self.size}"


@dataclass(frozen=True, slots=True)
class DatasetCell:
    """A sound file that is a cell of a folder that Hugging Face `datasets` wrote."""

    path: str
    column: str
    row: int

    def __str__(self) -> str:
        return f"{self.path}:{self.column}:{self.row}"


Sound = str | ArchiveMember | DatasetCell  # a text is the path of a file


def open_sound(sound: Sound) -> str | bytes:
    """What `audio` reads: a path, or the bytes of a sound file that lies in another.

    AudioError where what holds them has gone or changed.
    """
    if isinstance(sound, str):
        return sound
    try:
        if isinstance(sound, ArchiveMember):
            with Path(sound.path).open("rb") as file:
                file.seek(sound.offset)
                return file.read(sound.size)
        from asr_seq2seq.corpora.huggingface import open_dataset

        return bytes(open_dataset(Path(sound.path))[sound.column][sound.row].as_py()["bytes"])
    except (OSError, CorpusError, LookupError) as error:
        reason = shown(str(error))
        raise AudioError(f"{sound.path} cannot be read ({reason}); load the corpus again") from None


def problem_of_file(sound: Sound) -> str | None:
    """What is wrong with the file of a sound by its size alone."""
    try:
        empty = isinstance(sound, str) and os.path.getsize(sound) == 0  # noqa: PTH202 (speed)
    except OSError as error:
        return f"{sound} cannot be read ({error.strerror}): check its place and permissions"
    return f"{sound} is empty (0 bytes): copy or record it again" if empty else None
