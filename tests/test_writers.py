import errno
import json
import os
from pathlib import Path

import pytest

from asr_seq2seq.errors import ConfigError, OutputError
from asr_seq2seq.transcript import Segment, Transcript
from asr_seq2seq.writers import WRITERS, parse_formats, to_txt, write

SEGMENTS = (Segment(0, 0.0, 1.0, "grüß gott", (4,), -0.1), Segment(1, 1.0, 2.0, "bye", (5,), -0.1))
TRANSCRIPT = Transcript("grüß gott bye", SEGMENTS, None, 2.0)
SILENCE = Transcript("", (), None, 2.0)


def test_each_format_is_a_file_in_a_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    paths = write(TRANSCRIPT, folder, "talk.1", ["json", "txt"])
    assert paths == [folder / "talk.1.json", folder / "talk.1.txt"]
    assert sorted(folder.iterdir()) == sorted(paths)
    assert paths[1].read_text(encoding="utf-8") == "grüß gott\nbye\n"
    assert Transcript.from_dict(json.loads(paths[0].read_text(encoding="utf-8"))) == TRANSCRIPT


def test_silence_and_text_without_segments() -> None:
    assert to_txt(SILENCE) == ""
    assert to_txt(Transcript("only text", (), None, 1.0)) == "only text\n"


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=rf"talk\.{name}: no space left on the device"):
        write(TRANSCRIPT, tmp_path, "talk", [name])
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file: a file of that name"):
        write(TRANSCRIPT, tmp_path / "file", "talk", ["txt"])
    with pytest.raises(OutputError, match="not a folder"):
        write(TRANSCRIPT, tmp_path / "file" / "below", "talk", ["txt"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("txt,json", ["txt", "json"]), (" JSON ,txt,json", ["json", "txt"]), ("all", list(WRITERS))],
)
def test_parse_formats(text: str, expected: list[str]) -> None:
    assert parse_formats(text) == expected


@pytest.mark.parametrize(("text", "nearest"), [("txt,jsn", "json"), ("text", "txt"), ("txt,", "")])
def test_an_unknown_format_is_answered_with_the_nearest(text: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f'did you mean "{nearest}'):
        parse_formats(text)
