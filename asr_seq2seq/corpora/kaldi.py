"""A Kaldi data folder: `wav.scp` and `text`; `segments` and `utt2spk` where there are any."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from asr_seq2seq.corpora.lines import read_keys, to_channel, to_seconds
from asr_seq2seq.corpora.places import find_file
from asr_seq2seq.corpora.utterance import Utterance, make_utterance
from asr_seq2seq.errors import CorpusError, shown


def read_kaldi(folder: Path, *, root: Path | None = None) -> Iterator[Utterance]:
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
            raise _missing((segments if segmented else recordings)[identity][0], identity, folder / "text")
    for identity, (where, text) in texts.items():
        name, offset, duration, channel = identity, 0.0, None, None
        if segmented:
            if identity not in segments:
                raise _missing(where, identity, folder / "segments")
            name, offset, duration, channel = _segment(*segments[identity])
        if name not in recordings:
            raise _missing(segments[identity][0] if segmented else where, name, folder / "wav.scp")
        place, file = recordings[name]
        if re.search(r"\.ark:\d+$|^(ark|scp)[a-z,]*:", file):
            raise CorpusError(f"{place}: {shown(file)} is a place in an archive; write its sound to files")
        advice = "paths are relative to the current folder or to that of wav.scp"
        yield make_utterance(
            identity,
            find_file(place, file, *roots, advice=advice),
            text,
            where,
            start=offset,
            duration=duration,
            channel=channel,
            speaker=speakers[identity][1] if identity in speakers else None,
        )


def _missing(where: str, name: str, path: Path) -> CorpusError:
    return CorpusError(f"{where}: {shown(name)} is not in {path}; add it, or delete the line")


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
        raise CorpusError(f"{where}: ends at {end:g} s and begins at {start:g} s; correct the times")
    return fields[0], start, end - start, channel
