import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from asr_seq2seq.inference.recognizer import Recognizer
from asr_seq2seq.server.app import create_app
from asr_seq2seq.server.running import server
from asr_seq2seq.server.settings import ServerSettings

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "data" / "samples").glob("*.flac"))
KEY = "a key"


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    return Recognizer.load("digits", threads=1)


@contextmanager
def running(recognizer: Recognizer, **settings: Any) -> Iterator[str]:
    """A server in a thread; its address."""
    run = server(create_app(recognizer, ServerSettings(model_name="digits", **settings)), "127.0.0.1", 0)
    thread = threading.Thread(target=run.run)
    thread.start()
    try:
        while not run.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{run.servers[0].sockets[0].getsockname()[1]}"
    finally:
        run.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def serve(recognizer: Recognizer) -> Iterator[Callable[..., str]]:
    """Start a server with settings; it ends with the tests."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running(recognizer, **settings))


@pytest.fixture(scope="session")
def address(serve: Callable[..., str]) -> str:
    return serve(api_key=KEY)


@pytest.fixture(scope="session")
def client(address: str) -> Any:
    openai = pytest.importorskip("openai", reason="the official client is not installed")
    return openai.OpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0)
