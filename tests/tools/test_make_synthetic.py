import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tools"))

import make_samples  # noqa: E402
import make_synthetic  # noqa: E402

from asr_seq2seq.errors import AsrError, ConfigError, CorpusError  # noqa: E402

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not on PATH")
DEFAULTS: dict[str, Any] = {
    "text": None,
    "digits": None,
    "min_digits": 1,
    "max_digits": 10,
    "language": "en",
    "sample_rate": 16000,
    "flite_share": 0.0,
    "workers": 2,
    "augment": False,
    "seed": 1,
    "overwrite": False,
}


def make(out: Path, **options: Any) -> list[dict[str, Any]]:
    make_synthetic.main(out=out, **{**DEFAULTS, **options})
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


@needs_espeak
@pytest.mark.parametrize(("augment", "rate"), [(False, 16000), (True, 8000)])
def test_digit_strings(augment: bool, rate: int, tmp_path: Path) -> None:
    records = make(tmp_path / "out", digits=20, augment=augment, sample_rate=rate)
    assert sorted(len(record["text"].split()) for record in records) == sorted([*range(1, 11)] * 2)
    assert {word for record in records for word in record["text"].split()} <= set(make_synthetic.DIGITS)
    assert len({record["speaker"] for record in records}) > 10
    assert all(record["speaker"].startswith("en") for record in records)
    assert all(90 <= record["rate"] <= 220 and 10 <= record["pitch"] <= 90 for record in records)
    for record in records:
        samples, found = soundfile.read(tmp_path / "out" / record["audio_filepath"])
        assert found == rate
        assert record["duration"] == pytest.approx(len(samples) / rate, abs=1e-3)
        assert 0.01 < np.abs(samples).max() < 1.0


@needs_espeak
def test_lines_of_a_text(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("hello world\n\n  -v is not an option \nsomething longer than the others is said here\n")
    records = make(tmp_path / "out", text=text)
    assert [record["text"] for record in records] == [
        "hello world",
        "-v is not an option",
        "something longer than the others is said here",
    ]
    assert records[2]["duration"] > 1.0


@needs_espeak
def test_another_language(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("guten Tag\n")
    assert make(tmp_path / "out", text=text, language="de")[0]["speaker"].startswith("de+")
    with pytest.raises(AsrError, match="no voice for the language xx"):
        make(tmp_path / "other", text=text, language="xx")


@needs_espeak
def test_same_seed_same_corpus(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make(tmp_path / name, digits=4, max_digits=2, augment=True, seed=seed)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in "ab")
    assert first == second
    assert first["manifest.jsonl"] != (tmp_path / "c" / "manifest.jsonl").read_bytes()


@needs_espeak
def test_every_variant_that_is_used_is_known_to_espeak() -> None:
    common, odd = make_synthetic.variants(make_synthetic.find("espeak-ng"))
    assert len(common) > 12
    assert odd


@needs_espeak
def test_samples_are_made_again_as_they_are(tmp_path: Path) -> None:
    make_samples.main(out=tmp_path)
    kept = sorted((REPOSITORY / "data" / "samples").glob("*.*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in kept]
    assert sum(path.stat().st_size for path in kept) < 400_000
    for path in kept:
        if path.suffix == ".txt":
            assert (tmp_path / path.name).read_text() == path.read_text()
            continue
        now, then = soundfile.info(tmp_path / path.name), soundfile.info(path)
        # Another version of espeak-ng may speak a little differently.
        assert (now.samplerate, now.subtype) == (then.samplerate, then.subtype) == (16000, "PCM_16")
        assert now.duration == pytest.approx(then.duration, rel=0.2)


def test_espeak_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AsrError, match=r"espeak-ng is not on PATH: install it .*apt install espeak-ng"):
        make(tmp_path / "out", digits=3)
    assert not list(tmp_path.iterdir())


def test_espeak_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "espeak-ng"
    program.parent.mkdir()
    listing = "Pty Language Gender Name File\\n 5 en --/M English gmw/en\\n"
    program.write_text(f'#!/bin/sh\ncase "$1" in --voices*) printf "{listing}";; *) exit 3;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    with pytest.raises(AsrError, match="was not spoken"):
        make(tmp_path / "out", digits=3)
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_wrong_options(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="either --text FILE or --digits N"):
        make(tmp_path / "out")
    with pytest.raises(ConfigError, match="0 strings are asked for"):
        make(tmp_path / "out", digits=0)
    (tmp_path / "blank.txt").write_text(" \n\n")
    with pytest.raises(CorpusError, match="holds no text"):
        make(tmp_path / "out", text=tmp_path / "blank.txt")
    with pytest.raises(CorpusError, match="cannot be read"):
        make(tmp_path / "out", text=tmp_path / "none.txt")


def test_making_less_clean_adds_noise_and_keeps_the_speech() -> None:
    rate = 8000
    time = np.arange(rate) / rate
    clean = (0.5 * np.sin(2 * np.pi * 600 * time)).astype(np.float32)
    for seed in range(20):
        got = make_synthetic.make_less_clean(clean, rate, np.random.default_rng(seed))
        assert got.dtype == np.float32
        assert len(clean) <= len(got) <= len(clean) + 0.61 * rate
        assert np.isfinite(got).all()
        assert 0.05 < np.abs(got).max() < 0.95
        power = np.abs(np.fft.rfft(got)) ** 2
        peak = np.argmax(power) * rate / len(got)
        assert peak == pytest.approx(600, abs=5)
        assert np.mean(got == 0) < 0.01


@needs_espeak
@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not on PATH")
def test_flite_speaks_its_part(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("-f is not an option\n" * 20)
    alone = make(tmp_path / "alone", text=text)
    records = make(tmp_path / "out", text=text, flite_share=0.5)
    both = list(zip(alone, records, strict=True))
    by_flite = [record for record in records if record["speaker"].startswith("flite+")]
    assert 4 <= len(by_flite) <= 16
    assert all(new == old for old, new in both if new not in by_flite)
    slow, fast = (choose(by_flite, key=lambda record: record["rate"]) for choose in (min, max))
    assert slow["duration"] > fast["duration"] > 0.5
