"""Measure a model on a long recording: memory against a short one, words, and their times.

    python benchmarks/long_sound.py MODEL corpora/digit_strings/test/manifest.jsonl --minutes 60

The recordings of a corpus are joined with pauses into one file, and their places are remembered. That
file and one of a single minute are transcribed by the command, each in a process of its own whose
largest memory is reported. A word's place is known where the manifest has `words` as
`make_digit_strings.py` writes them, or where an utterance is one word.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import jiwer
import numpy as np
import soundfile
import typer

from asr_seq2seq import audio
from asr_seq2seq.cli.run import run_function
from asr_seq2seq.errors import AsrError

NOISE = 1e-4  # root mean square in the pauses, of full scale: a quiet room
Place = tuple[str, float, float]

# What the other process runs: the command itself, and then how much memory that has taken at most. Linux
# tells; `ru_maxrss` would begin with the size of the process that started it.
COMMAND = (
    "import sys; from asr_seq2seq.cli.application import make_app; "
    "make_app()(sys.argv[1:], standalone_mode=False); "
    "status = dict(line.split(':', 1) for line in open('/proc/self/status')); "
    "print(status['VmHWM'].split()[0], file=sys.stderr)"
)


def main(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    source: Annotated[Path, typer.Argument(help="JSON-lines manifest of recordings.")],
    minutes: Annotated[float, typer.Option(min=1, help="Length of the long file.")] = 60,
    shortest: Annotated[float, typer.Option(help="Shortest pause between recordings, seconds.")] = 0.2,
    longest: Annotated[float, typer.Option(help="Longest pause, seconds.")] = 1.0,
    tolerance: Annotated[float, typer.Option(help="How far off a time may be, seconds.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Decides order and pauses.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Join recordings into a long file, transcribe it, and compare with what was put where."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder) / "short.wav", Path(folder) / "long.wav"
        join(source, short, 60, (shortest, longest), seed)
        places = join(source, long, 60 * minutes, (shortest, longest), seed)
        _, memory_short = transcribe(model, short)
        transcript, memory_long = transcribe(model, long)
    facts = compare(places, transcript, tolerance) | {
        "minutes": minutes,
        "megabytes_of_one_minute": memory_short,
        "megabytes": memory_long,
    }
    if as_json:
        print(json.dumps(facts))
        return
    print(
        f"{minutes:g} minutes, {facts['words']} words: WER {facts['wer']:.2%}\n"
        f"memory {memory_long} MB, {memory_long - memory_short:+d} against one minute\n"
        f"of {facts['timed']} right words with a known place, within {tolerance:g} s: "
        f"{facts['starts']:.1%} of starts, {facts['ends']:.1%} of ends, {facts['both']:.1%} of both"
    )


def join(source: Path, out: Path, seconds: float, pause: tuple[float, float], seed: int) -> list[Place]:
    """Write recordings in random order, again and again, until `seconds` are full; where the words are."""
    records = [json.loads(line) for line in source.read_text(encoding="utf-8").split("\n") if line.strip()]
    for record in records:
        record["audio_filepath"] = source.parent / record["audio_filepath"]
    rng = np.random.default_rng(seed)
    rate = soundfile.info(records[0]["audio_filepath"]).samplerate
    places: list[Place] = []
    with soundfile.SoundFile(out, "w", samplerate=rate, channels=1, subtype="PCM_16") as file:
        for number in cycle(range(len(records))):
            if number == 0:
                rng.shuffle(records)
            record = records[number]
            gap = rng.standard_normal(round(rng.uniform(*pause) * rate)) * NOISE
            file.write(gap)
            start = file.tell() / rate
            piece = {"offset": record.get("offset", 0.0), "duration": record.get("duration")}
            sound = audio.load(record["audio_filepath"], rate, **piece)
            file.write(sound)
            words = record["text"].split()
            if "words" in record:
                places += [(word, start + begin, start + end) for word, begin, end in record["words"]]
            elif len(words) == 1:
                places.append((words[0], start, file.tell() / rate))
            else:
                places += [(word, float("nan"), float("nan")) for word in words]
            if file.tell() >= seconds * rate:
                return places
    raise AssertionError("cycle() does not end")


def transcribe(model: Path, sound: Path) -> tuple[dict[str, Any], int]:
    """What the command makes of a file, and the megabytes that it took at most."""
    command = [sys.executable, "-c", COMMAND, "transcribe", str(sound), "--model", str(model), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise AsrError(f"transcribe failed: {result.stderr.strip()}")
    return json.loads(result.stdout), int(result.stderr.split()[-1]) // 1024


def compare(places: list[Place], transcript: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """Word error rate, and which part of the right words has its times within `tolerance` seconds."""
    found = [word for segment in transcript["segments"] for word in segment.get("words", [])]
    alignment = jiwer.process_words(
        " ".join(word.lower() for word, _, _ in places), " ".join(word["word"].strip() for word in found)
    )
    near: list[tuple[bool, bool]] = []
    for chunk in alignment.alignments[0]:
        if chunk.type != "equal":
            continue
        pairs = zip(
            places[chunk.ref_start_idx : chunk.ref_end_idx],
            found[chunk.hyp_start_idx : chunk.hyp_end_idx],
            strict=True,
        )
        near += [
            (abs(word["start"] - start) <= tolerance, abs(word["end"] - end) <= tolerance)
            for (_, start, end), word in pairs
            if np.isfinite(start) and word["start"] is not None
        ]
    flags = np.array(near, dtype=float).reshape(-1, 2)
    count = max(1, len(flags))
    return {
        "words": len(places),
        "wer": alignment.wer,
        "timed": len(flags),
        "starts": float(flags[:, 0].sum() / count),
        "ends": float(flags[:, 1].sum() / count),
        "both": float(flags.prod(1).sum() / count),
    }


if __name__ == "__main__":
    run_function(main)
