"""Speak text with espeak-ng, and flite, in many voices, rates and pitches, as a corpus.

The text is a file of one utterance a line, or random digit strings. Synthetic voices are cleaner than any
recording; ``--augment`` makes them less so with a little room, noise and narrowing of the band.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import corpus_folder
import numpy as np
import typer
from corpus_folder import CorpusFolder, Samples

from asr_seq2seq import audio
from asr_seq2seq.cli.run import run_function
from asr_seq2seq.errors import AsrError, AudioError, ConfigError, CorpusError
from asr_seq2seq.progress import counted

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# Voice variants that sound like a person, by espeak-ng's file names, in which capitals count (a name that it
# does not find gives the plain voice); the odd ones are used less often.
COMMON_VARIANTS = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5"),
    *(
        "Alicia",
        "Andrea",
        "Andy",
        "Annie",
        "Lee",
        "Michael",
        "anika",
        "aunty",
        "belinda",
        "benjamin",
        "david",
    ),
    *(
        "edward",
        "john",
        "linda",
        "max",
        "paul",
        "quincy",
        "rob",
        "robert",
        "steph",
        "travis",
        "victor",
        "zac",
    ),
)
ODD_VARIANTS = ("croak", "whisper", "whisperf", "grandpa", "grandma", "klatt", "klatt2", "klatt4")
ODD_SHARE = 0.08
FLITE_VOICES = ("awb", "kal", "kal16", "rms", "slt")  # but for one that can only tell the time
WORDS_A_MINUTE = 160  # of flite's voices as they are
CHUNK = 64


class SpeakerError(AsrError):
    """espeak-ng or flite is missing or does not do as it is told."""


@dataclass(frozen=True)
class Utterance:
    """What is to be said, and how: ``rate`` in words a minute, ``pitch`` 0-99, ``gap`` in 10 ms.

    flite's voices, ``flite+NAME``, keep their own pitch and gaps.
    """

    name: str
    text: str
    voice: str
    rate: int
    pitch: int
    gap: int
    seed: tuple[int, int]


def main(
    out: Annotated[Path, typer.Option(help="Corpus folder to make: audio/*.flac and manifest.jsonl.")],
    text: Annotated[Path | None, typer.Option(help="Text to speak, one utterance a line.")] = None,
    digits: Annotated[int | None, typer.Option(help="Speak this many random digit strings instead.")] = None,
    min_digits: Annotated[int, typer.Option(help="Digits in the shortest string.")] = 1,
    max_digits: Annotated[int, typer.Option(help="Digits in the longest string.")] = 10,
    language: Annotated[str, typer.Option(help="A language of espeak-ng, with all its accents.")] = "en",
    sample_rate: Annotated[int, typer.Option(help="Rate of the corpus in Hz.")] = 16000,
    flite_share: Annotated[float, typer.Option(min=0, max=1, help="Part that flite's voices speak.")] = 0.0,
    workers: Annotated[int, typer.Option(min=1, help="Programs at work at a time.")] = os.cpu_count() or 1,
    augment: Annotated[bool, typer.Option("--augment", help="Add room, noise and band limits.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same corpus.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Speak a text file or random digit strings with espeak-ng, and a part of it with flite.

    Example: python tools/make_synthetic.py --digits 3000 --sample-rate 8000 --augment
    --out corpora/synthetic_digits
    """
    if (text is None) == (digits is None):
        raise ConfigError("give either --text FILE or --digits N")
    if text is not None:
        lines = read_lines(text)
    else:
        lines = digit_strings(digits or 0, min_digits, max_digits, np.random.default_rng([seed, 0]))
    program = find("espeak-ng")
    if flite_share:
        find("flite")
    utterances = plan(lines, voices(program, language), seed, flite_share)
    with CorpusFolder(out, overwrite=overwrite, inputs=[text]) as corpus:
        spoken = speak_all(utterances, sample_rate, augment, workers)
        for utterance, samples in counted(spoken, len(utterances), "speaking"):
            corpus.add(
                utterance.name,
                samples,
                sample_rate,
                text=utterance.text,
                speaker=utterance.voice,
                rate=utterance.rate,
                pitch=utterance.pitch,
            )
    typer.echo(f"{out}: {corpus.utterances} utterances, {corpus.seconds / 3600:.2f} h", err=True)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, without spaces around them."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read as text: {error}") from None
    lines = [line for line in lines if line]
    if not lines:
        raise CorpusError(f"{path} holds no text: write one utterance a line")
    return lines


def digit_strings(count: int, shortest: int, longest: int, rng: np.random.Generator) -> list[str]:
    """Random digit strings in words; as many of each length as can be, in random order."""
    lengths = rng.permutation(corpus_folder.balanced_lengths(count, shortest, longest))
    return [" ".join(DIGITS[digit] for digit in rng.integers(0, 10, size=length)) for length in lengths]


def find(name: str) -> str:
    """The path of a program that speaks."""
    program = shutil.which(name)
    if program is None:
        raise SpeakerError(f"{name} is not on PATH: install it (Debian and Ubuntu: apt install {name})")
    return program


def voices(program: str, language: str) -> list[str]:
    """The language codes of a language's own voices, such as en-us and en-gb-scotland for en."""
    codes = set()
    for fields in list_voices(program, language):
        # mbrola voices need data that espeak-ng does not bring, and variants are no voices of their own.
        if not fields[4].startswith(("mb/", "!v")):
            codes.add(fields[1])
    if not codes:
        raise SpeakerError(f"espeak-ng has no voice for the language {language}: see espeak-ng --voices")
    return sorted(codes)


def variants(program: str) -> tuple[list[str], list[str]]:
    """The common and the odd variants that this espeak-ng has."""
    present = {fields[4].removeprefix("!v/").lower() for fields in list_voices(program, "variant")}
    common = [name for name in COMMON_VARIANTS if name.lower() in present]
    return common or ["m1"], [name for name in ODD_VARIANTS if name.lower() in present]


def list_voices(program: str, language: str) -> list[list[str]]:
    """The fields of each line of ``espeak-ng --voices=LANGUAGE``: priority, code, gender, name, file."""
    command = [program, f"--voices={language}"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SpeakerError(f"espeak-ng does not list its voices: {error}") from None
    return [line.split() for line in listing.splitlines()[1:] if len(line.split()) >= 5]


def plan(lines: list[str], codes: list[str], seed: int, flite_share: float = 0.0) -> list[Utterance]:
    """Give each line a voice, a rate, a pitch and a gap between words, all random."""
    common, odd = variants(find("espeak-ng"))
    utterances = []
    for index, line in enumerate(lines):
        rng = np.random.default_rng([seed, 1, index])
        family = odd if odd and rng.random() < ODD_SHARE else common
        voice = f"{codes[rng.integers(len(codes))]}+{family[rng.integers(len(family))]}"
        other = np.random.default_rng([seed, 3, index])
        if other.random() < flite_share:
            voice = f"flite+{FLITE_VOICES[other.integers(len(FLITE_VOICES))]}"
        utterances.append(
            Utterance(
                name=f"synthetic_{index:06d}",
                text=line,
                voice=voice,
                rate=int(rng.integers(90, 221)),
                pitch=int(rng.integers(10, 91)),
                gap=int(rng.choice([0, 0, 1, 2, 4, 8, 16, 30])),
                seed=(seed, index),
            )
        )
    return utterances


def speak_all(
    utterances: list[Utterance], sample_rate: int, augment: bool, workers: int
) -> Iterator[tuple[Utterance, Samples]]:
    """Speak in the order given, with so many programs at work and few results waiting."""

    def work(utterance: Utterance) -> Samples:
        samples = speak(utterance, sample_rate)
        if augment:
            samples = make_less_clean(samples, sample_rate, np.random.default_rng([*utterance.seed, 2]))
        return samples

    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(utterances), CHUNK):
            chunk = utterances[start : start + CHUNK]
            yield from zip(chunk, pool.map(work, chunk), strict=True)


def speak(utterance: Utterance, sample_rate: int) -> Samples:
    """(N,) samples of an utterance, at most 0.9 of full scale."""
    kind, _, name = utterance.voice.partition("+")
    try:
        if kind == "flite":
            content = _by_flite(utterance, name)
        else:
            command = [
                "espeak-ng",
                "-v",
                utterance.voice,
                "-s",
                str(utterance.rate),
                "-p",
                str(utterance.pitch),
            ]
            command += ["-g", str(utterance.gap), "--stdin", "--stdout"]  # the text may begin with a dash
            speaking = subprocess.run(command, input=utterance.text.encode(), capture_output=True, check=True)
            content = speaking.stdout
        samples: Samples = audio.load(content, sample_rate)
    except (OSError, subprocess.CalledProcessError, AudioError) as error:
        raise SpeakerError(f"{utterance.text!r} was not spoken as {utterance.voice}: {error}") from None
    peak = float(np.abs(samples).max())
    return samples * np.float32(0.9 / peak) if peak > 0.9 else samples


def _by_flite(utterance: Utterance, voice: str) -> bytes:
    """A sound file; flite writes one and reads its text from one by name alone."""
    with tempfile.TemporaryDirectory() as folder:
        text, sound = Path(folder) / "text", Path(folder) / "sound.wav"
        text.write_text(utterance.text, encoding="utf-8")
        stretch = f"duration_stretch={WORDS_A_MINUTE / utterance.rate:.3f}"
        command = ["flite", "-voice", voice, "--setf", stretch, "-f", str(text), "-o", str(sound)]
        subprocess.run(command, capture_output=True, check=True)
        return sound.read_bytes()


def make_less_clean(samples: Samples, rate: int, rng: np.random.Generator) -> Samples:
    """Put (N,) samples in a small room, through a narrow line and into noise; the length grows by pauses."""
    before, after = rng.uniform(0.0, 0.3, size=2)
    samples = np.pad(samples, (round(before * rate), round(after * rate)))
    if rng.random() < 0.5:
        samples = add_room(samples, rate, rng)
    if rng.random() < 0.5:
        samples = limit_band(samples, rate, rng)
    samples = add_noise(samples, rng)
    level = 10 ** (rng.uniform(-20.0, -1.0) / 20)
    return (samples * (level / max(1e-9, float(np.abs(samples).max())))).astype(np.float32)


def add_room(samples: Samples, rate: int, rng: np.random.Generator) -> Samples:
    """Reverberation: noise that decays by 60 dB in 0.1-0.5 s, 3-20 dB below the direct sound."""
    decay = rng.uniform(0.1, 0.5)
    time = np.arange(round(decay * rate)) / rate
    tail = rng.standard_normal(len(time)) * np.exp(-6.9 * time / decay)
    tail *= 10 ** (-rng.uniform(3.0, 20.0) / 20) / np.sqrt(np.sum(tail**2))
    size = 1 << (len(samples) + len(tail)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)[: len(samples)]
    return (samples + wet).astype(np.float32)


def limit_band(samples: Samples, rate: int, rng: np.random.Generator) -> Samples:
    """Remove what is below 50-300 Hz and above 0.6-1.0 of the band, with soft edges."""
    low, high = rng.uniform(50.0, 300.0), rng.uniform(0.6, 1.0) * rate / 2
    frequency = np.fft.rfftfreq(len(samples), 1 / rate)
    gain = 1 / (1 + (low / np.maximum(frequency, 1.0)) ** 6) / (1 + (frequency / high) ** 16)
    return np.fft.irfft(np.fft.rfft(samples) * gain, len(samples)).astype(np.float32)


def add_noise(samples: Samples, rng: np.random.Generator) -> Samples:
    """Noise with a spectrum between white and brown, 10-40 dB below the speech."""
    spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
    spectrum *= np.maximum(np.arange(len(spectrum)), len(spectrum) / 100) ** -rng.uniform(0.0, 1.0)
    noise = np.fft.irfft(spectrum, len(samples))
    ratio = 10 ** (-rng.uniform(10.0, 40.0) / 20)
    noise *= ratio * np.sqrt(np.mean(np.square(samples)) / np.mean(np.square(noise)))
    return (samples + noise).astype(np.float32)


if __name__ == "__main__":
    run_function(main)
