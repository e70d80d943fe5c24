"""Who may use the server: the Host and Origin of a request, and its key."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from asr_seq2seq.server.errors import ApiError
from asr_seq2seq.server.settings import ServerSettings

KEY_PROTOCOL = "openai-insecure-api-key."  # how pages name their key, which can set no header
_KEYED = ("/v1/", "/metrics")


class Guard:
    """Answers itself what must not reach the application.

    A request for a host that is not served comes from a page whose name was pointed here; one from another
    site's page has an Origin that is not the host's own.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        error = self._error(scope["path"], headers)
        if error is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await error.response()(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": error.message[:100]})

    def _error(self, path: str, headers: Headers) -> ApiError | None:
        host = headers.get("host", "")
        name = _name(f"//{host}")
        if self.settings.hosts and (name is None or name.lower() not in self.settings.hosts):
            return ApiError(403, "this host is not served here: start with --allow-host", "host_not_allowed")
        origin = headers.get("origin")
        own = (f"http://{host}", f"https://{host}")
        if origin is not None and origin not in (*own, *self.settings.origins):
            return ApiError(403, "pages of other sites may not use this server", "origin_not_allowed")
        if self.settings.api_key is not None and path.startswith(_KEYED) and not self._has_key(headers):
            return ApiError(
                401,
                "the API key is missing or wrong",
                "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return None

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            protocols = [one.strip() for one in headers.get("sec-websocket-protocol", "").split(",")]
            named = [one.removeprefix(KEY_PROTOCOL) for one in protocols if one.startswith(KEY_PROTOCOL)]
            key = named[0] if named else ""
        expected = self.settings.api_key or ""
        return hmac.compare_digest(key.strip().encode(), expected.encode())


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # an IPv6 address without its end
        return None
