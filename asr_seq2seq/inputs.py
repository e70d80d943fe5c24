"""Which sound files a list of names, folders and patterns means."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from asr_seq2seq.errors import AudioError

# What is looked for in folders and by patterns; a file that is named is read whatever its ending.
SOUND_FILE = re.compile(
    r"[^.].*\.(aac|aiff?|amr|au|avi|caf|flac|m4a|mkv|mov|mp[34]|og[ag]|opus|sph|w64|wav|webm|wma)",
    re.IGNORECASE | re.DOTALL,
)


def find_sounds(names: Sequence[str], *, recursive: bool = False) -> tuple[list[str], list[AudioError]]:
    """The files behind the names, each folder's or pattern's in order, and what is wrong with those without.

    A pattern comes to us where the shell did not expand it. A file of that very name goes before it.
    """
    sounds: list[str] = []
    unmatched: list[AudioError] = []
    for name in names:
        found: Iterable[Path]
        if os.path.isdir(name):  # noqa: PTH112 (Path.is_dir raises where a name is too long)
            found = Path(name).glob("**/*" if recursive else "*")
            advice = f"{name} is a folder without sound files: name another" + (
                "" if recursive else ", or look into the folders in it too with --recursive"
            )
        elif glob.has_magic(name) and not os.path.lexists(name):
            found = map(Path, glob.iglob(name, recursive=True))  # noqa: PTH207 (Path.glob refuses "/...")
            advice = f"no sound file is called {name}: check the pattern"
        else:
            sounds.append(name)
            continue
        here = [str(path) for path in sorted(found) if SOUND_FILE.fullmatch(path.name) and path.is_file()]
        sounds += here
        if not here:
            unmatched.append(AudioError(advice))
    return sounds, unmatched
