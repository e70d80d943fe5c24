"""Which sound files a list of names, folders and patterns means.

This is the one place that looks into folders. Links to folders are followed, each folder is looked into
once, under its own name rather than a link's, so that links in a circle end. Files and folders whose
names begin with a dot are passed over. :func:`files_in` gives all other files, :func:`sounds_in` those
whose endings are of sound, :func:`find_sounds` what a user means who names files, folders and patterns.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from asr_seq2seq.errors import AudioError, printable

# What is looked for in folders; a file that is named is read whatever its ending. Formats of sound, then
# containers of video that have sound in them.
_ENDINGS = """
3ga 8svx aac ac3 adts aif aifc aiff amr ape au awb bwf caf dsf dss dts eac3 ec3 flac gsm ircam m2a m4a m4b m4r
mka mp1 mp2 mp3 mpa mpc mpga nist oga ogg opus paf pvf qcp ra rf64 sd2 sds sf snd sph spx tak tta voc w64 wav
wave weba wma wv xi
3g2 3gp 3gpp asf avi f4v flv m2t m2ts m4v mkv mov mp4 mpeg mpg mts ogm ogv ogx qt rm rmvb ts vob webm wmv
"""
SOUND_ENDINGS = frozenset(_ENDINGS.split())
_NAMES_SHOWN = 3


@dataclass(frozen=True)
class FoundSound:
    """A file as it is to be opened, and the folder that it has below the one that was looked into.

    `below` is empty for what was named and for what no `--recursive` search found.
    """

    path: str
    below: PurePath = field(default_factory=PurePath)


@dataclass
class Discovery:
    """What was found, each folder's or pattern's in order, what was passed over, and what is wrong."""

    sounds: list[FoundSound] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)
    errors: list[AudioError] = field(default_factory=list)

    def passed_over_message(self) -> str | None:
        """A sentence about files whose endings are not of sound, if there were any."""
        count = len(self.passed_over)
        if not count:
            return None
        names = [printable(path.name) for path in self.passed_over[:_NAMES_SHOWN]]
        shown = ", ".join(name if len(name) <= 60 else name[:59] + "…" for name in names)
        more = ", ..." if count > len(names) else ""
        files, endings = ("1 file", "ending is") if count == 1 else (f"{count} files", "endings are")
        return (
            f"{files} passed over, whose {endings} not of sound ({shown}{more}); a file that is named is read"
        )


def is_sound(name: str) -> bool:
    """Whether a file of this name is taken for sound in a folder: by its ending, and not hidden."""
    stem, dot, ending = name.rpartition(".")
    return bool(stem and dot) and not name.startswith(".") and ending.lower() in SOUND_ENDINGS


def files_in(
    folder: str | Path, *, recursive: bool = True, unreadable: list[AudioError] | None = None
) -> list[Path]:
    """The files in a folder and, with `recursive`, in the folders in it, sorted; no device, no pipe.

    Links are followed. A link that leads nowhere is given as a file, so that it is missed where it is
    opened. A folder that may not be read is an AudioError, raised, or put into the list `unreadable`.
    """
    files: list[Path] = []
    entered: set[tuple[int, int]] = set()
    waiting: list[Path] = [Path(folder)]
    linked: list[Path] = []  # after all others, so that a folder keeps its own name
    while waiting or linked:
        at = waiting.pop() if waiting else linked.pop()
        try:
            state = at.stat()
            if (state.st_dev, state.st_ino) in entered:
                continue
            entered.add((state.st_dev, state.st_ino))
            with os.scandir(at) as entries:
                found = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            wrong = AudioError(
                f"the folder {printable(str(at))} cannot be looked into ({error.strerror}): "
                "change its permissions, or move it away"
            )
            if unreadable is None:
                raise wrong from None
            unreadable.append(wrong)
            continue
        for entry in found:
            if entry.name.startswith("."):
                continue
            path = at / entry.name
            if _is(entry, "folder"):
                if recursive:
                    (linked if entry.is_symlink() else waiting).append(path)
            elif _is(entry, "file") or (entry.is_symlink() and not path.exists()):
                files.append(path)
    return sorted(files)


def sounds_in(folder: str | Path) -> list[Path]:
    """The sound files in a folder and the folders in it, sorted, as :func:`files_in` finds them."""
    return [path for path in files_in(folder) if is_sound(path.name)]


def find_sounds(names: Sequence[str], *, recursive: bool = False) -> Discovery:
    """The files behind the names, what was passed over, and an error for each name without a file.

    A pattern comes to us where the shell did not expand it. A file of that very name goes before it. A
    pattern that spells an ending out ("*.xyz") is as good as a name: what it matches is taken.
    """
    found = Discovery()
    for name in names:
        before = len(found.sounds) + len(found.errors)
        if os.path.isdir(name):  # noqa: PTH112 (Path.is_dir raises where a name is too long)
            _add_folder(found, Path(name), recursive)
            advice = f"{name} is a folder without sound files: name another" + (
                "" if recursive else ", or look into the folders in it too with --recursive"
            )
        elif glob.has_magic(name) and not os.path.lexists(name):
            folders = _add_matches(found, name, recursive)
            advice = f"no sound file is called {name}: check the pattern"
            if folders:
                advice += ", or look into the folders that it matches with --recursive"
        else:
            found.sounds.append(FoundSound(name))
            continue
        if len(found.sounds) + len(found.errors) == before:
            found.errors.append(AudioError(advice))
    return found


def _add_folder(found: Discovery, folder: Path, recursive: bool) -> None:
    for path in files_in(folder, recursive=recursive, unreadable=found.errors):
        if is_sound(path.name):
            found.sounds.append(FoundSound(str(path), path.parent.relative_to(folder)))
        else:
            found.passed_over.append(path)


def _add_matches(found: Discovery, pattern: str, recursive: bool) -> int:
    """Add what matches; how many folders match and are not looked into."""
    ending = Path(pattern).suffix
    named = len(ending) > 1 and not glob.has_magic(ending)
    root, matches = _matches(pattern, found.errors)
    folders = [path for path in matches if path.is_dir()]
    for path in sorted({*matches}.difference(folders)):
        if named or is_sound(path.name):
            below = path.parent.relative_to(root) if recursive or "**" in pattern else PurePath()
            found.sounds.append(FoundSound(str(path), below))
        else:
            found.passed_over.append(path)
    if not recursive:
        return len(folders)
    for folder in folders:
        _add_folder(found, folder, recursive)
    return 0


def _matches(pattern: str, unreadable: list[AudioError]) -> tuple[Path, list[Path]]:
    """The folder before the first part with a wildcard, and the files and folders that match, sorted."""
    parts = Path(pattern).parts
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    root, rest = Path(*parts[:first]), parts[first:]
    if "**" not in rest:
        found = map(Path, glob.iglob(pattern))  # noqa: PTH207 (Path.glob refuses "/...")
        return root, sorted(path for path in found if path.is_file() or path.is_dir() or not path.exists())
    if not root.is_dir():
        return root, []
    # Links in a circle would be followed for forty rounds by glob.
    files = files_in(root, unreadable=unreadable)
    return root, [path for path in files if _fits(path.relative_to(root).parts, rest)]


def _fits(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether the names of a path are what a pattern says; the part ** is any number of folders."""
    if not parts:
        return not names
    if parts[0] == "**":
        return any(_fits(names[count:], parts[1:]) for count in range(len(names) + 1))
    return bool(names) and fnmatch.fnmatchcase(names[0], parts[0]) and _fits(names[1:], parts[1:])


def _is(entry: os.DirEntry[str], kind: str) -> bool:
    try:
        return entry.is_dir() if kind == "folder" else entry.is_file()
    except OSError:  # a link to itself
        return False
