"""Throughput and latency of `serve` under load, beside the batch command's `transcribe_each`.

Example: python benchmarks/serving.py --clients 1 16 50 --requests 400 data/samples/*.flac
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from asr_seq2seq import audio
from asr_seq2seq.inference.recognizer import Recognizer


def main() -> None:
    """Measure, and print a row for each number of clients."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", default="digits")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 50])
    options = parser.parse_args()
    sounds = list(itertools.islice(itertools.cycle(options.files), options.requests))
    seconds = sum(audio.duration(one) for one in sounds)
    recognizer = Recognizer.load(options.model, threads=options.threads)
    recognizer.transcribe(sounds[0])
    begin = time.perf_counter()
    wanted = [one.text for one in recognizer.transcribe(tuple(sounds))]
    batch = seconds / (time.perf_counter() - begin)
    print(f"batch: {batch:.0f} seconds of sound per second", flush=True)
    with running_server(options.model, options.threads) as (port, process):
        for clients in options.clients:
            before = _memory(process)
            begin = time.perf_counter()
            with ThreadPoolExecutor(clients) as pool:
                found = list(pool.map(lambda one: _send(port, one), sounds))
            rate = seconds / (time.perf_counter() - begin)
            times = sorted(latency for _, latency in found)
            assert [text for text, _ in found] == wanted
            print(
                f"{clients} clients: {rate:.0f} seconds of sound per second ({100 * rate / batch:.0f} %), "
                f"{rate * len(sounds) / seconds:.0f} requests per second, latency median "
                f"{statistics.median(times):.3f} s, 95th {times[int(0.95 * len(times))]:.3f} s, "
                f"memory {before:.0f} -> {_memory(process):.0f} MB",
                flush=True,
            )


@contextmanager
def running_server(model: str, threads: int) -> Iterator[tuple[int, int]]:
    """`serve` in a process of its own, until it answers; its port and its number."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "asr_seq2seq", "serve", "--model", model, "--port", str(port)]
    server = subprocess.Popen([*command, "--threads", str(threads)], stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait()


def _send(port: int, sound: Path) -> tuple[str, float]:
    """The text of a sound, and the seconds that the answer took."""
    head = b'--b\r\nContent-Disposition: form-data; name="response_format"\r\n\r\ntext\r\n'
    head += b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    body = head + sound.read_bytes() + b"\r\n--b--\r\n"
    begin = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    connection.request("POST", "/v1/audio/transcriptions", body, kind)
    answer = connection.getresponse()
    text = answer.read().decode().removesuffix("\n")
    assert answer.status == 200, text
    connection.close()
    return text, time.perf_counter() - begin


def _wait(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.1)


def _memory(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
