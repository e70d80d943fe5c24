from collections.abc import Callable
from pathlib import Path

import pytest

from asr_seq2seq.corpora import load_corpus
from asr_seq2seq.corpora.fields import SYNONYMS
from asr_seq2seq.errors import CorpusError


@pytest.fixture
def folder(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    """A folder with a.wav and sound/b.wav, one second each."""
    write_wav(tmp_path / "a.wav", 1.0)
    write_wav(tmp_path / "sound" / "b.wav", 1.0, seed=1)
    return tmp_path


def table(folder: Path, *lines: str, name: str = "t.csv") -> Path:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


@pytest.mark.parametrize("sound", SYNONYMS["audio_filepath"])
@pytest.mark.parametrize("text", SYNONYMS["text"])
def test_the_names_of_columns(folder: Path, sound: str, text: str) -> None:
    [utterance] = load_corpus(table(folder, f"{text},{sound}", "one,sound/b.wav"))
    assert utterance.text == "one"
    assert utterance.sound == str(folder / "sound" / "b.wav")


def test_every_column_has_its_use(folder: Path) -> None:
    path = table(
        folder,
        "id,path,text,speaker,offset,duration,accent,take",
        'u1,a.wav,"one, two",ann,0.25,0.5,scots,',
        ",a.wav,three,,,,,2",
    )
    first, second = load_corpus(path)
    assert (first.id, first.start, first.duration) == ("u1", 0.25, 0.5)
    assert first.text == "one, two"
    assert first.speaker == "ann"
    assert first.custom == {"accent": "scots"}
    assert (second.start, second.duration, second.custom) == (0.0, 1.0, {"take": "2"})
    assert second.speaker is None


def test_quotes_are_characters_in_a_table_of_tabs(folder: Path) -> None:
    [utterance] = load_corpus(table(folder, "path\ttext", 'a.wav\t"one" said "ann', name="t.tsv"))
    assert utterance.text == '"one" said "ann'


def test_a_quoted_line_end_and_a_byte_order_mark(folder: Path) -> None:
    (folder / "t.csv").write_text('path,text\r\na.wav,"one\ntwo"\r\n', encoding="utf-8-sig", newline="")
    [utterance] = load_corpus(folder / "t.csv")
    assert utterance.text == "one\ntwo"


@pytest.mark.parametrize(
    ("header", "line", "reason"),
    [
        ("clip,text", "a.wav,one", "line 1: no column names the sound; .*there is: clip, text"),
        ("path:text", "a.wav:one", "line 1: no column names the sound"),
        ("path,words", "a.wav,one", "line 1: no column holds the text"),
        ("path,wav,text", "a.wav,a.wav,one", "line 1: path and wav mean the same"),
        ("path,text,sentence", "a.wav,one,one", "line 1: text and sentence mean the same"),
        ("path,text", "a.wav,one, two", "line 3: has not as many fields as the header"),
        ("path,text", "a.wav", "line 3: has not as many fields as the header"),
        ("path,text", "none.wav,one", "line 3: there is no file .*none.wav; correct the column `path`"),
        ("path,text", ",one", "line 3: there is no file"),
        ("path,text", 'a.wav,"one', "line 3: .*correct its quotes"),
        ("path,text,duration", "a.wav,one,long", "line 3: the duration must be a number of seconds"),
        ("path,text,duration", "a.wav,one,nan", "line 3: the duration must be a number of seconds"),
        ("path,text,text", "a.wav,one,one", "line 1: two columns are called text"),
        ("path,text,channel", "a.wav,one,left", "line 3: the channel must be a number from 0 on, not 'left'"),
        ("path,text,duration", "a.wav,one,inf", "line 3: the duration must be a number of seconds"),
        ("path,text,duration", "a.wav,one,1e9", "line 3: the duration must be a number of seconds"),
        ("path,text,duration", "a.wav,one,1_0", "line 3: the duration must be a number of seconds"),
        ("path,text", "http://127.0.0.1/a.wav,one", "line 3: .* is an address, and only files are read"),
        ("path,text", "cat a.wav |,one", "line 3: .* is a command, and none is run"),
        ("path,text,duration", "a.wav,one,0", "line 3: its `duration` is 0 s"),
        ("path,text,offset", "a.wav,one,-1", "line 3: the offset must be a number of seconds"),
        ("path,text,offset", "a.wav,one,1.5", "line 3: begins at 1.5 s, beyond the end of .*a.wav"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(folder: Path, header: str, line: str, reason: str) -> None:
    fine = ",".join(
        {"path": "a.wav", "wav": "a.wav", "text": "one", "sentence": "one"}.get(name, "")
        for name in header.split(",")
    )
    path = table(folder, header, fine, line)
    with pytest.raises(CorpusError, match=reason) as caught:
        load_corpus(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_table_of_other_bytes_is_named(folder: Path) -> None:
    (folder / "t.csv").write_bytes(b"path,text\na.wav,\xff\xfe\n")
    with pytest.raises(CorpusError, match=r"t.csv: is not UTF-8 text"):
        load_corpus(folder / "t.csv")


@pytest.mark.parametrize("content", [b"", b"no sound"])
def test_one_bad_file_does_not_stop_the_rest(folder: Path, content: bytes) -> None:
    (folder / "c.wav").write_bytes(content)
    first, second = load_corpus(table(folder, "path,text", "c.wav,one", "a.wav,two"))
    assert "c.wav" in (first.problem or "")
    assert second.problem is None


def test_empty_cells_are_not_given(folder: Path) -> None:
    [utterance] = load_corpus(
        table(folder, "path,text,id,offset,duration,speaker,channel", "a.wav,one, ,,,,")
    )
    assert (utterance.id, utterance.start, utterance.duration, utterance.channel) == ("a@2", 0.0, 1.0, None)
    assert utterance.speaker is None


def test_a_channel_is_a_column(folder: Path) -> None:
    first, second = load_corpus(table(folder, "path,text,channel", "a.wav,one,0", "a.wav,two,1"))
    assert [first.channel, second.channel] == [0, 1]
