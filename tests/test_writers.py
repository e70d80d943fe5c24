import errno
import html
import json
import os
import re
import unicodedata
import zlib
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import srt
import webvtt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asr_seq2seq.errors import ConfigError, OutputError
from asr_seq2seq.inference.subtitles import Cue, cues, wrap
from asr_seq2seq.transcript import Segment, Transcript, Word
from asr_seq2seq.writers import (
    WRITERS,
    are_written,
    parse_formats,
    path_of,
    to_ctm,
    to_srt,
    to_tsv,
    to_txt,
    to_vtt,
    write,
)

WORDS = (Word("grüß", 0.1, 0.42, 0.9), Word("gott", 0.42, 0.95, None))
SEGMENTS = (
    Segment(0, 0.0, 1.0, "grüß gott", (4,), -0.1, WORDS),
    Segment(1, 1.0, 2.0, "bye", (5,), -0.1, (Word("bye", 1.2, 1.9, 0.5),)),
)
TRANSCRIPT = Transcript("grüß gott bye", SEGMENTS, None, 2.0)
SILENCE = Transcript("", (), None, 2.0)


def test_each_format_is_a_file_in_a_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    paths = write(TRANSCRIPT, folder, "talk.1", ["json", "txt"])
    assert paths == [folder / "talk.1.json", folder / "talk.1.txt"]
    assert sorted(folder.iterdir()) == sorted(paths)
    assert paths[1].read_text(encoding="utf-8") == "grüß gott\nbye\n"
    assert Transcript.from_dict(json.loads(paths[0].read_text(encoding="utf-8"))) == TRANSCRIPT


def test_a_transcript_is_saved_by_its_ending(tmp_path: Path) -> None:
    for name, to_text in WRITERS.items():
        if name == "ctm":
            continue
        path = TRANSCRIPT.save(str(tmp_path / "new" / f"talk.1.{name.upper()}"))
        assert path == tmp_path / "new" / f"talk.1.{name.upper()}"
        assert path.read_text(encoding="utf-8") == to_text(TRANSCRIPT)
    path = TRANSCRIPT.save(tmp_path / "talk.1.ctm")
    assert path.read_text(encoding="utf-8").splitlines()[0].startswith("talk.1 1 0.100 0.320 grüß")
    for name in ("talk.docx", "talk", ".srt", "talk."):
        with pytest.raises(ConfigError, match=r"give one of \.txt, \.srt, .*\.ctm, \.textgrid$") as caught:
            TRANSCRIPT.save(tmp_path / name)
        assert len(str(caught.value)) < 300 and not (tmp_path / name).exists()
    with pytest.raises(OutputError):
        TRANSCRIPT.save(tmp_path / "talk.1.ctm" / "a.txt")


def test_a_part_keeps_its_start_in_every_format() -> None:
    part = Transcript("one", (), None, 2.0, start=10.0)
    assert part.to_dict()["start"] == 10.0 and "start" not in TRANSCRIPT.to_dict()
    assert Transcript.from_dict(part.to_dict()) == part
    assert to_tsv(part) == "start\tend\ttext\n10000\t12000\tone\n"


def test_silence_and_text_without_segments() -> None:
    assert to_txt(SILENCE) == ""
    assert to_txt(Transcript("only text", (), None, 1.0)) == "only text\n"


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    written = path_of(tmp_path, "talk", name).name
    with pytest.raises(OutputError, match=rf"{written}: no space left on the device"):
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


def _said(*texts: str, seconds: float = 1.0) -> Transcript:
    """A segment per text, one after another, whose words have no times."""
    segments = [
        Segment(number, number * seconds, (number + 1) * seconds, text, (), -0.1)
        for number, text in enumerate(texts)
    ]
    return Transcript(" ".join(texts), tuple(segments), None, len(texts) * seconds)


def _spoken(text: str, pace: float = 0.4) -> Transcript:
    """One segment in which a word begins every `pace` seconds."""
    words = tuple(
        Word(word, number * pace, (number + 1) * pace, 0.9) for number, word in enumerate(text.split())
    )
    seconds = len(words) * pace
    return Transcript(text, (Segment(0, 0.0, seconds, text, (), -0.1, words),), None, seconds)


def _from_srt(text: str) -> list[Cue]:
    unit = timedelta(milliseconds=1)
    return [Cue(cue.start // unit, cue.end // unit, cue.content) for cue in srt.parse(text)]


def _from_vtt(text: str) -> list[Cue]:
    return [
        Cue(cue.start_time.in_milliseconds(), cue.end_time.in_milliseconds(), html.unescape(cue.raw_text))
        for cue in webvtt.from_string(text, strict=True).captions
    ]


def test_subtitles_to_the_letter() -> None:
    late = Transcript("a < b", (Segment(0, 359_999.0015, 360_000.0, "a < b", (), -0.1),), None, 360_000.0)
    assert to_srt(late) == "1\n99:59:59,002 --> 100:00:00,000\na < b\n"
    assert to_vtt(late) == "WEBVTT\n\n99:59:59.002 --> 100:00:00.000\na &lt; b\n"
    assert to_srt(TRANSCRIPT) == (
        "1\n00:00:00,100 --> 00:00:00,950\ngrüß gott\n\n2\n00:00:01,200 --> 00:00:01,900\nbye\n"
    )


@pytest.mark.parametrize("transcript", [SILENCE, _said(""), _said("\x00 \n")])
def test_silence_has_no_subtitles(transcript: Transcript) -> None:
    assert to_srt(transcript) == ""
    assert to_vtt(transcript) == "WEBVTT\n"
    assert to_tsv(transcript) == "start\tend\ttext\n"


def test_what_could_be_taken_for_the_frame_of_the_file() -> None:
    texts = ("one\n\n2\n00:00:09,000 --> 00:00:10,000\nfalse", "a --> b", "----> &amp; <i>", "7", "NOTE")
    clean = [" ".join(text.split()) for text in texts]
    read = _from_vtt(to_vtt(_said(*texts)))
    assert [cue.text.replace("\n", " ") for cue in read] == clean
    read = _from_srt(to_srt(_said(*texts)))
    assert [cue.text.replace("\n", " ") for cue in read] == [re.sub("-+>", "->", text) for text in clean]


def test_a_long_segment_is_split_where_its_words_have_times() -> None:
    text = "one two three four five six seven eight nine zero " * 6
    found = cues(_spoken(text.strip()))
    assert " ".join(cue.text for cue in found) == text.strip()
    assert len(found) > 2
    for cue in _from_srt(to_srt(_spoken(text.strip()))):
        assert cue.end - cue.start <= 7000
        assert len(cue.text.split("\n")) <= 2
        assert max(map(len, cue.text.split("\n"))) <= 42


@pytest.mark.parametrize(("pace", "count"), [(0.1, 1), (3.0, 3), (8.0, 5)])
def test_slow_speech_is_split_by_time(pace: float, count: int) -> None:
    assert len(cues(_spoken("one two three four five", pace))) == count


def test_cues_are_in_order_and_apart() -> None:
    times = ((4.0, 4.0), (0.0, 9.0), (1.0, 0.5), (1.0, 2.0), (1.0001, 1.0004))
    segments = [Segment(number, *pair, f"w{number}", (), -0.1) for number, pair in enumerate(times)]
    assert cues(Transcript("", tuple(segments), None, 9.0)) == [
        Cue(0, 1000, "w1"),
        Cue(1000, 1001, "w2"),
        Cue(1001, 1002, "w3"),
        Cue(1002, 1003, "w4"),
        Cue(4000, 4001, "w0"),
    ]


FRAGMENTS = ["-->", "->", "\n\n", "\r", "\u2028", "\x00", "\x1b", "&lt;", "<c>", "שלום", "\u202e", "\ufeff"]
FRAGMENTS += ["7", "00:00:01,000 --> 00:00:02,000", "00:00:01.000", "WEBVTT", "NOTE", "STYLE", "\t", "", " "]
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=60), max_size=6).map("".join)
SECONDS = st.floats(0, 400_000)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    segments = []
    for number, start in enumerate(sorted(draw(st.lists(SECONDS, max_size=5)))):
        text, end = draw(TEXTS), draw(SECONDS)
        words = tuple(Word(word, start, end, 0.5) for word in text.split()) if draw(st.booleans()) else ()
        segments.append(Segment(number, start, end, text, (), -0.1, words))
    return Transcript(" ".join(segment.text for segment in segments), tuple(segments), None, 400_000.0)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(transcripts())
def test_the_parsers_give_back_the_cues(transcript: Transcript) -> None:
    written = cues(transcript)
    shown = "".join(sign for sign in transcript.text if sign.isspace() or unicodedata.category(sign) != "Cc")
    assert sorted("".join("".join(cue.text for cue in written).split())) == sorted("".join(shown.split()))
    assert all(0 <= cue.start < cue.end for cue in written)
    assert all(cue.end <= later.start for cue, later in pairwise(written))

    def flat(found: list[Cue]) -> list[Cue]:
        return [Cue(cue.start, cue.end, "".join(cue.text.split())) for cue in found]

    assert flat(_from_vtt(to_vtt(transcript))) == flat(written)
    arrows = [Cue(cue.start, cue.end, re.sub("-{2,}>", "->", wrap(cue.text))) for cue in written]
    assert flat(_from_srt(to_srt(transcript))) == flat(arrows)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(transcripts())
def test_tables_keep_their_columns(transcript: Transcript) -> None:
    for line in to_tsv(transcript).split("\n")[:-1]:
        assert len(line.split("\t")) == 3
    if all(segment.words or not segment.text.strip() for segment in transcript.segments):
        for line in to_ctm(transcript, "my talk").split("\n")[:-1]:
            assert line.startswith("my_talk 1 ")
            assert len(line.split()) == 6


def test_tsv_is_that_of_whisper() -> None:
    assert to_tsv(_said("a\tb", "c")) == "start\tend\ttext\n0\t1000\ta b\n1000\t2000\tc\n"


def test_json_is_that_of_whisper(tmp_path: Path) -> None:
    (path,) = write(TRANSCRIPT, tmp_path, "talk", ["json"])
    data = json.loads(path.read_text(encoding="utf-8"))
    assert (data["text"], data["language"], len(data["segments"])) == ("grüß gott bye", None, 2)
    kinds = {
        "id": int,
        "seek": int,
        "start": float,
        "end": float,
        "text": str,
        "tokens": list,
        "temperature": float,
        "avg_logprob": float,
        "compression_ratio": float,
        "words": list,
    }
    for number, (segment, source) in enumerate(zip(data["segments"], SEGMENTS, strict=True)):
        assert {key: type(value) for key, value in segment.items()} == kinds
        assert (segment["id"], segment["seek"], segment["temperature"]) == (number, 0, 0.0)
        assert (segment["start"], segment["end"], segment["text"]) == (source.start, source.end, source.text)
        assert (segment["tokens"], segment["avg_logprob"]) == (list(source.tokens), source.avg_logprob)
        encoded = source.text.encode()
        assert segment["compression_ratio"] == len(encoded) / len(zlib.compress(encoded))
        assert segment["words"] == [
            {"word": f" {word.text}", "start": word.start, "end": word.end, "probability": word.confidence}
            for word in source.words
        ]


def test_ctm_to_the_letter() -> None:
    assert to_ctm(TRANSCRIPT, "my talk") == (
        "my_talk 1 0.100 0.320 grüß 0.9000\nmy_talk 1 0.420 0.530 gott\nmy_talk 1 1.200 0.700 bye 0.5000\n"
    )
    assert to_ctm(SILENCE, "talk") == to_ctm(_said(""), "talk") == ""
    assert to_ctm(TRANSCRIPT, "m\udcfcller").startswith("m?ller 1 ")  # a name of a file that is not UTF-8


def test_ctm_without_word_times_is_refused_and_the_other_formats_are_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'talk\.ctm cannot be written: "one two" has no word times'):
        write(_said("one two"), tmp_path, "talk", ["ctm", "srt", "txt"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["talk.srt", "talk.txt"]
    assert are_written(tmp_path, "talk", ["srt", "txt"])
    assert not are_written(tmp_path, "talk", ["ctm", "txt"])
    assert not are_written(tmp_path, "n" * 300, ["txt"])
