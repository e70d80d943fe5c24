import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_seq2seq.transcript import Segment, Transcript, Word
from asr_seq2seq.writers import WRITERS

Run = Callable[..., tuple[int, str, str]]


def _sound(path: Path, samples: np.ndarray, rate: int = 16000, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


def _noise(count: int = 8000) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(count) * 0.1


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; from asr_seq2seq import cli; sys.argv = ['asr-seq2seq', '--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "import asr_seq2seq; heavy = {'torch', 'librosa', 'lhotse'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    "verb",
    [
        "transcribe",
        "train",
        "train-lm",
        "evaluate",
        "prepare",
        "split",
        "inspect",
        "average",
        "score",
        "compare",
    ],
)
def test_every_verb_shows_an_example(run: Run, verb: str) -> None:
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert f"Example:  asr-seq2seq {verb}" in out


def test_text_of_one_file_and_of_several(run: Run, model: Path, tmp_path: Path) -> None:
    one, two = _sound(tmp_path / "one.wav", _noise()), _sound(tmp_path / "two.wav", _noise(4000))
    code, alone, _ = run("transcribe", one, "--model", model)
    assert code == 0
    assert alone.count("\n") == 1
    code, both, _ = run("transcribe", one, two, "--model", model)
    assert code == 0
    assert both.splitlines()[0] == f"{one}\t{alone.rstrip(chr(10))}"
    assert both.splitlines()[1].startswith(f"{two}\t")


def test_json_on_standard_output(run: Run, model: Path, tmp_path: Path) -> None:
    one = _sound(tmp_path / "one.wav", _noise())
    _, out, _ = run("transcribe", one, "--model", model, "--json")
    result = json.loads(out)
    assert result["file"] == str(one)
    assert result["segments"][0]["end"] == pytest.approx(0.5)


def test_files_in_a_folder(run: Run, model: Path, tmp_path: Path) -> None:
    one, two = _sound(tmp_path / "one.wav", _noise()), _sound(tmp_path / "two.flac", _noise(4000))
    code, out, _ = run("transcribe", one, two, "--model", model, "-o", tmp_path / "out", "-f", "txt,json")
    assert (code, out) == (0, "")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["one.json", "one.txt", "two.json", "two.txt"]


def test_attention_is_written_beside_the_rest(run: Run, model: Path, tmp_path: Path) -> None:
    one = _sound(tmp_path / "one.wav", _noise())
    settings = ["--coverage-weight", 0.1, "--length-reward", 0.5, "--temperature", 1.5]
    code, _, _ = run("transcribe", one, "--model", model, "-o", tmp_path / "out", "--attention", *settings)
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.attention.npz", "one.txt"]
    code, _, err = run("transcribe", one, "--model", model, "--attention")
    assert code == 2 and "--attention needs a folder" in err
    code, _, err = run("transcribe", one, "--model", model, "--vad", "magic")
    assert code == 2 and "energy or silero" in err


def test_inputs_of_one_name_are_all_written(run: Run, model: Path, tmp_path: Path) -> None:
    sounds = [_sound(tmp_path / name, _noise()) for name in ("a.wav", "a.flac", "b.wav")]
    options = ("--model", model, "-o", tmp_path / "out")
    code, _, err = run("transcribe", *sounds, tmp_path / "." / "a.wav", *options)
    assert code == 0
    assert "3 of 3 files transcribed into" in err
    assert _names(tmp_path / "out") == ["a.flac.txt", "a.wav.txt", "b.txt"]
    _, _, err = run("transcribe", *sounds, *options, "--skip-existing")
    assert "3 of 3 files skipped" in err


def test_channels_one_by_one(run: Run, model: Path, tmp_path: Path) -> None:
    call = _sound(tmp_path / "call.wav", np.stack([_noise(), np.zeros(8000), _noise()[::-1]], 1))
    alone = _sound(tmp_path / "alone.wav", _noise()[::-1])
    options = ("--model", model)
    _, text, _ = run("transcribe", alone, *options)
    assert run("transcribe", call, *options, "--channel", 3)[:2] == (0, text)
    code, out, err = run("transcribe", call, *options, "--channel", "all")
    assert code == 0, err
    lines = [line.split("\t") for line in out.splitlines()]
    assert [name for name, _ in lines] == [f"{call} channel {number}" for number in (1, 2, 3)]
    assert lines[1][1] == "" and lines[2][1] == text.strip()
    _, out, _ = run("transcribe", call, alone, *options, "--channel", "all", "--json")
    files = json.loads(out)["files"]
    assert [(Path(file["file"]).name, file["channel"]) for file in files] == [
        ("call.wav", 1),
        ("call.wav", 2),
        ("call.wav", 3),
        ("alone.wav", 1),
    ]
    assert files[1]["dropped"] == [{"start": 0.0, "end": 0.5}]
    code, _, err = run("transcribe", call, *options, "--channel", "all", "-o", tmp_path / "out", "-f", "json")
    assert (code, _names(tmp_path / "out")) == (0, [f"call.channel{number}.json" for number in (1, 2, 3)])
    for choice, words in (("0", "the first is 1"), ("left", "or all"), ("4", "no channel")):
        code, out, err = run("transcribe", call, *options, "--channel", choice)
        assert (code, out) == (2, "") and words in err


def _bad_sounds(folder: Path) -> dict[str, Path]:
    flac = _sound(folder / "whole.flac", _noise(16000)).read_bytes()
    (folder / "cut.flac").write_bytes(flac[: len(flac) // 2])
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("this is no sound\n" * 20)
    (folder / "folder.wav").mkdir()
    nan = np.full(8000, np.nan, dtype=np.float32)
    return {
        "missing file": folder / "nothing.wav",
        "directory": folder / "folder.wav",
        "empty file": folder / "empty.wav",
        "text renamed": folder / "text.wav",
        "truncated": folder / "cut.flac",
        "no samples": _sound(folder / "none.wav", np.zeros(0)),
        "all zeros": _sound(folder / "zeros.wav", np.zeros(8000)),
        "not numbers": _sound(folder / "nan.wav", nan, subtype="FLOAT"),
        "10 ms": _sound(folder / "short.wav", _noise(160)),
    }


def test_each_bad_sound_is_one_sentence_that_names_it(run: Run, model: Path, tmp_path: Path) -> None:
    for what, path in _bad_sounds(tmp_path).items():
        code, out, err = run("transcribe", path, "--model", model, "-o", tmp_path / "out")
        assert (code, out) == (2, ""), what
        assert err.startswith("error: "), what
        assert err.count("\n") == 1, what
        assert str(path) in err, what
        assert not (tmp_path / "out").exists(), what


def test_bad_files_among_good_ones_are_named_and_counted(run: Run, model: Path, tmp_path: Path) -> None:
    good = _sound(tmp_path / "good.wav", _noise())
    bad = list(_bad_sounds(tmp_path).values())
    code, out, err = run("transcribe", *bad, good, "--model", model)
    assert code == 1
    assert out.startswith(f"{good}\t")
    for path in bad:
        assert str(path) in err
    assert f"{len(bad)} of {len(bad) + 1} files" in err


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_folders_and_patterns(run: Run, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my [sounds]"
    (folder / "below").mkdir(parents=True)
    two, one = _sound(folder / "two.FLAC", _noise(), format="FLAC"), _sound(folder / "one.wav", _noise())
    three = _sound(folder / "below" / "three.wav", _noise())
    (folder / "notes.txt").touch()
    (folder / "._one.wav").touch()
    (folder / "folder.wav").mkdir()
    pattern = tmp_path / "my*" / "*"
    for arguments, expected in (
        ((folder,), [one, two]),
        ((folder, "-r"), [three, one, two]),
        ((folder, "--recursive", "-o", tmp_path / "out"), []),
        ((pattern,), [one, two]),
        ((tmp_path / "**" / "t*.wav",), [three]),
        ((folder / "below",), [three]),
        ((three, folder), [three, one, two]),
    ):
        code, out, err = run("transcribe", *arguments, "--model", model)
        assert (code, "notes.txt" in err) == (0, folder in arguments or pattern in arguments), arguments
        assert [line.split("\t")[0] for line in out.splitlines()] == list(map(str, expected)), arguments
    assert _names(tmp_path / "out") == ["below", "one.txt", "two.txt"]
    assert _names(tmp_path / "out" / "below") == ["three.txt"]
    code, out, _ = run("transcribe", folder / "below", "--model", model, "--json")
    assert [result["file"] for result in json.loads(out)["files"]] == [str(three)]


def test_a_file_goes_before_the_pattern_of_its_name(run: Run, model: Path, tmp_path: Path) -> None:
    named, _ = _sound(tmp_path / "take[1].wav", _noise()), _sound(tmp_path / "take1.wav", _noise(4000))
    _, out, _ = run("transcribe", named, "--model", model, "--json")
    assert json.loads(out)["file"] == str(named)


def test_a_folder_or_a_pattern_without_sounds(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    _sound(tmp_path / "empty" / "below" / "deep.wav", _noise())
    empty, pattern = tmp_path / "empty", tmp_path / "*.ogg"
    for name, words in ((empty, "--recursive"), (pattern, "check the pattern")):
        code, out, err = run("transcribe", name, "--model", model)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("error: ")
        assert str(name) in err
        assert words in err
    good = _sound(tmp_path / "good.wav", _noise())
    code, out, err = run("transcribe", empty, pattern, good, "--model", model)
    assert code == 1
    assert out.startswith(f"{good}\t")
    assert "2 of 3 files" in err


def test_a_tree_is_laid_out_again(run: Run, model: Path, tmp_path: Path) -> None:
    for name in ("in/a.wav", "in/1/a.wav", "in/2/a.wav", "in/2/a.flac"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        _sound(tmp_path / name, _noise())
    options = ("-r", "--model", model, "-o", tmp_path / "out", "-f", "ctm")
    code, _, err = run("transcribe", tmp_path / "in", *options)
    assert code == 0, err
    found = [str(path.relative_to(tmp_path / "out")) for path in sorted((tmp_path / "out").rglob("*.*"))]
    assert found == ["1/a.ctm", "2/a.flac.ctm", "2/a.wav.ctm", "a.ctm"]
    assert all(
        line.startswith("a 1 ") for line in (tmp_path / "out" / "1" / "a.ctm").read_text().splitlines()
    )
    _, _, err = run("transcribe", tmp_path / "in", *options, "--skip-existing")
    assert "4 of 4 files skipped" in err


def test_what_is_written_already_is_skipped(run: Run, model: Path, tmp_path: Path) -> None:
    sounds = [_sound(tmp_path / f"{name}.wav", _noise()) for name in ("a", "b", "c")]
    out = tmp_path / "out"
    out.mkdir()
    for done in ("a.txt", "a.srt", "b.txt"):
        (out / done).write_text("as it was")
    options = ("--model", model, "-o", out, "-f", "txt,srt", "--skip-existing")
    code, _, err = run("transcribe", *sounds, *options)
    assert code == 0
    assert "1 of 3 files skipped" in err
    assert _names(out) == ["a.srt", "a.txt", "b.srt", "b.txt", "c.srt", "c.txt"]
    assert (out / "a.txt").read_text() == "as it was"
    assert (out / "b.txt").read_text() != "as it was"
    code, printed, err = run("transcribe", sounds[0], *options, "--json")
    assert (code, json.loads(printed)) == (0, {"files": [], "failed": 0})
    assert "1 of 1 files skipped" in err
    bad = tmp_path / "bad.wav"
    bad.touch()
    code, _, err = run("transcribe", *sounds, bad, *options)
    assert code == 1
    assert "3 of 4 files skipped" in err
    assert "1 of 4 files could not" in err


def test_every_format_of_a_transcript_with_and_without_word_times(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def transcript(*words: Word) -> Transcript:
        return Transcript("one", (Segment(0, 0.0, 0.5, "one", (4,), -0.1, words),), None, 0.5)

    results = [transcript(Word("one", 0.1, 0.4, 0.9)), transcript(), transcript(Word("one", 0.1, 0.4, 0.9))]
    monkeypatch.setattr(
        "asr_seq2seq.inference.recognizer.Recognizer.transcribe_each",
        lambda self, sources, **_: iter(results[: len(sources)]),
    )
    sounds = [_sound(tmp_path / f"{name}.wav", _noise()) for name in ("a", "b", "c")]
    code, _, err = run("transcribe", *sounds, "--model", model, "-o", tmp_path / "out", "-f", "all")
    assert code == 1
    assert "b.ctm cannot be written" in err
    assert "1 of 3 files" in err
    endings = ["TextGrid" if name == "textgrid" else name for name in WRITERS]
    expected = {f"{stem}.{ending}" for stem in "abc" for ending in endings} - {"b.ctm"}
    assert _names(tmp_path / "out") == sorted(expected)
    assert (tmp_path / "out" / "c.ctm").read_text() == "c 1 0.100 0.300 one 0.9000\n"


def test_other_mistakes_exit_with_2(run: Run, model: Path, tmp_path: Path) -> None:
    good = _sound(tmp_path / "good.wav", _noise())
    for arguments, words in (
        (("transcribe", good, "--model", tmp_path / "no.safetensors"), "no such model file"),
        (("transcribe", good, "--model", good), "not a model file"),
        (("transcribe", good, "--model", model, "-f", "jsn"), "json"),
        (("transcribe", good, "--model", model, "-f", "srt"), "-f srt needs a folder"),
        (("transcribe", good, "--model", model, "--skip-existing"), "--skip-existing needs a folder"),
        (("transcribe", "n" * 300, "--model", model), "nnn"),
        (("evaluate", model, tmp_path / "no.jsonl"), "no such corpus"),
        (("train", tmp_path / "no.yaml"), "no such recipe"),
        (("inspect", tmp_path / "nothing"), "no such file"),
        (("prepare", "fsd", tmp_path, tmp_path / "out"), "did you mean fsdd?"),
        (("transcribe", good, "--model", model, "--device", "warp"), "device warp"),
    ):
        code, _, err = run(*arguments)
        assert code == 2
        assert words in err
        assert "Traceback" not in err


def test_a_mistyped_setting_is_named_with_the_nearest(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("training: {epoch: 3}\n")
    code, _, err = run("train", tmp_path / "a.yaml", "--run", tmp_path / "run")
    assert code == 2
    assert "`training.epoch`" in err
    assert "`training.epochs`" in err
    assert not (tmp_path / "run").exists()


def test_a_broken_manifest_line_is_named(run: Run, model: Path, tmp_path: Path) -> None:
    _sound(tmp_path / "a.wav", _noise())
    lines = ['{"audio_filepath": "a.wav", "text": "one", "duration": 0.5}', '{"audio_filepath": "a.wav", ']
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    code, _, err = run("evaluate", model, tmp_path / "m.jsonl")
    assert code == 2
    assert "line 2" in err


def test_a_full_disk_leaves_nothing(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = _sound(tmp_path / "good.wav", _noise())

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    code, _, err = run("transcribe", good, "--model", model, "-o", tmp_path / "out")
    assert code == 2
    assert "no space left" in err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_standard_output_that_cannot_be_written(model: Path, tmp_path: Path) -> None:
    good = _sound(tmp_path / "good.wav", _noise())
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "asr_seq2seq", "transcribe", good, "--model", model],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write standard output (No space left")


def test_evaluate_writes_figures_and_hypotheses(run: Run, model: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        _sound(tmp_path / f"{name}.wav", _noise())
    lines = [{"audio_filepath": f"{name}.wav", "text": "One two", "duration": 0.5} for name in "abc"]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, out, _ = run(
        "evaluate", model, tmp_path / "m.jsonl", "--json", "--hypotheses", tmp_path / "h.jsonl"
    )
    figures = json.loads(out)
    assert code == 0
    assert (figures["utterances"], figures["words"], figures["normalizer"]) == (3, 6, "english-v1")
    assert len((tmp_path / "h.jsonl").read_text().splitlines()) == 3
    code, out, _ = run("evaluate", model, tmp_path / "m.jsonl", "--beam-size", 1)
    assert code == 0
    assert out.startswith("WER ")


def test_a_language_model_is_trained_and_joins_an_evaluation(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("one two\ntwo one one\nten\n" * 5)
    (tmp_path / "lm.yaml").write_text("model: {units: 8, layers: 1}\ntraining: {epochs: 2}\n")
    settings = [f"data.{name}={tmp_path / 'text.txt'}" for name in ("train", "dev")]
    arguments = ["train-lm", tmp_path / "lm.yaml", "--run", tmp_path / "lm", "--device", "cpu"]
    code, out, err = run(*arguments, "--set", settings[0], "--set", settings[1])
    assert (code, out) == (0, f"{tmp_path / 'lm' / 'model.safetensors'}\n")
    assert err.count("perplexity per character") == 2

    _sound(tmp_path / "a.wav", _noise())
    (tmp_path / "m.jsonl").write_text('{"audio_filepath": "a.wav", "text": "One two"}')
    arguments = ["evaluate", model, tmp_path / "m.jsonl", "--beam-size", 4]
    with_lm = ["--language-model", tmp_path / "lm" / "model.safetensors", "--lm-weight", 0.5]
    with_texts = ["--hypotheses", tmp_path / "h.jsonl", "--n-best", 3]
    code, _, _ = run(*arguments, *with_lm, *with_texts)
    assert code == 0
    line = json.loads((tmp_path / "h.jsonl").read_text())
    assert len(line["n_best"]) == 3
    for one in line["n_best"]:
        parts = 0.7 * one["decoder"] + 0.3 * one["ctc"] + 0.5 * one["lm"] + one["reward"]
        assert one["score"] == pytest.approx(parts)
    assert (line["n_best"][0]["text"], line["n_best"][0]["score"]) == (line["hypothesis"], line["score"])
    code, _, _ = run(*arguments, *with_texts)
    assert "lm" not in json.loads((tmp_path / "h.jsonl").read_text())["n_best"][0]

    for extra, words in (
        (["--lm-weight", 0.5], "--language-model"),
        (["--n-best", 3], "--hypotheses"),
        (["--listen", 3], "--report"),
        ([*with_texts[:2], "--n-best", 5], "--beam-size 5"),
        (["--language-model", model], "holds a recognizer, not a language model"),
    ):
        code, out, err = run(*arguments, *extra)
        assert (code, out) == (2, "")
        assert words in err


def test_inspect_model_and_corpus(run: Run, model: Path, tmp_path: Path) -> None:
    _sound(tmp_path / "a.wav", _noise())
    (tmp_path / "m.jsonl").write_text('{"audio_filepath": "a.wav", "text": "one", "speaker": "x"}')
    code, out, _ = run("inspect", model, "--json")
    assert code == 0
    assert json.loads(out)["kind"] == "model file"
    code, out, _ = run("inspect", tmp_path / "m.jsonl")
    assert code == 0
    assert "utterances: 1" in out


def test_inspect_corpora_quickly(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound")
    line = '{"audio_filepath": "a.wav", "text": "one", "duration": 1.0, "speaker": "x"}'
    for name in ("train", "dev"):
        (tmp_path / f"{name}.jsonl").write_text(line)
    code, out, _ = run("inspect", tmp_path / "train.jsonl", tmp_path / "dev.jsonl", "--quick", "--json")
    assert code == 0
    assert json.loads(out)["shared"][0]["speakers"] == {"count": 1, "first": ["x"]}
    code, out, _ = run("inspect", tmp_path / "train.jsonl")
    assert code == 0
    assert "cannot be read        1  a@1: " in out


def test_prepare_and_inspect(run: Run, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    for index in (4, 5):
        _sound(tmp_path / "recordings" / f"3_ann_{index}.wav", _noise())
    code, out, _ = run("prepare", "fsdd", tmp_path, tmp_path / "out")
    assert code == 0
    assert out.splitlines()[0] == f"{tmp_path / 'out' / 'train.jsonl'}\t1 utterances\t0.00 hours\t1 speakers"
    code, out, _ = run("prepare", "fsdd", tmp_path, tmp_path / "out", "--json")
    manifests = json.loads(out)["manifests"]
    assert [Path(manifest["path"]).name for manifest in manifests] == ["train.jsonl", "test.jsonl"]
    code, out, _ = run("inspect", *(manifest["path"] for manifest in manifests))
    assert code == 0
    assert "sounds          1  3_ann_5" in out


def test_the_version(run: Run) -> None:
    from asr_seq2seq import __version__

    assert run("--version")[:2] == (0, __version__ + "\n")


def test_ids_that_stand_twice_are_told_apart(run: Run, model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        _sound(tmp_path / f"{name}.wav", _noise(8000 if name == "a" else 4000))
    lines = [{"id": "x", "audio_filepath": f"{name}.wav", "text": name} for name in "ab"]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, _, _ = run("evaluate", model, tmp_path / "m.jsonl", "--hypotheses", tmp_path / "h.jsonl")
    written = [json.loads(line) for line in (tmp_path / "h.jsonl").read_text().splitlines()]
    assert code == 0
    assert [line["duration"] for line in written] == [0.5, 0.25]


def test_a_folder_that_is_missing_is_noticed_before_the_work(run: Run, model: Path, tmp_path: Path) -> None:
    code, _, err = run("evaluate", model, tmp_path / "m.jsonl", "--hypotheses", tmp_path / "no" / "h.jsonl")
    assert code == 2
    assert "its folder does not exist" in err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_results_reach_a_file_though_progress_is_on_a_terminal(model: Path, tmp_path: Path) -> None:
    import pty

    good = _sound(tmp_path / "good.wav", _noise())
    terminal, end = pty.openpty()
    with (tmp_path / "out.txt").open("w") as out:
        command = [sys.executable, "-m", "asr_seq2seq", "transcribe", str(good), str(good), "--model", model]
        subprocess.run(command, stdout=out, stderr=end, check=True)
    for descriptor in (terminal, end):
        os.close(descriptor)
    assert (tmp_path / "out.txt").read_text().count(str(good)) == 2


def test_a_language_model_joins_a_transcription(run: Run, model: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("go\n" * 40)
    (tmp_path / "lm.yaml").write_text(
        "model: {units: 8, layers: 1, embedding: 4, dropout: 0}\n"
        "training: {epochs: 60, warmup_steps: 0, learning_rate: 0.05}\n"
        f"data: {{train: {text}, dev: {text}}}\n"
    )
    code, out, err = run("train-lm", tmp_path / "lm.yaml", "--run", tmp_path / "lm", "--device", "cpu")
    assert code == 0, err
    good = _sound(tmp_path / "good.wav", _noise())
    plain = run("transcribe", good, "--model", model)[1]
    heavy = ["--language-model", out.strip(), "--lm-weight", 20]
    code, joined, _ = run("transcribe", good, "--model", model, *heavy)
    assert code == 0
    assert plain != joined == "go\n"


def test_a_text_beside_its_sound_is_replaced_only_with_overwrite(
    run: Run, model: Path, tmp_path: Path
) -> None:
    sound = _sound(tmp_path / "a.wav", _noise())
    (tmp_path / "a.txt").write_text("made by hand")
    command = ("transcribe", sound, "--model", model, "-o", tmp_path)
    code, _, err = run(*command)
    assert (code, err.count("\n")) == (2, 1) and "--overwrite" in err
    assert run(*command, "--skip-existing")[0] == 0
    assert (tmp_path / "a.txt").read_text() == "made by hand"
    assert run(*command, "--overwrite")[0] == 0
    assert (tmp_path / "a.txt").read_text() != "made by hand"


def test_no_verb_writes_over_what_it_reads(run: Run, model: Path, tmp_path: Path) -> None:
    _sound(tmp_path / "talk.txt", _noise(), format="WAV")
    (tmp_path / "c.jsonl").write_text('{"audio_filepath": "talk.txt", "text": "one", "duration": 0.5}')
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "c.jsonl")
    corpus, sound = tmp_path / "c.jsonl", tmp_path / "talk.txt"
    before = {path: path.read_bytes() for path in (corpus, sound, model)}
    for arguments in (
        ("transcribe", sound, "--model", model, "-o", tmp_path, "--overwrite"),
        ("evaluate", model, corpus, "--hypotheses", corpus),
        ("evaluate", model, corpus, "--hypotheses", model),
        ("evaluate", model, corpus, "--report", sound),
        ("evaluate", model, tmp_path / "link.jsonl", "--hypotheses", corpus),
        ("score", corpus, corpus, "--report", tmp_path / "link.jsonl"),
        ("export", model, model),
        ("train-lm", corpus, "--run", tmp_path / "run", "--set", "data.train=1"),
    ):
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), arguments
    assert {path: path.read_bytes() for path in before} == before


def test_a_bug_looks_like_one(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    texts = ("score", tmp_path / "a.txt", tmp_path / "a.txt")

    def fails(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error", "\x1b[31mfile")

    monkeypatch.setattr("asr_seq2seq.evaluation.assessment.assess", fails)
    code, out, err = run(*texts)
    assert (code, out, err.count("\n")) == (70, "", 1)
    assert "unexpected OSError" in err and "this is a bug" in err and "--traceback" in err
    assert "\x1b" not in err and "Traceback" not in err
    for arguments in ((*texts, "--traceback"), ("--traceback", *texts)):
        assert "Traceback (most recent call last)" in run(*arguments)[2]
    monkeypatch.setenv("ASR_SEQ2SEQ_TRACEBACK", "1")
    assert "Traceback (most recent call last)" in run(*texts)[2]


def test_a_library_that_does_not_load_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "brokenlibrary.py").write_text(
        "raise OSError('libbroken.so.1: cannot open shared object file')"
    )
    (tmp_path / "a.txt").write_text("one")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        "asr_seq2seq.evaluation.assessment.assess", lambda *_, **__: importlib.import_module("brokenlibrary")
    )
    code, _, err = run("score", tmp_path / "a.txt", tmp_path / "a.txt")
    assert code == 70
    assert err.startswith("error: the library brokenlibrary does not load (OSError: libbroken.so.1: cannot")


def test_names_and_texts_cannot_command_a_terminal(run: Run, model: Path, tmp_path: Path) -> None:
    one = _sound(tmp_path / "\x1b[31m\n\u202eone.wav", _noise())
    two = _sound(tmp_path / "[red]two.wav", _noise())
    lines = [
        {"id": "\x9b31m", "audio_filepath": str(one), "text": "a", "duration": 0.5, "speaker": "\x1b\u202e"}
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, out, _ = run("transcribe", one, two, "--model", model)
    assert (code, out.count("\n")) == (0, 2)
    assert r"\x1b[31m\n\u202eone.wav" in out and "[red]two.wav" in out
    shown = [out]
    for arguments in (
        ("transcribe", one, "--model", model, "--json"),
        ("transcribe", tmp_path / "\x1b]0;T\x07.wav", "--model", model),
        ("evaluate", model, tmp_path / "m.jsonl", "--by", "speaker"),
        ("evaluate", model, tmp_path / "m.jsonl", "--by", "\x1b[31m"),
        ("inspect", tmp_path / "m.jsonl"),
        ("\x1b[31m",),
    ):
        _, out, err = run(*arguments)
        shown += [out, err]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", "".join(shown))


def test_missing_streams(run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = _sound(tmp_path / "good.wav", _noise())
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(sys, name, None)
    assert run("transcribe", good, "--model", model, "-o", tmp_path / "out")[0] == 0
    code, _, err = run("transcribe", "-", "--model", model, "-o", tmp_path / "out")
    assert code == 2 and "standard input is closed" in err
    code, _, err = run("inspect", model)
    assert code == 2 and "standard output is closed" in err
    monkeypatch.setattr(sys, "stderr", None)
    assert run("transcribe", tmp_path / "none.wav", "--model", model, "-o", tmp_path / "out")[0] == 2
