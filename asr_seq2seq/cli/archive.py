"""`transcribe --ray`: an archive by workers of Ray."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_seq2seq import bundled
from asr_seq2seq.cli.output import print_line
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.messages import message
from asr_seq2seq.progress import counted

if TYPE_CHECKING:
    from asr_seq2seq.inference.recognizer import Recognizer


@dataclass(frozen=True)
class ArchiveRequest:
    """What the options of `transcribe` say of an archive; `refused` are options that it has no use for."""

    address: str
    output: Path | None
    formats: str
    names: Sequence[str]
    list_file: str | None
    recursive: bool
    threads: int | None
    refused: dict[str, Any]


def transcribe_archive(
    request: ArchiveRequest,
    load: Callable[[], Recognizer],
    models: Sequence[Path | None],
    decoding: dict[str, Any],
) -> None:
    """Transcribe the parts of an archive that are not done yet, and say what became of its sounds.

    ConfigError where options do not fit, or the folder holds results of other ones.
    """
    from asr_seq2seq.archive.cluster import transcribe_parts
    from asr_seq2seq.archive.plan import FORMATS, Plan, find_sources

    if request.output is None:
        raise ConfigError("--ray needs a folder for the results: name one with -o")
    if given := [name for name, value in request.refused.items() if value]:
        raise ConfigError(f"{given[0]} and --ray exclude each other: leave one of them out")
    ending = "jsonl" if request.formats == "txt" else request.formats
    if ending not in FORMATS:
        raise ConfigError(f"-f {request.formats}: --ray writes {' or '.join(FORMATS)}; name one of them")
    facts = {"models": [_digest(path) for path in models], "decoding": decoding}
    sources = find_sources(request.names, request.list_file, recursive=request.recursive)
    plan = Plan.make(request.output, sources, facts, ending)
    before = sum(plan.results(part).exists() for part in range(plan.parts))
    if before:
        message(f"{before} of {plan.parts} parts are done already")
    seconds = 0.0
    results = transcribe_parts(request.address, load, plan, request.threads or 1)
    for result in counted(results, plan.parts - before, "parts"):
        seconds += result.seconds
    failed = plan.gather_failures()
    told = f"; {failed} failed, see {plan.folder / 'failed.jsonl'}" if failed else ""
    message(f"{plan.sounds} sounds, {seconds:.0f} s of them now{told}")
    print_line(str(plan.folder / "parts"))


def _digest(path: Path | None) -> str | None:
    """What tells one model file from another; None for none."""
    if path is None:
        return None
    from asr_seq2seq.model_file.storage import read_bytes

    return hashlib.sha256(read_bytes(bundled.find(path))).hexdigest()
