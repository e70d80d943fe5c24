"""Parts of a corpus written as manifests."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_seq2seq.corpora.utterance import Utterance
from asr_seq2seq.errors import CorpusError, shown
from asr_seq2seq.files import atomic_write, to_json

_NEAR = 2  # how many folders a relative path may climb; a manifest and its sound may then move together


@dataclass(frozen=True)
class Part:
    """A manifest that was written; `left_out` are utterances that cannot be read, each with the reason."""

    path: Path
    utterances: int
    hours: float
    speakers: int
    left_out: tuple[str, ...] = ()


def write_part(path: Path, utterances: Sequence[Utterance]) -> Part:
    """Write the utterances that can be read as a manifest."""
    readable = [one for one in utterances if not one.problem]
    write_manifest(path, readable)
    return Part(
        path,
        len(readable),
        sum(one.duration for one in readable) / 3600,
        len({one.speaker for one in readable} - {None}),
        tuple(f"{one.id}: {one.problem}" for one in utterances if one.problem),
    )


def write_manifest(path: Path, utterances: Iterable[Utterance], *, absolute: bool = False) -> None:
    """Write utterances as a JSON-lines manifest, all or nothing; paths of near sounds are relative.

    CorpusError for one whose sound is not as it is in a file of its own.
    """
    with atomic_write(path) as file:
        for one in utterances:
            entry = manifest_entry(one, path, absolute=absolute)
            file.write(to_json(entry, allow_nan=True) + "\n")


def manifest_entry(one: Utterance, path: Path, *, absolute: bool = False) -> dict[str, Any]:
    """The line of an utterance in the manifest `path`; CorpusError if its sound is in no file of its own."""
    place = one.sound if one.sound is not None else one.features and one.features.path
    if not isinstance(place, str) or one.changes:
        raise CorpusError(
            f"{path}: the sound of {shown(one.id)} lies inside of another file or is to be changed; "
            "save it in files of its own first"
        )
    entry: dict[str, Any] = {
        "id": one.id,
        "audio_filepath" if one.sound is not None else "feature_filepath": (
            os.path.abspath(place) if absolute else _from(path.parent, Path(place))  # noqa: PTH100
        ),
        "duration": round(one.duration, 6),
        "text": one.text,
        "offset": one.start or None,
        "channel": one.channel,
        "speaker": one.speaker,
        "language": one.language,
        "gender": one.gender,
    }
    return {key: value for key, value in entry.items() if value is not None} | dict(one.custom)


def _from(folder: Path, sound: Path) -> str:
    """The path of a sound relative to a near folder, else its absolute path."""
    sound = sound.parent.resolve() / sound.name  # the name stays where it is a link to a store
    relative = os.path.relpath(sound, folder.resolve())
    climbs = Path(relative).parts.count(os.pardir)
    apart = Path(os.path.commonpath([sound, folder.resolve()])) == Path(sound.anchor)
    return str(sound) if climbs > _NEAR or (climbs and apart) else relative
