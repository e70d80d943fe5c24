import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_seq2seq.cli.manifest import ManifestWriter
from asr_seq2seq.cli.small_vocabulary import VocabularyNote
from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.model.files import ModelFile
from asr_seq2seq.transcript import Segment, Transcript, Word

RATE = 8000
SAMPLES = Path(__file__).resolve().parents[2] / "data" / "samples"


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> list[Transcript]:
    """What transcribing gives, in the place of a model: fill it with a transcript for each sound."""
    given: list[Transcript] = []
    monkeypatch.setattr(
        "asr_seq2seq.inference.recognizer.Recognizer.transcribe_each",
        lambda self, sources, **_: iter([given.pop(0) for _ in sources]),
    )
    return given


def _segment(number: int, start: float, end: float, *words: tuple[str, float]) -> Segment:
    text = " ".join(word for word, _ in words)
    return Segment(
        number, start, end, text, (4,), -0.1, tuple(Word(w, start, end, sure) for w, sure in words)
    )


def test_what_was_written_is_said(run, model: Path, noise, tmp_path: Path) -> None:
    sounds = [noise(tmp_path / "in" / name) for name in ("a/x.wav", "b/x.wav", "b/x.flac")]
    out = tmp_path / "out"
    code, _, err = run("transcribe", tmp_path / "in", "-r", "-o", out, "--model", model)
    assert (code, err) == (0, f"3 of 3 files transcribed into {out}\n")
    assert _files(out) == ["a/x.txt", "b/x.flac.txt", "b/x.wav.txt"]
    _, _, err = run("transcribe", sounds[0], "-o", out, "-f", "txt,json", "--model", model)
    assert err == f"written: {out / 'x.txt'}, {out / 'x.json'}\n"
    _, _, err = run("transcribe", tmp_path / "in", "-r", "-o", out, "--model", model, "--verbose")
    assert err.count("written: ") == 3 and f"written: {out / 'a' / 'x.txt'}\n" in err
    assert re.search(rf"^{sounds[0]} \[00:00:00\.000 --> 00:00:00\.500\]", err, re.MULTILINE)
    assert run("transcribe", tmp_path / "in", "-r", "-o", out, "--model", model, "-q")[2] == ""
    code, _, err = run("transcribe", tmp_path / "none.wav", sounds[0], "-o", out, "--model", model, "-q")
    assert code == 1 and "none.wav does not exist" in err


def test_a_list_of_files(run, model: Path, noise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/x.wav", "b/x.wav"):
        noise(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b" / "list.txt").write_text("\ufeffa/x.wav\r\n\r\nb/x.wav\r\n", encoding="utf-8")
    code, out, _ = run("transcribe", "--list", "b/list.txt", "--model", model)
    assert code == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == ["a/x.wav", "b/x.wav"]
    code, _, _ = run("transcribe", "--list", "b/list.txt", "-o", "out", "--model", model)
    assert (code, _files(tmp_path / "out")) == (0, ["a/x.txt", "b/x.txt"])
    (tmp_path / "list").write_bytes(b"a/x.wav\0missing.wav\0")
    code, out, err = run("transcribe", "--list", "list", "-0", "--model", model)
    assert code == 1 and out.startswith("a/x.wav\t") and "missing.wav does not exist" in err
    for arguments, words in (
        ((), "no sound is named"),
        (("-0", "a/x.wav"), "name the list with --list"),
        (("--list", "nowhere"), "nowhere cannot be read"),
        (("a/x.wav", "--start", "1:99"), "--start 1:99: give seconds"),
        (("a/x.wav", "--start", "2", "--end", "1"), "--end 1 is not after --start 2"),
        (("a/x.wav", "--start", "2"), "x.wav ends at 0.500 s, before the part that begins at 2 s"),
        (("a/x.wav", "--min-confidence", "0.5"), "with -f jsonl"),
        (("a/x.wav", "-f", "jsonl"), "-f jsonl needs a folder"),
        (("-", "-f", "jsonl", "-o", "new"), "standard input"),
    ):
        code, out, err = run("transcribe", *arguments, "--model", model)
        assert (code, out, err.count("\n")) == (2, "", 1) and words in err, (arguments, err)
    assert not (tmp_path / "new").exists()


def test_a_part_of_each_sound(run, model: Path, noise, tmp_path: Path) -> None:
    sounds = [noise(tmp_path / "a.wav", 4), noise(tmp_path / "b.wav", 3)]
    options = ("--model", model, "--start", "0:01", "--end", "2.5", "--json")
    code, out, _ = run("transcribe", *sounds, *options)
    found = json.loads(out)["files"]
    assert code == 0
    for one in found:
        assert (one["start"], one["duration"]) == (1.0, 1.5)
        assert (one["segments"][0]["start"], one["segments"][-1]["end"]) == (1.0, 2.5)
    stereo = np.stack([np.zeros(2 * RATE), soundfile.read(sounds[0])[0][: 2 * RATE]], 1)
    soundfile.write(tmp_path / "stereo.wav", stereo, RATE)
    _, out, _ = run("transcribe", tmp_path / "stereo.wav", *options, "--channel", "all")
    silent = json.loads(out)["files"][0]
    assert (silent["start"], silent["duration"]) == (1.0, 1.0)
    assert silent["dropped"] == [{"start": 1.0, "end": 2.0}]


def test_a_manifest_of_what_was_transcribed(run, model: Path, noise, results, tmp_path: Path) -> None:
    """One line for a sound of one segment, one for each of several; a corpus as it is."""
    short, long = noise(tmp_path / "in" / "1" / "x.wav", 0.5), noise(tmp_path / "in" / "2" / "x.wav", 3)
    results += [
        Transcript("one two", (_segment(0, 0.0, 0.5, ("one", 0.9), ("two", 0.7)),), None, 0.5),
        Transcript(
            "three four",
            (
                _segment(0, 0.0, 1.0, ("three", 0.5)),
                _segment(1, 1.0, 1.5),
                _segment(2, 1.5, 3.0, ("four", 1.0)),
            ),
            None,
            3.0,
        ),
    ]
    out = tmp_path / "out"
    arguments = ("transcribe", tmp_path / "in", "-r", "-o", out, "-f", "jsonl,txt", "--model", model)
    code, _, err = run(*arguments, "--min-confidence", 0.8)
    assert code == 0
    assert _files(out) == ["1/x.txt", "2/x.txt", "manifest.jsonl"]
    told = "left out: 1 with a confidence under 0.8 and 1 without text"
    assert err.splitlines()[-1] == f"2 of 4 segments written to {out / 'manifest.jsonl'}; {told}"
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert lines == [
        {
            "id": "1/x",
            "audio_filepath": "../in/1/x.wav",
            "duration": 0.5,
            "text": "one two",
            "confidence": 0.8,
        },
        {
            "id": "2/x@2",
            "audio_filepath": "../in/2/x.wav",
            "duration": 1.5,
            "text": "four",
            "offset": 1.5,
            "confidence": 1.0,
        },
    ]
    first, second = load_corpora([out / "manifest.jsonl"])
    assert (first.text, first.duration, Path(str(first.sound)).resolve()) == ("one two", 0.5, short)
    assert (second.start, second.duration, Path(str(second.sound)).resolve()) == (1.5, 1.5, long)


def test_a_manifest_is_extended_and_resumed(run, model: Path, noise, results, tmp_path: Path) -> None:
    sounds = [noise(tmp_path / f"{name}.wav") for name in "abc"]
    out = tmp_path / "out"
    (alone,) = [Transcript("one", (_segment(0, 0.0, 0.5, ("one", 0.9)),), None, 0.5)]
    arguments = ("-o", out, "-f", "jsonl", "--model", model, "--skip-existing")
    results += [alone]
    run("transcribe", sounds[0], *arguments)
    results += [alone] * 2
    _, _, err = run("transcribe", *sounds, *arguments)
    assert "1 of 3 files skipped" in err and not results
    path = out / "manifest.jsonl"
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["a", "b", "c"]
    # As if it had been killed while it wrote the second sound.
    (out / "manifest.jsonl.partial").write_text(path.read_text()[:-20])
    path.unlink()
    results += [alone] * 2
    _, _, err = run("transcribe", *sounds, *arguments)
    assert "1 of 3 files skipped" in err
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["a", "b", "c"]
    assert _files(out) == ["manifest.jsonl"]
    path.write_text("[]\n")
    code, _, err = run("transcribe", *sounds, *arguments)
    assert code == 2 and "line 1: is no line of a manifest" in err


def test_speech_that_digits_cannot_mean(run, noise, tmp_path: Path) -> None:
    known = ("--model", "digits", "--threads", 1)
    digits = SAMPLES / "digits_03.flac"
    assert run("transcribe", digits, *known)[2] == ""
    long, other = noise(tmp_path / "long.wav", 20), noise(tmp_path / "other.wav", 20)
    _, _, err = run("transcribe", digits, long, other, *known)
    words = "eight, five, four, nine, one, seven, six, three, two, zero"
    advice = "for other speech choose another model, such as --model english"
    note = f"note: the model digits knows only 10 words: {words}; {advice}\n"
    assert err == f"{note}left out: 40.0 s without speech; --no-speech-threshold 1 keeps what is not silent\n"
    assert run("transcribe", long, *known, "--no-speech-threshold", 1)[2] == note
    assert run("transcribe", long, *known, "-q")[2] == ""


def test_words_that_are_unsure_make_other_speech_likely(tiny_model: ModelFile) -> None:
    for size, sure, tells in ((10, 0.8, True), (10, 0.95, False), (101, 0.8, False), (None, 0.8, False)):
        known = {} if size is None else {"vocabulary": {"size": size}}
        model = tiny_model.with_provenance(longest_seconds=5.0, **known).loaded()
        note = VocabularyNote(Path("runs/mine"), model)
        assert note.of_segment(_segment(0, 60.0, 61.0, ("one", sure)), 60.0) is None
        end = note.at_end()
        assert (end is not None) is tells
        if end is not None:
            assert end.startswith("note: the model runs/mine knows only 10 words; ")
            assert note.at_end() is None


RECIPE = """
features: {sample_rate: 8000, mels: 16}
model:
  encoder: {layers: [{units: 8, reduction: 4}]}
  context: {size: 8}
  decoder: {units: 8, embedding: 4}
training: {epochs: 1}
data: {workers: 0}
"""


def test_pseudo_labels_are_evaluated_and_trained_on(run, tmp_path: Path) -> None:
    """Texts of the bundled model, and of a sound that is cut into several segments too."""
    sounds = [soundfile.read(path, dtype="float32") for path in sorted(SAMPLES.glob("*.flac"))]
    rate = sounds[0][1]
    pause = np.zeros(rate, np.float32)
    joined = np.concatenate([part for samples, _ in sounds for part in (samples, pause)])
    soundfile.write(tmp_path / "joined.flac", joined, rate)
    out = tmp_path / "out"
    sources = [*sorted(SAMPLES.glob("*.flac")), tmp_path / "joined.flac"]
    options = ("--model", "digits", "--threads", 1)
    code, _, err = run("transcribe", *sources, *options, "-o", out, "-f", "jsonl", "--min-confidence", 0.5)
    assert code == 0, err
    manifest = out / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert sum("joined" in line["id"] for line in lines) >= 2
    assert all(0.5 <= line["confidence"] <= 1 for line in lines)
    assert all(line["id"] == line["audio_filepath"].split("/")[-1].partition(".")[0] for line in lines[:3])
    corpus = load_corpora([manifest])
    assert [one.text for one in corpus] == [line["text"] for line in lines]
    assert all(one.problem is None and Path(str(one.sound)).is_file() for one in corpus)
    code, found, err = run("evaluate", "digits", manifest, "--json", "--threads", 1)
    assert code == 0, err
    assert json.loads(found)["wer"] < 0.05  # a part is resampled with what is around it
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    corpora = ("--train", manifest, "--dev", manifest)
    code, _, err = run(
        "train", tmp_path / "tiny.yaml", *corpora, "--run", tmp_path / "run", "--device", "cpu"
    )
    assert code == 0, err
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_nothing_is_written_where_nothing_was_transcribed(tmp_path: Path) -> None:
    writer = ManifestWriter(tmp_path / "out")
    writer.begin([], keep=False)
    assert "no segment" in writer.finish()
    assert not (tmp_path / "out").exists()


def test_written_style(run, tmp_path: Path) -> None:
    sample = SAMPLES / "digits_01.flac"
    code, _, _ = run(
        "transcribe",
        sample,
        "--model",
        "digits",
        "--style",
        "written",
        "-o",
        tmp_path,
        "-f",
        "txt,jsonl",
        "-q",
    )
    assert code == 0
    assert (tmp_path / "digits_01.txt").read_text() == "31415.\n"
    entry = json.loads((tmp_path / "manifest.jsonl").read_text())
    assert entry["text"] == "three one four one five"  # which a model can learn
    assert "there is no style called fancy" in run("transcribe", sample, "--style", "fancy")[2]


def test_what_is_read_is_not_written_over(run, model: Path, noise, tmp_path: Path) -> None:
    sound = noise(tmp_path / "in" / "x.wav")
    (tmp_path / "x.txt").write_text(f"{sound}\n")
    code, _, err = run("transcribe", "--list", tmp_path / "x.txt", "-o", tmp_path, "--model", model)
    assert code == 2 and "x.txt" in err and (tmp_path / "x.txt").read_text() == f"{sound}\n"
    made = tmp_path / "in" / "manifest.jsonl"
    made.write_text('{"audio_filepath": "x.wav", "text": "by hand"}\n')
    options = ("-f", "jsonl", "--model", model, "-o", tmp_path / "in")
    code, _, err = run("transcribe", sound, *options)
    assert code == 2 and "is there already, beside its sound" in err
    assert "by hand" in made.read_text()
    assert run("transcribe", sound, *options, "--overwrite")[0] == 0
