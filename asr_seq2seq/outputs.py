"""What a command writes never takes the place of what it reads."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from asr_seq2seq.errors import OutputError

# A folder may hold lists of hypotheses and reports beside the corpus that it is: no loader reads these.
_NEVER_READ = (".jsonl", ".html", ".partial")


def keep_inputs(outputs: Iterable[str | Path], inputs: Iterable[str | Path | None]) -> None:
    """Raise OutputError where a file to be written is one to be read, under whatever name, or is named twice.

    Links, hard links and spellings that the file system takes for one are seen through. Of an input that is
    a folder all files count as read, except those that no loader takes up. Call it before the work begins.
    """
    named: dict[str, str] = {}
    there: dict[tuple[int, int], str] = {}
    for output in map(str, outputs):
        place = os.path.realpath(output)
        if (known := _status(output)) is None or stat.S_ISREG(known.st_mode):
            if place in named:
                raise OutputError(f"{output}: two results would be written to it; give them different names")
            named[place] = output
        if known is not None and stat.S_ISREG(known.st_mode):
            there[known.st_dev, known.st_ino] = output
    if not there:
        return
    for name in inputs:
        known = None if name is None else _status(name)
        if name is None or known is None:
            continue
        if stat.S_ISDIR(known.st_mode):
            folder = os.path.realpath(name) + os.sep
            inside = [
                output
                for output in there.values()
                if os.path.realpath(output).startswith(folder) and not output.endswith(_NEVER_READ)
            ]
            if inside:
                raise OutputError(f"{inside[0]}: is part of {name}, which is read; write to another file")
        elif (replaced := there.get((known.st_dev, known.st_ino))) is not None:
            alias = "" if replaced == str(name) else f" (as {name})"
            raise OutputError(f"{replaced}: is read by the same command{alias}; write to another file")


def keep_recipe(run: Path, recipe: Path, frozen: Callable[[], str]) -> None:
    """Raise OutputError where the frozen recipe of a run would replace the recipe that was given.

    One that stands there as a run has left it, in the form of `frozen`, loses nothing.
    """
    if _same(run / "config.yaml", recipe) and recipe.read_text(encoding="utf-8") != frozen():
        raise OutputError(
            f"{recipe}: the run would write its own recipe over it; give another folder with --run"
        )


def keep_texts_beside(sounds: Iterable[tuple[str | Path, Iterable[Path]]]) -> None:
    """Raise OutputError where one of a sound's outputs is there already, in the folder of the sound itself.

    Nobody can tell whether that is an older transcript or a reference text made by hand.
    """
    for sound, outputs in sounds:
        for output in outputs:
            if _status(output) is not None and _same(output.parent, Path(sound).parent):
                raise OutputError(
                    f"{output}: is there already, beside its sound, and may be a reference text; give "
                    "--overwrite to replace such files, --skip-existing to keep them, or another folder"
                )


def _same(one: Path, other: Path) -> bool:
    first, second = _status(one), _status(other)
    return first is not None and second is not None and os.path.samestat(first, second)


def _status(path: str | Path) -> os.stat_result | None:
    """Status behind links; None where there is no such file, or the name is none that the system allows."""
    try:
        return os.stat(path)  # noqa: PTH116 (names may be of either type)
    except (OSError, ValueError):
        return None
