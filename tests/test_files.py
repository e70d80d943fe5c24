import errno
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asr_seq2seq.errors import ConfigError, OutputError
from asr_seq2seq.files import atomic_write, lock, parse_json


def fail_with(number: int) -> object:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_text_is_utf8_with_plain_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with atomic_write(path) as file:
        file.write("grüße\n")
        assert not path.exists()
    assert path.read_bytes() == "grüße\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_bytes(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "out", "wb") as file:
        file.write(b"\x00\r\n")
    assert (tmp_path / "out").read_bytes() == b"\x00\r\n"


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with atomic_write(tmp_path / "atomic"):
        pass
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "atomic")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), ConfigError("no")])
def test_after_an_exception_the_old_file_is_as_it_was(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_write(path) as file:
        file.write("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(call, fail_with(errno.ENOSPC))
    path = tmp_path / "out.txt"
    message = r"cannot write .*out\.txt: no space left on the device"
    with pytest.raises(OutputError, match=message), atomic_write(path) as file:
        file.write("text")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_inside_the_block_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="quota"), atomic_write(tmp_path / "out.txt") as file:
        file.write("half")
        raise OSError(errno.EDQUOT, "quota")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [10_000_000, 17_000])  # fails in the block; fails at the last flush
def test_a_disk_that_is_really_full(tiny_disk: Path, size: int) -> None:
    path = tiny_disk / "out.txt"
    path.write_text("old")
    with pytest.raises(OutputError, match="no space left on the device"), atomic_write(path) as file:
        file.write("x" * size)
    assert path.read_text() == "old"
    assert list(tiny_disk.iterdir()) == [path]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder does not exist"), atomic_write(tmp_path / "no" / "out.txt"):
        pass


def test_a_folder_of_that_name(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"), atomic_write(tmp_path):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"), atomic_write(tmp_path / "out.txt"):
        pass


def test_an_unlisted_reason_is_told_in_the_words_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", fail_with(errno.EIO))
    with pytest.raises(OutputError, match=os.strerror(errno.EIO)), atomic_write(tmp_path / "out.txt"):
        pass


def test_a_name_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    with atomic_write(path) as file:
        file.write("text")
    assert path.read_text() == "text"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with atomic_write(tmp_path / "link") as file:
        file.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_pipe_is_written_directly_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(pipe) as file:
        file.write("text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_device() -> None:
    with pytest.raises(OutputError, match="no space left"), atomic_write(Path("/dev/full")) as file:
        file.write("text")


def test_what_a_killed_process_left_is_used_again_and_another_writer_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    for name in (".out.txt.tmp", ".out.txt.1.tmp", ".out.txt.2.tmp"):
        (tmp_path / name).write_text("half of something long")
    with atomic_write(path) as file, atomic_write(path) as other:
        file.write("one")
        other.write("two")
        assert len(list(tmp_path.iterdir())) == 2
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("trap", ["link", "hard link", "folder", "pipe"])
def test_a_trap_under_the_hidden_name_is_left_alone(tmp_path: Path, trap: str) -> None:
    victim, hidden, path = tmp_path / "victim", tmp_path / ".out.txt.tmp", tmp_path / "out.txt"
    victim.write_text("precious")
    if trap == "link":
        hidden.symlink_to(victim)
    elif trap == "hard link":
        hidden.hardlink_to(victim)
    elif trap == "folder":
        hidden.mkdir()
    else:
        os.mkfifo(hidden)
    with atomic_write(path) as file:
        file.write("text")
    assert (victim.read_text(), path.read_text()) == ("precious", "text")


def test_a_lock_is_of_one_process_until_it_ends(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for path in (tmp_path / "run", tmp_path / "file"):
        with lock(path, "trained"):
            with (
                pytest.raises(OutputError, match="is being trained by another process"),
                lock(path, "trained"),
            ):
                pass
            child = os.fork()  # its copy must not hold the lock of a parent that was killed
            if child == 0:
                time.sleep(60)
                os._exit(0)
        try:
            with lock(path):
                pass
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["run"]


def test_a_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with lock(tmp_path):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with lock(tmp_path):
        assert (tmp_path / ".lock").exists()
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize(
    "value", [None, True, 3, [], "[" * 100_000, "1" * 5000, "Infinity", b"\xff\xfe{", "{"]
)
def test_what_is_no_json_is_a_value_error_in_one_line(value: Any) -> None:
    with pytest.raises(ValueError) as caught:
        parse_json(value)
    assert 0 < len(str(caught.value)) < 120 and "\n" not in str(caught.value)
