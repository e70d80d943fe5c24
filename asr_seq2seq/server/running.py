"""Run the application until a signal ends it."""

from __future__ import annotations

import asyncio

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 15.0  # in which a connection has to send the head of a request
_GRACE_SECONDS = 60  # in which what runs is finished, when the server is stopped
_LARGEST_MESSAGE = 2**20  # bytes, over a WebSocket
_CONNECTIONS = 512


class _TimedProtocol(H11Protocol):
    """Closes connections that send no request, or its head too slowly."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch a connection."""
        super().connection_made(transport)
        self._idle = False
        self._timer = self.loop.call_later(HEADER_SECONDS, self._watch)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go at once of all that was sent, which the timer would hold."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return  # closed, or a WebSocket now
        busy = self.cycle is not None and not self.cycle.response_complete
        if not busy and self._idle:
            self.transport.close()
            return
        self._idle = not busy
        self._timer = self.loop.call_later(HEADER_SECONDS / 2, self._watch)


def server(app: Starlette, host: str, port: int) -> uvicorn.Server:
    """A server that is not started yet; SIGINT and SIGTERM let it finish what runs."""
    config = uvicorn.Config(
        app,
        host,
        port,
        http=_TimedProtocol,
        ws="websockets-sansio",
        ws_max_size=_LARGEST_MESSAGE,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        lifespan="on",
        proxy_headers=False,
    )
    return uvicorn.Server(config)
