import base64
import io
import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.evaluation.evaluate import batches_for, calibrate, evaluate, judged_words, open_journal
from asr_seq2seq.evaluation.exhibits import write_report
from asr_seq2seq.evaluation.hypotheses import HypothesisLine, read, write
from asr_seq2seq.evaluation.journal import Entry
from asr_seq2seq.inference.recognizer import Recognizer
from asr_seq2seq.model.files import ModelFile
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.training_config import DataConfig

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
    model = replace(tiny_model, provenance={"longest_seconds": 1.0})
    found = evaluate(model, load_corpora([corpus]), model.config.search, n_best=2)
    by_two = evaluate(model, load_corpora([corpus]), model.config.search.changed(batch_size=1), n_best=2)
    assert [line.hypothesis for line in by_two.lines] == [line.hypothesis for line in found.lines]
    recognizer = Recognizer(model.loaded())
    for line in found.lines:
        transcript = recognizer.transcribe(corpus.parent / f"{line.id}.wav")
        assert line.hypothesis == transcript.text
        confidences = [word.confidence for segment in transcript.segments for word in segment.words]
        assert line.confidences == pytest.approx(confidences, abs=1e-3)
        assert len(transcript.segments) == (3 if line.id == "long" else 1)
        assert len(line.n_best) == (0 if line.id == "long" else 2)
    assert 0 <= found.calibration_error <= 1


def test_confidences_survive_the_file_of_hypotheses(tmp_path: Path) -> None:
    lines = [HypothesisLine("a", "one two", "one too", confidences=(0.9, 0.25)), HypothesisLine("b", "", "")]
    write(tmp_path / "h.jsonl", lines)
    assert read(tmp_path / "h.jsonl") == lines
    assert judged_words(lines, NORMALIZER) == ([0.9, 0.25], [True, False])
    # Words that the normalizer parts have no confidence of their own.
    assert judged_words([HypothesisLine("a", "x", "one-two", confidences=(0.9,))], NORMALIZER) == ([], [])


def test_calibration_uses_the_temperature_that_it_finds(tiny_model: ModelFile, corpus: Path) -> None:
    batches = batches_for(tiny_model, load_corpora([corpus]))
    temperature, before, after = calibrate(tiny_model, batches, tiny_model.config.search)
    assert temperature == 1.0 and before == after  # no word is right
    changed = tiny_model.with_decoding(confidence_temperature=3.0)
    assert changed.config.search.confidence_temperature == 3.0
    assert tiny_model.config.search.confidence_temperature == 1.0


def test_an_interrupted_evaluation_goes_on(
    tiny_model: ModelFile, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asr_seq2seq.evaluation.evaluate.DataConfig", lambda: DataConfig(batch_seconds=1.0))
    model = tiny_model
    cuts, search = load_corpora([corpus]), model.config.search
    whole = evaluate(model, cuts, search)

    def stop(seconds: float, note: str) -> None:
        assert note.startswith("WER ")
        raise KeyboardInterrupt

    arguments = tmp_path / "h.jsonl", [corpus], cuts, search, 0
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, cuts, search, stop, journal=open_journal(*arguments))
    journal = open_journal(*arguments)
    assert journal.utterances == 1
    assert evaluate(model, cuts, search, journal=journal).lines == whole.lines
    assert journal.utterances == 2
    # The same names and texts of other sounds, as a corpus with noise under it has them.
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(corpus.parent, elsewhere)
    others = load_corpora([elsewhere / corpus.name])
    journal = open_journal(tmp_path / "h.jsonl", [corpus], others, search, 0)
    assert journal.replaced
    journal.append(Entry([], 0.0))
    assert not open_journal(tmp_path / "h.jsonl", [corpus], others, search, 0).replaced
    os.utime(next(elsewhere.rglob("*.wav")), (1, 1))  # made again in place
    assert open_journal(tmp_path / "h.jsonl", [corpus], others, search, 0).replaced
    with pytest.raises(ConfigError, match="--by gendre"):
        evaluate(model, cuts, search, by=["gendre"])


def test_a_key_that_is_no_number_is_left_out(tiny_model: ModelFile, corpus: Path) -> None:
    one, other = map(json.loads, corpus.read_text().splitlines())
    lines = [one | {"level": math.nan}, other | {"level": 0.5}]
    corpus.write_text("\n".join(map(json.dumps, lines)))
    found = evaluate(tiny_model, load_corpora([corpus]), tiny_model.config.search)
    assert [line.keys for line in found.lines] == [{}, {"level": 0.5}]


def test_a_report_has_the_sound_and_the_attention_of_the_worst(
    tiny_model: ModelFile, corpus: Path, tmp_path: Path
) -> None:
    cuts = load_corpora([corpus])
    result = evaluate(tiny_model, cuts, tiny_model.config.search)
    write_report(tmp_path / "r.html", tiny_model, cuts, result, {"Model": "tiny"}, 1)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    [shown] = json.loads(page.split('id="exhibits">')[1].split("</script>")[0])
    assert {"sound", "features", "attention"} <= set(shown)
    assert base64.b64decode(shown["attention"]).startswith(b"\x89PNG")
    assert soundfile.info(io.BytesIO(base64.b64decode(shown["sound"]))).samplerate == 8000
