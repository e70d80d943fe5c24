"""The application: OpenAI's speech API on a recognizer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asr_seq2seq.decoding.guides import Guide
from asr_seq2seq.errors import AsrError
from asr_seq2seq.inference.recognizer import Job, Recognizer
from asr_seq2seq.server.answers import answer, event
from asr_seq2seq.server.batching import BatchDecoder
from asr_seq2seq.server.errors import ApiError, internal, too_busy, unusable
from asr_seq2seq.server.guard import Guard
from asr_seq2seq.server.metrics import Metrics
from asr_seq2seq.server.realtime import RealtimeSession
from asr_seq2seq.server.settings import ServerSettings
from asr_seq2seq.server.static import page_routes
from asr_seq2seq.server.uploads import TranscriptionForm, read_form
from asr_seq2seq.transcript import Transcript

_GONE = Response(status_code=499)  # nobody reads it
Endpoint = Callable[[Request], Awaitable[Response]]


class Service:
    """What the endpoints share: the decoder, and how many requests are held."""

    def __init__(self, recognizer: Recognizer, settings: ServerSettings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.decoder = BatchDecoder(recognizer, settings, self.metrics)
        self.held = self.live = 0

    def take_place(self) -> None:
        """Hold one more request; ApiError 429 where as many are held as may be."""
        if self.held >= self.settings.waiting:
            raise too_busy()
        self.held += 1
        self.metrics.waiting.set(self.held)

    def free_place(self) -> None:
        """Hold one request less."""
        self.held -= 1
        self.metrics.waiting.set(self.held)

    async def transcriptions(self, request: Request) -> Response:
        """`POST /v1/audio/transcriptions`."""
        begin = time.monotonic()
        self.take_place()
        streams = False
        try:
            form = await read_form(request, self.settings)
            guide = await self.decoder.guide(form.hotwords, form.prompt)
            if form.stream:
                streams = True
                return StreamingResponse(self._events(form, guide), media_type="text/event-stream")
            with _as_answers():
                transcript = await self._unless_gone(request, form, guide)
            if transcript is None:
                return _GONE
            self.metrics.latency.observe(time.monotonic() - begin)
            return answer(transcript, form)
        finally:
            if not streams:
                self.free_place()

    async def _unless_gone(
        self, request: Request, form: TranscriptionForm, guide: Guide
    ) -> Transcript | None:
        """The transcript; None where the client goes away before, which ends the work."""
        work = asyncio.create_task(self.decoder.transcribe(form.sound, guide))
        gone = asyncio.create_task(_disconnected(request))
        try:
            async with asyncio.timeout(self.settings.answer_seconds):
                await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else None
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def _events(self, form: TranscriptionForm, guide: Guide) -> AsyncIterator[str]:
        """The events of a transcript that is told segment by segment."""
        job = Job(guide=guide)
        try:
            with _as_answers():
                async with (
                    asyncio.timeout(self.settings.answer_seconds),
                    aclosing(self.decoder.segments(form.sound, job)) as segments,  # type: ignore[type-var]
                ):
                    first = True
                    async for segment in segments:
                        if segment.text:
                            delta = segment.text if first else " " + segment.text
                            first = False
                            yield event({"type": "transcript.text.delta", "delta": delta})
            self.metrics.sound_seconds.inc(job.seconds)
            yield event({"type": "transcript.text.done", "text": job.transcript().text})
        except ApiError as error:
            yield event(error.body())
        finally:
            self.free_place()

    async def realtime(self, socket: WebSocket) -> None:
        """`/v1/realtime`."""
        if self.live >= self.settings.live:
            await socket.close(1013, "too many live sessions are open: try again later")
            return
        self.live += 1
        self.metrics.live.set(self.live)
        try:
            await RealtimeSession(socket, self.decoder, self.settings).run()
        finally:
            self.live -= 1
            self.metrics.live.set(self.live)

    async def models(self, _: Request) -> Response:
        """`GET /v1/models`."""
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        """`GET /v1/models/NAME`."""
        if request.path_params["name"] != self.settings.model_name:
            raise ApiError(404, "there is no such model", "model_not_found", param="model")
        return JSONResponse(self._model())

    async def health(self, _: Request) -> Response:
        """`GET /health`."""
        return JSONResponse({"status": "ok"})

    async def counters(self, _: Request) -> Response:
        """`GET /metrics`."""
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    def _model(self) -> dict[str, str | int]:
        return {"id": self.settings.model_name, "object": "model", "created": 0, "owned_by": "asr_seq2seq"}

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Decode while the application runs."""
        task = asyncio.create_task(self.decoder.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.decoder.close()


def create_app(recognizer: Recognizer, settings: ServerSettings | None = None) -> Starlette:
    """The ASGI application that serves a recognizer."""
    service = Service(recognizer, settings or ServerSettings())

    def counted(path: str, endpoint: Endpoint, method: str) -> Route:
        async def run(request: Request) -> Response:
            status = 500
            try:
                response = await endpoint(request)
                status = response.status_code
                return response
            except ApiError as error:
                status = error.status
                raise
            except ClientDisconnect:
                status = _GONE.status_code
                return _GONE
            finally:
                service.metrics.requests.labels(path, str(status)).inc()

        return Route(path, run, methods=[method])

    routes = [
        counted("/v1/audio/transcriptions", service.transcriptions, "POST"),
        counted("/v1/models", service.models, "GET"),
        counted("/v1/models/{name}", service.model, "GET"),
        counted("/health", service.health, "GET"),
        counted("/metrics", service.counters, "GET"),
        WebSocketRoute("/v1/realtime", service.realtime),
        *page_routes(),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, settings=service.settings)],
        exception_handlers={ApiError: _told, HTTPException: _http_error, Exception: _bug},
        lifespan=service.lifespan,
    )


@contextmanager
def _as_answers() -> Iterator[None]:
    """What can be wrong with a sound, or last too long, as an ApiError."""
    try:
        yield
    except AsrError as error:
        raise unusable(error) from None
    except TimeoutError:
        raise ApiError(503, "the transcript took too long: send shorter sound", "timeout") from None


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    message = {404: "there is nothing at this address", 405: "this address takes another method"}
    text = message.get(status, "the request cannot be used")
    return ApiError(status, text, "bad_request", headers=dict(error.headers or {})).response()


async def _bug(_: Request, __: Exception) -> Response:
    return internal().response()
