"""Hypotheses on disk as they come, so that an interrupted evaluation resumes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_seq2seq.evaluation.hypotheses import HypothesisLine, from_dict, to_dict
from asr_seq2seq.files import output_error, to_json


@dataclass(frozen=True)
class Entry:
    """The utterances of one batch and the seconds that recognizing them took."""

    lines: list[HypothesisLine]
    seconds: float


class Journal:
    """Batches in the order of their recognition, appended to ``FILE.partial`` beside the final ``FILE``.

    ``entries`` are those that an earlier evaluation left there. What it was an evaluation of stands in the
    first line: a journal of anything else is started anew, and ``replaced`` is then true.
    A line that a crash broke off is dropped, with all that follows it. ``OutputError`` if the file cannot be
    written.
    """

    def __init__(self, hypotheses: Path, of: str) -> None:
        """``of`` tells two evaluations apart; see :func:`asr_seq2seq.evaluation.evaluate.fingerprint`."""
        self.path = hypotheses.with_name(hypotheses.name + ".partial")
        self.entries: list[Entry] = []
        self.replaced = False
        head = to_json({"evaluation": of})
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
            first, *lines = content.split(b"\n")[:-1] or [b""]
            size = 0  # bytes of the file that are good
            if first == head.encode():
                size = len(first) + 1
                for line in lines:
                    try:
                        self.entries.append(_entry(json.loads(line)))
                    except (ValueError, KeyError, TypeError):
                        break
                    size += len(line) + 1
            self.replaced = bool(first) and not size
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
            self._file.truncate(size)
            if not size:
                self._file.write(head + "\n")
                self._file.flush()
        except OSError as error:
            raise output_error(self.path, error) from error

    @property
    def utterances(self) -> int:
        """How many utterances ``entries`` have."""
        return sum(len(entry.lines) for entry in self.entries)

    def append(self, entry: Entry) -> None:
        """Write a batch down; it survives whatever happens to this process."""
        try:
            data = {"seconds": entry.seconds, "lines": [to_dict(line) for line in entry.lines]}
            self._file.write(to_json(data) + "\n")
            self._file.flush()
        except OSError as error:
            raise output_error(self.path, error) from error
        self.entries.append(entry)

    def remove(self) -> None:
        """Delete the file: the evaluation is complete and its result written."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def _entry(data: dict[str, Any]) -> Entry:
    return Entry([from_dict(line) for line in data["lines"]], data["seconds"])
