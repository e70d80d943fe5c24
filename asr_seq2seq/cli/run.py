"""Run a command line to its exit code, and say in what way it failed."""

from __future__ import annotations

import gc
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, cast

import typer
import typer.main

from asr_seq2seq import signals
from asr_seq2seq.cli.output import StandardOutputError, own_streams
from asr_seq2seq.errors import AsrError
from asr_seq2seq.messages import message

BUG = 70  # EX_SOFTWARE of sysexits.h
_VARIABLE = "ASR_SEQ2SEQ_TRACEBACK"
_OPTION = "--traceback"
_HOW = f"{_OPTION} or {_VARIABLE}=1 shows where it comes from"
_PACKAGE = Path(__file__).resolve().parents[1]
_LONGEST = 110  # characters that are shown of what a library says
# What typer raises for arguments that it cannot parse. It comes with its own click, or uses the package.
_ArgumentsError = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[2])


def run(app: typer.Typer, arguments: Sequence[str], name: str = "asr-seq2seq") -> int:
    """Run the command line `app`, called `name`, on arguments and return the exit code.

    An :class:`AsrError` is told in one line. Any other exception is a bug, or an installation that does not
    work, and told as that.
    """
    arguments, traced = _without_option(arguments)
    try:
        code = _invoke(app, arguments, name)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except StandardOutputError as error:
        if error.reader_gone:  # `head` perhaps, and it has seen enough
            return 1
        message(f"error: {error}")
        return 2
    except AsrError as error:
        message(f"error: {error}")
        return 2
    except KeyboardInterrupt as stop:
        return 128 + signals.number_of(stop)
    except Exception as error:
        _tell_unexpected(error, traced or os.environ.get(_VARIABLE, "0") not in ("", "0"))
        return BUG


def run_process(app: typer.Typer, name: str = "asr-seq2seq") -> NoReturn:
    """Run the command line of this process, which then owns its signals and its streams, and end it."""
    own_streams()
    signals.end_cleanly()
    code = run(app, sys.argv[1:], name)
    signals.finish()
    gc.freeze()  # Python would look through all objects again and again before it ends
    sys.exit(code)


def run_function(main: Callable[..., None]) -> NoReturn:
    """Run a function as the command line of this process, by the name of its file."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(main)
    run_process(app, Path(sys.argv[0]).name)


def _invoke(app: typer.Typer, arguments: Sequence[str], name: str) -> int:
    """Parse and run; typer's own way would take every EOFError and broken pipe for one of the terminal's."""
    command = typer.main.get_command(app)
    try:
        with command.make_context(name, list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as stop:
        return int(stop.exit_code)
    except _ArgumentsError as error:
        shown = io.StringIO()
        error.show(file=shown)
        for line in shown.getvalue().rstrip("\n").split("\n"):
            message(line)
        return int(error.exit_code)
    return 0


def _without_option(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without --traceback, which may stand before and behind the verb, and whether it did."""
    names = list(arguments)
    end = names.index("--") if "--" in names else len(names)
    kept = [name for name in names[:end] if name != _OPTION]
    return kept + names[end:], len(kept) < end


def _tell_unexpected(error: Exception, traced: bool) -> None:
    if traced:
        for line in "".join(traceback.format_exception(error)).rstrip("\n").split("\n"):
            message(line)
    lines = str(error).strip().splitlines() or [""]
    text = lines[0][:_LONGEST] + ("..." if len(lines) > 1 or len(lines[0]) > _LONGEST else "")
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    how = "" if traced else f"; {_HOW}"
    frames = [(frame.f_code, frame.f_globals, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    # Whatever is raised while a module of another package is run for the first time: it does not load.
    packages = [
        str(names.get("__name__")).partition(".")[0]
        for code, names, _ in frames
        if code.co_name == "<module>"
    ]
    foreign = [name for name in packages if name not in (_PACKAGE.name, "__main__")]
    if isinstance(error, ImportError) and error.name:
        foreign.append(error.name.partition(".")[0])
    if foreign and foreign[-1] != _PACKAGE.name:
        message(f"error: the library {foreign[-1]} does not load ({what}): install it again{how}")
        return
    ours = [(code, at) for code, _, at in frames if Path(code.co_filename).is_relative_to(_PACKAGE)]
    code, at = ours[-1] if ours else (frames[-1][0], frames[-1][2])
    place = f"{'/'.join(Path(code.co_filename).parts[-2:])}, line {at}"
    message(f"error: unexpected {what} ({place}): this is a bug, please report it{how}")
