"""What the verbs print: results on standard output."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from asr_seq2seq import signals
from asr_seq2seq.errors import OutputError, printable, printable_json
from asr_seq2seq.files import without_infinity
from asr_seq2seq.messages import message

if TYPE_CHECKING:
    from asr_seq2seq.training_config import Config, LanguageModelConfig


class StandardOutputError(OutputError):
    """Standard output cannot be written; `reader_gone` where it is a pipe that nobody reads any more."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write standard output ({error.strerror}): send it elsewhere")
        self.reader_gone = error.errno == errno.EPIPE


class _Descriptor(io.FileIO):
    """The descriptor of standard output, the one place where a failure to write it is recognized."""

    lost = False

    def write(self, data: Any, /) -> int:
        """Write bytes; after a failure, which is raised once, they go nowhere."""
        if not self.lost:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = True
                raise StandardOutputError(error) from error
        return len(data)


def own_streams() -> None:
    """Make the standard streams of this process usable whatever it was started with.

    Where a descriptor is closed, the next file to be opened would take its number, and whatever a library
    prints would go into that file. What cannot be encoded is escaped.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.platform != "win32":
        descriptor = _Descriptor(sys.stdout.fileno(), "wb", closefd=False)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(descriptor),
            encoding=sys.stdout.encoding,
            errors="backslashreplace",
            line_buffering=sys.stdout.isatty(),
        )


def need_standard_output() -> None:
    """OutputError where there is none and a result would be lost."""
    if sys.stdout is None or sys.stdout.closed:
        raise OutputError("standard output is closed: open it, or have the results written to files")


def print_line(*fields: str) -> None:
    """Print a line of fields with tabs between; control characters in them are escaped."""
    if sys.stdout is not None:
        print("\t".join(map(printable, fields)), flush=True)


def print_text(text: str) -> None:
    """Print lines made for people; control characters are escaped but for the line ends."""
    for line in text.split("\n"):
        print_line(line)


def print_json(value: Any) -> None:
    """Print a result as one line of JSON, in which a terminal finds no control character either.

    An infinite or unknown number, such as the error rate of texts without words, is null.
    """
    from asr_seq2seq.files import to_json

    if sys.stdout is not None:
        print(printable_json(to_json(without_infinity(value))), flush=True)


def print_settings(recipe: Config | LanguageModelConfig, as_json: bool) -> None:
    """Print each setting of a recipe: its value there, what it does, and its default."""
    from asr_seq2seq.settings_reference import given_settings, help_lines

    need_standard_output()
    if not as_json:
        return print_text("\n".join(help_lines(recipe)))
    print_json(
        [
            {"setting": one.path, "value": value, "default": one.default, "description": one.description}
            for one, value in given_settings(recipe)
        ]
    )


def stop_interrupted(model: Path, epoch: int, number: int) -> NoReturn:
    """Say what a training that was stopped has saved, and end as the signal asks."""
    saved = f"; the best model so far is {model}" if epoch else "; no epoch was finished"
    message(f"interrupted{saved}")
    raise signals.Interrupted(number)
