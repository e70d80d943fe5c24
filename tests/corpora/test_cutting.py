import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_seq2seq.corpora import load_corpus
from asr_seq2seq.corpora.cutting import Cut, write_cuts
from asr_seq2seq.errors import OutputError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "book.wav"
    samples = np.random.default_rng(0).integers(-20000, 20000, 44100 * 40).astype(np.int16)
    soundfile.write(path, samples, 44100)
    return path


CUTS = [Cut("One.", 0.5, 2.25, -0.5), Cut("Two", 2.25, 3.0, -1.0), Cut("Three", 31.0, 40.0, -2.0)]


def test_each_sound_is_that_part_of_the_recording(source: Path, tmp_path: Path) -> None:
    part = write_cuts(source, CUTS, tmp_path / "out")
    assert part.utterances == 3
    whole, rate = soundfile.read(source, dtype="int16")
    found = load_corpus(part.path)
    for one, cut in zip(found, CUTS, strict=True):
        samples, own = soundfile.read(str(one.sound), dtype="int16")
        assert own == rate
        assert (samples == whole[round(cut.start * rate) : round(cut.end * rate)]).all()
        assert (one.text, one.custom["score"]) == (cut.text, cut.score)
        assert (one.custom["source_start"], one.custom["source_end"]) == (cut.start, cut.end)
        assert one.custom["source"] == str(source)
    lines = [json.loads(line) for line in part.path.read_text(encoding="utf-8").splitlines()]
    assert lines[0]["audio_filepath"] == "book_00001.flac"


def test_what_is_there_and_what_is_read_stays(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_cuts(source, CUTS, out)
    before = (out / "manifest.jsonl").read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        write_cuts(source, CUTS[:1], out)
    assert (out / "manifest.jsonl").read_bytes() == before
    assert write_cuts(source, CUTS[:1], out, overwrite=True).utterances == 1
    taken = (out / "book_00001.flac").rename(out / "x_00001.flac")
    (out / "x.flac").write_bytes(taken.read_bytes())
    (out / "x_00001.flac").unlink()
    (out / "x_00001.flac").hardlink_to(out / "x.flac")
    with pytest.raises(OutputError, match="is read by the same command"):
        write_cuts(out / "x.flac", CUTS[:1], out, overwrite=True)
