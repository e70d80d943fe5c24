"""Corpora of every form, mutated: each is read, or refused in one short sentence."""

import gzip
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutate
import numpy as np
import pytest
import soundfile
from lhotse import CutSet, Recording, SupervisionSegment

from asr_seq2seq.corpora.check import inspect_corpora
from asr_seq2seq.corpora.features import read_features
from asr_seq2seq.corpora.huggingface import open_dataset
from asr_seq2seq.corpora.load import digest, load_corpora
from asr_seq2seq.corpora.reading import read_sound

Campaign = Callable[..., mutate.Outcome]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a.wav (mono) and b.flac (two channels)."""
    made = tmp_path_factory.mktemp("corpora")
    noise = 0.1 * np.random.default_rng(0).standard_normal((4000, 2))
    soundfile.write(made / "a.wav", noise[:, 0], 8000)
    soundfile.write(made / "b.flac", noise, 8000)
    np.save(made / "f.npy", np.zeros((40, 3), dtype=np.float32))
    return made


def read(corpus: Path) -> None:
    """Everything that is done with a corpus; of the sounds one is enough."""
    cuts = load_corpora([corpus])
    digest(cuts)
    inspect_corpora([corpus], quick=True)
    for cut in list(cuts)[:2]:
        read_sound(cut, 8000)


def manifest_lines() -> bytes:
    lines: list[dict[str, Any]] = [
        {
            "audio_filepath": "a.wav",
            "text": "one two",
            "duration": 0.5,
            "speaker": "ann",
            "id": "u1",
            "take": 3,
        },
        {"audio_filepath": "b.flac", "text": "three", "offset": 0.1, "channel": 1, "accent": None},
        {"feature_filepath": "f.npy", "text": "four", "duration": 0.5},
    ]
    return "\n".join(map(json.dumps, lines)).encode()


TABLE = (
    b"audio_filepath,text,speaker,duration,offset,channel,id,age\n"
    b'a.wav,"one, two",ann,0.5,0,,u1,30\nb.flac,three,,,0.1,1,,\n'
)


def test_manifests(campaign: Campaign, folder: Path) -> None:
    def read_manifest(content: bytes) -> None:
        (folder / "m.jsonl").write_bytes(content)
        read(folder / "m.jsonl")

    mutators = [mutate.mutate_json_lines, mutate.mutate_json_lines, mutate.mutate_bytes]
    campaign("corpus: JSON lines", [manifest_lines()], read_manifest, mutators)


@pytest.mark.parametrize("form", ["CSV", "TSV"])
def test_tables(form: str, campaign: Campaign, folder: Path) -> None:
    path = folder / f"t.{form.lower()}"

    def read_table(content: bytes) -> None:
        path.write_bytes(content)
        read(path)

    seed = TABLE if form == "CSV" else TABLE.replace(b'"one, two"', b"one two").replace(b",", b"\t")
    campaign(
        f"corpus: {form}", [seed], read_table, [mutate.mutate_lines, mutate.mutate_lines, mutate.mutate_bytes]
    )


def test_kaldi_folders(campaign: Campaign, folder: Path) -> None:
    files = {
        b"wav.scp": b"rec1 a.wav\nrec2 b.flac\n",
        b"segments": b"u1 rec1 0.0 0.25\nu2 rec2 0.25 0.5 1\nu3 rec2 0.1 -1\n",
        b"text": b"u1 one two\nu2 three\nu3\n",
        b"utt2spk": b"u1 ann\nu2 bob\n",
    }
    for sound in ("a.wav", "b.flac"):
        (folder / "kaldi").mkdir(exist_ok=True)
        shutil.copy(folder / sound, folder / "kaldi")

    def read_kaldi(content: bytes) -> None:
        changed, _, text = content.partition(b"\0\n")
        for name, seed in files.items():
            (folder / "kaldi" / name.decode()).write_bytes(text if name == changed else seed)
        read(folder / "kaldi")

    def within(mutator: mutate.Mutator) -> mutate.Mutator:
        def change(content: bytes, chance: Any) -> bytes:
            name, mark, text = content.partition(b"\0\n")
            return name + mark + mutator(text, chance)

        return change

    seeds = [name + b"\0\n" + text for name, text in files.items()]
    campaign(
        "corpus: Kaldi folder", seeds, read_kaldi, [within(mutate.mutate_lines), within(mutate.mutate_bytes)]
    )


def cuts_of(folder: Path) -> CutSet:
    cuts = []
    for name in ("a.wav", "b.flac"):
        recording = Recording.from_file(folder / name)
        cut = recording.to_cut() if name == "a.wav" else recording.to_cut().to_mono()[1]
        cut.supervisions = [SupervisionSegment(name, recording.id, 0.0, 0.5, text="one", speaker="ann")]
        cuts.append(cut)
    cuts[0].custom = {"take": 3, "array": {"type": "x"}}
    return CutSet.from_cuts(cuts)


def lines_of_cutset(folder: Path) -> bytes:
    entries = [cut.to_dict() for cut in cuts_of(folder)]
    entries.append(cuts_of(folder)[0].perturb_speed(1.1).resample(4000).perturb_volume(2.0).to_dict())
    room = Recording.from_file(folder / "b.flac").to_dict()
    reverb = {"name": "ReverbWithImpulseResponse", "kwargs": {"rir": room, "rir_channels": [1]}}
    entries.append(json.loads(json.dumps(entries[0])) | {"id": "room"})
    entries[-1]["recording"]["transforms"] = [reverb]
    features = {"type": "fbank", "num_frames": 40, "num_features": 3, "frame_shift": 0.0125}
    features |= {"sampling_rate": 8000, "start": 0, "duration": 0.5, "storage_type": "numpy_files"}
    features |= {"storage_path": ".", "storage_key": "f.npy", "recording_id": "a", "channels": 0}
    entries.append(json.loads(json.dumps(entries[0])) | {"id": "frames", "features": features})
    return "\n".join(map(json.dumps, entries)).encode()


def test_cutsets(campaign: Campaign, folder: Path) -> None:
    path = folder / "c.jsonl.gz"

    def read_packed(content: bytes) -> None:
        path.write_bytes(content)
        read(path)
        for cut in load_corpora([path]):
            read_sound(cut, 8000)
            if cut.features:
                read_features(cut, 3)

    def packed(content: bytes, chance: Any) -> bytes:
        return gzip.compress(mutate.mutate_json_lines(content, chance), 1)

    def damaged(content: bytes, chance: Any) -> bytes:
        return mutate.mutate_bytes(gzip.compress(content, 1), chance)

    campaign("corpus: CutSet", [lines_of_cutset(folder)], read_packed, [packed, packed, packed, damaged])


def test_shar_folders(campaign: Campaign, folder: Path) -> None:
    (shar := folder / "shar").mkdir(exist_ok=True)
    cuts_of(folder).to_shar(shar, fields={"recording": "wav"})
    packed, archive = shar / "cuts.000000.jsonl.gz", shar / "recording.000000.tar"
    lines, tar = gzip.decompress(packed.read_bytes()), archive.read_bytes()

    def read_shar(content: bytes) -> None:
        of_cuts = content[:1] == b"{" or content[:2] == b"\x1f\x8b"
        packed.write_bytes(content if of_cuts else gzip.compress(lines, 1))
        archive.write_bytes(tar if of_cuts else content)
        read(shar)

    def cuts(content: bytes, chance: Any) -> bytes:
        return gzip.compress(mutate.mutate_json_lines(lines, chance), 1)

    campaign("corpus: Shar", [tar], read_shar, [cuts, mutate.mutate_bytes, headers])


def headers(content: bytes, chance: Any) -> bytes:
    """A change in one of the blocks of 512 bytes that say what an archive holds."""
    starts = [
        place for place in range(0, len(content), 512) if content[place + 257 : place + 262] == b"ustar"
    ]
    start = chance.choice(starts)
    return (
        content[:start]
        + mutate.mutate_bytes(content[start : start + 512], chance)[:512]
        + content[start + 512 :]
    )


def test_datasets(campaign: Campaign, folder: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra `huggingface` is not installed")
    sounds = [
        {"bytes": (folder / "a.wav").read_bytes(), "path": None},
        {"bytes": None, "path": str(folder / "a.wav")},
    ]
    made = datasets.Dataset.from_dict({"audio": sounds, "text": ["one", "two"], "speaker": [1, 2]})
    made.save_to_disk(str(saved := folder / "dataset"))
    info = json.loads((saved / "dataset_info.json").read_text())
    info["features"]["audio"] = {"_type": "Audio"}
    (saved / "dataset_info.json").write_text(json.dumps(info))
    names = ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"]
    files = {name: (saved / name).read_bytes() for name in names}

    def read_dataset(content: bytes) -> None:
        number, text = content[0], content[1:]
        for place, (name, seed) in enumerate(files.items()):
            (saved / name).write_bytes(text if place == number else seed)
        open_dataset.cache_clear()
        read(saved)

    def change(content: bytes, chance: Any) -> bytes:
        mutator = mutate.mutate_bytes if content[0] == 2 else mutate.mutate_json
        return content[:1] + mutator(content[1:], chance)

    seeds = [bytes([place]) + seed for place, seed in enumerate(files.values())]
    campaign("corpus: datasets folder", seeds, read_dataset, [change])


def test_features(campaign: Campaign, folder: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32))
    (folder / "x.npy").write_bytes(buffer.getvalue())
    (folder / "x.jsonl").write_text('{"feature_filepath": "x.npy", "text": "one", "duration": 0.5}')
    [cut] = load_corpora([folder / "x.jsonl"])

    def read_npy(content: bytes) -> None:
        (folder / "x.npy").write_bytes(content)
        read_features(cut, 3)

    def header(content: bytes, chance: Any) -> bytes:
        return mutate.mutate_bytes(content[:128], chance) + content[128:]

    campaign("features (.npy)", [buffer.getvalue()], read_npy, [header, mutate.mutate_lines])
