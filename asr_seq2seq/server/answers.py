"""A transcript as OpenAI's clients read it."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from asr_seq2seq.server.uploads import TranscriptionForm
from asr_seq2seq.transcript import Transcript
from asr_seq2seq.writers import to_srt, to_vtt


def answer(transcript: Transcript, form: TranscriptionForm) -> Response:
    """The answer in the format that was asked for."""
    match form.response_format:
        case "text":
            return PlainTextResponse(transcript.text + "\n")
        case "srt":
            return PlainTextResponse(to_srt(transcript))
        case "vtt":
            return Response(to_vtt(transcript), media_type="text/vtt")
        case "verbose_json":
            return JSONResponse(_verbose(transcript, form.granularities))
    usage = {"type": "duration", "seconds": round(transcript.duration, 3)}
    return JSONResponse({"text": transcript.text, "usage": usage})


def _verbose(transcript: Transcript, granularities: tuple[str, ...]) -> dict[str, Any]:
    """OpenAI's verbose object; `probability` of words is ours, times are null where they are not known."""
    data = transcript.to_dict()
    segments = data["segments"]
    result: dict[str, Any] = {
        "task": "transcribe",
        "language": transcript.language or "unknown",
        "duration": transcript.duration,
        "text": transcript.text,
    }
    if "word" in granularities:
        words = [word for segment in segments for word in segment.get("words", [])]
        result["words"] = [{**word, "word": word["word"].strip()} for word in words]
    if "segment" in granularities:
        result["segments"] = [
            {name: value for name, value in segment.items() if name != "words"} for segment in segments
        ]
    return result


def event(data: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(data, allow_nan=False)}\n\n"
