"""Does a client of OpenAI's package get from `serve` what `Recognizer.transcribe` gives, in every format?

Prints how many files differ for each format, and which; ends with 1 if there are any. `--convert` turns the
files, one after the other, into the containers named, in a temporary folder; the others stay as they are.

Example: python benchmarks/serving_check.py --model english --convert wav44 flac ogg m4a - FILES
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import numpy.typing as npt
import openai
import soundfile
from serving import running_server

from asr_seq2seq import audio
from asr_seq2seq.inference.recognizer import Recognizer
from asr_seq2seq.transcript import Transcript
from asr_seq2seq.writers import to_srt, to_vtt

CONTAINERS = ("-", "wav44", "flac", "ogg", "mp3", "m4a")
FORMATS = ("json", "text", "srt", "vtt", "verbose_json", "stream")
_BOTH: list[Literal["word", "segment"]] = ["word", "segment"]
_CLOSE = 1e-4  # between probabilities of batches of other sizes


def main() -> None:
    """Compare, and print a row for each format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", default="english")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--convert", nargs="+", choices=CONTAINERS, default=["-"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kinds = itertools.cycle(options.convert)
        files = [_convert(file, kind, Path(folder)) for file, kind in zip(options.files, kinds, strict=False)]
        endings = Counter(file.suffix for file in files)
        print(f"{len(files)} files: " + ", ".join(f"{count} {ending}" for ending, count in endings.items()))
        wanted = list(Recognizer.load(options.model, threads=options.threads).transcribe(tuple(files)))
        with running_server(options.model, options.threads) as (port, _):
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
            wrong = 0
            for name in FORMATS:
                with ThreadPoolExecutor(options.clients) as pool:
                    same = list(pool.map(partial(_is_same, client, name), files, wanted))
                different = [file for file, right in zip(files, same, strict=True) if not right]
                print(f"{name}: {len(different)} differ", *different, flush=True)
                wrong += len(different)
    words = sum(len(one.text.split()) for one in wanted)
    print(f"{sum(one.duration for one in wanted):.0f} s of sound, {words} words")
    sys.exit(wrong > 0)


def _is_same(client: openai.OpenAI, name: str, file: Path, wanted: Transcript) -> bool:
    """Whether the server's answer in the format is that of the transcript."""
    send: Any = client.audio.transcriptions.create
    if name == "stream":
        events = list(send(model="whisper-1", file=file, stream=True))
        deltas = "".join(event.delta for event in events if event.type == "transcript.text.delta")
        return bool(events[-1].text == deltas == wanted.text)
    granularities = {"timestamp_granularities": _BOTH} if name == "verbose_json" else {}
    found = send(model="whisper-1", file=file, response_format=name, **granularities)
    match name:
        case "json":
            return bool(found.text == wanted.text)
        case "text":
            return bool(found == wanted.text + "\n")
        case "srt":
            return bool(found == to_srt(wanted))
        case "vtt":
            return bool(found == to_vtt(wanted))
    return _is_same_verbose(found, wanted)


def _is_same_verbose(found: Any, wanted: Transcript) -> bool:
    """Whether text, duration, segments and words with their times are the same; probabilities nearly."""
    words = [word for segment in wanted.segments for word in segment.words]
    return bool(
        (found.text, found.duration) == (wanted.text, wanted.duration)
        and [(one.text, one.start, one.end) for one in found.segments]
        == [(one.text, one.start, one.end) for one in wanted.segments]
        and [(one.word, one.start, one.end) for one in found.words]
        == [(one.text, one.start, one.end) for one in words]
        and np.allclose(
            np.array([one.probability for one in found.words], np.float64),  # nan where there is none
            np.array([one.confidence for one in words], np.float64),
            rtol=0,
            atol=_CLOSE,
            equal_nan=True,
        )
    )


def _convert(file: Path, kind: str, folder: Path) -> Path:
    """The sound in another container; wav44 has two channels at 44.1 kHz."""
    if kind == "-":
        return file
    target = folder / f"{file.stem}.{kind.removesuffix('44')}"
    if kind == "m4a":
        _write_m4a(target, audio.load(file, 44100))
        return target
    rate = 44100 if kind == "wav44" else 16000
    sound = audio.load(file, rate)
    samples = np.stack([sound, 0.5 * sound], axis=1) if kind == "wav44" else sound
    soundfile.write(target, samples, rate)
    return target


def _write_m4a(target: Path, sound: npt.NDArray[np.float32]) -> None:
    with av.open(target, "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        for begin in range(0, len(sound), 1024):
            frame = av.AudioFrame.from_ndarray(
                sound[None, begin : begin + 1024], format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts, frame.time_base = 44100, begin, Fraction(1, 44100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
