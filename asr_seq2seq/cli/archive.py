"""`transcribe --ray`: an archive by workers of Ray."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from asr_seq2seq import bundled
from asr_seq2seq.cli.output import print_line
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.messages import message
from asr_seq2seq.progress import counted

if TYPE_CHECKING:
    from asr_seq2seq.inference.recognizer import Recognizer


# Options of `transcribe` that an archive has no use for.
REFUSED = ("-0", "--start", "--end", "--channel", "--min-confidence", "--attention", "--json", "--style")


@dataclass(frozen=True)
class ArchiveRequest:
    """What the options of `transcribe` say of an archive; `refused` are the values of `REFUSED`."""

    address: str
    output: Path | None
    formats: str
    names: Sequence[str]
    list_file: str | None
    recursive: bool
    threads: int | None
    refused: Sequence[Any]


def transcribe_archive(
    request: ArchiveRequest,
    load: Callable[[], Recognizer],
    models: Sequence[Path | None],
    decoding: dict[str, Any],
) -> None:
    """Transcribe the parts of an archive that are not done yet, and say what became of its sounds.

    Exit code 1 where sounds failed. ConfigError where options do not fit, or the folder holds other results.
    """
    from asr_seq2seq.archive.cluster import need_ray, transcribe_parts
    from asr_seq2seq.archive.plan import FORMATS, Plan, find_sources
    from asr_seq2seq.cli.lists import listed_names

    if request.output is None:
        raise ConfigError("--ray needs a folder for the results: name one with -o")
    if given := [name for name, value in zip(REFUSED, request.refused, strict=True) if value]:
        raise ConfigError(f"{given[0]} and --ray exclude each other: leave one of them out")
    ending = "jsonl" if request.formats == "txt" else request.formats
    if ending not in FORMATS:
        raise ConfigError(f"-f {request.formats}: --ray writes {' or '.join(FORMATS)}; name one of them")
    if not request.names and request.list_file is None:
        raise ConfigError("no sound is named: name files or folders, or a list of them with --list")
    need_ray()
    names, list_file = request.names, request.list_file
    if list_file == "-":
        names, list_file = [*names, *listed_names(list_file)], None
    facts: dict[str, Any] = {"models": [_digest(path) for path in models], "decoding": decoding}
    facts["sounds"] = {"names": [os.path.abspath(name) for name in names], "list": list_file}  # noqa: PTH100
    facts["recursive"] = request.recursive
    sources = find_sources(names, list_file, recursive=request.recursive)
    plan = Plan.make(request.output.absolute(), sources, facts, ending)
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
    print_line(str(request.output / "parts"))
    if failed:
        raise typer.Exit(1)


def _digest(path: Path | None) -> str | None:
    """What tells one model file from another; None for none."""
    if path is None:
        return None
    from asr_seq2seq.model_file.storage import read_bytes

    return hashlib.sha256(read_bytes(bundled.find(path))).hexdigest()
