"""Which sounds an archive has, cut into parts, and which parts are done.

The folder of results holds `sources.jsonl`, a line for each sound, `plan.json`, what is done with them, and
`parts/`, the results of each finished part. The plan is made once: what is resumed has the same parts. One
part at a time is in memory, so that an archive may have millions of sounds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from asr_seq2seq.audio.discovery import is_sound
from asr_seq2seq.corpora.cutset import is_shar, read_shar
from asr_seq2seq.corpora.lines import open_text, read_lines
from asr_seq2seq.corpora.sources import ArchiveMember
from asr_seq2seq.errors import AudioError, ConfigError, brief
from asr_seq2seq.extras import needed
from asr_seq2seq.files import atomic_write, make_folder, parse_json, to_json

PART_SOUNDS = 64
FORMATS = ("jsonl", "parquet")


@dataclass(frozen=True)
class Source:
    """A sound: a file, or an address with `://`, or `size` bytes of a file from `offset` on.

    `name` is what results call it.
    """

    name: str
    path: str
    offset: int = 0
    size: int | None = None

    def open(self) -> str | bytes:
        """What a recognizer reads; AudioError where it cannot be read."""
        if "://" in self.path:
            return _read_address(self.path)
        if self.size is None:
            return self.path
        try:
            with Path(self.path).open("rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise AudioError(f"{self.path} cannot be read ({error.strerror}): check its place") from None

    def to_json(self) -> dict[str, Any]:
        """A line of `sources.jsonl`."""
        inside = {} if self.size is None else {"offset": self.offset, "size": self.size}
        return {"name": self.name, "path": self.path} | inside


@dataclass(frozen=True)
class Plan:
    """A folder of results, with parts of `part_sounds` sounds each."""

    folder: Path
    sounds: int
    part_sounds: int
    ending: str

    @classmethod
    def make(cls, folder: Path, sources: Iterable[Source], facts: dict[str, Any], ending: str) -> Plan:
        """Save the list of sounds and the options, or find those that an earlier command saved.

        ConfigError where that command had other facts, or there are no sounds.
        """
        path = folder / "plan.json"
        facts = json.loads(json.dumps({**facts, "format": ending, "part_sounds": PART_SOUNDS}, default=str))
        if path.exists():
            return cls._found(path, facts)
        make_folder(folder)
        count = 0
        with atomic_write(folder / "sources.jsonl") as file:
            for source in sources:
                file.write(to_json(source.to_json()) + "\n")
                count += 1
            if not count:
                raise ConfigError("the archive holds no sound file: check what is named")
        make_folder(folder / "parts")
        with atomic_write(path) as file:
            file.write(json.dumps({"count": count, **facts}, indent=1) + "\n")
        return cls(folder, count, PART_SOUNDS, ending)

    @classmethod
    def _found(cls, path: Path, facts: dict[str, Any]) -> Plan:
        try:
            with open_text(path) as file:
                known = parse_json(file.read(1_000_000))
            count = int(known.pop("count"))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{path}: is damaged; give another folder, or delete this one") from None
        if other := [name for name in facts if facts[name] != known.get(name)]:
            raise ConfigError(
                f"{path.parent}: holds results of other {other[0]}; give another folder, or delete it"
            )
        return cls(path.parent, count, int(facts["part_sounds"]), str(facts["format"]))

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-self.sounds // self.part_sounds)

    def results(self, part: int) -> Path:
        """Where the results of a part are; the file is there where the part is done."""
        return self.folder / "parts" / f"part-{part:06d}.{self.ending}"

    def failures(self, part: int) -> Path:
        """Where the failures of a part are; there where it has any."""
        return self.folder / "parts" / f"part-{part:06d}.failed.jsonl"

    def waiting(self) -> Iterator[tuple[int, list[Source]]]:
        """The parts that are not done, each with its sounds."""
        lines = read_lines(self.folder / "sources.jsonl")
        for part in range(self.parts):
            several = list(islice(lines, self.part_sounds))
            if not self.results(part).exists():
                yield part, [_parsed(line, where) for where, line in several]

    def gather_failures(self) -> int:
        """Write `failed.jsonl` of the failures of all parts, a line for each sound: how many there are."""
        count = 0
        with atomic_write(self.folder / "failed.jsonl") as file:
            for part in range(self.parts):
                if self.failures(part).exists():
                    for _, line in read_lines(self.failures(part)):
                        file.write(line + "\n")
                        count += 1
        return count


def find_sources(names: Sequence[str], list_file: str | None, *, recursive: bool) -> Iterator[Source]:
    """The sounds behind names of files, folders, Shar folders, addresses, and a list of such, as they come.

    Links to folders are not followed. ConfigError or CorpusError for what cannot be read.
    """
    for name in names:
        yield from _behind(name, recursive)
    if list_file is not None:
        for _, line in read_lines(Path(list_file)):
            yield from _behind(line, recursive)


def _behind(name: str, recursive: bool) -> Iterator[Source]:
    if "://" in name:
        yield from _behind_address(name, recursive)
    elif not Path(name).is_dir():
        yield Source(os.path.abspath(name), os.path.abspath(name))  # noqa: PTH100 (links stay links)
    elif is_shar(Path(name)):
        for one in read_shar(Path(name)):
            if isinstance(one.sound, ArchiveMember):
                yield Source(one.id, one.sound.path, one.sound.offset, one.sound.size)
            elif isinstance(one.sound, str):
                yield Source(one.id, one.sound)
    else:
        yield from (Source(path, path) for path in _sounds_in(os.path.abspath(name), recursive))  # noqa: PTH100


def _sounds_in(folder: str, recursive: bool) -> Iterator[str]:
    """Sound files in the order of the file system: a folder with very many is never held as a whole."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if recursive:
                        yield from _sounds_in(entry.path, recursive)
                elif is_sound(entry.name) and entry.is_file():
                    yield entry.path
    except OSError as error:
        raise ConfigError(
            f"the folder {folder} cannot be looked into ({error.strerror}): check its permissions"
        ) from None


def _behind_address(address: str, recursive: bool) -> Iterator[Source]:
    """The sounds at an address that pyarrow reads, as Ray does: s3://, gs://, hdfs://, file:// ..."""
    with needed("an address with ://", "ray"):
        from pyarrow import fs
    with _told(address):
        system, path = fs.FileSystem.from_uri(address)
        scheme, (_, mark, query) = address.partition("://")[0], address.partition("?")
        if system.get_file_info(path).type != fs.FileType.Directory:
            yield Source(address, address)
            return
        for info in system.get_file_info(fs.FileSelector(path, recursive=recursive)):
            if info.type == fs.FileType.File and is_sound(info.base_name):
                at = f"{scheme}://{quote(info.path)}{mark}{query}"
                yield Source(at, at)


def _read_address(address: str) -> bytes:
    with needed("an address with ://", "ray"):
        from pyarrow import fs
    with _told(address):
        system, path = fs.FileSystem.from_uri(address)
        with system.open_input_stream(path) as stream:
            return bytes(stream.read())


@contextmanager
def _told(address: str) -> Iterator[None]:
    """What a file system refuses becomes an AudioError that names the address."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise AudioError(f"{brief(address)} cannot be read ({brief(str(error), 110)})") from None


def _parsed(line: str, where: str) -> Source:
    try:
        entry = parse_json(line)
        size = entry.get("size")
        return Source(str(entry["name"]), str(entry["path"]), int(entry.get("offset", 0)), size and int(size))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{where}: is damaged; delete the folder of results, and begin anew") from None
