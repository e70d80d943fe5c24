import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr_seq2seq.inference.recognizer import Recognizer

openai = pytest.importorskip("openai", reason="the official client is not installed")
websockets = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
SAMPLE = Path(__file__).resolve().parents[2] / "data" / "samples" / "digits_02.flac"
KINDS = "conversation.item.input_audio_transcription"


def pcm(pause: float = 0.8) -> tuple[bytes, int]:
    samples, rate = soundfile.read(SAMPLE, dtype="int16")
    quiet = np.zeros(int(pause * rate), np.int16)
    return np.concatenate([quiet, samples, quiet]).astype("<i2").tobytes(), rate


def settings(rate: int, detection: Any = None) -> dict[str, Any]:
    found = {"format": {"type": "audio/pcm", "rate": rate}, "turn_detection": detection}
    found["transcription"] = {"model": "digits", "prompt": "any words, or none"}
    return {"type": "transcription", "audio": {"input": found}}


def test_the_official_client_gets_the_text(client: Any, recognizer: Recognizer) -> None:
    sound, rate = pcm()
    wanted = recognizer.transcribe(SAMPLE).text
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        assert connection.recv().type == "session.created"
        connection.session.update(session=settings(rate, {"type": "server_vad"}))
        updated = connection.recv()
        assert updated.type == "session.updated" and updated.session.audio.input.format.rate == rate
        assert updated.session.audio.input.transcription.model == "digits"
        for begin in range(0, len(sound), rate // 5):
            block = base64.b64encode(sound[begin : begin + rate // 5]).decode()
            connection.input_audio_buffer.append(audio=block)
        kinds, text = [], ""
        while not kinds or kinds[-1] != f"{KINDS}.completed":
            event = connection.recv()
            kinds.append(event.type)
            if event.type == f"{KINDS}.delta":
                text += event.delta
        assert event.transcript == text == wanted
        assert [word["word"] for word in event.words] == wanted.split()
        assert kinds[0] == "input_audio_buffer.speech_started"
        assert kinds[-3:-1] == ["input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]


def test_without_detection_a_commit_ends_the_segment(client: Any, recognizer: Recognizer) -> None:
    sound, rate = pcm(0)
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session=settings(rate))
        connection.input_audio_buffer.append(audio=base64.b64encode(sound).decode())
        connection.input_audio_buffer.clear()
        connection.input_audio_buffer.commit()
        connection.input_audio_buffer.append(audio=base64.b64encode(sound).decode())
        connection.input_audio_buffer.commit()
        events = [connection.recv()]
        while events[-1].type != f"{KINDS}.completed":
            events.append(connection.recv())
        assert events[-1].transcript == recognizer.transcribe(SAMPLE).text
        errors = [event.error.code for event in events if event.type == "error"]
        assert errors == ["input_audio_buffer_commit_empty"]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("no json", "invalid_event"),
        ('{"type": 3}', "invalid_event"),
        ('{"type": "other"}', "unknown_event"),
        ('{"type": "input_audio_buffer.append", "audio": "?"}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": "\u00e9"}', "invalid_audio"),
        (b"odd", "invalid_audio"),
        (
            '{"type": "session.update", "session": {"audio": {"input": {"format": {"rate": 1}}}}}',
            "invalid_event",
        ),
    ],
)
def test_wrong_events_are_told_and_end_nothing(address: str, sent: str | bytes, code: str) -> None:
    url = f"{address.replace('http', 'ws')}/v1/realtime?intent=transcription"
    with websockets.connect(url, additional_headers={"Authorization": "Bearer a key"}) as socket:
        assert "session.created" in socket.recv()
        for _ in range(2):
            socket.send(sent)
            assert f'"code": "{code}"' in socket.recv()


def test_an_update_keeps_the_sound_and_what_it_does_not_name(client: Any, recognizer: Recognizer) -> None:
    sound, rate = pcm(0)
    blocks = [base64.b64encode(block).decode() for block in (sound[:rate], sound[rate:])]
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session=settings(rate))
        connection.input_audio_buffer.append(audio=blocks[0])
        # As many names as may be, and what is none: a word that is too long as it is written.
        prompt = ", ".join([*map(str, range(2000)), "one" + "!" * 300])
        connection.session.update(
            session={"type": "transcription", "audio": {"input": {"transcription": {"prompt": prompt}}}}
        )
        connection.input_audio_buffer.append(audio=blocks[1])
        connection.input_audio_buffer.commit()
        events = [connection.recv()]
        while events[-1].type != f"{KINDS}.completed":
            events.append(connection.recv())
    assert events[-1].transcript == recognizer.transcribe(SAMPLE).text
    updated = [event.session.audio.input for event in events if event.type == "session.updated"][-1]
    assert updated.format.rate == rate and updated.turn_detection is None


def test_a_client_that_is_silent_for_long_is_told(serve: Callable[..., str]) -> None:
    url = f"{serve(answer_seconds=0.3).replace('http', 'ws')}/v1/realtime"
    with websockets.connect(url) as socket:
        assert "session.created" in socket.recv()
        with pytest.raises(Exception, match="nothing was sent for long"):
            socket.recv(timeout=20)


def test_sessions_are_limited_and_guarded(serve: Callable[..., str]) -> None:
    url = f"{serve(live=1, api_key='k').replace('http', 'ws')}/v1/realtime"
    key = ["realtime", "openai-insecure-api-key.k"]
    with websockets.connect(url, subprotocols=key) as socket:
        assert "session.created" in socket.recv()
        for options in ({"subprotocols": key}, {}, {"subprotocols": key, "origin": "https://evil.example"}):
            with pytest.raises(Exception, match="403"):
                websockets.connect(url, **options).__enter__()
    with websockets.connect(url, subprotocols=key) as socket:
        assert "session.created" in socket.recv()
