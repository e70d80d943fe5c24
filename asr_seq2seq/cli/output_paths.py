"""Where the results of each input go below the folder of `-o`: the one map from inputs to names of outputs.

A tree that was looked into is laid out again, `calls/1/audio.wav` as `1/audio`. Inputs that would meet keep
their endings (`talk.wav`, `talk.mp3`), and files of one name that were given from several folders are laid
out below what these have in common. What would meet even then is refused; nothing is written over.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath

from asr_seq2seq.audio.discovery import FoundSound
from asr_seq2seq.errors import ConfigError, printable

STANDARD_INPUT = "stdin"


def each_once(sounds: Sequence[FoundSound]) -> list[FoundSound]:
    """The sounds without those that were named before, by the same path or another spelling of it."""
    first: dict[str, FoundSound] = {}
    for sound in sounds:
        first.setdefault(sound.path if sound.path == "-" else os.path.abspath(sound.path), sound)  # noqa: PTH100
    return list(first.values())


def output_stems(sounds: Sequence[FoundSound]) -> list[str]:
    """For each sound, no file twice, its path below the folder of results, without the format's ending.

    No two are the same, none is absolute or climbs. ConfigError where two inputs cannot be told apart.

    >>> output_stems([FoundSound("calls/1/a.wav", PurePath("1")), FoundSound("b.wav"), FoundSound("b.mp3")])
    ['1/a', 'b.wav', 'b.mp3']
    """
    choices = [_choices(sound, folder) for sound, folder in zip(sounds, _folders(sounds), strict=True)]
    chosen = [0] * len(sounds)
    while True:
        taken: dict[str, list[int]] = defaultdict(list)
        for number, stems in enumerate(choices):
            taken[os.path.normcase(stems[chosen[number]])].append(number)
        meeting = [number for numbers in taken.values() if len(numbers) > 1 for number in numbers]
        if not meeting:
            return [stems[at] for stems, at in zip(choices, chosen, strict=True)]
        movable = [number for number in meeting if chosen[number] + 1 < len(choices[number])]
        if not movable:
            names = " and ".join(printable(sounds[number].path)[-80:] for number in meeting[:2])
            raise ConfigError(f"{names} would both be written to one place below -o; rename one of them")
        for number in movable:
            chosen[number] += 1


def _choices(sound: FoundSound, folder: PurePath) -> list[str]:
    """The stems that a sound may get, the plainest first."""
    if sound.path == "-":
        return [STANDARD_INPUT]
    path = Path(sound.path)
    places = [place / name for place in (sound.below, folder) for name in (path.stem, path.name)]
    return list(dict.fromkeys(place.as_posix() for place in places))


def _folders(sounds: Sequence[FoundSound]) -> list[PurePath]:
    """The folder of each below what all files of its name have in common."""
    places = [Path(os.path.abspath(sound.path)).parent for sound in sounds]  # noqa: PTH100 (links stay links)
    of_name: dict[str, list[Path]] = defaultdict(list)
    for sound, place in zip(sounds, places, strict=True):
        of_name[Path(sound.path).name].append(place)
    try:
        common = {name: os.path.commonpath(found) for name, found in of_name.items()}
    except ValueError:  # on several drives
        return [sound.below for sound in sounds]
    return [
        place.relative_to(common[Path(sound.path).name]) for sound, place in zip(sounds, places, strict=True)
    ]
