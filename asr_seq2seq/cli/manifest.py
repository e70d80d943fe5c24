"""The manifest that `transcribe -f jsonl` writes: what was transcribed as a corpus, with confidences."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from asr_seq2seq.cli.channels import Input
from asr_seq2seq.corpora.parts import manifest_entry
from asr_seq2seq.corpora.utterance import Utterance
from asr_seq2seq.errors import OutputError
from asr_seq2seq.files import output_error, parse_json, to_json
from asr_seq2seq.transcript import Segment, Transcript

NAME = "manifest.jsonl"
_Sound = tuple[str, int | None]  # the absolute path of a sound and the channel


@dataclass
class Counts:
    """How many segments there were, and how many of them have no line."""

    segments: int = 0
    without_text: int = 0
    unsure: int = 0


class ManifestWriter:
    """`manifest.jsonl` in the folder of results, a line for each segment that has text.

    Lines are appended to `manifest.jsonl.partial` as they come, which takes the final name at the end.
    `begin` may keep what an earlier command wrote into either. OutputError where they cannot be written.
    """

    def __init__(self, folder: Path, min_confidence: float | None = None) -> None:
        self.path = folder / NAME
        self.partial = folder / f"{NAME}.partial"
        self.min_confidence = min_confidence
        self.counts = Counts()
        self.extends = False  # whether lines of an earlier command stay
        self._kept: list[str] = []
        self._file: TextIO | None = None

    def without_lines(self, inputs: Sequence[Input]) -> list[Input]:
        """Those of the inputs that have no line yet."""
        known = {sound for sound, _ in self._lines()}
        return [one for one in inputs if _sound(one.name, one.channel) not in known]

    def begin(self, inputs: Sequence[Input], *, keep: bool) -> None:
        """What is to be transcribed; with `keep` the lines of other sounds stay. Nothing is written yet."""
        self.extends = keep
        again = {_sound(one.name, one.channel) for one in inputs}
        self._kept = [line for sound, line in self._lines() if sound not in again] if keep else []

    def add(self, one: Input, transcript: Transcript) -> None:
        """Append the lines of a transcript, one for each segment that has text and is sure enough."""
        lines = []
        whole = len(transcript.segments) == 1 and not transcript.dropped and not transcript.start
        for segment in transcript.segments:
            self.counts.segments += 1
            sure = segment.confidence
            if not segment.text.strip():
                self.counts.without_text += 1
            elif self.min_confidence is not None and (sure is None or sure < self.min_confidence):
                self.counts.unsure += 1
            else:
                lines.append(to_json(self._entry(one, segment, whole)) + "\n")
        self._write("".join(lines))

    def _write(self, lines: str) -> None:
        """Append whole lines, after those that stay."""
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.partial.open("w", encoding="utf-8", newline="\n")
                self._file.writelines(f"{line}\n" for line in self._kept)
            self._file.write(lines)
            self._file.flush()
        except OSError as error:
            raise output_error(self.partial, error) from error

    def finish(self) -> str:
        """Give the file its name, and say in a sentence what is in it."""
        if self._file is None and self._kept and self.partial.is_file():
            self._write("")
        if self._file is None:
            return f"no segment written to {self.path}"
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            self.partial.replace(self.path)
        except OSError as error:
            raise output_error(self.path, error) from error
        counts = self.counts
        written = counts.segments - counts.without_text - counts.unsure
        left_out = [
            f"{count} {why}"
            for count, why in (
                (counts.unsure, f"with a confidence under {self.min_confidence}"),
                (counts.without_text, "without text"),
            )
            if count
        ]
        more = f"; left out: {' and '.join(left_out)}" if left_out else ""
        return f"{written} of {counts.segments} segments written to {self.path}{more}"

    def _entry(self, one: Input, segment: Segment, whole: bool) -> dict[str, Any]:
        sure = segment.confidence
        utterance = Utterance(
            one.stem if whole else f"{one.stem}@{segment.id}",
            segment.text,
            one.name,
            segment.end - segment.start,
            round(segment.start, 6),
            one.channel,
            custom={} if sure is None else {"confidence": round(sure, 4)},
        )
        return manifest_entry(utterance, self.path)

    def _lines(self) -> Iterator[tuple[_Sound, str]]:
        """The lines of an interrupted command, or else of one that ended, each after its sound.

        Of a file that was not finished, the last sound may lack lines: it has none then.
        """
        unfinished = self.partial.is_file()
        path = self.partial if unfinished else self.path
        if not path.is_file():
            return
        found: list[tuple[_Sound, str]] = []
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise OutputError(f"{path}: cannot be read ({error}); delete it, and transcribe again") from None
        whole = lines[-1] == ""
        for number, line in enumerate(lines[:-1], start=1):
            try:
                entry = parse_json(line)
                place = os.path.join(self.path.parent, entry["audio_filepath"])  # noqa: PTH118
                found.append((_sound(place, entry.get("channel")), line))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise OutputError(
                    f"{path}, line {number}: is no line of a manifest; delete the file, and transcribe again"
                ) from None
        last = found[-1][0] if unfinished and not whole and found else None
        yield from (entry for entry in found if entry[0] != last)


def _sound(name: str, channel: int | None) -> _Sound:
    return os.path.abspath(name), channel  # noqa: PTH100 (links stay links)
