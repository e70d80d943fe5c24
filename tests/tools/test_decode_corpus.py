"""The tool that writes a corpus as WAV: decode_corpus."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import decode_corpus

from asr_seq2seq.errors import ConfigError, CorpusError

ENGLISH = Path(__file__).parents[2] / "asr_seq2seq" / "model_file" / "pretrained" / "english.safetensors"


@pytest.fixture
def manifest(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    texts = ["One.", "press # now", "two", "three"]
    lines = []
    for number, text in enumerate(texts):
        write_wav(tmp_path / f"{number}.wav", 0.5, rate=8000, seed=number)
        line = {"audio_filepath": f"{number}.wav", "text": text, "duration": 0.25, "speaker": "a"}
        lines.append(json.dumps(line | {"source": "left" if number < 3 else "right", "offset": 0.1}))
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(lines))
    return path


def test_the_chosen_part_is_written_at_the_rate_asked_for(manifest: Path, tmp_path: Path) -> None:
    names = tmp_path / "without.txt"
    names.write_text("# noises\n2  # two\n\n")
    out = tmp_path / "wav"
    decode_corpus.main(manifest, out, 16000, without=names, foreign="#", only_sources="left")
    (line,) = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert (line["text"], line["speaker"], line["duration"]) == ("One.", "a", 0.25)
    assert "offset" not in line
    sound, rate = soundfile.read(out / line["audio_filepath"])
    assert (len(sound), rate) == (4000, 16000)


def test_nothing_left_and_a_folder_that_is_there_are_errors(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="nothing is left of 4 utterances"):
        decode_corpus.main(manifest, tmp_path / "none", only_sources="middle")
    with pytest.raises(ConfigError, match="exists already"):
        decode_corpus.main(manifest, tmp_path)


def test_two_recordings_of_one_name_are_an_error(manifest: Path, tmp_path: Path) -> None:
    manifest.write_text("\n".join(manifest.read_text().splitlines()[:1] * 2))
    with pytest.raises(CorpusError, match="0: two recordings"):
        decode_corpus.main(manifest, tmp_path / "wav")
    assert not (tmp_path / "wav").exists()
