"""Writing files so that nothing half-written is ever left under a final name."""

import contextlib
import errno
import hashlib
import json
import math
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn, TextIO, overload

from asr_seq2seq import signals
from asr_seq2seq.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows: nothing is locked
    fcntl = None  # type: ignore[assignment]

# A file system that cannot lock (some network ones) does without.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_MOST_DIGITS = 1000  # of an integer in JSON; Python itself follows 4300
_held = set[int]()  # descriptors of locks, which a forked child does not share

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


def parse_json(text: str | bytes, *, nan_is_null: bool = False) -> Any:
    """Return the value of a JSON text from elsewhere; ``ValueError`` in one line says why it is none.

    NaN and infinities, which JSON does not have, integers of thousands of digits, and nesting that
    Python cannot follow are refused as wrong JSON is. With ``nan_is_null`` NaN becomes None: programs of
    tables, such as pandas, write it for what is missing.

    >>> parse_json('{"duration": 1.5}')
    {'duration': 1.5}
    """
    if not isinstance(text, str | bytes):  # a value of another JSON text that should hold one
        raise ValueError("not a text")
    try:
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text))
        return (_NAN_IS_NULL if nan_is_null else _STRICT).decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error.msg}, line {error.lineno} column {error.colno})") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    except RecursionError:
        raise ValueError("lists or objects nested too deeply") from None


def to_json(value: Any, *, allow_nan: bool = False) -> str:
    """Return `value` as one line of JSON in plain characters; halves of surrogate pairs are escaped.

    NaN and Infinity, which JSON does not know but Python reads, raise ValueError unless allowed.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=allow_nan)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=allow_nan)
    return text


def without_infinity(value: Any) -> Any:
    """Return a value for JSON, which knows no infinity and no NaN: they become null.

    >>> without_infinity({"wer": float("inf"), "cer": [0.5]})
    {'wer': None, 'cer': [0.5]}
    """
    if isinstance(value, dict):
        return {name: without_infinity(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_infinity(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _only_nan(name: str) -> None:
    if name != "NaN":
        _refuse_constant(name)


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"the number {digits[:20]}... has {len(digits):,} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {digits[:20]} is too large")
    return value


# Made once: json.loads would make one for every line of a manifest.
_STRICT = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer)
_NAN_IS_NULL = json.JSONDecoder(parse_constant=_only_nan, parse_float=_finite, parse_int=_integer)


@overload
def atomic_write(path: Path, mode: Literal["w"] = "w") -> AbstractContextManager[TextIO]: ...
@overload
def atomic_write(path: Path, mode: Literal["wb"]) -> AbstractContextManager[BinaryIO]: ...
@contextmanager
def atomic_write(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[Any]:
    r"""Open ``path`` for writing, all or nothing; text is UTF-8 with ``\n`` line ends.

    What the block writes goes to a hidden file beside ``path``, which reaches the disk and takes the final
    name only when the block ends well. After any exception that file is gone and an older ``path`` is as it
    was. What a killed process left of it is used again by the next one that writes ``path``. An ``OSError``
    becomes an ``OutputError`` that names ``path``, so do nothing in the block that fails for another file.
    A link stays a link: the file it points to is replaced. A device or a pipe (``/dev/stdout``) has no
    name to take over and is written directly.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "greeting.txt"
    ...     with atomic_write(path) as file:
    ...         _ = file.write("hello")
    ...     path.read_text()
    'hello'
    """
    encoding, newline = (None, None) if mode == "wb" else ("utf-8", "\n")
    try:
        if path.exists() and not path.is_file():
            with path.open(mode, encoding=encoding, newline=newline) as file:
                yield file
            return
        target = path.resolve()
        with _temporary(target) as (temporary, descriptor):
            with open(descriptor, mode, encoding=encoding, newline=newline, closefd=False) as file:
                yield file
                file.flush()
                os.fsync(descriptor)
            temporary.replace(target)
    except OSError as error:
        raise output_error(path, error) from error


@contextmanager
def _temporary(target: Path) -> Iterator[tuple[Path, int]]:
    """An empty hidden file beside `target` that no other process writes; unless it was renamed it goes.

    Its name follows from that of `target`, so that what a killed process left is found again. It is
    locked while it is written; with the lock of another process on it the next name is taken.
    """
    descriptor: int | None = None
    try:
        with signals.held():
            for number in range(1000):
                temporary = _hidden(target, f"{number}.tmp" if number else "tmp")
                descriptor = _claim(temporary)
                if descriptor is not None:
                    break
        if descriptor is None:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        remove_left(target, number + 1)
        os.ftruncate(descriptor, 0)
        yield temporary, descriptor
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                if _is_file(temporary, descriptor):
                    temporary.unlink()
            os.close(descriptor)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for temporary files, which goes with all that it holds, also after a signal."""
    made: tempfile.TemporaryDirectory[str] | None = None
    try:
        with signals.held():
            made = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        yield Path(made.name)
    finally:
        if made is not None:
            made.cleanup()


def remove_left(target: Path, number: int = 0) -> None:
    """Remove the hidden files, from the given number on, that killed processes left of writing `target`."""
    while (path := _hidden(target, f"{number}.tmp" if number else "tmp")).exists():
        descriptor = _claim(path)
        if descriptor is not None:
            path.unlink()
            os.close(descriptor)
        number += 1


def make_folder(path: Path) -> None:
    """Make a folder and those above it unless it is there; OutputError if it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path, error) from error


def _hidden(path: Path, ending: str) -> Path:
    """A hidden name beside `path`, as short as the system allows."""
    name = path.name
    if len(os.fsencode(name)) > 200:
        name = hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()
    return path.with_name(f".{name}.{ending}")


def _claim(path: Path) -> int | None:
    """A descriptor of the file, made if need be and locked; None if it is another's."""
    while True:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            if error.errno == errno.ELOOP or path.is_dir():
                return None
            raise
        try:
            found = os.fstat(descriptor)
            # Only a plain file of ours: in a folder that all may write to, others can lay traps.
            foreign = hasattr(os, "geteuid") and found.st_uid != os.geteuid() and os.geteuid() != 0
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or foreign or not _locked(descriptor):
                os.close(descriptor)
                return None
        except BaseException:
            os.close(descriptor)
            raise
        if _is_file(path, descriptor):
            return descriptor
        os.close(descriptor)  # its last owner has just renamed or removed it


def _locked(descriptor: int) -> bool:
    """Whether the lock of the file could be had; it ends with the process, however that ends."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _is_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def lock(path: Path, work: str = "written") -> Iterator[None]:
    """Keep other processes, on this machine or another, from entering this for the same file or folder.

    Raises OutputError at once if one has: "PATH: is being WORK by another process ...". What is locked is
    a hidden file in the folder, or beside the file, which is gone afterwards. A killed process holds no
    lock. On a network file system that cannot lock, nothing is held.
    """
    place = path / ".lock" if path.is_dir() else _hidden(path, "lock")
    descriptor: int | None = None
    try:
        with signals.held():
            try:
                descriptor = _claim(place)
            except OSError as error:
                raise output_error(place, error) from error
        if descriptor is None:
            raise OutputError(
                f"{path}: is being {work} by another process; wait for it, or choose another place"
            )
        _held.add(descriptor)
        yield
    finally:
        if descriptor is not None:
            _held.discard(descriptor)
            with contextlib.suppress(OSError):
                place.unlink()
            os.close(descriptor)


def _let_go() -> None:
    """In a child: its copies of descriptors would hold the locks of a parent that was killed."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
