"""What the tools that make corpora share: a folder of sound and its manifest, written all or not at all."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import soundfile

from asr_seq2seq.errors import ConfigError, CorpusError, OutputError
from asr_seq2seq.files import atomic_write, output_error, to_json
from asr_seq2seq.outputs import keep_inputs

Samples = npt.NDArray[np.float32]


class CorpusFolder:
    """A corpus being written: ``OUT/audio/*.flac`` and ``OUT/manifest.jsonl``.

    Everything goes into a hidden folder beside ``out``, which takes the final name when the block ends
    without an error and is removed when it does not.

    >>> with CorpusFolder(Path("corpora/tones")) as corpus:  # doctest: +SKIP
    ...     corpus.add("tone_1", samples, 8000, text="one")
    """

    def __init__(self, out: Path, *, overwrite: bool = False, inputs: Iterable[Path | None] = ()) -> None:
        """Refuse an ``out`` that exists, unless it is a corpus folder and ``overwrite`` is set.

        Nor may it hold one of the ``inputs``, which would be gone with it.
        """
        self.out = Path(os.path.abspath(out))  # noqa: PTH100 (a link keeps its name)
        if self.out.exists():
            if not overwrite:
                raise OutputError(f"{out} exists already: choose another folder or give --overwrite")
            if not (self.out / "manifest.jsonl").is_file():
                raise OutputError(
                    f"{out} is not a corpus folder (it has no manifest.jsonl): it is not overwritten"
                )
            for path in inputs:
                if path is not None and path.resolve().is_relative_to(self.out.resolve()):
                    raise OutputError(f"{out} holds {path}, which is read: choose another folder")
        self.utterances = 0
        self.seconds = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.partial = stack.enter_context(made_whole(self.out))
            with writing(self.out):
                (self.partial / "audio").mkdir()
                manifest = (self.partial / "manifest.jsonl").open("w", encoding="utf-8")
            self._manifest = stack.enter_context(manifest)
            self._stack = stack.pop_all()
        return self

    def add(self, name: str, samples: Samples, sample_rate: int, /, **fields: Any) -> None:
        """Write ``audio/NAME.flac`` (16 bit) from (N,) samples, and its line of the manifest."""
        path = f"audio/{name}.flac"
        seconds = len(samples) / sample_rate
        record = {"audio_filepath": path, "duration": round(seconds, 4), **fields}
        with writing(self.out):
            (self.partial / path).write_bytes(flac_bytes(samples, sample_rate))
            self._manifest.write(to_json(record, allow_nan=True) + "\n")
        self.utterances += 1
        self.seconds += seconds

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


@contextmanager
def made_whole(out: Path) -> Iterator[Path]:
    """A hidden folder beside ``out`` to write into, which becomes ``out`` if nothing fails, and else goes."""
    partial = out.with_name(f".{out.name}.partial.{os.getpid()}")
    retired = out.with_name(f".{out.name}.old.{os.getpid()}")
    try:
        with writing(out):
            partial.mkdir(parents=True)
        yield partial
        with writing(out):
            if out.exists():
                out.rename(retired)
            partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(retired, ignore_errors=True)


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """OutputError where the system fails to write ``out``."""
    try:
        yield
    except OSError as error:
        raise output_error(out, error) from None


def flac_bytes(samples: Samples, rate: int) -> bytes:
    """A 16-bit FLAC file of (N,) samples; what exceeds full scale is clipped."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1.0, 32767 / 32768), rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSON-lines manifest, with ``audio_filepath`` made relative to the current folder."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # JSON may hold other line ends
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read as a manifest: {error}") from None
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            record["audio_filepath"] = str(path.parent / record["audio_filepath"])
            record["text"] = str(record["text"])
        except (ValueError, KeyError, TypeError):
            raise CorpusError(
                f"{path}, line {number}: not a JSON object with audio_filepath and text; correct the line"
            ) from None
        records.append(record)
    return records


def write_manifest(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write what `read_manifest` gave; the sound stays where it is, paths are relative to the manifest."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    records = list(records)
    keep_inputs([path], (record["audio_filepath"] for record in records))
    with atomic_write(path) as file:
        for record in records:
            sound = os.path.relpath(record["audio_filepath"], path.parent)
            file.write(to_json(record | {"audio_filepath": sound}, allow_nan=True) + "\n")


def balanced_lengths(count: int, shortest: int, longest: int) -> list[int]:
    """``count`` lengths that go round from ``shortest`` to ``longest``: as many of each as can be."""
    if count < 1:
        raise ConfigError(f"{count} strings are asked for: ask for at least one")
    if not 1 <= shortest <= longest:
        raise ConfigError(f"--min-digits {shortest} --max-digits {longest}: want 1 <= min <= max")
    return [shortest + index % (longest - shortest + 1) for index in range(count)]
