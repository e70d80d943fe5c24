import base64
import io
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.errors import ConfigError, CorpusError
from asr_seq2seq.evaluation.calibration import judged_words
from asr_seq2seq.evaluation.evaluate import evaluate, open_journal
from asr_seq2seq.evaluation.exhibits import check_report_packages, write_report
from asr_seq2seq.evaluation.hypotheses import HypothesisLine, read, write
from asr_seq2seq.evaluation.journal import Entry
from asr_seq2seq.inference.loading import load
from asr_seq2seq.inference.recognizer import Recognizer
from asr_seq2seq.model.files import ModelFile, save_model
from asr_seq2seq.runtime.session import RuntimeOptions
from asr_seq2seq.text.normalizer import Normalizer

NORMALIZER = Normalizer.named("english-v1")


@pytest.fixture
def corpus(tmp_path: Path, make_sounds: Callable[..., Any]) -> Path:
    burst, gap = 5 * make_sounds(4000)[0], torch.full((2400,), 1e-4)
    sounds = {"long": torch.cat((burst, gap, burst, gap, burst)), "short": burst}
    lines = []
    for name, sound in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", sound.numpy(), 8000, subtype="FLOAT")
        seconds = len(sound) / 8000
        lines.append({"id": name, "audio_filepath": f"{name}.wav", "text": "One two", "duration": seconds})
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path / "m.jsonl"


def test_long_utterances_are_cut_as_transcribe_cuts_them(tiny_model: ModelFile, corpus: Path) -> None:
    model = replace(tiny_model, provenance={"longest_seconds": 1.0}).loaded()
    options = model.options({"n_best": 2})
    found = evaluate(model, load_corpora([corpus]), options)
    by_one = evaluate(model, load_corpora([corpus]), options, batch_size=1)
    assert [line.hypothesis for line in by_one.lines] == [line.hypothesis for line in found.lines]
    recognizer = Recognizer(model)
    for line in found.lines:
        transcript = recognizer.transcribe(corpus.parent / f"{line.id}.wav")
        assert line.hypothesis == transcript.text
        confidences = [word.confidence for segment in transcript.segments for word in segment.words]
        assert line.confidences == pytest.approx(confidences, abs=1e-3)
        assert len(transcript.segments) == (3 if line.id == "long" else 1)
        assert len(line.n_best) == (0 if line.id == "long" else 2)
    assert 0 <= found.calibration_error <= 1


def test_a_long_silent_utterance_has_no_text(tiny_model: ModelFile, corpus: Path) -> None:
    soundfile.write(corpus.parent / "long.wav", np.tile([1e-6, -1e-6], 12_000), 8000, subtype="FLOAT")
    model = replace(tiny_model, provenance={"longest_seconds": 1.0}).loaded()
    long, short = evaluate(model, load_corpora([corpus])).lines
    assert (long.hypothesis, long.score, long.confidences) == ("", 0.0, ())
    assert short.hypothesis


def test_confidences_survive_the_file_of_hypotheses(tmp_path: Path) -> None:
    lines = [HypothesisLine("a", "one two", "one too", confidences=(0.9, 0.25)), HypothesisLine("b", "", "")]
    write(tmp_path / "h.jsonl", lines)
    assert read(tmp_path / "h.jsonl") == lines
    assert judged_words(lines, NORMALIZER) == ([0.9, 0.25], [True, False])
    # Words that the normalizer parts have no confidence of their own.
    assert judged_words([HypothesisLine("a", "x", "one-two", confidences=(0.9,))], NORMALIZER) == ([], [])


def test_an_interrupted_evaluation_resumes(
    tiny_model: ModelFile, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asr_seq2seq.evaluation.evaluate._BATCH_SECONDS", 1.0)
    model, utterances = tiny_model.loaded(), load_corpora([corpus])
    options = model.options()
    whole = evaluate(model, utterances)

    def stop(seconds: float, note: str) -> None:
        assert note.startswith("WER ")
        raise KeyboardInterrupt

    arguments = tmp_path / "h.jsonl", [corpus], utterances, options
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, utterances, options, stop, journal=open_journal(*arguments))
    journal = open_journal(*arguments)
    assert journal.utterances == 1
    monkeypatch.undo()  # batches of another size
    assert evaluate(model, utterances, options, journal=journal).lines == whole.lines
    assert journal.utterances == 2
    # The same names and texts of other sounds, as a corpus with noise under it has them.
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(corpus.parent, elsewhere)
    others = load_corpora([elsewhere / corpus.name])
    journal = open_journal(tmp_path / "h.jsonl", [corpus], others, options)
    assert journal.replaced
    journal.append(Entry([], 0.0))
    assert not open_journal(tmp_path / "h.jsonl", [corpus], others, options).replaced
    os.utime(next(elsewhere.rglob("*.wav")), (1, 1))  # made again in place
    assert open_journal(tmp_path / "h.jsonl", [corpus], others, options).replaced
    more = model.options({"n_best": 2})
    assert open_journal(tmp_path / "h.jsonl", [corpus], others, more).replaced
    with pytest.raises(ConfigError, match="--by gendre"):
        evaluate(model, utterances, by=["gendre"])


def test_an_utterance_that_cannot_be_read_ends_the_evaluation(tiny_model: ModelFile, corpus: Path) -> None:
    utterances = load_corpora([corpus])
    (corpus.parent / "short.wav").write_bytes(b"no sound")
    with pytest.raises(CorpusError, match=r"utterance short: .*short\.wav.*; mend the corpus or take"):
        evaluate(tiny_model.loaded(), utterances)


def test_a_key_that_is_no_number_is_left_out(tiny_model: ModelFile, corpus: Path) -> None:
    one, other = map(json.loads, corpus.read_text().splitlines())
    lines = [one | {"level": math.nan}, other | {"level": 0.5}]
    corpus.write_text("\n".join(map(json.dumps, lines)))
    found = evaluate(tiny_model.loaded(), load_corpora([corpus]))
    assert [line.keys for line in found.lines] == [{}, {"level": 0.5}]


def test_a_report_has_the_sound_and_the_attention_of_the_worst(
    tiny_model: ModelFile, corpus: Path, tmp_path: Path
) -> None:
    model, utterances = tiny_model.loaded(), load_corpora([corpus])
    result = evaluate(model, utterances)
    write_report(tmp_path / "r.html", model, utterances, result, {"Model": "tiny"}, 1)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    [shown] = json.loads(page.split('id="exhibits">')[1].split("</script>")[0])
    assert {"sound", "features", "attention"} <= set(shown)
    assert base64.b64decode(shown["attention"]).startswith(b"\x89PNG")
    assert soundfile.info(io.BytesIO(base64.b64decode(shown["sound"]))).samplerate == 8000


def test_the_report_of_both_backends_is_the_same(tiny_model: ModelFile, corpus: Path, tmp_path: Path) -> None:
    utterances = load_corpora([corpus])
    save_model(tmp_path / "m.safetensors", tiny_model)
    exhibits = []
    for backend in ("onnx", "torch"):
        model = load(tmp_path / "m.safetensors", RuntimeOptions(device="cpu", backend=backend))
        write_report(tmp_path / backend, model, utterances, evaluate(model, utterances), {}, 1)
        page = (tmp_path / backend).read_text(encoding="utf-8")
        exhibits += json.loads(page.split('id="exhibits">')[1].split("</script>")[0])
    one, other = exhibits
    assert one.keys() == other.keys() >= {"sound", "features", "attention"}
    assert one["features"] == other["features"]


WITHOUT_TORCH = """
import sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchaudio", "lhotse", "librosa"}:
            raise AssertionError(f"imports {name}")
sys.meta_path.insert(0, Forbid())
from asr_seq2seq import cli
cli.main()
"""


def test_a_corpus_is_evaluated_without_torch(tmp_path: Path) -> None:
    samples = Path(__file__).resolve().parents[2] / "data" / "samples"
    command = [sys.executable, "-c", WITHOUT_TORCH, "evaluate", "digits", str(samples), "--json"]
    command += [
        "--hypotheses",
        str(tmp_path / "h.jsonl"),
        "--n-best",
        "2",
        "--report",
        str(tmp_path / "r.html"),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["wer"] == 0
    assert max(len(line.n_best) for line in read(tmp_path / "h.jsonl")) == 2
    assert "Log-mel energies" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_what_an_extra_brings_is_named(
    tiny_model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ConfigError, match=r"pip install 'asr_seq2seq\[report\]', or give --listen 0"):
        check_report_packages()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"backend torch needs PyTorch: pip install 'asr_seq2seq\[train\]'"):
        load("digits", RuntimeOptions(backend="torch"))
    with pytest.raises(ConfigError, match="backend tensorflow: is unknown; use onnx or torch"):
        RuntimeOptions(backend="tensorflow")
    with pytest.raises(ConfigError, match="int8 needs the backend onnx"):
        RuntimeOptions("int8", backend="torch")
