"""Join recordings of single digits (or other words) of one speaker into strings with pauses.

The source is a JSON-lines manifest of single words, such as that of the Free Spoken Digit Dataset. No
pause is digitally silent: it holds noise at the level of the quietest moments of the recordings beside it,
so that a recognizer cannot learn where the joints are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import corpus_folder
import numpy as np
import soundfile
import typer
from corpus_folder import CorpusFolder, Samples

from asr_seq2seq import audio
from asr_seq2seq.cli.run import run_function
from asr_seq2seq.errors import AudioError, ConfigError, CorpusError
from asr_seq2seq.progress import counted

Place = tuple[str, float, float | None]  # file, offset and duration in seconds

LOUDEST_CHANGE = 6.0  # dB, either way
FADE_SECONDS = 0.005
QUIETEST_NOISE = 2 / 32768  # noise that survives 16 bits even where the recordings are digitally silent


def main(
    source: Annotated[Path, typer.Option(help="JSON-lines manifest of recordings of single words.")],
    out: Annotated[Path, typer.Option(help="Corpus folder to make: audio/*.flac and manifest.jsonl.")],
    count: Annotated[int, typer.Option(help="How many strings to make.")] = 1000,
    min_digits: Annotated[int, typer.Option(help="Recordings in the shortest string.")] = 1,
    max_digits: Annotated[int, typer.Option(help="Recordings in the longest string.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same corpus.")] = 1,
    speakers: Annotated[str, typer.Option(help="Only these speakers: a,b.")] = "",
    exclude_speakers: Annotated[str, typer.Option(help="All speakers but these: a,b.")] = "",
    numbers: Annotated[
        str, typer.Option(help="Only files whose name ends in _N with N in these ranges: 0-4,7.")
    ] = "",
    sample_rate: Annotated[
        int | None, typer.Option(help="Rate of the corpus in Hz; the lowest of the source's if not given.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Join recordings of one speaker into strings with random pauses.

    Example: python tools/make_digit_strings.py --source ../shared/data/fsdd/train.jsonl
    --out corpora/digit_strings/train --count 4000 --min-digits 1 --max-digits 10 --seed 1
    """
    lengths = corpus_folder.balanced_lengths(count, min_digits, max_digits)
    records = choose_records(source, speakers, exclude_speakers, numbers)
    rate = sample_rate or lowest_rate(records)
    rng = np.random.default_rng(seed)
    strings = plan_strings(records, lengths, rng)
    sounds: dict[Place, Samples] = {}
    with CorpusFolder(out, overwrite=overwrite, inputs=[source]) as corpus:
        for index, chosen in enumerate(counted(strings, len(strings), "joining")):
            for record in chosen:
                if (place := place_of(record)) not in sounds:
                    path, offset, duration = place
                    sounds[place] = audio.load(path, rate, offset=offset, duration=duration)
            samples, places = join([sounds[place_of(record)] for record in chosen], rate, rng)
            speaker = chosen[0]["speaker"]
            corpus.add(
                f"{speaker}_{index:05d}",
                samples,
                rate,
                text=" ".join(record["text"] for record in chosen),
                speaker=speaker,
                digits=len(chosen),
                words=[
                    [record["text"], round(start / rate, 4), round(end / rate, 4)]
                    for record, (start, end) in zip(chosen, places, strict=True)
                ],
            )
    typer.echo(f"{out}: {corpus.utterances} strings, {corpus.seconds / 3600:.2f} h, {rate} Hz", err=True)


def place_of(record: dict[str, Any]) -> Place:
    """Where a word's sound is: a file, or the part of it that the record gives."""
    if "offset" not in record:
        return record["audio_filepath"], 0.0, None
    return record["audio_filepath"], record["offset"], record.get("duration")


def choose_records(source: Path, speakers: str, exclude_speakers: str, numbers: str) -> list[dict[str, Any]]:
    """The lines of the source's manifest that the options let through; at least one."""
    records = corpus_folder.read_manifest(source)
    for record in records:
        record["speaker"] = str(record.get("speaker", "unknown"))
    known = {record["speaker"] for record in records}
    wanted, unwanted = names(speakers), names(exclude_speakers)
    unknown = sorted((wanted | unwanted) - known)
    if unknown:
        listing = ", ".join(sorted(known))
        raise ConfigError(f"{source} has no speaker called {', '.join(unknown)}: its speakers are {listing}")
    kept = (wanted or known) - unwanted
    allowed = parse_numbers(numbers)
    records = [
        record
        for record in records
        if record["speaker"] in kept and (allowed is None or file_number(record["audio_filepath"]) in allowed)
    ]
    if not records:
        raise CorpusError(f"{source} has no recording that the options let through: allow more of them")
    return records


def names(text: str) -> set[str]:
    """The names in ``a,b``."""
    return {name.strip() for name in text.split(",") if name.strip()}


def parse_numbers(text: str) -> set[int] | None:
    """The numbers in ``0-4,7``; None for an empty text, which means all."""
    if not text.strip():
        return None
    allowed: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,7})(?:-(\d{1,7}))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise ConfigError(f"--numbers {text}: want numbers and ranges such as 0-4,7")
        allowed.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return allowed


def file_number(path: str) -> int | None:
    """The N of a file called ``..._N.flac``."""
    match = re.search(r"_(\d+)$", Path(path).stem)
    return int(match[1]) if match else None


def lowest_rate(records: list[dict[str, Any]]) -> int:
    """The lowest sample rate among the recordings: none of them then lacks an upper band that others have."""
    try:
        return min(int(soundfile.info(record["audio_filepath"]).samplerate) for record in records)
    except soundfile.SoundFileError as error:
        raise AudioError(f"a recording of the source cannot be read: {error}") from None


def plan_strings(
    records: list[dict[str, Any]], lengths: list[int], rng: np.random.Generator
) -> list[list[dict[str, Any]]]:
    """Which recordings make each string.

    Speakers take turns at every length. A speaker's words are one shuffled heap in which each word is as
    frequent as any other (a heap of the whole corpus and not of a string, in which a word then could not
    come twice), and a word's recordings come round in a shuffled order.
    """
    by_speaker: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        by_speaker[record["speaker"]][record["text"]].append(record)
    order = [str(name) for name in rng.permutation(sorted(by_speaker))]
    span = len(set(lengths))
    turns = [(length, order[(index // span) % len(order)]) for index, length in enumerate(lengths)]

    heaps: dict[str, list[str]] = {}
    for speaker in order:
        needed = sum(length for length, turn in turns if turn == speaker)
        texts = [str(text) for text in rng.permutation(sorted(by_speaker[speaker]))]
        heaps[speaker] = [texts[index % len(texts)] for index in range(needed)]
        rng.shuffle(heaps[speaker])

    decks: dict[tuple[str, str], list[dict[str, Any]]] = {}
    strings: list[list[dict[str, Any]]] = []
    for turn in rng.permutation(len(turns)):
        length, speaker = turns[turn]
        string = []
        for _ in range(length):
            text = heaps[speaker].pop()
            if not decks.get((speaker, text)):
                takes = by_speaker[speaker][text]
                decks[speaker, text] = [takes[index] for index in rng.permutation(len(takes))]
            string.append(decks[speaker, text].pop())
        strings.append(string)
    return strings


def join(
    recordings: list[Samples], rate: int, rng: np.random.Generator
) -> tuple[Samples, list[tuple[int, int]]]:
    """One string: (N,) samples, and the first sample of each recording and the one after its last."""
    pauses = [rng.uniform(0.05, 0.4)]
    for _ in recordings[1:]:
        # People run some digits together: now and then there is almost no pause.
        pauses.append(rng.uniform(0.0, 0.02) if rng.random() < 0.15 else rng.uniform(0.05, 0.5))
    pauses.append(rng.uniform(0.05, 0.4))
    gaps = [round(pause * rate) for pause in pauses]

    noise_level = max(QUIETEST_NOISE, min(quietest_level(recording, rate) for recording in recordings))
    length = sum(gaps) + sum(len(recording) for recording in recordings)
    noise = rng.standard_normal(length).astype(np.float32) * np.float32(noise_level)
    samples = noise.copy()
    places: list[tuple[int, int]] = []
    position = 0
    change = rng.uniform(-LOUDEST_CHANGE, LOUDEST_CHANGE)
    for gap, recording in zip(gaps, recordings, strict=False):
        position += gap
        end = position + len(recording)
        cover = fade(len(recording), round(FADE_SECONDS * rate))
        samples[position:end] = recording * np.float32(10 ** (change / 20)) * cover + noise[position:end] * (
            1 - cover
        )
        places.append((position, end))
        position = end
        change = float(np.clip(change + rng.normal(0.0, 1.5), -LOUDEST_CHANGE, LOUDEST_CHANGE))
    peak = float(np.abs(samples).max())
    if peak > 0.99:
        samples *= np.float32(0.99 / peak)
    return samples, places


def quietest_level(recording: Samples, rate: int) -> float:
    """The level (root mean square) that the quietest twentieth of the 20 ms frames stays under."""
    frame = max(1, round(0.02 * rate))
    frames = recording[: len(recording) // frame * frame].reshape(-1, frame)
    levels = np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1))
    return float(np.quantile(levels, 0.05)) if len(levels) else 0.0


def fade(length: int, ramp: int) -> Samples:
    """(length,) ones that rise from and fall to zero within ``ramp`` samples."""
    ramp = max(1, min(ramp, length // 2))
    cover = np.ones(length, dtype=np.float32)
    slope = np.linspace(0.0, 1.0, ramp, endpoint=False, dtype=np.float32)
    cover[:ramp] = slope
    cover[length - ramp :] = slope[::-1]
    return cover


if __name__ == "__main__":
    run_function(main)
