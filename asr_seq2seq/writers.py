"""Transcripts as files: one small function per output format, and one table of them.

Subtitles (srt, vtt) have the cues of :mod:`asr_seq2seq.inference.subtitles`, in order, each at least a
millisecond long and none over another, and no text can be mistaken for the frame of the file.
"""

import difflib
import json
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

import numpy as np

from asr_seq2seq.errors import ConfigError, printable
from asr_seq2seq.files import atomic_write, output_error
from asr_seq2seq.inference.subtitles import cues, milliseconds, one_line, segments_of, whole_cue, wrap
from asr_seq2seq.textgrid import to_textgrid
from asr_seq2seq.transcript import Segment, Transcript


def to_txt(transcript: Transcript, _name: str = "") -> str:
    """Return plain text, a line per segment; silence gives an empty file."""
    return "".join(segment.text + "\n" for segment in segments_of(transcript) if segment.text)


def to_srt(transcript: Transcript, _name: str = "") -> str:
    """Return SubRip subtitles. They know no escapes, so an arrow ``-->`` in the text becomes ``->``."""
    blocks = []
    for number, cue in enumerate(cues(transcript), start=1):
        text = re.sub("-{2,}>", "->", wrap(cue.text))
        blocks.append(f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def to_vtt(transcript: Transcript, _name: str = "") -> str:
    """Return WebVTT subtitles (W3C); ``&``, ``<`` and ``>`` in the text are escaped."""
    import html  # whose table of entities takes time to import

    blocks = ["WEBVTT\n"]
    for cue in cues(transcript):
        text = html.escape(wrap(cue.text), quote=False)
        blocks.append(f"{clock(cue.start, '.')} --> {clock(cue.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def to_tsv(transcript: Transcript, _name: str = "") -> str:
    """Return whisper's table: start and end of each segment in milliseconds, and its text."""
    rows = [whole_cue(segment) for segment in segments_of(transcript)]
    return "start\tend\ttext\n" + "".join(f"{row.start}\t{row.end}\t{row.text}\n" for row in rows if row.text)


def to_json(transcript: Transcript, _name: str = "") -> str:
    """Return whisper's JSON object (see :mod:`asr_seq2seq.transcript`) on one line."""
    return json.dumps(transcript.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"


def to_ctm(transcript: Transcript, name: str) -> str:
    """Return NIST's time marks, a word per line: sound, channel, start, duration, word, confidence.

    The sound is called ``name``, the channel is 1 or the one that was transcribed alone, times are seconds;
    the confidence is left out where it is not known, as the format allows. ``ConfigError`` if a word has no
    times: a line cannot be without.
    """
    sound = "_".join(name.split()).encode("utf-8", "replace").decode()  # names of files may be no text
    channel = 1 + (transcript.channel or 0)
    lines: list[tuple[int, str]] = []
    for segment in segments_of(transcript):
        if segment.text.strip() and not segment.words:
            raise _no_times(name, segment, segment.text)
        for word in segment.words:
            if word.start is None or word.end is None:
                raise _no_times(name, segment, word.text)
            start, end = milliseconds(word.start, word.end)
            sure = "" if word.confidence is None else f" {word.confidence:.4f}"
            if text := one_line(word.text).replace(" ", "_"):
                line = f"{sound} {channel} {start / 1000:.3f} {(end - start) / 1000:.3f} {text}{sure}\n"
                lines.append((start, line))
    return "".join(line for _, line in sorted(lines, key=lambda entry: entry[0]))


# The name of a format is also the ending of its files, but for `_ENDINGS`. A writer is given the transcript
# and the name of the sound, which is that of its file without folder and ending.
WRITERS: dict[str, Callable[[Transcript, str], str]] = {
    "txt": to_txt,
    "srt": to_srt,
    "vtt": to_vtt,
    "tsv": to_tsv,
    "json": to_json,
    "ctm": to_ctm,
    "textgrid": to_textgrid,
}
_ENDINGS = {"textgrid": "TextGrid"}  # where it is not the name

MANIFEST = "jsonl"  # the one format that is a file for all sounds together


def parse_formats(text: str) -> list[str]:
    """Return the formats of a comma-separated list, each once; ``all`` stands for all of :data:`WRITERS`.

    ``ConfigError`` for an unknown format, naming the nearest one.

    >>> parse_formats("json, txt,json")
    ['json', 'txt']
    """
    names: dict[str, None] = {}
    for name in (part.strip().lower() for part in text.split(",")):
        if name == "all":
            names.update(dict.fromkeys(WRITERS))
        elif name in WRITERS or name == MANIFEST:
            names[name] = None
        else:
            nearest = difflib.get_close_matches(name, [*WRITERS, MANIFEST, "all"], n=1, cutoff=0.0)[0]
            raise ConfigError(
                f'there is no output format "{name}": did you mean "{nearest}"? '
                f"(available: {', '.join(WRITERS)}, {MANIFEST}, all)"
            )
    return list(names)


def are_written(folder: Path, stem: str, formats: Sequence[str]) -> bool:
    """Return whether every file that :func:`write` would make is there already."""
    try:
        return all(path_of(folder, stem, name).is_file() for name in formats)
    except OSError:  # a name that the system does not allow, as `write` will say
        return False


def write(transcript: Transcript, folder: Path, stem: str, formats: Sequence[str]) -> list[Path]:
    """Write ``folder/stem.FORMAT`` for each of ``formats`` and return the paths in that order.

    ``stem`` may begin with folders (:mod:`asr_seq2seq.cli.output_paths`); all are made if need be. Every
    file is complete or absent. ``OutputError`` if one cannot be written, ``KeyError`` for a format that
    :func:`parse_formats` would have refused. ``ConfigError`` if one of the formats cannot hold this
    transcript (:func:`to_ctm`); the others are written all the same.
    """
    _make_folder(folder, stem)
    paths: list[Path] = []
    refused: ConfigError | None = None
    for name in formats:
        try:
            content = WRITERS[name](transcript, PurePath(stem).name)
        except ConfigError as error:
            refused = error
            continue
        paths.append(path_of(folder, stem, name))
        with atomic_write(paths[-1]) as file:
            file.write(content)
    if refused is not None:
        raise refused
    return paths


def save(transcript: Transcript, path: Path) -> Path:
    """Write one file in the format that its ending names, and return its path; folders are made if need be.

    ``ConfigError`` for an ending that names no format and for what the format cannot hold, ``OutputError``
    if the file cannot be written.
    """
    name = path.suffix[1:].lower()
    if name not in WRITERS:
        endings = ", ".join(f".{known}" for known in WRITERS)
        given = f'ends in "{printable(path.suffix)}"' if name else "has no ending"
        raise ConfigError(f"{printable(str(path))[-120:]}: {given}; give one of {endings}")
    content = WRITERS[name](transcript, path.stem)
    _make_folder(path.parent, path.name)
    with atomic_write(path) as file:
        file.write(content)
    return path


def write_attention(transcript: Transcript, folder: Path, stem: str) -> Path:
    """Write ``folder/stem.attention.npz``, which holds an array ``segment_ID`` for each that has one."""
    _make_folder(folder, stem)
    arrays = {f"segment_{s.id}": s.attention for s in transcript.segments if s.attention is not None}
    path = folder / f"{stem}.attention.npz"
    with atomic_write(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path


def _make_folder(folder: Path, stem: str) -> None:
    place = (folder / stem).parent
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(place, error) from error


def path_of(folder: Path, stem: str, name: str) -> Path:
    """Return where :func:`write` puts the format ``name`` of the sound ``stem``."""
    return folder / f"{stem}.{_ENDINGS.get(name, name)}"


def clock(milliseconds: int, mark: str) -> str:
    """A time as subtitles write it, such as 00:01:02.345, with ``mark`` before the milliseconds."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{rest:03d}"


def _no_times(name: str, segment: Segment, text: str) -> ConfigError:
    why = f" ({segment.timing})" if segment.timing else ""
    return ConfigError(
        f'{name}.ctm cannot be written: "{textwrap.shorten(text, 40)}" has no word times{why}; '
        "use a model that gives them, or the other formats"
    )
