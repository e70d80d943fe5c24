import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tools"))

import corpus_folder  # noqa: E402
import make_digit_strings  # noqa: E402

from asr_seq2seq.errors import AsrError, ConfigError, CorpusError, OutputError  # noqa: E402

RATE = 8000
WORDS = ("zero", "one", "two")
DEFAULTS: dict[str, Any] = {"count": 60, "min_digits": 1, "max_digits": 5, "seed": 1}
OPTIONAL: dict[str, Any] = {
    "speakers": "",
    "exclude_speakers": "",
    "numbers": "",
    "sample_rate": None,
    "overwrite": False,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three words by three speakers, four times each: every recording is a tone of its own."""
    folder = tmp_path_factory.mktemp("source")
    lines = []
    hertz = 200
    for speaker in ("ann", "bob", "eve"):
        for word in WORDS:
            for number in range(4):
                name = f"{word}_{speaker}_{number}.flac"
                time = np.arange(round(RATE * 0.2)) / RATE
                hertz += 40
                soundfile.write(folder / name, 0.1 * np.sin(2 * np.pi * hertz * time), RATE)
                lines.append({"audio_filepath": name, "duration": 0.2, "text": word, "speaker": speaker})
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def make(source: Path, out: Path, **options: Any) -> list[dict[str, Any]]:
    make_digit_strings.main(source=source, out=out, **{**DEFAULTS, **OPTIONAL, **options})
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_words_may_be_pieces_of_longer_files(source: Path, tmp_path: Path) -> None:
    names = [source.parent / f"{word}_ann_0.flac" for word in WORDS]
    sounds = [soundfile.read(name)[0] for name in names]
    soundfile.write(tmp_path / "long.flac", np.concatenate(sounds), RATE)
    pieces = [
        {
            "audio_filepath": "long.flac",
            "offset": 0.2 * place,
            "duration": 0.2,
            "text": word,
            "speaker": "ann",
        }
        for place, word in enumerate(WORDS)
    ]
    whole = [
        {"audio_filepath": str(name), "text": word, "speaker": "ann"}
        for name, word in zip(names, WORDS, strict=True)
    ]
    for name, lines in (("pieces", pieces), ("whole", whole)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        make(tmp_path / f"{name}.jsonl", tmp_path / name, count=5)
    for path in sorted((tmp_path / "whole" / "audio").iterdir()):
        assert path.read_bytes() == (tmp_path / "pieces" / "audio" / path.name).read_bytes()


def test_strings_are_balanced_and_as_the_manifest_says(source: Path, tmp_path: Path) -> None:
    records = make(source, tmp_path / "out")
    assert Counter(record["digits"] for record in records) == dict.fromkeys(range(1, 6), 12)
    assert Counter(record["speaker"] for record in records) == dict.fromkeys(("ann", "bob", "eve"), 20)
    words = Counter(word for record in records for word in record["text"].split())
    assert max(words.values()) - min(words.values()) <= 3
    for record in records:
        info = soundfile.info(tmp_path / "out" / record["audio_filepath"])
        assert (info.samplerate, info.subtype, info.format) == (RATE, "PCM_16", "FLAC")
        assert record["duration"] == pytest.approx(info.duration, abs=1e-3)
        assert [word for word, _, _ in record["words"]] == record["text"].split()
        edges = [
            0.0,
            *(time for _, start, end in record["words"] for time in (start, end)),
            record["duration"],
        ]
        assert edges == sorted(edges)
        assert 0.05 <= edges[1] <= 0.4
        assert 0.05 <= edges[-1] - edges[-2] <= 0.4


def test_words_lie_where_the_manifest_says_and_pauses_are_not_zero(source: Path, tmp_path: Path) -> None:
    for record in make(source, tmp_path / "out", count=10):
        samples, _ = soundfile.read(tmp_path / "out" / record["audio_filepath"])
        inside = np.zeros(len(samples), dtype=bool)
        for _, start, end in record["words"]:
            piece = slice(round(start * RATE), round(end * RATE))
            inside[piece] = True
            assert np.sqrt(np.mean(samples[piece] ** 2)) > 0.02
        outside = samples[~inside]
        assert np.sqrt(np.mean(outside**2)) > 0
        assert np.mean(outside == 0) < 0.9 * len(outside)


def test_digitally_silent_recordings_get_noise_all_the_same() -> None:
    recording = np.zeros(1600, np.float32)
    recording[600:1000] = 0.5
    samples, places = make_digit_strings.join([recording] * 3, RATE, np.random.default_rng(0))
    assert len(places) == 3
    pause = samples[: places[0][0]]
    assert np.mean(np.round(pause * 32768) == 0) < 0.5


def test_loud_recordings_do_not_clip() -> None:
    loud = np.ones(1600, np.float32)
    samples, _ = make_digit_strings.join([loud] * 10, RATE, np.random.default_rng(0))
    assert np.abs(samples).max() <= 0.991


def test_same_seed_same_corpus(source: Path, tmp_path: Path) -> None:
    make(source, tmp_path / "a", count=12)
    make(source, tmp_path / "b", count=12)
    make(source, tmp_path / "c", count=12, seed=2)
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(names) == 13
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    assert (tmp_path / "a" / "manifest.jsonl").read_text() != (tmp_path / "c" / "manifest.jsonl").read_text()


def test_recordings_are_used_evenly(source: Path) -> None:
    records = corpus_folder.read_manifest(source)
    strings = make_digit_strings.plan_strings(records, [4] * 90, np.random.default_rng(0))
    uses = Counter(record["audio_filepath"] for string in strings for record in string)
    assert len(uses) == 36
    assert max(uses.values()) - min(uses.values()) <= 1
    assert all(len({record["speaker"] for record in string}) == 1 for string in strings)


def test_choice_of_speakers_and_numbers(source: Path, tmp_path: Path) -> None:
    assert {r["speaker"] for r in make(source, tmp_path / "a", speakers="ann, bob")} == {"ann", "bob"}
    assert {r["speaker"] for r in make(source, tmp_path / "b", exclude_speakers="ann")} == {"bob", "eve"}
    chosen = make_digit_strings.choose_records(source, "ann", "", "1-2")
    assert sorted(Path(r["audio_filepath"]).stem[-1] for r in chosen) == ["1"] * 3 + ["2"] * 3
    assert make_digit_strings.parse_numbers("0-2,7") == {0, 1, 2, 7}
    with pytest.raises(ConfigError, match="no speaker called joe: its speakers are ann, bob, eve"):
        make_digit_strings.choose_records(source, "joe", "", "")
    with pytest.raises(CorpusError, match="no recording that the options let through"):
        make_digit_strings.choose_records(source, "", "", "40-49")
    for wrong in ("5-1", "a", "1-", "-3", "1,,2"):
        with pytest.raises(ConfigError, match="--numbers"):
            make_digit_strings.parse_numbers(wrong)


def test_sources_of_different_rates_go_to_the_lowest(source: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "high.wav", np.random.default_rng(0).normal(size=8000) * 0.1, 16000)
    lines = [{"audio_filepath": "high.wav", "text": "one", "speaker": "ann"}]
    lines += [{"audio_filepath": str(source.parent / "two_ann_0.flac"), "text": "two", "speaker": "ann"}]
    manifest = tmp_path / "mixed.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = make(manifest, tmp_path / "out", count=1, min_digits=2, max_digits=2)[0]
    assert soundfile.info(tmp_path / "out" / record["audio_filepath"]).samplerate == RATE
    lengths = {word: end - start for word, start, end in record["words"]}
    assert lengths == pytest.approx({"one": 0.5, "two": 0.2}, abs=1e-3)


def test_nothing_is_overwritten_unless_asked(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(source, out, count=3)
    with pytest.raises(OutputError, match=r"exists already: .* --overwrite"):
        make(source, out, count=4)
    assert len(make(source, out, count=4, overwrite=True)) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    other = tmp_path / "letters"
    other.mkdir()
    (other / "love.txt").write_text("keep me")
    with pytest.raises(OutputError, match="is not a corpus folder"):
        make(source, other, count=4, overwrite=True)
    assert (other / "love.txt").exists()


def test_a_failure_leaves_nothing(source: Path, tmp_path: Path) -> None:
    lines = source.read_text().splitlines()
    manifest = source.parent / "broken.jsonl"
    manifest.write_text(
        "\n".join(lines) + '\n{"audio_filepath": "text.wav", "text": "three", "speaker": "ann"}\n'
    )
    (source.parent / "text.wav").write_text("no sound")
    with pytest.raises(AsrError, match=r"text\.wav"):
        make(manifest, tmp_path / "out", sample_rate=RATE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["not json\n", '{"text": "one"}\n', "[1]\n"])
def test_broken_manifest(text: str, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("\n" + text)
    with pytest.raises(CorpusError, match=r"m\.jsonl, line 2"):
        corpus_folder.read_manifest(path)
    with pytest.raises(CorpusError, match="cannot be read"):
        corpus_folder.read_manifest(tmp_path / "none.jsonl")


@pytest.mark.parametrize("options", [{"count": 0}, {"min_digits": 0}, {"min_digits": 6}])
def test_wrong_counts(options: dict[str, int], source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"0 strings|--min-digits"):
        make(source, tmp_path / "out", **options)


def test_command_line(source: Path, tmp_path: Path) -> None:
    program = [sys.executable, str(REPOSITORY / "tools" / "make_digit_strings.py")]
    options = ["--source", str(source), "--out", str(tmp_path / "out"), "--count", "5"]
    environment = {"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"}
    first = subprocess.run([*program, *options], capture_output=True, text=True, check=True, env=environment)
    assert first.stdout == ""
    assert "5 strings" in first.stderr
    again = subprocess.run([*program, *options], capture_output=True, text=True, check=False, env=environment)
    assert again.returncode == 2
    assert again.stderr.startswith("error: ")
    assert again.stderr.count("\n") == 1
