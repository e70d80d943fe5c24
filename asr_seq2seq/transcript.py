"""Transcripts: texts, times and confidences of segments and words, in whisper's JSON schema.

Facts of that schema which a reader of ours should know (openai/whisper, ``transcribe.py`` and its writers):

- Times are seconds from the start of the sound; ``avg_logprob`` is natural log probability per token.
- Whisper's subtitle writers join ``word`` strings without a separator, so each begins with a space.
  The ``text`` of a segment is stripped by them; ours has no space around it in the first place.
- ``temperature`` is 0.0: our search never samples. ``seek`` is 0: we do not slide a window over the sound.
- ``compression_ratio`` is bytes of UTF-8 text to bytes of its zlib form; above about 2.4 the text repeats.
- ``no_speech_prob`` is left out: our models estimate no such thing, and 0.0 would say "surely speech".
- A word without times has ``null`` for them; ``duration`` (seconds of sound) is as in OpenAI's verbose JSON.
- ``dropped`` is ours: the stretches, in seconds, that were left out since they are silent in themselves
  (:mod:`asr_seq2seq.audio.segmentation`), as ``{"start": 1.5, "end": 9.0}``. All else was given to the model.
- ``channel`` is ours, only where one channel was transcribed alone, and counts from 1 as ``--channel`` and
  ctm do.
- ``start`` is ours, only where a part was transcribed: the second at which it begins. All times are those of
  the whole sound, and ``duration`` is the length of the part.
- ``timing`` is ours: what the times of a segment's words rest on, or why they are not known.
- ``score`` is ours, of a text that was given and aligned: natural logarithm, 0 where it fits perfectly.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr_seq2seq.errors import CorpusError


@dataclass(frozen=True)
class Word:
    """A word, its start and end in seconds, and its probability; ``None`` where not known."""

    text: str
    start: float | None
    end: float | None
    confidence: float | None


@dataclass(frozen=True)
class Segment:
    """A stretch of speech from ``start`` to ``end`` seconds, with its text, token ids and words.

    ``timing`` says where the times of its words are from, or why they have none. ``attention``, where it
    was asked for, is (characters + 1, encoded frames), the end last; it is no part of the JSON. `score`
    tells how well a given text fits its sound, where one was aligned.
    """

    id: int
    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    avg_logprob: float
    words: tuple[Word, ...] = ()
    timing: str | None = None
    attention: npt.NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    score: float | None = None

    @property
    def confidence(self) -> float | None:
        """The expected share of right words, which is the words' mean confidence; None where not known."""
        known = [word.confidence for word in self.words if word.confidence is not None]
        return sum(known) / len(known) if known else None


@dataclass(frozen=True)
class Transcript:
    """The text of a whole sound and its segments; ``duration``, and ``dropped`` (start, end), in seconds.

    ``channel`` is the one that was transcribed alone, from 0, as in all of the Python interface; ``start`` is
    the second at which the part begins that was transcribed.

    >>> word = Word("hello", 0.1, 0.5, 0.9)
    >>> segment = Segment(0, 0.0, 0.6, "hello", (4, 5, 6, 6, 7), -0.2, (word,))
    >>> transcript = Transcript("hello", (segment,), "en", 0.6)
    >>> transcript.to_dict()["segments"][0]["words"]
    [{'word': ' hello', 'start': 0.1, 'end': 0.5, 'probability': 0.9}]
    >>> Transcript.from_dict(transcript.to_dict()) == transcript
    True
    """

    text: str
    segments: tuple[Segment, ...]
    language: str | None
    duration: float
    dropped: tuple[tuple[float, float], ...] = ()
    channel: int | None = None
    start: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return whisper's JSON object; ``words`` only in segments that have any."""
        channel = {} if self.channel is None else {"channel": self.channel + 1}
        return {
            "text": self.text,
            "segments": [_segment_to_dict(segment) for segment in self.segments],
            "language": self.language,
            "duration": self.duration,
            "dropped": [{"start": start, "end": end} for start, end in self.dropped],
            **channel,
            **({"start": self.start} if self.start else {}),
        }

    def save(self, path: str | Path) -> Path:
        """Write a file whose ending says the format: txt, srt, vtt, tsv, json or ctm; return its path.

        It is complete or absent. ``ConfigError`` for another ending, and for a ctm of words without times;
        ``OutputError`` where the file cannot be written.
        """
        from asr_seq2seq.writers import save  # which imports this module

        return save(self, Path(path))

    def written(self) -> "Transcript":
        """Return the same as people write English: numbers in digits, a capital and a full stop a segment.

        A word that stands for several has their first start, their last end and their least confidence. The
        rules and their limits are in :mod:`asr_seq2seq.text.written`.

        >>> Transcript("i have twenty two", (), None, 1.0).written().text
        'I have 22.'
        """
        from asr_seq2seq.text.written import write

        segments = tuple(_written(segment) for segment in self.segments)
        text = (
            " ".join(segment.text for segment in segments if segment.text) if segments else write(self.text)
        )
        return replace(self, text=text, segments=segments)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Transcript":
        """Return the transcript of a JSON object in whisper's schema, written by us or by another program.

        White space around texts is removed. Without ``duration`` the end of the last segment stands in.
        ``CorpusError`` if something that the schema demands is missing or of the wrong type.
        """
        try:
            segments = tuple(_segment_from_dict(entry) for entry in data["segments"])
            last = segments[-1].end if segments else 0.0
            dropped = tuple((float(span["start"]), float(span["end"])) for span in data.get("dropped", []))
            start = float(data.get("start") or 0.0)
            duration = float(data.get("duration", last - start))
            channel = int(data["channel"]) - 1 if data.get("channel") is not None else None
            text, language = data["text"].strip(), data.get("language")
            return cls(text, segments, language, duration, dropped, channel, start)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else "a value has the wrong type"
            raise CorpusError(
                f"this JSON is not a transcript in whisper's schema ({what}): "
                "give a file that transcribe wrote in the format json"
            ) from error


def _written(segment: Segment) -> Segment:
    from asr_seq2seq.text.written import tokens, write

    if [word.text for word in segment.words] != segment.text.split():
        return replace(segment, text=write(segment.text))  # words without places of their own
    words = []
    for token in tokens(segment.text.split()):
        parts = segment.words[token.first : token.stop]
        sure = [part.confidence for part in parts if part.confidence is not None]
        words.append(Word(token.text, parts[0].start, parts[-1].end, min(sure, default=None)))
    return replace(segment, text=" ".join(word.text for word in words), words=tuple(words))


def _segment_to_dict(segment: Segment) -> dict[str, Any]:
    encoded = segment.text.encode("utf-8")
    result: dict[str, Any] = {
        "id": segment.id,
        "seek": 0,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": 0.0,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": len(encoded) / len(zlib.compress(encoded)),
    }
    if segment.words:
        result["words"] = [
            {"word": " " + word.text, "start": word.start, "end": word.end, "probability": word.confidence}
            for word in segment.words
        ]
    if segment.timing is not None:
        result["timing"] = segment.timing
    if segment.score is not None:
        result["score"] = segment.score
    return result


def _segment_from_dict(entry: Mapping[str, Any]) -> Segment:
    words = tuple(
        Word(
            word["word"].strip(),
            _optional_float(word.get("start")),
            _optional_float(word.get("end")),
            _optional_float(word.get("probability")),
        )
        for word in entry.get("words", [])
    )
    return Segment(
        int(entry["id"]),
        float(entry["start"]),
        float(entry["end"]),
        entry["text"].strip(),
        tuple(int(token) for token in entry["tokens"]),
        float(entry["avg_logprob"]),
        words,
        entry.get("timing"),
        score=_optional_float(entry.get("score")),
    )


def _optional_float(value: float | None) -> float | None:
    return None if value is None else float(value)
