import json
import zlib
from typing import Any

import pytest

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.transcript import Segment, Transcript, Word

WORDS = (Word("hello", 0.1, 0.5, 0.9), Word("wörld", None, None, None))
SEGMENTS = (
    Segment(0, 0.0, 1.0, "hello wörld", (4, 5), -0.25, WORDS),
    Segment(1, 2.0, 3.5, "bye", (6,), -1.0),
)
TRANSCRIPT = Transcript("hello wörld bye", SEGMENTS, "en", 4.0)


def test_the_keys_are_those_of_whisper() -> None:
    data = TRANSCRIPT.to_dict()
    assert list(data) == ["text", "segments", "language", "duration", "dropped"]
    assert data["dropped"] == []
    first, second = data["segments"]
    assert first == {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": 1.0,
        "text": "hello wörld",
        "tokens": [4, 5],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 12 / len(zlib.compress("hello wörld".encode())),
        "words": [
            {"word": " hello", "start": 0.1, "end": 0.5, "probability": 0.9},
            {"word": " wörld", "start": None, "end": None, "probability": None},
        ],
    }
    assert "words" not in second


def test_joined_words_are_the_text_as_subtitle_writers_expect() -> None:
    segment = TRANSCRIPT.to_dict()["segments"][0]
    assert "".join(word["word"] for word in segment["words"]).strip() == segment["text"]


def test_repetition_shows_in_the_compression_ratio() -> None:
    def ratio(text: str) -> float:
        segment = Segment(0, 0.0, 1.0, text, (), 0.0)
        return float(Transcript(text, (segment,), None, 1.0).to_dict()["segments"][0]["compression_ratio"])

    assert ratio("") == 0.0
    assert ratio("a short sentence") < 2.4 < ratio("again and " * 30)


@pytest.mark.parametrize("transcript", [TRANSCRIPT, Transcript("", (), None, 0.0)])
def test_a_transcript_survives_json(transcript: Transcript) -> None:
    assert Transcript.from_dict(json.loads(json.dumps(transcript.to_dict()))) == transcript


def test_a_file_by_whisper_is_read() -> None:
    segment = {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": 2.5,
        "text": " Good morning.",
        "tokens": [50364, 2205, 2446, 13],
        "temperature": 0.0,
        "avg_logprob": -0.3,
        "compression_ratio": 0.7,
        "no_speech_prob": 0.01,
    }
    read = Transcript.from_dict({"text": " Good morning.", "segments": [segment], "language": "en"})
    expected = Segment(0, 0.0, 2.5, "Good morning.", (50364, 2205, 2446, 13), -0.3)
    assert read == Transcript("Good morning.", (expected,), "en", 2.5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"text": "a"}, "'segments' is missing"),
        ({"segments": []}, "'text' is missing"),
        ({"text": "a", "segments": [{"id": 0}]}, "'start' is missing"),
        ({"text": 5, "segments": []}, "wrong type"),
        ({"text": "a", "segments": 5}, "wrong type"),
        ([], "wrong type"),
    ],
)
def test_another_json_is_an_error(data: Any, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        Transcript.from_dict(data)


def test_written_style_keeps_times() -> None:
    words = [("i", 0.1, 0.9), ("paid", 0.3, 0.8), ("twenty", 0.5, 0.7), ("two", 0.9, 0.6)]
    spoken = tuple(Word(text, start, start + 0.1, sure) for text, start, sure in words)
    segments = (
        Segment(0, 0.0, 1.0, "i paid twenty two", (), -0.1, spoken),
        Segment(1, 1.0, 2.0, "", (), 0.0),
    )
    transcript = Transcript("i paid twenty two", segments, None, 2.0).written()
    assert transcript.text == "I paid 22."
    assert transcript.segments[0].words == (
        Word("I", 0.1, 0.2, 0.9),
        Word("paid", 0.3, 0.4, 0.8),
        Word("22.", 0.5, 1.0, 0.6),
    )
    assert transcript.segments[1].text == ""
