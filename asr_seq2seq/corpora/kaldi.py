"""A Kaldi data folder: `wav.scp` and `text`; `segments` and `utt2spk` where there are any.

lhotse imports such folders too, but cuts durations to milliseconds and wants to be told the rate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lhotse import MonoCut

from asr_seq2seq.corpora.lines import read_keys, shown, to_channel, to_seconds
from asr_seq2seq.corpora.utterance import find_sound, utterance
from asr_seq2seq.errors import CorpusError


def read_kaldi(folder: Path, *, root: Path | None = None) -> Iterator[MonoCut]:
    """The utterances in the order of `text`.

    Paths are relative to `root`; without it to the current folder, as in Kaldi, or else to `folder`.
    """
    roots = (Path(), folder) if root is None else (root,)
    recordings = read_keys(folder / "wav.scp")
    speakers = read_keys(folder / "utt2spk") if (folder / "utt2spk").exists() else {}
    segmented = (folder / "segments").exists()
    segments = read_keys(folder / "segments") if segmented else {}
    texts = read_keys(folder / "text")
    for identity in segments if segmented else recordings:
        if identity not in texts:
            where = (segments if segmented else recordings)[identity][0]
            raise CorpusError(
                f"{where}: {shown(identity)} is not in {folder / 'text'}; add it, or delete the line"
            )
    for identity, (where, text) in texts.items():
        name, offset, duration, channel = identity, 0.0, None, None
        if segmented:
            if identity not in segments:
                raise CorpusError(
                    f"{where}: {shown(identity)} is not in {folder / 'segments'}; delete the line"
                )
            name, offset, duration, channel = _segment(*segments[identity])
        if name not in recordings:
            at = segments[identity][0] if segmented else where
            raise CorpusError(
                f"{at}: {shown(name)} is not in {folder / 'wav.scp'}; add it, or delete the line"
            )
        place, file = recordings[name]
        if re.search(r"\.ark:\d+$|^(ark|scp)[a-z,]*:", file):
            raise CorpusError(f"{place}: {shown(file)} is a place in an archive; write its sound to files")
        advice = "paths are relative to the current folder or to that of wav.scp"
        yield utterance(
            identity,
            find_sound(place, file, *roots, advice=advice),
            text,
            where,
            offset=offset,
            duration=duration,
            channel=channel,
            speaker=speakers[identity][1] if identity in speakers else None,
        )


def _missing(where: str, name: str, path: Path) -> CorpusError:
    return CorpusError(f"{where}: {shown(name)} is not in {path.name}; add it, or delete the line")


def _segment(where: str, line: str) -> tuple[str, float, float | None, int | None]:
    """Recording, start, duration and, where it is given, channel of a line of `segments`."""
    fields = line.split()
    if len(fields) not in (3, 4):
        raise CorpusError(
            f"{where}: must be an utterance, a recording, a start, an end and a channel or none"
        )
    channel = to_channel(fields[3], where) if len(fields) == 4 else None
    start = to_seconds(fields[1], "start", where)
    if fields[2] in ("-1", "-1.0"):
        return fields[0], start, None, channel
    end = to_seconds(fields[2], "end", where)
    if end <= start:
        raise CorpusError(f"{where}: ends at {end:g} s and begins at {start:g} s; mend the times")
    return fields[0], start, end - start, channel
