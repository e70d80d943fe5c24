"""The same words through every accepted form give the same batches."""

import csv
import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, Recording, SupervisionSegment

from asr_seq2seq.config import LogMelConfig
from asr_seq2seq.corpora import load_corpora, load_corpus
from asr_seq2seq.corpora.reading import read_sound
from asr_seq2seq.errors import AudioError, CorpusError
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.batching import Batch, Batches
from asr_seq2seq.training_config import DataConfig

NORMALIZER = Normalizer.named("english-v1")
ALPHABET = Alphabet(" '-abcdefghijklmnopqrstuvwxyzäü")


@dataclass(frozen=True)
class Word:
    path: Path
    text: str
    speaker: str
    seconds: float


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[Word]:
    """A few sound files of different kinds, as they lie in a folder called sound."""
    folder = tmp_path_factory.mktemp("words") / "sound"
    folder.mkdir()
    made = []
    texts = ["One, two", 'drei, "vier" und fünf', "six's", "seven eight", "nine"]
    for number, text in enumerate(texts):
        rate = (16000, 8000)[number % 2]
        path = folder / f"{'abcde'[number]}.{('wav', 'flac')[number % 2]}"
        samples = 0.1 * np.random.default_rng(number).standard_normal(rate + 777 * number)
        soundfile.write(path, samples, rate, subtype="PCM_16")
        made.append(Word(path, text, f"speaker{number % 2}", len(samples) / rate))
    return made


def batches(path: Path) -> list[Batch]:
    config = DataConfig.model_validate({"batch_seconds": 2.5, "workers": 0})
    utterances = load_corpora([path])
    return list(
        Batches(utterances, config, features=LogMelConfig(), alphabet=ALPHABET, normalizer=NORMALIZER)
    )


def manifest(words: list[Word], folder: Path) -> Path:
    lines = [{"audio_filepath": str(w.path), "text": w.text, "speaker": w.speaker} for w in words]
    path = folder / "m.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def csv_table(words: list[Word], folder: Path) -> Path:
    quoted = [w.text.replace('"', '""') for w in words]
    rows = [f'{w.path},"{text}",{w.speaker}' for w, text in zip(words, quoted, strict=True)]
    path = folder / "t.csv"
    path.write_text("\n".join(["audio_filepath,text,speaker", *rows]), encoding="utf-8")
    return path


def tsv_table(words: list[Word], folder: Path) -> Path:
    rows = [f"{w.speaker}\t{w.text}\t{w.path}\t{w.seconds}\t" for w in words]
    path = folder / "t.tsv"
    path.write_text("\n".join(["client_id\tsentence\tpath\tduration\toffset", *rows]), encoding="utf-8")
    return path


def semicolon_table(words: list[Word], folder: Path) -> Path:
    """As a spreadsheet in a German Windows saves it, with names of columns as people write them."""
    rows = [["File_Name", "Sentence", "Speaker"], *([str(w.path), w.text, w.speaker] for w in words)]
    with (folder / "s.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    return folder / "s.csv"


def bar_table(words: list[Word], folder: Path) -> Path:
    rows = [f"{w.path}|{w.text}|{w.speaker}" for w in words]
    (folder / "b.csv").write_text("\n".join(["path|text|speaker", *rows]), encoding="utf-8")
    return folder / "b.csv"


def deepspeech(words: list[Word], folder: Path) -> Path:
    with (folder / "d.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["wav_filename", "wav_filesize", "transcript"])
        rows.writerows([str(w.path), w.path.stat().st_size, w.text] for w in words)
    return folder / "d.csv"


def datasets_json(words: list[Word], folder: Path) -> Path:
    """As `datasets` writes a table with a column of sound to JSON lines."""
    lines = [{"audio": {"bytes": None, "path": str(w.path)}, "transcription": w.text} for w in words]
    (folder / "d.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder / "d.jsonl"


def windows_paths(words: list[Word], folder: Path) -> Path:
    (folder / "wavs").mkdir()
    for word in words:
        shutil.copy(word.path, folder / "wavs")
    lines = [{"audio_filepath": f"wavs\\{w.path.name}", "text": w.text} for w in words]
    content = "\r\n".join(json.dumps(line) for line in lines)
    (folder / "w.jsonl").write_bytes(b"\xef\xbb\xbf" + content.encode())
    return folder / "w.jsonl"


def audio_folder(form: str) -> Callable[[list[Word], Path], Path]:
    """Hugging Face's AudioFolder: a table of the files below it."""

    def write(words: list[Word], folder: Path) -> Path:
        rows = []
        (folder / "clips").mkdir()
        for word in words:
            shutil.copy(word.path, folder / "clips")
            rows.append({"file_name": f"clips/{word.path.name}", "transcription": word.text})
        if form == "jsonl":
            (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        else:
            with (folder / "metadata.csv").open("w", encoding="utf-8-sig", newline="") as file:
                table = csv.DictWriter(file, ["file_name", "transcription"])
                table.writeheader()
                table.writerows(rows)
        return folder

    return write


def nemo(words: list[Word], folder: Path) -> Path:
    """Keys of other programs, in a packed file."""
    lines = [{"audio": str(w.path), "sentence": w.text, "client_id": w.speaker} for w in words]
    with gzip.open(folder / "n.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(map(json.dumps, lines)))
    return folder / "n.jsonl.gz"


def common_voice(words: list[Word], folder: Path) -> Path:
    """Two of the parts of a language, the seconds of the sounds beside them."""
    (folder / "clips").mkdir()
    lengths = ["clip\tduration[ms]"]
    for part, chosen in (("train", words[:3]), ("test", words[3:])):
        rows = ["client_id\tpath\tsentence\tlocale"]
        for word in chosen:
            shutil.copy(word.path, folder / "clips")
            rows.append(f"{word.speaker}\t{word.path.name}\t{word.text}\tde")
            lengths.append(f"{word.path.name}\t{1000 * word.seconds}")
        (folder / f"{part}.tsv").write_text("\n".join(rows), encoding="utf-8")
    (folder / "clip_durations.tsv").write_text("\n".join(lengths), encoding="utf-8")
    return folder


def folder_of_speakers(words: list[Word], folder: Path) -> Path:
    """A folder for each part, in it one for each speaker; texts as Windows writes them."""
    for number, word in enumerate(words):
        place = folder / ("train", "test")[number % 3 == 2] / word.speaker
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(word.path, place)
        (place / word.path.stem).with_suffix(".txt").write_bytes(f"\ufeff{word.text}\r\n".encode())
    return folder


def kaldi(words: list[Word], folder: Path) -> Path:
    for name, value in (("wav.scp", "path"), ("text", "text"), ("utt2spk", "speaker")):
        lines = [f"utt-{number} {getattr(w, value)}" for number, w in enumerate(words)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def kaldi_segments(words: list[Word], folder: Path) -> Path:
    """The words one after another in two recordings, by rate; a segment for each.

    Between them is silence, as before and after a file: a part is resampled with what is around it.
    """
    scp, segments, texts = [], [], []
    for rate in (16000, 8000):
        samples, start = [], 0.0
        for number, word in enumerate(words):
            if (sound := soundfile.read(word.path, dtype="int16"))[1] == rate:
                samples += [sound[0], np.zeros(rate // 2, dtype=np.int16)]
                end = start + word.seconds
                segments.append(f"utt-{number} rec{rate} {start:.9f} {end:.9f}")
                start = end + 0.5
        soundfile.write(folder / f"rec{rate}.flac", np.concatenate(samples), rate)
        scp.append(f"rec{rate} rec{rate}.flac")
    texts = [f"utt-{number}\t{w.text}" for number, w in enumerate(words)]
    for name, lines in (("wav.scp", scp), ("segments", segments), ("text", texts)):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def sound_folder(ending: str) -> Callable[[list[Word], Path], Path]:
    def write(words: list[Word], folder: Path) -> Path:
        for word in words:
            shutil.copy(word.path, folder)
            (folder / word.path.name).with_suffix(ending).write_text(f"{word.text}\n", encoding="utf-8")
        return folder

    return write


def librispeech_folder(words: list[Word], folder: Path) -> Path:
    chapter = folder / "61" / "7"
    chapter.mkdir(parents=True)
    lines = []
    for number, word in enumerate(words):
        shutil.copy(word.path, chapter / f"61-7-{number:04}{word.path.suffix}")
        lines.append(f"61-7-{number:04} {word.text}")
    (chapter / "61-7.trans.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def lhotse_cuts(words: list[Word]) -> CutSet:
    cuts = []
    for word in words:
        cut = Recording.from_file(word.path).to_cut()
        cut.supervisions = [SupervisionSegment(cut.id, cut.id, 0.0, cut.duration, text=word.text)]
        cuts.append(cut)
    return CutSet.from_cuts(cuts)


def cutset(words: list[Word], folder: Path) -> Path:
    lhotse_cuts(words).to_file(folder / "c.jsonl.gz")
    return folder / "c.jsonl.gz"


def shar(words: list[Word], folder: Path) -> Path:
    lhotse_cuts(words).to_shar(folder, fields={"recording": "flac"}, shard_size=2)
    return folder


def shar_without_sound(words: list[Word], folder: Path) -> Path:
    lhotse_cuts(words).to_shar(folder, fields={}, shard_size=2, warn_unused_fields=False)
    return folder


def dataset(words: list[Word], folder: Path) -> Path:
    """Sound embedded, as `save_to_disk` does by itself."""
    datasets = pytest.importorskip("datasets", reason="the extra `huggingface` is not installed")
    columns = {"audio": [str(w.path) for w in words], "sentence": [w.text for w in words]}
    columns["speaker_id"] = [number % 2 for number, _ in enumerate(words)]
    made = datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio(decode=False))
    made.save_to_disk(str(folder / "d"))
    return folder / "d"


def dataset_of_paths(words: list[Word], folder: Path) -> Path:
    """Paths alone, as a dataset holds them that was saved without its sound."""
    datasets = pytest.importorskip("datasets", reason="the extra `huggingface` is not installed")
    values: dict[str, Any] = {"sound": [{"bytes": None, "path": str(w.path)} for w in words]}
    values["text"] = [w.text for w in words]
    sound = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features({"sound": sound, "text": datasets.Value("string")})
    datasets.Dataset.from_dict(values, features=features).save_to_disk(str(folder / "d"))
    info = json.loads((folder / "d" / "dataset_info.json").read_text())
    info["features"]["sound"] = {"_type": "Audio"}
    (folder / "d" / "dataset_info.json").write_text(json.dumps(info))
    return folder / "d"


FORMS = {
    "csv": csv_table,
    "tsv": tsv_table,
    "semicolons": semicolon_table,
    "bars": bar_table,
    "deepspeech": deepspeech,
    "datasets as json": datasets_json,
    "paths of windows": windows_paths,
    "audio folder, csv": audio_folder("csv"),
    "audio folder, jsonl": audio_folder("jsonl"),
    "other keys, packed": nemo,
    "common voice": common_voice,
    "folder of speakers": folder_of_speakers,
    "kaldi": kaldi,
    "kaldi with segments": kaldi_segments,
    "folder with txt": sound_folder(".txt"),
    "folder with lab": sound_folder(".lab"),
    "folder like librispeech": librispeech_folder,
    "cutset": cutset,
    "shar": shar,
    "shar without sound": shar_without_sound,
    "dataset": dataset,
    "dataset of paths": dataset_of_paths,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_batches(form: str, words: list[Word], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    expected = batches(manifest(words, tmp_path))
    found = batches(FORMS[form](words, tmp_path / "other"))
    assert len(expected) > 1
    if form == "folder of speakers":  # in the order of its folders
        assert sorted(text for one in found for text in one.texts) == sorted(
            text for one in expected for text in one.texts
        )
        return
    for one, other in zip(found, expected, strict=True):
        assert not one.problems
        assert one.texts == other.texts
        for name in ("inputs", "lengths", "tokens", "token_lengths"):
            torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=1e-6)


def test_no_form_needs_pytorch_or_lhotse(words: list[Word], tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the extra `huggingface` is not installed")
    paths = [manifest(words, tmp_path)]
    for number, write in enumerate(FORMS.values()):
        (folder := tmp_path / str(number)).mkdir()
        paths.append(write(words, folder))
    program = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        assert name.partition(".")[0] not in {"torch", "torchaudio", "lhotse", "scipy", "datasets"}, name
sys.meta_path.insert(0, Refuse())
from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.corpora.check import inspect_corpora
for path in sys.argv[1:]:
    assert len(load_corpora([path])) == 5
    facts = inspect_corpora([path])
    assert facts["utterances"] == 5 and "cannot be read" not in facts["suspicious"], (path, facts)
"""
    done = subprocess.run([sys.executable, "-c", program, *map(str, paths)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "form",
    ["csv", "tsv", "kaldi", "dataset", "folder like librispeech", "other keys, packed", "common voice"],
)
def test_speakers_are_kept(form: str, words: list[Word], tmp_path: Path) -> None:
    utterances = load_corpus(FORMS[form](words, tmp_path))
    expected = {
        "dataset": [str(number % 2) for number, _ in enumerate(words)],
        "folder like librispeech": ["61"] * len(words),
    }.get(form, [w.speaker for w in words])
    assert [utterance.speaker for utterance in utterances] == expected


def test_folders_are_speakers_where_the_tree_says_so(words: list[Word], tmp_path: Path) -> None:
    def speakers() -> list[str | None]:
        return [one.speaker for one in load_corpus(tmp_path)]

    folder_of_speakers(words, tmp_path)
    assert speakers() == ["speaker0", "speaker0", "speaker0", "speaker1", "speaker1"]
    (wrapped := tmp_path / "mine").mkdir()
    for part in ("train", "test"):
        (tmp_path / part).rename(wrapped / part)
    assert set(speakers()) == {"speaker0", "speaker1"}
    shutil.copy(words[0].path, wrapped / "z.wav")
    (wrapped / "z.txt").write_text("one")
    assert set(speakers()) == {"mine"}
    shutil.copy(words[0].path, tmp_path / "z.wav")
    (tmp_path / "z.txt").write_text("one")
    assert set(speakers()) == {None}


@pytest.mark.parametrize("form", ["shar", "dataset"])
def test_embedded_sound_stays_where_it_is_and_travels_to_workers(
    form: str, words: list[Word], tmp_path: Path
) -> None:
    utterances = load_corpus(FORMS[form](words, tmp_path))
    assert not any(isinstance(utterance.sound, str) for utterance in utterances)
    config = DataConfig.model_validate({"batch_seconds": 2.5, "workers": 1})
    read = Batches(utterances, config, features=LogMelConfig(), alphabet=ALPHABET, normalizer=NORMALIZER)
    assert sum(len(batch.ids) for batch in read) == len(words)


def test_embedded_sound_that_has_gone_is_named(words: list[Word], tmp_path: Path) -> None:
    utterance = load_corpus(shar(words, tmp_path))[0]
    shutil.rmtree(tmp_path)
    with pytest.raises(AudioError, match=r"recording.000000.tar cannot be read .*load the corpus again"):
        read_sound(utterance, 16000)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("words.txt", b"one", "is not a corpus that is known"),
        ("t.csv", b"", "line 1: no column names the sound"),
        ("t.csv", b"path,text\n", "holds no utterance"),
        ("wav.scp", b"", "is not a corpus that is known"),
        ("c.tar.gz", b"", "is not a corpus that is known; unpack it"),
        ("c.parquet", b"", "name the folder that save_to_disk writes"),
        ("c.xlsx", b"", "save the sheet as .csv"),
        ("filelist.txt", b"a.wav|one", "give it a header such as"),
        ("t.csv", b"a.wav;one", r"line 1: no column names the sound; call it .*there is: a.wav;one"),
        ("t.csv", b"path;path;text", r"line 1: two columns are called path"),
        ("t.csv", b"Path,path,text", r"line 1: two columns are called path"),
        ("t.csv", b"path;text\nx;y;z", r"line 2: has not as many fields .* semicolons"),
        ("m.json", b'[{"path": "a.wav", "text": "one"}]', "line 1: is a JSON list; write one object a line"),
        ("m.json", b"[\n{\n", "line 1: is a JSON list; write one object a line"),
        ("m.json", b'{\n"path": "a.wav"\n}', "line 1: .*one whole object on each line"),
        (
            "m.jsonl",
            b'{"audio": {"path": "a", "bytes": "UklG"}, "text": "a"}',
            "line 1: `audio_filepath` must",
        ),
        ("m.jsonl", b'{"sound": "a.wav", "text": "one"}', "is missing; add it, or one of path, file"),
    ],
)
def test_what_is_no_corpus_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=reason) as caught:
        load_corpus(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_folder_of_corpora_names_them(words: list[Word], tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / "parts" / part).mkdir(parents=True)
        audio_folder("csv")(words, tmp_path / "parts" / part)
    (tmp_path / "voice" / "de").mkdir(parents=True)
    common_voice(words, tmp_path / "voice" / "de")
    for name, named in (("parts", r"parts/test or .*parts/train"), ("voice", "name .*voice/de")):
        with pytest.raises(CorpusError, match=f"holds corpora in its folders; .*{named}"):
            load_corpus(tmp_path / name)
    assert len(load_corpus(tmp_path / "parts" / "test")) == len(words)


def test_a_corpus_may_be_named_twice(words: list[Word], tmp_path: Path) -> None:
    path = csv_table(words, tmp_path)
    utterances = load_corpora([path, path])
    assert len({utterance.id for utterance in utterances}) == 2 * len(words)
