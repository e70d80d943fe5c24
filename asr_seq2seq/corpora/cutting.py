"""A long recording whose text was aligned, cut into the utterances of a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from asr_seq2seq import audio
from asr_seq2seq.audio import Samples
from asr_seq2seq.corpora.parts import Part, write_part
from asr_seq2seq.corpora.utterance import Utterance
from asr_seq2seq.errors import OutputError
from asr_seq2seq.files import atomic_write, make_folder
from asr_seq2seq.outputs import keep_inputs

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Cut:
    """An utterance of a recording: its text, its times in seconds, and how well the two fit (0 the best)."""

    text: str
    start: float
    end: float
    score: float


def places(source: Path, count: int, out: Path) -> list[Path]:
    """Where the sounds of so many utterances go, below a folder."""
    return [out / f"{source.stem}_{number + 1:05d}.flac" for number in range(count)]


def write_cuts(
    source: Path, cuts: Sequence[Cut], out: Path, read: Iterable[Path | None] = (), *, overwrite: bool = False
) -> Part:
    """Write each utterance as FLAC of the recording's own rate, and OUT/manifest.jsonl last.

    The cuts are in order and do not overlap. OutputError where a file to be written is among those that
    were `read`, or where a manifest is there already and is not to be overwritten.
    """
    manifest = out / MANIFEST
    paths = places(source, len(cuts), out)
    keep_inputs([manifest, *paths], [source, *read])
    if manifest.exists() and not overwrite:
        raise OutputError(f"{manifest}: is there already; give another folder, or --overwrite to replace it")
    make_folder(out)
    manifest.unlink(missing_ok=True)  # what it names is about to change
    utterances = []
    rate = audio.native_rate(source)
    for path, cut, samples in zip(paths, cuts, _parts(audio.blocks(source, rate), rate, cuts), strict=True):
        with atomic_write(path, "wb") as file:
            soundfile.write(file, np.clip(samples, -1, 1), rate, format="FLAC", subtype="PCM_16")
        about: dict[str, Any] = {
            "score": round(cut.score, 4),
            "source": str(source),
            "source_start": round(cut.start, 3),
            "source_end": round(cut.end, 3),
        }
        seconds = len(samples) / rate
        utterances.append(Utterance(path.stem, cut.text, str(path), seconds, custom=about))
    return write_part(manifest, utterances)


def _parts(blocks: Iterable[Samples], rate: int, cuts: Sequence[Cut]) -> Iterator[Samples]:
    """The samples of each cut, out of successive blocks of which no more than a cut and a block are held."""
    source = iter(blocks)
    held, begin = np.zeros(0, np.float32), 0
    for cut in cuts:
        first = round(cut.start * rate)
        stop = max(first + 1, round(cut.end * rate))
        parts, length = [held], len(held)
        while begin + length < stop and (block := next(source, None)) is not None:
            if begin + length <= first:  # nothing that is held is wanted
                parts, begin, length = [], begin + length, 0
            parts.append(block)
            length += len(block)
        held = np.concatenate(parts)
        yield held[max(0, first - begin) : stop - begin]
        drop = min(len(held), max(0, first - begin))
        held, begin = held[drop:], begin + drop
