"""Errors in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from asr_seq2seq.errors import AsrError


class ApiError(Exception):
    """What a request did wrong, as its answer tells it."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        *,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The JSON object of the answer."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        if self.status == 429:
            kind = "rate_limit_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(self.body(), self.status, self.headers)


def unusable(error: AsrError) -> ApiError:
    """The answer for a sound that cannot be used."""
    return ApiError(400, str(error), "unusable_sound", param="file")


def too_busy() -> ApiError:
    """The answer while as many requests wait as may."""
    return ApiError(
        429,
        "too many requests are waiting: try again in a second",
        "too_many_requests",
        headers={"Retry-After": "1"},
    )


def internal() -> ApiError:
    """The answer for a bug of ours, which tells nothing of it."""
    return ApiError(500, "an error of the server: its log says more", "internal_error")
