"""Which file a name in a corpus means. A corpus names files, and nothing else is opened or run for it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from asr_seq2seq.errors import CorpusError, shown

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|pipe:", re.IGNORECASE)


def find_file(where: str, name: str, *folders: Path | str, advice: str) -> str:
    """The path of the file called `name`, which Windows may spell, in the first of the folders that has it.

    CorpusError for a command (`... |`), an address (`http://...`, `pipe:...`), and where no folder has it.
    """
    refuse_address(where, name)
    for spelled in (name, name.replace("\\", "/")) if "\\" in name else (name,):
        for folder in folders:
            path = os.path.join(folder, spelled)  # noqa: PTH118 - a Path takes ten times as long
            if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where the name is too long
                return path
    path = os.path.join(folders[-1], name)  # noqa: PTH118
    raise CorpusError(f"{where}: there is no file {shown(path, 70)}; {advice}")


def refuse_address(where: str, name: str) -> None:
    """CorpusError where a name means something to fetch or to run."""
    if _ADDRESS.match(name):
        raise CorpusError(
            f"{where}: {shown(name)} is an address, and only files are read; fetch it and name the file"
        )
    if name.endswith("|") or name.startswith("|"):
        raise CorpusError(
            f"{where}: {shown(name)} is a command, and none is run; write its sound to a file and name this"
        )
