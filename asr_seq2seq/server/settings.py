"""What a server allows: its limits, its key, and who may use it."""

from __future__ import annotations

from dataclasses import dataclass, field

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServerSettings:
    """Limits and guards of a server; sizes in bytes, times in seconds.

    `waiting` requests are held at once, each with at most `upload_bytes` of sound in memory. `hosts` are
    the names in the Host header that are answered to, none for every one; `origins` are those of other
    sites whose pages may use the server. Without `api_key` nobody needs one.
    """

    model_name: str = "asr_seq2seq"
    api_key: str | None = None
    upload_bytes: int = 25 * 1024 * 1024
    sound_seconds: float = 2 * 3600.0
    waiting: int = 64
    live: int = 8
    receive_seconds: float = 60.0
    answer_seconds: float = 600.0
    batch_delay: float = 0.02
    hosts: tuple[str, ...] = LOCAL_HOSTS
    origins: tuple[str, ...] = field(default=())
