"""The form of a request: read in memory, with limits of size, number and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from asr_seq2seq.decoding.hotwords import split_hotwords
from asr_seq2seq.server.errors import ApiError
from asr_seq2seq.server.settings import ServerSettings

FORMATS = ("json", "text", "srt", "vtt", "verbose_json")
GRANULARITIES = ("segment", "word")
_FORM_BYTES = 256 * 1024  # what a request may hold beside the sound
_MODEL_OF_CLIENTS = "whisper-1"  # which some clients ask for and let nobody change
_CLOSE = {"Connection": "close"}  # what is still being sent is not read


class _MemoryParser(MultiPartParser):
    """Keeps all parts in memory: nothing of a request is written to a disk."""

    spool_max_size = 0  # no limit at which it is


@dataclass(frozen=True)
class TranscriptionForm:
    """A request for a transcript."""

    sound: bytes
    response_format: str
    granularities: tuple[str, ...]
    stream: bool
    hotwords: tuple[str, ...] = ()
    prompt: str = ""


async def read_form(request: Request, settings: ServerSettings) -> TranscriptionForm:
    """The form of a request for a transcript; ApiError for one that cannot be used, or comes too slowly."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise ApiError(400, "send the form as multipart/form-data, with the sound as file", "not_multipart")
    most = settings.upload_bytes + _FORM_BYTES
    parser = _MemoryParser(
        request.headers, _limited(request, most, settings.upload_bytes), max_files=1, max_fields=32,
        max_part_size=_FORM_BYTES,
    )  # fmt: skip
    try:
        async with asyncio.timeout(settings.receive_seconds):
            form = await parser.parse()
    except TimeoutError:
        seconds = f"{settings.receive_seconds:g} seconds"
        raise ApiError(408, f"the request did not arrive in {seconds}", "timeout", headers=_CLOSE) from None
    except (MultiPartException, FormParserError, UnicodeError):
        raise ApiError(400, "the form is no valid multipart/form-data", "bad_form", headers=_CLOSE) from None
    try:
        sound = form.get("file")
        if not isinstance(sound, UploadFile):
            raise ApiError(400, "the sound is missing: send it as file", "missing_file", param="file")
        fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
        return _checked(await sound.read(), fields, settings)
    finally:
        await form.close()


async def _limited(request: Request, most: int, shown: int) -> AsyncGenerator[bytes, None]:
    """The body of a request, no more than `most` bytes of it."""
    error = _too_large(shown, _CLOSE)
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and len(length) < 20 and int(length) > most:
        raise error
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > most:
            raise error
        yield chunk


def _too_large(most: int, headers: dict[str, str] | None = None) -> ApiError:
    what = f"an upload has at most {most / 2**20:g} MiB"
    return ApiError(413, what, "upload_too_large", param="file", headers=headers)


def _checked(sound: bytes, fields: list[tuple[str, str]], settings: ServerSettings) -> TranscriptionForm:
    if len(sound) > settings.upload_bytes:
        raise _too_large(settings.upload_bytes)
    if not sound:
        raise ApiError(400, "the sound is empty (0 bytes)", "unusable_sound", param="file")
    given = dict(fields)
    model = given.get("model", settings.model_name)
    if model not in (settings.model_name, _MODEL_OF_CLIENTS):
        known = f"this server has the model {settings.model_name}"
        raise ApiError(404, f"there is no such model: {known}", "model_not_found", param="model")
    response_format = given.get("response_format", "json")
    if response_format not in FORMATS:
        known = f"give one of {', '.join(FORMATS)}"
        raise ApiError(400, f"this response_format is unknown: {known}", "bad_value", param="response_format")
    names = ("timestamp_granularities[]", "timestamp_granularities")
    granularities = tuple(value for name, value in fields if name in names) or ("segment",)
    if not set(granularities) <= set(GRANULARITIES):
        what = "timestamp_granularities are segment and word"
        raise ApiError(400, what, "bad_value", param="timestamp_granularities")
    stream = given.get("stream", "false").lower()
    if stream not in ("true", "false", "1", "0"):
        raise ApiError(400, "stream is true or false", "bad_value", param="stream")
    return TranscriptionForm(
        sound,
        response_format,
        granularities,
        stream in ("true", "1"),
        split_hotwords(given.get("hotwords", "")),
        given.get("prompt", ""),
    )
