"""The verb `serve`."""

from __future__ import annotations

import os
import socket as sockets
from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq import bundled
from asr_seq2seq.cli.options import (
    BatchSize,
    BeamSize,
    ComputeType,
    Hotwords,
    NoSpeechThreshold,
    OptionalModel,
    PhraseList,
    Threads,
    expected,
)
from asr_seq2seq.errors import ConfigError, brief
from asr_seq2seq.extras import needed
from asr_seq2seq.messages import message
from asr_seq2seq.signals import while_importing


def serve(
    model: OptionalModel = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for every one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="ASR_SEQ2SEQ_API_KEY", help="Key that requests need; best in the environment."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Name in the Host header that is answered to; repeatable.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="Origin whose pages may use the server; repeatable.")
    ] = None,
    max_upload: Annotated[int, typer.Option(min=1, help="Largest upload in MiB.")] = 25,
    max_seconds: Annotated[float, typer.Option(min=1, help="Longest sound in seconds.")] = 7200,
    max_waiting: Annotated[int, typer.Option(min=1, help="Requests held at once; others get 429.")] = 64,
    batch_size: BatchSize = 16,
    beam_size: BeamSize = None,
    hotwords: Hotwords = None,
    phrases: PhraseList = None,
    no_speech_threshold: NoSpeechThreshold = None,
    compute_type: ComputeType = "float32",
    threads: Threads = None,
) -> None:
    """Serve a model over HTTP, as OpenAI's speech API.

    SIGINT and SIGTERM finish what runs.
    """
    with while_importing(), needed("serve", "serve"):
        from asr_seq2seq.inference.recognizer import Recognizer
        from asr_seq2seq.server.app import create_app
        from asr_seq2seq.server.running import server
        from asr_seq2seq.server.settings import LOCAL_HOSTS, ServerSettings
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key.strip()):
        raise ConfigError("the API key is empty or has characters that no header can carry: choose another")
    decoding = {"beam_size": beam_size, "no_speech_threshold": no_speech_threshold}
    recognizer = Recognizer.load(
        model,
        compute_type=compute_type,
        threads=threads,
        decoding=decoding | expected(hotwords, phrases),
        batch_size=batch_size,
    )
    settings = ServerSettings(
        model_name=Path(model or bundled.DEFAULT).stem,
        api_key=api_key,
        upload_bytes=max_upload * 2**20,
        sound_seconds=max_seconds,
        waiting=max_waiting,
        hosts=tuple(name.lower() for name in (*LOCAL_HOSTS, host, *(allow_host or ()))),
        origins=tuple(allow_origin or ()),
    )
    running = server(create_app(recognizer, settings), host, port)
    with _bound(host, port) as socket:
        message(f"serving {settings.model_name} at http://{_shown(host)}:{socket.getsockname()[1]}")
        running.run([socket])


def _bound(host: str, port: int) -> sockets.socket:
    """A socket that listens; ConfigError where the address cannot be had."""
    try:
        family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
        return sockets.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else "no such address"
        where = f"{brief(host)} port {port}"
        raise ConfigError(f"cannot listen at {where} ({why}): give another --host or --port") from None


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
