"""Requests that nobody should send, at a server in a process of its own.

Mutated requests, uploads that are broken off, wrong content, wrong lengths, slow senders. Afterwards the
server has told of no exception, holds no connection, place, file or memory of them, and still transcribes.
"""

import os
import random
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mutate import mutate_bytes

SAMPLE = Path(__file__).parents[2] / "data" / "samples" / "digits_01.flac"
TEXT = SAMPLE.with_suffix(".txt").read_text().strip()
PARTS = (
    '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n',
    '--x\r\nContent-Disposition: form-data; name="file"; filename="{}"\r\nContent-Type: {}\r\n\r\n',
)
NAMES = (
    "model",
    "response_format",
    "stream",
    "temperature",
    "language",
    "prompt",
    "timestamp_granularities[]",
)
VALUES = (
    "digits",
    "json",
    "srt",
    "true",
    "\x00",
    "x" * 5000,
    "../../etc/passwd",
    "-1e999",
    "‮",
    "[]",
    "{}",
    "",
)


def good_body() -> bytes:
    """A request's form as it should be."""
    head = PARTS[0].format("model", "digits") + PARTS[1].format("a.flac", "audio/flac")
    return head.encode() + SAMPLE.read_bytes() + b"\r\n--x--\r\n"


def request(body: bytes, length: int | None = None, extra: str = "") -> bytes:
    """The bytes of a POST."""
    size = len(body) if length is None else length
    head = (
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {size}\r\n{extra}\r\n"
    )
    return head.encode("utf-8", "surrogateescape") + body


def hostile(chance: random.Random) -> bytes:
    """One request, or a part of one."""
    whole = request(good_body())
    match chance.randrange(9):
        case 0:
            return mutate_bytes(whole, chance)
        case 1:
            return whole[: chance.randrange(len(whole))]
        case 2:
            return request(good_body(), chance.choice((0, 1, 10**6, 10**12, -1)))
        case 3:
            return request(good_body(), extra="Transfer-Encoding: chunked\r\n")
        case 4:
            fields = "".join(PARTS[0].format(chance.choice(NAMES), chance.choice(VALUES)) for _ in range(20))
            return request(fields.encode("utf-8", "replace") + good_body())
        case 5:
            sound = chance.randbytes(chance.choice((0, 10, 3000)))
            head = PARTS[1].format(chance.choice(("a.wav", "../../x", "\x00", "a" * 4000)), "text/html")
            return request(head.encode() + sound + b"\r\n--x--\r\n")
        case 6:
            return request(good_body()[: chance.randrange(400)] + b"\r\n--x--\r\n")
        case 7:
            path = chance.choice(
                ("/", "/v1/models/..%2f..", "/metrics" + "?" * 9000, "/v1/realtime", "*", "/%00")
            )
            many = "".join(f"X-{number}: {'y' * 50}\r\n" for number in range(chance.choice((0, 10, 2000))))
            verb = chance.choice(("GET", "POST", "PUT", "DELETE", "OPTIONS", "BREW", "CONNECT"))
            return f"{verb} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{many}\r\n".encode()
        case _:
            return chance.randbytes(chance.choice((1, 100, 20_000)))


class Served:
    """A server in a process of its own, whose temporary folder is empty."""

    def __init__(self, folder: Path) -> None:
        self.temporary, self.said = folder / "temporary", folder / "stderr"
        self.temporary.mkdir()
        command = [
            sys.executable,
            "-m",
            "asr_seq2seq",
            "serve",
            "--model",
            "digits",
            "--port",
            "0",
            "--threads",
            "1",
        ]
        with self.said.open("wb") as said:
            place = os.environ | {"TMPDIR": str(self.temporary)}
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=place)
        deadline = time.monotonic() + 60
        while not (found := re.search(r"127\.0\.0\.1:(\d+)", self.said.read_text())):
            assert time.monotonic() < deadline and self.process.poll() is None, self.said.read_text()
            time.sleep(0.05)
        self.port = int(found[1])

    def send(self, content: bytes, *, slowly: bool = False) -> bytes:
        """Send bytes and return the first of the answer; nothing where the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            try:
                if slowly:
                    for start in range(0, min(len(content), 200), 20):
                        connection.sendall(content[start : start + 20])
                        time.sleep(0.005)
                else:
                    connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
                return connection.recv(100)
            except OSError:
                return b""

    def transcribed(self) -> bool:
        """Whether a request as it should be has the right answer."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(request(good_body()))
            while part := connection.recv(65536):
                answer += part
        return f'"{TEXT}"'.encode() in answer

    def files(self) -> int:
        """How many files and connections it holds open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def megabytes(self) -> float:
        """Its memory."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096 / 2**20

    def waiting(self) -> str:
        """The lines of its metrics that count what is held."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=20) as answer:
            text = answer.read().decode()
        return "\n".join(line for line in text.splitlines() if re.match("asr_(requests_held|live)", line))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server."""
    pytest.importorskip("starlette", reason="the extra `serve` is not installed")
    if not Path("/proc/self/fd").exists():
        pytest.skip("open files cannot be counted on this system")
    running = Served(tmp_path)
    yield running
    running.process.terminate()
    running.process.wait(30)


@pytest.mark.parametrize("count", [60, pytest.param(1000, id="many", marks=pytest.mark.slow)])
def test_a_server_survives(count: int, served: Served, request: pytest.FixtureRequest) -> None:
    if count > 100:
        count = request.config.getoption("--count") or count
    chance = random.Random(0)
    assert served.transcribed()
    for _ in range(count // 5):  # what it takes once
        served.send(hostile(chance))
    held, files, memory = served.waiting(), served.files(), served.megabytes()
    for number in range(count):
        served.send(hostile(chance), slowly=number % 10 == 0)
    assert served.transcribed()
    assert served.process.poll() is None
    said = served.said.read_text()
    assert "Traceback" not in said and "Error" not in said, said[-3000:]
    assert list(served.temporary.iterdir()) == []
    deadline = time.monotonic() + 20
    while served.files() > files and time.monotonic() < deadline:
        time.sleep(0.1)
    assert served.files() <= files
    assert served.waiting() == held
    print(f"{count} requests: {memory:.0f} MB before, {served.megabytes():.0f} after")
    assert served.megabytes() < 1.2 * memory + (0 if count > 100 else 40)
