"""From what a caller names (a path, bytes, an open file, standard input) to a file that can be read."""

import io
import os
import re
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from asr_seq2seq.errors import AudioError, printable

Source = str | Path | BinaryIO | bytes
_LONGEST_NAME = 120


class SoundFile:
    """A binary file, from ``start`` to ``stop``, whose ``seek`` raises nothing; its callers are C libraries.

    ``path`` is where it lies, if it has a name. ``patch`` are bytes that stand in it at a place instead
    of those that are there.
    """

    def __init__(
        self, file: BinaryIO, path: Path | None = None, start: int = 0, stop: int | None = None
    ) -> None:
        self.file, self.path, self.start = file, path, start
        self.size = max(0, (file.seek(0, io.SEEK_END) if stop is None else stop) - start)
        self.owned = False
        self.patch: tuple[int, bytes] | None = None
        self._at = 0

    def read(self, count: int = -1) -> bytes:
        """At most ``count`` bytes from where it stands."""
        self.file.seek(self.start + self._at)
        left = max(0, self.size - self._at)
        data = self.file.read(left if count < 0 else min(count, left))
        if self.patch is not None:
            place, patch = self.patch[0] - self._at, self.patch[1]
            if -len(patch) < place < len(data):
                changed = bytearray(data)
                for number, value in enumerate(patch, place):
                    if 0 <= number < len(data):
                        changed[number] = value
                data = bytes(changed)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Stand elsewhere; -1 where that is before the beginning, which damaged sounds ask for."""
        place = offset + (0, self._at, self.size)[whence]
        if not 0 <= place < 1 << 62:
            return -1
        self._at = place
        return place

    def tell(self) -> int:
        """Where it stands."""
        return self._at

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self.owned:
            self.file.close()

    def at(self, place: int, count: int) -> bytes:
        """``count`` bytes at ``place``."""
        self.seek(place)
        return self.read(count)

    def identity(self) -> tuple[int, ...]:
        """What changes where the file is another or has changed."""
        found = os.fstat(self.file.fileno())
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def find(self, pattern: re.Pattern[bytes], place: int) -> int | None:
        """Where ``pattern``, of at most 64 bytes, is found first, from ``place`` on."""
        step = 1 << 20
        while place < self.size:
            match = pattern.search(self.at(place, step + 64))
            if match and match.start() < step:
                return place + match.start()
            place += step
        return None

    def part(self, start: int, stop: int | None) -> "SoundFile":
        """The same file from ``start`` to ``stop``."""
        return SoundFile(
            self.file, None, self.start + start, self.start + (self.size if stop is None else stop)
        )


def open_source(source: Source) -> tuple[str, SoundFile]:
    """What to call the source in messages, and its file; an AudioError where it cannot be opened."""
    name = called(source)
    path = None
    file: BinaryIO
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            file = io.BytesIO(source)
        elif not isinstance(source, str | Path):
            if not hasattr(source, "read"):
                wanted = "give a path, bytes, an open file, an array or a tensor"
                raise AudioError(f"an object of type {type(source).__name__} is no sound: {wanted}")
            if not isinstance(source.read(0), bytes | bytearray):
                raise AudioError(f"{name} is open as text: open it in the mode rb")
            file = _on_disk(source)
        elif str(source) == "-":
            if sys.stdin is None or sys.stdin.closed:
                raise AudioError("standard input is closed: open it, or name a sound file")
            file = _on_disk(sys.stdin.buffer)
        else:
            mode = Path(source).stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
                kind = "folder" if stat.S_ISDIR(mode) else "device"
                raise AudioError(f"{name} is a {kind} and not a sound file: name a file")
            file = Path(source).open("rb")  # noqa: SIM115 (closed with its last user)
            if stat.S_ISFIFO(mode) or not file.read(1):
                with file as pipe:
                    file = _on_disk(pipe)
            else:
                path = Path(source)
    except FileNotFoundError:
        raise AudioError(f"{name} does not exist: check the name of the sound file") from None
    except PermissionError:
        raise AudioError(f"{name} may not be read: change its permissions, or ask its owner") from None
    except (OSError, ValueError) as error:  # a name that is too long, a null character in it, a bad disk
        why = printable(getattr(error, "strerror", None) or str(error))[:80]
        raise AudioError(f"{name} cannot be opened ({why}): check its name and place") from None
    sound = SoundFile(file, path)
    sound.owned = file is not source
    if not sound.size:
        raise AudioError(f"{name} is empty (0 bytes): copy or record it again")
    return name, sound


def called(source: object) -> str:
    """What messages call a source: its name, shortened, and as a terminal can show it."""
    if str(source) == "-" if isinstance(source, str | Path) else False:
        return "standard input"
    name = source if isinstance(source, str | Path) else getattr(source, "name", "the given sound")
    text = printable(str(name))
    return text if len(text) <= _LONGEST_NAME else "..." + text[-_LONGEST_NAME:]


def _on_disk(file: BinaryIO) -> BinaryIO:
    """What is left of a file that cannot be sought in, without keeping it in memory."""
    copy = tempfile.TemporaryFile(prefix="asr_seq2seq_")  # noqa: SIM115 (closed with its last user)
    shutil.copyfileobj(file, copy)
    copy.seek(0)
    return copy
