"""A file from elsewhere opens no other file, asks for nothing on the network, and starts no program.

What is opened in the folder of the canary is seen by inotify, and what is asked for by a listener.
"""

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import media
import numpy as np
import pytest
import soundfile

from asr_seq2seq import audio
from asr_seq2seq.errors import AudioError

RATE = 16000
_IN_OPEN = 0x20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


class Trap:
    """A folder with a canary sound, a port, and a program called ffmpeg that leaves a mark."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "canary"
        self.folder.mkdir()
        sound = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
        for name in ("canary.wav", "canary001.wav"):
            soundfile.write(self.folder / name, sound, RATE)
        self.canary = self.folder / "canary.wav"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/canary.wav"
        self.mark = folder / "mark"
        programs = folder / "bin"
        programs.mkdir()
        for program in ("ffmpeg", "ffprobe", "sox"):
            (programs / program).write_text(f"#!/bin/sh\ntouch {self.mark}\n")
            (programs / program).chmod(0o755)
        self.programs = str(programs)
        libc = ctypes.CDLL(None, use_errno=True)
        self.watch = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self.watch, os.fsencode(self.folder), _IN_OPEN) >= 0

    def check(self) -> None:
        with pytest.raises(BlockingIOError):
            os.read(self.watch, 4096)
        with pytest.raises(BlockingIOError):
            self.listener.accept()
        assert not self.mark.exists()


@pytest.fixture(params=["with ffmpeg on PATH", "without"])
def trap(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trap]:
    trap = Trap(tmp_path)
    monkeypatch.setenv("PATH", trap.programs if "with " in request.param else "")
    monkeypatch.chdir(trap.folder)
    yield trap
    os.close(trap.watch)
    trap.listener.close()


TEXTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{place}\n#EXT-X-ENDLIST\n",
    "m3u": "#EXTM3U\n#EXTINF:1,\n{place}\n",
    "pls": "[playlist]\nFile1={place}\nNumberOfEntries=1\n",
    "ffconcat": "ffconcat version 1.0\nfile '{place}'\n",
    "sdp": (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=audio {port} RTP/AVP 0\na=control:{place}\n"
    ),
    "dash": (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
        '<AdaptationSet contentType="audio" mimeType="audio/wav"><Representation id="1" bandwidth="1">'
        "<BaseURL>{place}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ),
    "asx": '<asx version="3.0"><entry><ref href="{place}"/></entry></asx>',
    "ram": "{place}\n",
    "imf": '<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">{place}</CompositionPlaylist>',
    "svg": '<svg xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="{place}"/></svg>',
    "vobsub": "# VobSub index file, v7\nid: en, index: 0\n{place}\n",
    "lavfi": "amovie={place}",
    "rtsp": "RTSPtext\r\n{place}\r\n",
}


@pytest.mark.parametrize("kind", list(TEXTS))
def test_texts_that_name_others(kind: str, trap: Trap) -> None:
    places = [str(trap.canary), "canary.wav", f"file:{trap.canary}", trap.url, f"concat:{trap.canary}"]
    for place in [*places, f"crypto:{trap.canary}", f"subfile,,start,0,end,9,,:{trap.canary}"]:
        text = TEXTS[kind].format(place=place, port=trap.listener.getsockname()[1]).encode()
        for suffix in (".wav", ".mp3", ".mp4", ".m3u8", ".ts"):
            path = trap.folder.parent / f"attack{suffix}"
            path.write_bytes(text)
            for source in (path, text):
                with pytest.raises(AudioError) as caught:
                    audio.load(source, RATE)
                assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)
            assert audio.expected_seconds(path) == 0
    trap.check()


def test_names_are_never_protocols(trap: Trap) -> None:
    names = [
        trap.url,
        "concat:canary.wav",
        "file:canary.wav",
        "pipe:0",
        "canary%03d.wav",
        "sine=f=440",
        "rtp://a",
    ]
    for name in names:
        with pytest.raises(AudioError, match=r"does not exist|cannot be opened"):
            audio.load(name, RATE)
    trap.check()


def boxes(data: bytes, path: list[bytes], start: int = 0) -> list[int]:
    """Where each of the boxes of a path, one inside the other, begins in an MP4."""
    at = start
    while True:
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == path[0]:
            return [at, *boxes(data, path[1:], at + 8)] if path[1:] else [at]
        at += size


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("kind", [b"alis", b"url ", b"urn ", b"rsrc"])
def test_a_movie_whose_sound_lies_in_another_file(kind: bytes, absolute: bool, trap: Trap) -> None:
    data = bytearray(media.encode(np.full(RATE, 0.1, np.float32), RATE, "mov", "pcm_s16le"))
    path = [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"]
    places = boxes(bytes(data), path)
    target = os.fsencode(trap.canary if absolute else trap.canary.name)
    if kind == b"alis":
        names = b"canary".ljust(27, b"\0"), target[:63].ljust(63, b"\0")
        record = bytes(10) + b"\x06" + names[0] + bytes(12) + b"\x0a" + names[1] + bytes(16)
        record += struct.pack(">HH", 0, 0) + bytes(16)
        padded = target + bytes(len(target) % 2)
        record += struct.pack(">HH", 2, len(target)) + padded + struct.pack(">H", 0xFFFF) + bytes(8)
    else:
        record = (trap.url.encode() if absolute else b"file://" + target) + b"\0"
    entry = struct.pack(">I4sI", 12 + len(record), kind, 0) + record
    first = places[-1] + 16
    old = struct.unpack(">I", data[first : first + 4])[0]
    data[first : first + old] = entry
    for place in places:
        (size,) = struct.unpack(">I", data[place : place + 4])
        data[place : place + 4] = struct.pack(">I", size + len(entry) - old)
    # Where the sound of the movie itself is away, what is read would be another's.
    samples = boxes(bytes(data), [b"mdat"])[0] + 8
    for content in (bytes(data), bytes(data[:samples] + bytes(2 * RATE) + data[samples + 2 * RATE :])):
        file = trap.folder.parent / "attack.mov"
        file.write_bytes(content)
        try:
            found = audio.load(file, RATE)
        except AudioError as error:
            assert len(str(error)) <= 300
        else:
            assert np.allclose(found, 0.1, atol=1e-3), "its own samples, and no others"
    trap.check()


def test_pictures_and_scripts_are_no_sound(trap: Trap) -> None:
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 8, 8, 8, 2, 0, 0, 0) + bytes(4)
    for content in (
        png,
        b"GIF89a" + bytes(40),
        b"#!/bin/sh\ntouch mark\n",
        b"%PDF-1.4\n",
        b"PK\x03\x04" + bytes(99),
    ):
        with pytest.raises(AudioError, match=r"nothing that can be read|no sound track"):
            audio.load(content, RATE)
    trap.check()


def test_the_trap_works(trap: Trap) -> None:
    audio.load(trap.canary, RATE)
    assert os.read(trap.watch, 4096)
