"""Transcripts as files: one small function per output format, and one table of them."""

import difflib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from asr_seq2seq.errors import ConfigError
from asr_seq2seq.files import atomic_write, output_error
from asr_seq2seq.transcript import Transcript


def to_txt(transcript: Transcript) -> str:
    """Return plain text, a line per segment; silence gives an empty file."""
    lines = [segment.text for segment in transcript.segments] or [transcript.text]
    return "".join(line + "\n" for line in lines if line)


def to_json(transcript: Transcript) -> str:
    """Return whisper's JSON object (see :mod:`asr_seq2seq.transcript`) on one line."""
    return json.dumps(transcript.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"


# The name of a format is also the ending of its files.
WRITERS: dict[str, Callable[[Transcript], str]] = {"txt": to_txt, "json": to_json}


def parse_formats(text: str) -> list[str]:
    """Return the formats of a comma-separated list, each once; ``all`` stands for every one.

    ``ConfigError`` for an unknown format, naming the nearest one.

    >>> parse_formats("json, txt,json")
    ['json', 'txt']
    """
    names: dict[str, None] = {}
    for name in (part.strip().lower() for part in text.split(",")):
        if name == "all":
            names.update(dict.fromkeys(WRITERS))
        elif name in WRITERS:
            names[name] = None
        else:
            nearest = difflib.get_close_matches(name, [*WRITERS, "all"], n=1, cutoff=0.0)[0]
            raise ConfigError(
                f'there is no output format "{name}": did you mean "{nearest}"? '
                f"(available: {', '.join(WRITERS)}, all)"
            )
    return list(names)


def write(transcript: Transcript, folder: Path, stem: str, formats: Sequence[str]) -> list[Path]:
    """Write ``folder/stem.FORMAT`` for each of ``formats`` and return the paths in that order.

    ``folder`` is made if need be. Every file is complete or absent. ``OutputError`` if one cannot be
    written, ``KeyError`` for a format that :func:`parse_formats` would have refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    paths: list[Path] = []
    for name in formats:
        path = folder / f"{stem}.{name}"
        content = WRITERS[name](transcript)
        with atomic_write(path) as file:
            file.write(content)
        paths.append(path)
    return paths
