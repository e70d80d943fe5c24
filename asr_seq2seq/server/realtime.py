"""Live transcription over a WebSocket, with the events of OpenAI's Realtime transcription."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from asr_seq2seq.errors import brief
from asr_seq2seq.inference.streaming import (
    PAUSE_SECONDS,
    Delta,
    Final,
    LiveStream,
    Partial,
    Started,
    Update,
    from_pcm16,
)
from asr_seq2seq.server.batching import BatchDecoder
from asr_seq2seq.server.errors import ApiError
from asr_seq2seq.server.settings import ServerSettings
from asr_seq2seq.transcript import Segment

_RATE = 24000  # of OpenAI's clients
_QUEUE = 256  # messages that wait to be worked on
_PARTIAL = "asr.partial"  # the one event of ours


class _Format(BaseModel):
    type: Literal["audio/pcm"] = "audio/pcm"
    rate: int = Field(_RATE, ge=8000, le=48000)


class _TurnDetection(BaseModel):
    type: Literal["server_vad"] = "server_vad"


class _Transcription(BaseModel):
    prompt: str = Field("", max_length=20_000)


class _Input(BaseModel):
    format: _Format = _Format()
    transcription: _Transcription | None = None
    turn_detection: _TurnDetection | None = _TurnDetection()


class _Audio(BaseModel):
    input: _Input = _Input()


class _Session(BaseModel):
    type: Literal["transcription"] = "transcription"
    audio: _Audio = _Audio()


class _Event(BaseModel):
    """What a client sends; only what its type needs is looked at."""

    type: str = Field(max_length=100)
    event_id: str | None = Field(None, max_length=512)
    session: _Session | None = None
    audio: str | None = None


class _Mistake(Exception):
    """What is wrong with an event, in a sentence; `code` is for programs."""

    def __init__(self, message: str, code: str, event_id: str | None = None) -> None:
        super().__init__(message)
        self.message, self.code, self.event_id = message, code, event_id


Fields = TypeVar("Fields", bound=BaseModel)
_Entry = bytes | _Event | _Mistake | None  # sound, an event, a wrong one, the end


class RealtimeSession:
    """One connection: a task receives, and `run` recognizes and answers."""

    def __init__(self, socket: WebSocket, decoder: BatchDecoder, settings: ServerSettings) -> None:
        self.socket, self.decoder, self.settings = socket, decoder, settings
        self.session, self.session_id = _Session(), _id("sess")
        self.live = LiveStream(decoder.recognizer, _RATE)
        self.entries: asyncio.Queue[_Entry] = asyncio.Queue(_QUEUE)
        self.item = _id("item")
        self.previous: str | None = None
        self.finals = 0
        self.silent = False  # whether the client sent nothing for long

    async def run(self) -> None:
        """Serve until the client goes away, or sends nothing for as long as a transcript may take."""
        protocols = self.socket.scope.get("subprotocols", [])
        await self.socket.accept("realtime" if "realtime" in protocols else None)
        receiver = asyncio.create_task(self._receive())
        try:
            await self._send("session.created", session=self._described())
            put_back: list[_Entry] = []
            while (entry := put_back.pop() if put_back else await self.entries.get()) is not None:
                while isinstance(entry, bytes) and not self.entries.empty():  # late: take all at once
                    following = self.entries.get_nowait()
                    if not isinstance(following, bytes):
                        if following is None and not self.silent:
                            return
                        put_back.append(following)
                        break
                    entry += following
                await self._handle(entry)
            if self.silent:
                await self.socket.close(1000, "nothing was sent for long")
        except WebSocketDisconnect:
            pass
        finally:
            receiver.cancel()
            await asyncio.gather(receiver, return_exceptions=True)

    async def _receive(self) -> None:
        try:
            while True:
                async with asyncio.timeout(self.settings.answer_seconds):
                    message = await self.socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                given = message.get("bytes")
                await self.entries.put(_parsed(message["text"]) if given is None else _samples(given))
        except TimeoutError:
            self.silent = True
        await self.entries.put(None)

    async def _handle(self, entry: bytes | _Event | _Mistake) -> None:
        try:
            if isinstance(entry, _Mistake):
                raise entry
            if isinstance(entry, bytes):
                samples = from_pcm16(entry)
                await self._update(lambda: list(self.live.feed(samples)))
            elif entry.type == "session.update":
                await self._change(entry)
            elif entry.type == "input_audio_buffer.commit":
                await self._commit(entry)
            elif entry.type == "input_audio_buffer.clear":
                self.live.clear()
                self.item = _id("item")
                await self._send("input_audio_buffer.cleared")
            else:
                what = f"events of the type {brief(entry.type)} are not known"
                raise _Mistake(what, "unknown_event", entry.event_id)
        except _Mistake as error:
            told = {"type": "invalid_request_error", "code": error.code, "message": error.message}
            await self._send("error", error={**told, "param": None, "event_id": error.event_id})

    async def _change(self, event: _Event) -> None:
        if event.session is not None:
            self.session = _merged(self.session, event.session)
        settings = self.session.audio.input
        pauses = settings.turn_detection is not None
        prompt = settings.transcription.prompt if settings.transcription is not None else ""
        try:
            guide = await self.decoder.guide((), prompt)
        except ApiError as error:
            raise _Mistake(error.message, "invalid_prompt", event.event_id) from None
        rate = settings.format.rate
        await self._update(lambda: list(self.live.change(rate, pauses=pauses, guide=guide)))
        await self._send("session.updated", session=self._described())

    async def _commit(self, event: _Event) -> None:
        before = self.finals
        await self._update(lambda: list(self.live.finish()))
        if self.finals == before and self.live.pauses is False:
            raise _Mistake("there is no sound to commit", "input_audio_buffer_commit_empty", event.event_id)

    async def _update(self, work: Callable[[], list[Update]]) -> None:
        """Do what decodes, in the thread for that, and tell what is new."""
        for update in await self.decoder.in_thread(work):
            await self._tell(update)

    async def _tell(self, update: Update) -> None:
        transcription = "conversation.item.input_audio_transcription"
        match update:
            case Started(seconds):
                milliseconds = round(1000 * seconds)
                await self._of_item("input_audio_buffer.speech_started", audio_start_ms=milliseconds)
            case Delta(text):
                await self._of_item(f"{transcription}.delta", content_index=0, delta=text)
            case Partial(text):
                await self._of_item(_PARTIAL, text=text)
            case Final(segment):
                milliseconds = round(1000 * segment.end)
                await self._of_item("input_audio_buffer.speech_stopped", audio_end_ms=milliseconds)
                await self._of_item("input_audio_buffer.committed", previous_item_id=self.previous)
                await self._of_item(
                    f"{transcription}.completed",
                    content_index=0,
                    transcript=segment.text,
                    usage={"type": "duration", "seconds": round(segment.end - segment.start, 3)},
                    words=_words(segment),
                )
                self.finals += 1
                self.previous, self.item = self.item, _id("item")

    async def _of_item(self, kind: str, **fields: Any) -> None:
        await self._send(kind, item_id=self.item, **fields)

    async def _send(self, kind: str, **fields: Any) -> None:
        event = {"type": kind, "event_id": _id("event"), **fields}
        await self.socket.send_text(json.dumps(event, allow_nan=False))

    def _described(self) -> dict[str, Any]:
        described = self.session.model_dump()
        found = described["audio"]["input"]
        prompt = found["transcription"] or {}
        found["transcription"] = {"model": self.settings.model_name, **prompt}
        if found["turn_detection"] is not None:
            found["turn_detection"]["silence_duration_ms"] = round(1000 * PAUSE_SECONDS)
        return {"id": self.session_id, "object": "realtime.transcription_session", **described}


def _merged(before: Fields, changes: Fields) -> Fields:
    """The settings `before` with those in their place that a client gave in `changes`."""
    given = {}
    for name in changes.model_fields_set:
        old, new = getattr(before, name), getattr(changes, name)
        both = isinstance(old, BaseModel) and isinstance(new, BaseModel)
        given[name] = _merged(old, new) if both else new
    return before.model_copy(update=given)


def _parsed(text: str) -> bytes | _Event | _Mistake:
    """An event, or the sound that it appends."""
    try:
        event = _Event.model_validate_json(text)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        what = f"this event cannot be used ({brief(place)})" if place else "this is no event in JSON"
        return _Mistake(what, "invalid_event")
    if event.type != "input_audio_buffer.append":
        return event
    try:
        return _samples(base64.b64decode(event.audio or "", validate=True))
    except ValueError:  # binascii.Error, or another where it is not ASCII
        return _Mistake("audio must be base64", "invalid_audio", event.event_id)


def _samples(sound: bytes) -> bytes | _Mistake:
    if len(sound) % 2:
        return _Mistake("audio must be samples of 16 bits: the number of bytes is odd", "invalid_audio")
    return sound


def _words(segment: Segment) -> list[dict[str, Any]]:
    return [
        {"word": word.text, "start": word.start, "end": word.end, "probability": word.confidence}
        for word in segment.words
    ]


def _id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"
