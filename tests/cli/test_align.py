import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr_seq2seq.corpora import load_corpus
from asr_seq2seq.model.files import ModelFile, save_model
from asr_seq2seq.text.normalizer import Normalizer

Run = Callable[..., tuple[int, str, str]]
SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples"


@pytest.fixture
def book(tmp_path: Path) -> tuple[Path, Path]:
    """Three samples as one recording, and their texts with punctuation and capitals."""
    paths = sorted(SAMPLES.glob("*.flac"))[:3]
    sounds = [soundfile.read(path)[0] for path in paths]
    sound, text = tmp_path / "book.wav", tmp_path / "book.txt"
    soundfile.write(sound, np.concatenate(sounds), 16000)
    texts = [path.with_suffix(".txt").read_text(encoding="utf-8").strip().capitalize() for path in paths]
    text.write_text("\ufeff" + "".join(f"{line}.\r\n" for line in texts), encoding="utf-8")
    return sound, text


def test_utterances_are_printed_and_written(run: Run, book: tuple[Path, Path], tmp_path: Path) -> None:
    sound, text = book
    lines = text.read_text(encoding="utf-8-sig").splitlines()
    code, out, err = run("align", "digits", sound, text)
    assert (code, err) == (0, "")
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[3] for row in rows] == lines
    assert all(float(row[0]) < float(row[1]) and float(row[2]) <= 0 for row in rows)
    code, out, _ = run("align", "digits", sound, text, "-o", tmp_path / "out", "-f", "json,textgrid,ctm,srt")
    assert (code, out) == (0, "")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["book.TextGrid", "book.ctm", "book.json", "book.srt"]
    result = json.loads((tmp_path / "out" / "book.json").read_text(encoding="utf-8"))
    assert [segment["text"] for segment in result["segments"]] == lines
    assert all("score" in segment for segment in result["segments"])
    words = [word for segment in result["segments"] for word in segment["words"]]
    assert [word["word"].strip() for word in words] == " ".join(lines).split()
    assert all(word["start"] < word["end"] for word in words)


def test_a_corpus_is_cut(run: Run, book: tuple[Path, Path], tmp_path: Path) -> None:
    sound, text = book
    out = tmp_path / "corpus"
    code, _, err = run("align", "digits", sound, text, "--cut", out)
    assert code == 0
    assert err.startswith("3 of 3 utterances, ") and err.endswith("; 0 left out by their score\n")
    found = load_corpus(out / "manifest.jsonl")
    assert [one.text for one in found] == text.read_text(encoding="utf-8-sig").splitlines()
    assert sum(one.duration for one in found) == pytest.approx(soundfile.info(sound).duration, abs=1.5)
    assert run("inspect", out / "manifest.jsonl")[0] == 0
    code, _, err = run("align", "digits", sound, text, "--cut", out)
    assert code == 2 and "--overwrite" in err
    worst = min(one.custom["score"] for one in found)
    code, _, err = run(
        "align", "digits", sound, text, "--cut", out, "--overwrite", "--min-score", worst + 1e-3
    )
    assert code == 0 and "2 of 3 utterances" in err and "1 left out" in err
    assert len(load_corpus(out / "manifest.jsonl")) == 2


def test_running_text_is_divided(run: Run, book: tuple[Path, Path], tmp_path: Path) -> None:
    sound, text = book
    lines = text.read_text(encoding="utf-8-sig").splitlines()
    text.write_text(" ".join(lines).replace(" ", "\n"), encoding="utf-8")
    code, out, _ = run("align", "digits", sound, text, "--running")
    assert code == 0
    assert [line.split("\t")[3] for line in out.splitlines()] == lines  # by their full stops
    text.write_text(" ".join(lines).replace(".", ""), encoding="utf-8")
    code, out, _ = run("align", "digits", sound, text, "--running", "--json")
    segments = json.loads(out)["segments"]
    assert code == 0 and " ".join(segment["text"] for segment in segments) == " ".join(lines).replace(".", "")
    assert len(segments) > 1


def test_unknown_characters_are_told_once(run: Run, book: tuple[Path, Path]) -> None:
    sound, text = book
    text.write_text("12 " + text.read_text(encoding="utf-8-sig"), encoding="utf-8")
    code, out, err = run("align", "digits", sound, text)
    assert code == 0
    assert err.count("warning") == 1 and "2 characters that the model does not know (1 2)" in err
    assert out.split("\t")[3].startswith("12 ")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["-f", "json"], "-f json needs a folder for the results: name one with -o"),
        (["-f", "jsonl", "-o", "x"], "--cut"),
        (["--min-score", "-2"], "--min-score needs a corpus"),
        (["-f", "docx"], 'no output format "docx"'),
    ],
)
def test_options_that_do_not_fit(run: Run, book: tuple[Path, Path], options: list[str], what: str) -> None:
    code, _, err = run("align", "digits", *book, *options)
    assert code == 2 and what in err and err.count("\n") == 1


def test_texts_that_do_not_fit(run: Run, book: tuple[Path, Path]) -> None:
    sound, text = book
    for content, what in (
        ("", "has no character that the model knows"),
        ("猫 123", "has no character that the model knows"),
        ("one two three " * 500, "characters, too many for"),
    ):
        text.write_text(content, encoding="utf-8")
        code, out, err = run("align", "digits", sound, text)
        assert (code, out) == (2, "") and what in err and len(err.splitlines()[-1]) < 300, err
    text.write_bytes(b"\xff\xfe\x00")
    code, _, err = run("align", "digits", sound, text)
    assert code == 2 and "UTF-8" in err
    code, _, err = run("align", "digits", sound, sound.with_name("missing.txt"))
    assert code == 2 and "missing.txt" in err


def test_nothing_that_is_read_is_written_over(run: Run, book: tuple[Path, Path]) -> None:
    sound, text = book
    before = text.read_bytes()
    code, _, err = run("align", "digits", sound, text, "-o", text.parent, "-f", "txt")
    assert code == 2 and "is read by the same command" in err
    assert text.read_bytes() == before


def test_a_model_without_a_ctc_head(
    run: Run,
    book: tuple[Path, Path],
    tmp_path: Path,
    make_config: Any,
    make_model: Any,
    tiny_model: ModelFile,
) -> None:
    config = make_config({"model.ctc_weight": 0})
    model = ModelFile(
        make_model({"model.ctc_weight": 0}, len(tiny_model.alphabet)),
        config.recognizer(),
        tiny_model.alphabet,
        Normalizer.named("english-v1"),
        {},
    )
    save_model(tmp_path / "m.safetensors", model)
    code, _, err = run("align", tmp_path / "m.safetensors", *book)
    assert code == 2 and "has no CTC head" in err and err.count("\n") == 1
