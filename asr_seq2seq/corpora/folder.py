"""A folder of sound files, and the folders in it; the text of each is beside it.

The text of `NAME.wav` is in `NAME.txt` or `NAME.lab`, or, as LibriSpeech has it, on the line of
`*.trans.txt` that begins with NAME.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asr_seq2seq.audio.discovery import files_in, is_sound
from asr_seq2seq.corpora.lines import read_lines, shown
from asr_seq2seq.corpora.utterance import Utterance, make_utterance
from asr_seq2seq.errors import CorpusError


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
    for stem, sound in sounds.items():
        where, text = listed[stem] if stem in listed else (str(sound), _beside(folder, sound))
        speaker = stem.name.partition("-")[0]
        in_librispeech = stem.name.startswith(f"{stem.parent.parent.name}-{stem.parent.name}-")
        yield make_utterance(
            stem.name if in_librispeech else str(stem.relative_to(folder)),
            str(sound),
            text,
            where,
            speaker=speaker if in_librispeech else None,
        )


def _beside(folder: Path, sound: Path) -> str:
    """The text in the file beside a sound."""
    texts = [path for ending in (".txt", ".lab") if (path := sound.with_suffix(ending)).is_file()]
    if not texts:
        manifests = sorted(folder.glob("*.jsonl"))
        other = f"name the manifest {manifests[0]}" if manifests else "move the sound away"
        raise CorpusError(
            f"{sound}: has no text in {sound.stem}.txt or .lab beside it; write it there, or {other}"
        )
    if len(texts) > 1:
        raise CorpusError(f"{sound}: has its text in {texts[0].name} and in {texts[1].name}; delete one")
    return " ".join(word for _, line in read_lines(texts[0]) for word in line.split())
