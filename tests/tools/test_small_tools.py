"""The small tools: selecting utterances, acoustics, text, noise."""

import json
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asr_seq2seq.audio import load

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def _run(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOOLS / f"{tool}.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    lines = [
        {"audio_filepath": f"sound/{text}_{number}.wav", "text": text.upper(), "speaker": speaker}
        for number, (text, speaker) in enumerate(
            [("one", "a"), ("two", "b"), ("one two", "b"), ("cat", "a"), ("a\u2028b", "c")]
        )
    ]
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    return path


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--words", "one, two"], ["ONE", "TWO", "ONE TWO"]),
        (["--speakers", "a"], ["ONE", "CAT"]),
        (["--exclude-speakers", "a", "--words", "two"], ["TWO"]),
        (["--numbers", "0-1"], ["ONE", "TWO"]),
        (["--speakers", "c"], ["A\u2028B"]),
    ],
)
def test_selected_lines_point_to_the_same_sound(
    manifest: Path, tmp_path: Path, options: list[str], texts: list[str]
) -> None:
    out = tmp_path / "part" / "some.jsonl"
    done = _run("select_utterances", "--source", manifest, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in out.read_text().split("\n")[:-1]]
    assert [line["text"] for line in lines] == texts
    for line in lines:
        assert (out.parent / line["audio_filepath"]).resolve().parent == tmp_path / "sound"


def test_hours_are_drawn_from_several_sources(
    manifest: Path, tmp_path: Path, write_wav: Callable[..., Path]
) -> None:
    for line in manifest.read_text().split("\n"):
        write_wav(tmp_path / json.loads(line)["audio_filepath"], 1.0)
    sources = ["--source", manifest, "--source", manifest]
    drawn = {}
    for seed in (1, 1, 2):
        out = tmp_path / f"{seed}.jsonl"
        done = _run("select_utterances", *sources, "--out", out, "--hours", 3.5 / 3600, "--seed", seed)
        assert done.returncode == 0, done.stderr
        texts = [json.loads(line)["text"] for line in out.read_text().split("\n")[:-1]]
        assert len(texts) == 4
        assert drawn.setdefault(seed, texts) == texts
    assert drawn[1] != drawn[2]
    done = _run("select_utterances", *sources, "--out", tmp_path / "all.jsonl", "--hours", 1)
    assert done.returncode == 2 and "hours" in done.stderr


def test_nothing_selected_is_an_error_and_no_file(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "some.jsonl"
    done = _run("select_utterances", "--source", manifest, "--out", out, "--words", "dog")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert not out.exists()


def test_rooms_and_noises_of_a_seed(tmp_path: Path, manifest: Path, write_wav: Callable[..., Path]) -> None:
    for line in manifest.read_text().split("\n"):
        write_wav(tmp_path / json.loads(line)["audio_filepath"], 0.5)
    for name in ("a", "b"):
        done = _run(
            "make_acoustics", "--out", tmp_path / name, "--rooms", 3, "--noises", 8, "--speech", manifest
        )
        assert done.returncode == 0, done.stderr
    made = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.flac"))
    assert [str(path.parent) for path in made] == ["noises"] * 8 + ["rooms"] * 3
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in made)
    for path in made:
        samples = load(tmp_path / "a" / path, 16000)
        assert 0.5 < float(np.abs(samples).max()) <= 0.91
        if path.parent.name == "rooms":
            assert int(np.abs(samples).argmax()) == 0
    again = _run("make_acoustics", "--out", tmp_path / "a")
    assert again.returncode == 2 and "exists already" in again.stderr
    next(tmp_path.glob("sound/*.wav")).write_text("no sound")
    done = _run("make_acoustics", "--out", tmp_path / "c", "--rooms", 1, "--noises", 8, "--speech", manifest)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("*c*/rooms")) and not list(tmp_path.glob(".c*"))
    done = _run("make_acoustics", "--out", manifest / "in_a_file", "--noises", 0)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_text_of_the_three_sources(tmp_path: Path) -> None:
    wordnet = tmp_path / "usr/share/wordnet"
    novels = tmp_path / "usr/lib/R/site-library/janeaustenr/data"
    bible = tmp_path / "usr/share/sword/modules/texts/ztext/engWEB2015eb"
    for folder in (wordnet, novels, bible):
        folder.mkdir(parents=True)
    for part in ("noun", "verb", "adj"):
        (wordnet / f"data.{part}").write_text("")
    (wordnet / "data.adv").write_text('00 | at speed; "he ran quickly"; "a well-known 2nd man"\n')
    lines = (b"EMMA", b"", b'"My dear Mr. Knightley," said', b"she; he bowed.", b"")
    strings = b"".join(b"\x00\x04\x00\x09" + struct.pack(">i", len(line)) + line for line in lines)
    (novels / "Rdata.rdb").write_bytes(struct.pack(">I", len(strings)) + zlib.compress(strings))
    for testament, text in (
        ("ot", "<w>In</w> the beginning<note>so it says</note>."),
        ("nt", "<w>He ran</w> quickly!"),
    ):
        block = zlib.compress(text.encode())
        (bible / f"{testament}.bzs").write_bytes(struct.pack("<III", 0, len(block), len(text)))
        (bible / f"{testament}.bzz").write_bytes(block)
    done = _run("free_text", "--root", tmp_path, "--out", tmp_path / "text.txt")
    assert done.returncode == 0, done.stderr
    found = sorted((tmp_path / "text.txt").read_text().splitlines())
    assert found == ["he bowed", "he ran quickly", "in the beginning", "my dear mister knightley said she"]
    missing = _run("free_text", "--root", tmp_path / "usr", "--out", tmp_path / "text.txt")
    assert missing.returncode == 2 and "install Debian's wordnet-base" in missing.stderr


def test_noise_is_laid_under_at_its_ratio(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    for folder in ("clean", "noises"):
        (tmp_path / folder).mkdir()
    write_wav(tmp_path / "clean" / "a.wav", 1.0, rate=16000, seed=1)
    write_wav(tmp_path / "noises" / "n.wav", 0.7, rate=16000, seed=2)
    line = {"audio_filepath": "clean/a.wav", "text": "one", "speaker": "s", "age": 7}
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    options = ["--source", tmp_path / "m.jsonl", "--noises", tmp_path / "noises", "--snr", 10]
    done = _run("make_noisy", *options, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (kept,) = map(json.loads, (tmp_path / "out" / "manifest.jsonl").read_text().splitlines())
    assert (kept["text"], kept["speaker"], kept["age"], kept["duration"]) == ("one", "s", 7, 1.0)
    clean = load(tmp_path / "clean" / "a.wav", 16000)
    noise = load(tmp_path / "out" / kept["audio_filepath"], 16000) - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.05)


def test_confidence_with_a_language_model_is_fitted() -> None:
    samples = TOOLS.parent / "data" / "samples"
    result = _run("fit_confidence", "english", samples, "--language-model", "english_lm")
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first.startswith("confidence of words on dev: ")
    assert re.fullmatch(r"confidence_temperature: [\d.]+, confidence_offset: -?[\d.]+", second)
