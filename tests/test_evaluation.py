import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.evaluation import batches_for, calibrate, evaluate, judged_words
from asr_seq2seq.model_file import ModelFile
from asr_seq2seq.recognizer import Recognizer
from asr_seq2seq.scoring.hypotheses import HypothesisLine, read, write
from asr_seq2seq.text import Normalizer

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
    recognizer = Recognizer(model)
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
    # Words that the normaliser parts have no confidence of their own.
    assert judged_words([HypothesisLine("a", "x", "one-two", confidences=(0.9,))], NORMALIZER) == ([], [])


def test_calibration_uses_the_temperature_that_it_finds(tiny_model: ModelFile, corpus: Path) -> None:
    batches = batches_for(tiny_model, load_corpora([corpus]))
    temperature, before, after = calibrate(tiny_model, batches, tiny_model.config.search)
    assert temperature == 1.0 and before == after  # no word is right
    changed = tiny_model.with_search(confidence_temperature=3.0)
    assert changed.config.search.confidence_temperature == 3.0
    assert tiny_model.config.search.confidence_temperature == 1.0
