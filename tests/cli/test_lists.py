import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from asr_seq2seq.cli.lists import listed_names
from asr_seq2seq.errors import ConfigError


@pytest.mark.parametrize(
    "content",
    [
        b"a b.wav\nc/\xc3\xa4.wav\n-\n",
        b"\xef\xbb\xbfa b.wav\r\n\r\nc/\xc3\xa4.wav\r\n   \r\n-",
        "\ufeffa b.wav\r\nc/ä.wav\r\n-\r\n".encode("utf-16-le"),
        "\ufeffa b.wav\nc/ä.wav\n-\n".encode("utf-16-be"),
    ],
)
def test_lists_as_people_and_programs_write_them(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(content)
    assert listed_names(str(tmp_path / "list")) == ["a b.wav", "c/ä.wav", f".{os.sep}-"]


def test_null_bytes_end_names_that_hold_line_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"a\nb.wav\0c\xff.wav\0"
    (tmp_path / "list").write_bytes(content)
    wanted = ["a\nb.wav", os.fsdecode(b"c\xff.wav")]
    assert listed_names(str(tmp_path / "list"), null=True) == wanted
    monkeypatch.setattr("sys.stdin", SimpleNamespace(closed=False, buffer=io.BytesIO(content)))
    assert listed_names("-", null=True) == wanted


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no name"),
        (b"\n \r\n\n", "holds no name"),
        (b"RIFF\0\0\0\0WAVE", "null characters"),
        (b"\xff\xfea", "not whole UTF-16"),
    ],
)
def test_what_is_no_list_is_said_in_a_sentence(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        listed_names(str(tmp_path / "list"))
    assert "list" in str(caught.value) and "\n" not in str(caught.value)


def test_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    for name in (str(tmp_path), str(tmp_path / "missing"), "a\0b"):
        with pytest.raises(ConfigError, match="cannot be read"):
            listed_names(name)
