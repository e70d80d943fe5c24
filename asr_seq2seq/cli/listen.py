"""The verb `listen`."""

from __future__ import annotations

import queue
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from asr_seq2seq.cli.options import (
    BeamSize,
    ComputeType,
    Hotwords,
    NoSpeechThreshold,
    OptionalModel,
    PhraseList,
    Threads,
    expected,
)
from asr_seq2seq.cli.output import need_standard_output, print_json, print_line
from asr_seq2seq.errors import AudioError, ConfigError, brief, printable
from asr_seq2seq.extras import needed
from asr_seq2seq.messages import message
from asr_seq2seq.signals import while_importing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BLOCK_SECONDS = 0.1


def listen(
    source: Annotated[
        str | None,
        typer.Argument(help="- for raw samples on standard input; the microphone without it."),
    ] = None,
    model: OptionalModel = None,
    rate: Annotated[
        int, typer.Option(min=8000, max=48000, help="Samples per second, of mono sound in 16 bits.")
    ] = 16000,
    device: Annotated[str | None, typer.Option(help="Microphone, by its number or name.")] = None,
    beam_size: BeamSize = None,
    hotwords: Hotwords = None,
    phrases: PhraseList = None,
    no_speech_threshold: NoSpeechThreshold = None,
    compute_type: ComputeType = "float32",
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each segment.")] = False,
) -> None:
    """Transcribe live sound: a line for each segment, as soon as a pause ends it.

    On a terminal the open segment is shown while it grows.
    """
    if source not in (None, "-"):
        raise ConfigError(f"listen reads the microphone, or - for standard input: transcribe {brief(source)}")
    need_standard_output()
    with while_importing():
        from asr_seq2seq.inference.recognizer import Recognizer
        from asr_seq2seq.inference.streaming import Final, LiveStream, Partial

    blocks = _piped(rate) if source == "-" else _microphone(rate, device)
    decoding = {"beam_size": beam_size, "no_speech_threshold": no_speech_threshold}
    decoding |= expected(hotwords, phrases)
    recognizer = Recognizer.load(model, compute_type=compute_type, threads=threads, decoding=decoding)
    live = LiveStream(recognizer, rate)
    shows = sys.stderr is not None and sys.stderr.isatty()
    for updates in _updates(live, blocks):
        for update in updates:
            if isinstance(update, Partial) and shows:
                _show(update.text)
            elif isinstance(update, Final):
                if shows:
                    _show("")
                segment = update.segment
                if as_json:
                    words = [vars(word) for word in segment.words]
                    times = {"start": segment.start, "end": segment.end}
                    print_json({**times, "text": segment.text, "words": words})
                elif segment.text:
                    print_line(segment.text)


def _updates(live: Any, blocks: Iterable[npt.NDArray[np.float32]]) -> Iterator[Iterable[Any]]:
    for block in blocks:
        yield live.feed(block)
    yield live.finish()


def _show(text: str) -> None:
    """The end of a text on the terminal's last line, which the next one takes the place of."""
    print(f"\r\x1b[K{printable(text)[-78:]}", end="", file=sys.stderr, flush=True)


def _piped(rate: int) -> Iterator[npt.NDArray[np.float32]]:
    """Samples (N,) of standard input, as they arrive."""
    if sys.stdin is None or sys.stdin.closed:
        raise AudioError("standard input is closed: pipe samples into it")
    return _samples(sys.stdin.buffer, 2 * round(rate * _BLOCK_SECONDS))


def _samples(file: BinaryIO, size: int) -> Iterator[npt.NDArray[np.float32]]:
    from asr_seq2seq.inference.streaming import from_pcm16

    while block := file.read(size):
        yield from_pcm16(block[: len(block) // 2 * 2])


def _microphone(rate: int, device: str | None) -> Iterator[npt.NDArray[np.float32]]:
    """Samples (N,) of the microphone, until interrupted."""
    with needed("the microphone", "mic"):
        try:
            import sounddevice
        except OSError:  # the package is there, and the system's library is not
            raise AudioError("the microphone needs PortAudio: install it (Debian: libportaudio2)") from None
    blocks: queue.Queue[npt.NDArray[np.float32]] = queue.Queue()
    named: int | str | None = int(device) if device is not None and device.isdecimal() else device
    try:
        stream = sounddevice.InputStream(
            rate, round(rate * _BLOCK_SECONDS), named, 1, "float32",
            callback=lambda data, *_: blocks.put(data[:, 0].copy()),
        )  # fmt: skip
    except (sounddevice.PortAudioError, ValueError) as error:
        raise AudioError(
            f"the microphone cannot be used ({brief(str(error), 100)}): name one with --device"
        ) from None
    with stream:
        message("listening; Ctrl-C ends")
        while True:
            yield blocks.get()
