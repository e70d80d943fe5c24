import http.client
import io
import json
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

from asr_seq2seq.inference.recognizer import Recognizer
from asr_seq2seq.server import running
from asr_seq2seq.writers import to_srt, to_vtt

openai = pytest.importorskip("openai", reason="the official client is not installed")
SAMPLES = sorted((Path(__file__).resolve().parents[2] / "data" / "samples").glob("*.flac"))
KEY = {"Authorization": "Bearer a key"}


def _form(fields: dict[str, str], sound: bytes | None) -> tuple[bytes, str]:
    lines = b""
    for name, value in fields.items():
        lines += f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    if sound is not None:
        lines += b'--b\r\nContent-Disposition: form-data; name="file"; filename="../../x"\r\n\r\n' + sound
        lines += b"\r\n"
    return lines + b"--b--\r\n", "multipart/form-data; boundary=b"


def _post(
    address: str, body: bytes, kind: str, headers: dict[str, str] = KEY
) -> tuple[int, dict[str, Any], Any]:
    url = f"{address}/v1/audio/transcriptions"
    request = urllib.request.Request(url, body, {"Content-Type": kind, **headers}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read()), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), error.headers


def test_every_format_has_the_transcript_of_the_file(client: Any, recognizer: Recognizer) -> None:
    wanted = recognizer.transcribe(SAMPLES[1])
    send = client.audio.transcriptions.create
    assert send(model="digits", file=SAMPLES[1]).text == wanted.text
    assert send(model="whisper-1", file=SAMPLES[1], response_format="text") == wanted.text + "\n"
    assert send(model="digits", file=SAMPLES[1], response_format="srt") == to_srt(wanted)
    assert send(model="digits", file=SAMPLES[1], response_format="vtt") == to_vtt(wanted)
    both: Any = ["word", "segment"]
    found = send(
        model="digits", file=SAMPLES[1], response_format="verbose_json", timestamp_granularities=both
    )
    assert found.text == wanted.text and found.duration == wanted.duration
    words = [word for segment in wanted.segments for word in segment.words]
    assert [(w.word, w.start, w.end) for w in found.words] == [(w.text, w.start, w.end) for w in words]
    assert [s.text for s in found.segments] == [s.text for s in wanted.segments]


def test_requests_of_many_clients_at_once_have_their_own_texts(client: Any, recognizer: Recognizer) -> None:
    sounds = SAMPLES * 4
    with ThreadPoolExecutor(len(sounds)) as pool:
        texts = pool.map(
            lambda file: client.audio.transcriptions.create(model="digits", file=file).text, sounds
        )
        assert list(texts) == [one.text for one in recognizer.transcribe(list(SAMPLES))] * 4


def test_requests_of_different_hot_words_have_their_own_texts(client: Any, recognizer: Recognizer) -> None:
    """Sent at once, so that they are decoded in one batch; a prompt may be any text."""
    forms: list[dict[str, Any]] = [
        {},
        {"extra_body": {"hotwords": "nine:20"}},
        {"prompt": "oh:20, Meeting of 2026-11-29 about a great many things, four:20"},
        {"extra_body": {"hotwords": "one two three four five:8"}, "prompt": "zero:20"},
    ]
    given = [(), ("nine:20",), ("oh:20", "four:20"), ("one two three four five:8", "zero:20")]

    def send(number: int) -> str:
        create = client.audio.transcriptions.create
        return str(create(model="digits", file=SAMPLES[number % len(SAMPLES)], **forms[number // 8]).text)

    with ThreadPoolExecutor(32) as pool:
        texts = list(pool.map(send, range(32)))
    wanted = [
        recognizer.transcribe(SAMPLES[n % len(SAMPLES)], hotwords=given[n // 8]).text for n in range(32)
    ]
    assert texts == wanted
    assert wanted[:8] != wanted[8:16] != wanted[16:24] != wanted[24:]


def test_hot_words_that_cannot_be_used_are_told(client: Any) -> None:
    openai = pytest.importorskip("openai")
    for words in ("n1ne", "nine:0"):
        with pytest.raises(openai.BadRequestError) as caught:
            client.audio.transcriptions.create(
                model="digits", file=SAMPLES[0], extra_body={"hotwords": words}
            )
        assert caught.value.body["param"] == "hotwords" and "hot word" in caught.value.body["message"]


def test_long_sound_is_told_segment_by_segment(client: Any, recognizer: Recognizer) -> None:
    samples = [soundfile.read(file, dtype="float32")[0] for file in SAMPLES * 3]
    sound = io.BytesIO()
    soundfile.write(sound, np.concatenate(samples), soundfile.info(SAMPLES[0]).samplerate, format="WAV")
    wanted = recognizer.transcribe(sound.getvalue())
    given = ("x.wav", sound.getvalue())
    events = list(client.audio.transcriptions.create(model="digits", file=given, stream=True))
    assert len(wanted.segments) > 1
    assert [event.type for event in events[:-1]] == ["transcript.text.delta"] * len(wanted.segments)
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == wanted.text
    assert client.audio.transcriptions.create(model="digits", file=given).text == wanted.text


def test_what_is_wrong_with_a_sound_is_told_in_the_stream(client: Any) -> None:
    with pytest.raises(openai.APIError, match="sound"):
        list(client.audio.transcriptions.create(model="digits", file=("x.wav", b"no sound"), stream=True))


def test_models(client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["digits"]
    assert client.models.retrieve("digits").id == "digits"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_mistakes_are_answered_in_the_form_of_the_api(client: Any) -> None:
    send = client.audio.transcriptions.create
    with pytest.raises(openai.NotFoundError) as missing:
        send(model="other", file=SAMPLES[0])
    assert missing.value.code == "model_not_found" and missing.value.param == "model"
    with pytest.raises(openai.BadRequestError) as bad:
        send(model="digits", file=("x.wav", b"RIFF this is no sound"))
    assert bad.value.code == "unusable_sound" and "/" not in bad.value.body["message"]
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="a kez").models.list()


@pytest.mark.parametrize(
    ("fields", "sound", "code"),
    [
        ({"model": "digits"}, None, "missing_file"),
        ({"model": "digits"}, b"", "unusable_sound"),
        ({"response_format": "xml"}, b"x", "bad_value"),
        ({"stream": "maybe"}, b"x", "bad_value"),
        ({"timestamp_granularities[]": "page"}, b"x", "bad_value"),
        ({"prompt": "x" * 300_000}, b"x", "bad_form"),
        ({f"f{number}": "x" for number in range(40)}, b"x", "bad_form"),
        ({"file": "text"}, None, "missing_file"),
    ],
)
def test_forms_that_cannot_be_used(
    address: str, fields: dict[str, str], sound: bytes | None, code: str
) -> None:
    status, body, _ = _post(address, *_form(fields, sound))
    assert (status, body["error"]["code"]) == (400, code)


def test_bodies_that_are_no_forms(address: str) -> None:
    assert _post(address, b"{}", "application/json")[1]["error"]["code"] == "not_multipart"
    assert _post(address, b"{}", "multipart/form-data")[1]["error"]["code"] == "bad_form"
    for body in (b"--b\r\nrubbish", b"--b\r\nContent-Disposition: form-data; name=\rfile\r\n\r\nx\r\n--b--"):
        assert _post(address, body, "multipart/form-data; boundary=b")[0] == 400


def test_only_hosts_origins_and_keys_that_are_known_get_in(address: str) -> None:
    body, kind = _form({}, SAMPLES[0].read_bytes())
    assert _post(address, body, kind)[0] == 200
    assert _post(address, body, kind, KEY | {"Origin": address})[0] == 200
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic a key"}):
        assert _post(address, body, kind, headers)[0] == 401
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
        status, _, answered = _post(address, body, kind, KEY | headers)
        assert status == 403 and "Access-Control-Allow-Origin" not in answered
    with urllib.request.urlopen(f"{address}/health") as health:
        assert json.loads(health.read()) == {"status": "ok"}


def test_limits(serve: Callable[..., str], recognizer: Recognizer) -> None:
    small = serve(upload_bytes=100_000, sound_seconds=5.0, receive_seconds=0.5, waiting=1)
    quiet = io.BytesIO()
    soundfile.write(quiet, np.full(8000 * 10, 0.1), 8000, format="FLAC")
    assert _post(small, *_form({}, quiet.getvalue()))[1]["error"]["code"] == "sound_too_long"
    assert _post(small, *_form({}, b"x" * 100_001))[1]["error"]["code"] == "upload_too_large"
    place = urlsplit(small)
    slow = http.client.HTTPConnection(place.netloc)
    slow.putrequest("POST", "/v1/audio/transcriptions")
    slow.putheader("Content-Type", "multipart/form-data; boundary=b")
    slow.putheader("Content-Length", "90000")
    slow.endheaders(b"--b\r\n")
    time.sleep(0.2)
    status, body, headers = _post(small, *_form({}, SAMPLES[0].read_bytes()), {})
    assert (status, headers["Retry-After"]) == (429, "1") and body["error"]["type"] == "rate_limit_error"
    assert slow.getresponse().status == 408
    assert (
        _post(small, *_form({}, SAMPLES[0].read_bytes()))[1]["text"] == recognizer.transcribe(SAMPLES[0]).text
    )


def test_a_client_that_goes_away_frees_its_place(serve: Callable[..., str]) -> None:
    address = serve(waiting=2)
    place = urlsplit(address)
    samples = np.random.default_rng(0).standard_normal(8000 * 120) * 0.1
    sound = io.BytesIO()
    soundfile.write(sound, samples, 8000, format="WAV")
    body, kind = _form({}, sound.getvalue())
    head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: {kind}\r\n"
    for sent in (body[:1000], body):
        with socket.create_connection((place.hostname, place.port)) as raw:
            raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + sent)
            time.sleep(0.1)
    deadline = time.monotonic() + 10
    while True:
        counters = urllib.request.urlopen(f"{address}/metrics").read().decode()
        if "asr_requests_held 0.0" in counters and counters.count('status="499"') == 2:
            break
        assert time.monotonic() < deadline, counters
        time.sleep(0.05)


def test_connections_that_send_no_request_are_closed(
    serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "HEADER_SECONDS", 0.2)
    place = urlsplit(serve())
    with socket.create_connection((place.hostname, place.port), timeout=10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert raw.recv(1000) == b""


def test_uploads_lie_in_no_file(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    opened = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *a, **k: made.append(a) or opened(*a, **k))
    rollover = tempfile.SpooledTemporaryFile.rollover
    monkeypatch.setattr(
        tempfile.SpooledTemporaryFile, "rollover", lambda one: made.append(1) or rollover(one)
    )
    assert _post(address, *_form({}, b"x" * 3_000_000))[0] == 400
    assert _post(address, *_form({}, SAMPLES[0].read_bytes()))[0] == 200
    assert not made


def test_what_runs_is_finished_when_the_server_stops(recognizer: Recognizer) -> None:
    from asr_seq2seq.server.app import create_app
    from asr_seq2seq.server.settings import ServerSettings

    run = running.server(create_app(recognizer, ServerSettings(batch_delay=0.5)), "127.0.0.1", 0)
    thread = threading.Thread(target=run.run)
    thread.start()
    while not run.started:
        time.sleep(0.01)
    address = f"http://127.0.0.1:{run.servers[0].sockets[0].getsockname()[1]}"
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_post, address, *_form({}, SAMPLES[0].read_bytes()))
        time.sleep(0.2)
        run.should_exit = True
        assert answer.result()[1]["text"] == recognizer.transcribe(SAMPLES[0]).text
    thread.join(10)
    assert not thread.is_alive()
