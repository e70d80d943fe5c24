"""A folder of sound files, and the folders in it; the text of each is beside it.

The text of `NAME.wav` is in `NAME.txt` or `NAME.lab`, or, as LibriSpeech has it, on the line of
`*.trans.txt` that begins with NAME. Where each sound lies in a folder below, these are the speakers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from asr_seq2seq.audio.discovery import files_in, is_sound
from asr_seq2seq.corpora.lines import read_lines
from asr_seq2seq.corpora.utterance import Utterance, make_utterance
from asr_seq2seq.errors import CorpusError, shown

# Folders of these names hold a part or a kind of a corpus; others in which sound lies are speakers.
_PARTS = """
train training dev development valid validation val test testing eval evaluation all
data audio sound sounds wav wavs wave flac mp3 clips recordings speech
"""
_NO_SPEAKERS = frozenset(_PARTS.split())


def read_folder(folder: Path) -> Iterator[Utterance]:
    """The utterances by the names of their files; CorpusError where a sound has no text."""
    listed = {}  # the path of a sound without its ending -> where its text is, and the text
    files = files_in(folder)
    for transcript in (path for path in files if path.name.endswith(".trans.txt")):
        for where, line in read_lines(transcript):
            name, *words = line.split(maxsplit=1)
            if transcript.parent / name in listed:
                raise CorpusError(
                    f"{where}: the name {shown(name)} was given on an earlier line too; delete one of them"
                )
            listed[transcript.parent / name] = where, " ".join(words)
    sounds: dict[Path, Path] = {}
    for path in files:
        if is_sound(path.name):
            first = sounds.setdefault(path.parent / path.stem, path)
            if first != path:
                raise CorpusError(f"{path}: {first.name} has the same name and text; move one of them away")
    for stem, (where, _) in listed.items():
        if stem not in sounds:
            raise CorpusError(
                f"{where}: there is no sound {shown(str(stem), 120)}.*; copy it, or delete the line"
            )
    without = [sound for stem, sound in sounds.items() if stem not in listed and not _texts(sound)]
    if without:
        raise _no_text(folder, without)
    speakers = _speakers([stem.relative_to(folder) for stem in sounds])
    for (stem, sound), speaker in zip(sounds.items(), speakers, strict=True):
        where, text = listed[stem] if stem in listed else (str(sound), _beside(sound))
        in_librispeech = stem.name.startswith(f"{stem.parent.parent.name}-{stem.parent.name}-")
        yield make_utterance(
            stem.name if in_librispeech else str(stem.relative_to(folder)),
            str(sound),
            text,
            where,
            speaker=stem.name.partition("-")[0] if in_librispeech else speaker,
        )


def _speakers(stems: Sequence[Path]) -> list[str | None]:
    """The speaker of each sound: its first folder that is not that of a part, of a kind of data, or of all.

    All are None where one of the sounds has no such folder: folders are then no speakers.
    """
    below = [[name for name in stem.parts[:-1] if name.lower() not in _NO_SPEAKERS] for stem in stems]
    while below and min(map(len, below)) > 1 and len({names[0] for names in below}) == 1:
        below = [names[1:] for names in below]
    return [names[0] if all(below) else None for names in below]


def manifests_in(folder: Path) -> list[Path]:
    """The files in a folder that may be manifests or tables of its sound."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".jsonl", ".csv", ".tsv"))


def _texts(sound: Path) -> list[Path]:
    """The files beside a sound that hold its text."""
    return [path for ending in (".txt", ".lab") if (path := sound.with_suffix(ending)).is_file()]


def _beside(sound: Path) -> str:
    """The text in the file beside a sound, which is there; CorpusError where there are two."""
    first, *others = _texts(sound)
    if others:
        raise CorpusError(f"{sound}: has its text in {first.name} and in {others[0].name}; delete one")
    return " ".join(word for _, line in read_lines(first) for word in line.split())


def _no_text(folder: Path, without: Sequence[Path]) -> CorpusError:
    """What to say of sounds that have no text beside them."""
    sound, more = without[0], len(without) - 1
    too = f", nor have {more} other sounds" if more > 1 else ", nor has another sound" if more else ""
    manifests = [path for place in (folder, sound.parent) for path in manifests_in(place)]
    other = f"name the manifest {manifests[0]}" if manifests else "move the sound away"
    return CorpusError(
        f"{sound}: has no text in {sound.stem}.txt or .lab beside it{too}; write it there, or {other}"
    )
