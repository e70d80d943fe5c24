"""Writing files so that nothing half-written is ever left under a final name."""

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn, TextIO, overload

from asr_seq2seq.errors import OutputError

_REASONS = {
    errno.ENOSPC: "no space left on the device; free some, or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some space, or choose another folder",
    errno.EACCES: "permission denied; choose a folder that you may write to",
    errno.EPERM: "permission denied; choose a folder that you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOENT: "its folder does not exist; create it first",
    errno.ENOTDIR: "a part of the path before the last is not a folder; choose another path",
    errno.EEXIST: "a file of that name is in the way; choose another name",
    errno.EISDIR: "it is a folder; choose the name of a file",
}


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the one-sentence ``OutputError`` that says why ``path`` cannot be written.

    >>> output_error(Path("out.txt"), OSError(errno.ENOSPC, "ENOSPC"))
    OutputError('cannot write out.txt: no space left on the device; free some, or choose another folder')
    """
    # An unlisted reason, such as a failing disk, is told in the system's words.
    reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}; choose another folder")
    return OutputError(f"cannot write {path}: {reason}")


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text from elsewhere; ``ValueError`` in one line says why it is none.

    NaN and infinities, which JSON does not have, integers of thousands of digits, and nesting that
    Python cannot follow are refused as wrong JSON is.

    >>> parse_json('{"duration": 1.5}')
    {'duration': 1.5}
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error.msg}, line {error.lineno} column {error.colno})") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    except RecursionError:
        raise ValueError("lists or objects nested too deeply") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {digits[:20]} is too large")
    return value


@overload
def atomic_write(path: Path, mode: Literal["w"] = "w") -> AbstractContextManager[TextIO]: ...
@overload
def atomic_write(path: Path, mode: Literal["wb"]) -> AbstractContextManager[BinaryIO]: ...
@contextmanager
def atomic_write(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[Any]:
    r"""Open ``path`` for writing, all or nothing; text is UTF-8 with ``\n`` line ends.

    What the block writes goes to a hidden file beside ``path``, which reaches the disk and takes the final
    name only when the block ends well. After any exception that file is gone and an older ``path`` is as it
    was. An ``OSError`` becomes an ``OutputError`` that names ``path``, so do nothing in the block that
    fails for another file. A link stays a link: the file it points to is replaced. A device or a pipe
    (``/dev/stdout``) has no name to take over and is written directly.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "greeting.txt"
    ...     with atomic_write(path) as file:
    ...         _ = file.write("hello")
    ...     path.read_text()
    'hello'
    """
    encoding, newline = (None, None) if mode == "wb" else ("utf-8", "\n")
    temporary: Path | None = None
    try:
        if path.exists() and not path.is_file():
            with path.open(mode, encoding=encoding, newline=newline) as file:
                yield file
            return
        target = path.resolve()
        # A short name of its own, since the final one may already be as long as the system allows.
        temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
        with temporary.open("xb" if mode == "wb" else "x", encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
