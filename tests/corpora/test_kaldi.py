from collections.abc import Callable
from pathlib import Path

import pytest

from asr_seq2seq.corpora import load_corpus
from asr_seq2seq.errors import CorpusError

FINE = {"wav_scp": "u1 a.wav\nu2 a.wav\n", "text": "u1 one two\nu2 three\n"}
SEGMENTED = {
    "wav_scp": "rec a.wav\n",
    "text": "u1 one two\nu2 three\n",
    "segments": "u1 rec 0.0 0.25\nu2 rec 0.5 -1\n",
}


@pytest.fixture
def write(tmp_path: Path, write_wav: Callable[..., Path]) -> Callable[..., Path]:
    """Write a data folder beside whose files lies a.wav, one second long."""
    folder = tmp_path / "data"
    write_wav(folder / "a.wav", 1.0)

    def files(**contents: str) -> Path:
        for name, content in contents.items():
            (folder / name.replace("wav_scp", "wav.scp")).write_text(content, encoding="utf-8")
        return folder

    return files


def test_the_order_is_that_of_the_texts(write: Callable[..., Path]) -> None:
    folder = write(wav_scp="u2\ta.wav\nu1 a.wav\n", text="u1\tone  two\nu2\n", utt2spk="u1 ann\n")
    utterances = load_corpus(folder)
    assert [utterance.id for utterance in utterances] == ["u1", "u2"]
    assert [utterance.text for utterance in utterances] == ["one  two", ""]
    assert [utterance.speaker for utterance in utterances] == ["ann", None]


def test_segments(write: Callable[..., Path]) -> None:
    first, second = load_corpus(write(**SEGMENTED))
    assert (first.start, first.duration) == (0.0, 0.25)
    assert (second.start, second.duration) == (0.5, 0.5)


def test_the_fifth_field_of_segments_is_the_channel(write: Callable[..., Path]) -> None:
    segments = "u1 rec 0.0 0.25 0\nu2 rec 0.5 -1 1\n"
    assert [utterance.channel for utterance in load_corpus(write(**SEGMENTED | {"segments": segments}))] == [
        0,
        1,
    ]


def test_line_ends_and_a_byte_order_mark_of_windows(write: Callable[..., Path]) -> None:
    folder = write(**{name: "\ufeff" + text.replace("\n", "\r\n") for name, text in FINE.items()})
    assert [utterance.id for utterance in load_corpus(folder)] == ["u1", "u2"]


def test_one_bad_file_does_not_stop_the_rest(write: Callable[..., Path]) -> None:
    folder = write(**FINE | {"wav_scp": "u1 a.wav\nu2 b.wav\n"})
    (folder / "b.wav").touch()
    first, second = load_corpus(folder)
    assert first.problem is None
    assert "b.wav is empty" in (second.problem or "")


def test_paths_are_relative_to_the_current_folder_first(
    write: Callable[..., Path],
    write_wav: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = write(**FINE)
    monkeypatch.chdir(tmp_path)
    assert load_corpus(folder)[0].duration == 1.0
    write_wav(tmp_path / "a.wav", 0.5)
    assert load_corpus(folder)[0].duration == 0.5


@pytest.mark.parametrize(
    ("changes", "place", "reason"),
    [
        ({"wav_scp": "u1 sox a.wav -t wav - |\nu2 a.wav\n"}, "wav.scp, line 1", "is a command"),
        ({"wav_scp": "u1 a.wav\nu2 b.wav\n"}, "wav.scp, line 2", "there is no file .*b.wav"),
        ({"wav_scp": "u1 a.wav\nu2 a.wav\nu1 a.wav\n"}, "wav.scp, line 3", "u1 was given on an earlier line"),
        ({"wav_scp": "u1 a.wav\n"}, "text, line 2", "u2 is not in .*wav.scp"),
        ({"text": "u1 one\n"}, "wav.scp, line 2", "u2 is not in .*text"),
        ({"text": "u1 one\nu2 two\nu3 three\n"}, "text, line 3", "u3 is not in .*wav.scp"),
        (SEGMENTED | {"segments": "u1 rec 0 0.5\n"}, "text, line 2", "u2 is not in .*segments"),
        (SEGMENTED | {"segments": "u1 rec 0 0.5\nu2 x 0 1\n"}, "segments, line 2", "x is not in .*wav.scp"),
        (SEGMENTED | {"segments": "u1 rec 0 0.5\nu2 rec 1\n"}, "segments, line 2", "must be an utterance, a"),
        ({"wav_scp": "u1 | touch x\nu2 a.wav\n"}, "wav.scp, line 1", "is a command"),
        ({"wav_scp": "u1 http://127.0.0.1/x\nu2 a.wav\n"}, "wav.scp, line 1", "is an address"),
        ({"wav_scp": "u1 foo.ark:12\nu2 a.wav\n"}, "wav.scp, line 1", "is a place in an archive"),
        (SEGMENTED | {"segments": "u1 rec 0 0.5\nu2 rec 0 inf\n"}, "segments, line 2", "the end must be a"),
        (SEGMENTED | {"segments": "u1 rec 0 0.5\nu2 rec 0 1 B\n"}, "segments, line 2", "the channel must"),
        (
            SEGMENTED | {"segments": "u1 rec 0 0.5\nu2 rec a 1\n"},
            "segments, line 2",
            "the start must be",
        ),
        (
            SEGMENTED | {"segments": "u1 rec 0 0.5\nu2 rec 1 1\n"},
            "segments, line 2",
            "ends at 1 s and",
        ),
        (
            SEGMENTED | {"segments": "u1 rec 0 0.5\nu2 rec 2 -1\n"},
            "text, line 2",
            "begins at 2 s, beyond",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    write: Callable[..., Path], changes: dict[str, str], place: str, reason: str
) -> None:
    folder = write(**(FINE | changes))
    with pytest.raises(CorpusError, match=reason) as caught:
        load_corpus(folder)
    assert str(caught.value).startswith(f"{folder / place}:")
    assert "\n" not in str(caught.value)


def test_a_folder_without_texts_is_named(write: Callable[..., Path]) -> None:
    with pytest.raises(CorpusError, match=r"text: cannot be read \(No such file"):
        load_corpus(write(wav_scp="u1 a.wav\n"))


def test_other_bytes_are_named(write: Callable[..., Path]) -> None:
    folder = write(**FINE)
    (folder / "text").write_bytes(b"u1 \xff\n")
    with pytest.raises(CorpusError, match=r"text: is not UTF-8"):
        load_corpus(folder)
