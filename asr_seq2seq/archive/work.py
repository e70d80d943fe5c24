"""One part of an archive, transcribed and written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from asr_seq2seq.archive.plan import Plan, Source
from asr_seq2seq.errors import AsrError, AudioError
from asr_seq2seq.extras import needed
from asr_seq2seq.files import atomic_write, to_json
from asr_seq2seq.inference.recognizer import Recognizer
from asr_seq2seq.transcript import Transcript


@dataclass(frozen=True)
class PartResult:
    """What became of a part."""

    sounds: int
    failed: int
    seconds: float


def transcribe_part(recognizer: Recognizer, plan: Plan, part: int, sources: list[Source]) -> PartResult:
    """Transcribe the sounds of a part and write its files: the failures first, then the results.

    Either file is there as a whole or not at all, and the results say that the part is done.
    """
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    opened: list[str | bytes] = []
    names: list[str] = []
    for source in sources:
        try:
            opened.append(source.open())
            names.append(source.name)
        except AudioError as error:
            failed.append({"audio_filepath": source.name, "error": str(error)})
    for name, result in zip(names, recognizer.transcribe_each(opened), strict=True):
        if isinstance(result, AsrError):
            failed.append({"audio_filepath": name, "error": str(result)})
        else:
            done.append(_row(name, result))
    if failed:
        with atomic_write(plan.failures(part)) as file:
            file.writelines(to_json(row) + "\n" for row in failed)
    _write(plan, part, done)
    return PartResult(len(sources), len(failed), sum(row["duration"] for row in done))


def _row(name: str, transcript: Transcript) -> dict[str, Any]:
    """A sound's line: a manifest entry with the segments of `transcript.to_dict`."""
    segments = [
        {"start": one.start, "end": one.end, "text": one.text, "confidence": one.confidence}
        for one in transcript.segments
    ]
    return {
        "audio_filepath": name,
        "duration": transcript.duration,
        "text": transcript.text,
        "segments": segments,
    }


def _write(plan: Plan, part: int, rows: Iterable[dict[str, Any]]) -> None:
    if plan.ending == "jsonl":
        with atomic_write(plan.results(part)) as file:
            file.writelines(to_json(row) + "\n" for row in rows)
        return
    with needed("Parquet", "ray"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    number, text = pa.float64(), pa.string()
    segment = pa.struct([("start", number), ("end", number), ("text", text), ("confidence", number)])
    rows = [row | {"audio_filepath": _text(row["audio_filepath"])} for row in rows]
    columns = {"audio_filepath": text, "duration": number, "text": text, "segments": pa.list_(segment)}
    table = pa.Table.from_pylist(rows, pa.schema(list(columns.items())))
    with atomic_write(plan.results(part), "wb") as binary:
        pq.write_table(table, binary)


def _text(name: str) -> str:
    """The name of a file, which need not be text, as text."""
    return name.encode("utf-8", "backslashreplace").decode()
