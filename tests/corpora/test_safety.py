"""A corpus is data: loading, inspecting and reading one runs nothing, fetches nothing, unpickles nothing."""

import base64
import gzip
import io
import json
import os
import pickle
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.corpora.check import inspect_corpora
from asr_seq2seq.corpora.features import read_features
from asr_seq2seq.corpora.guard import nothing_started
from asr_seq2seq.corpora.prepare import prepare
from asr_seq2seq.corpora.reading import read_sound
from asr_seq2seq.errors import AsrError, CorpusError


class Trap:
    """A file that appears if a command is run, and an address that tells if it is asked."""

    def __init__(self, folder: Path, server: socket.socket) -> None:
        self.canary = folder / "canary"
        self.command = f"touch {self.canary}"
        self.address = f"http://127.0.0.1:{server.getsockname()[1]}/a.wav"
        self.requests: list[object] = []


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    """Set before and looked at after a test: nothing may have gone into it."""
    server = socket.create_server(("127.0.0.1", 0))
    made = Trap(tmp_path, server)

    def listen() -> None:
        while True:
            try:
                made.requests.append(server.accept()[1])
            except OSError:
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield made
    with socket.socket() as last:  # wakes the listener, which closing does not
        last.connect(server.getsockname())
    server.close()
    assert not made.canary.exists()
    assert len(made.requests) <= 1


def recording_of(path: Path) -> dict[str, Any]:
    described: dict[str, Any] = Recording.from_file(path).to_dict()
    return described


def cut_with(recording: dict[str, Any], **changes: Any) -> dict[str, Any]:
    said = {"id": "u", "recording_id": "r", "start": 0, "duration": 0.5, "channel": 0, "text": "one"}
    cut = {"id": "u", "start": 0, "duration": 0.5, "channel": 0, "supervisions": [said]}
    return cut | {"recording": recording, "type": "MonoCut"} | changes


def from_source(recording: dict[str, Any], kind: str, source: Any) -> dict[str, Any]:
    return recording | {"sources": [{"type": kind, "channels": [0], "source": source}]}


def features_of(**changes: Any) -> dict[str, Any]:
    known = {
        "type": "fbank",
        "num_frames": 50,
        "num_features": 3,
        "frame_shift": 0.01,
        "sampling_rate": 16000,
    }
    known |= {
        "start": 0,
        "duration": 0.5,
        "storage_type": "lilcom_chunky",
        "storage_path": "x",
        "channels": 0,
    }
    return known | {"storage_key": "0,10", "recording_id": "r"} | changes


class Evil:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def routes(trap: Trap, plain: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Ways by which a cut could make lhotse run, fetch or unpickle."""
    pickled = base64.b64encode(pickle.dumps(Evil(trap.command))).decode()
    command = from_source(plain, "command", trap.command)
    pipe = f"pipe:{trap.command} |"
    reverb = {"name": "ReverbWithImpulseResponse", "kwargs": {"rir": command, "rir_channels": [0]}}
    noisy = {"type": "MixedCut", "id": "m", "tracks": [{"cut": cut_with(command), "type": "MonoCut"}]}
    two = [plain["sources"][0], command["sources"][0] | {"channels": [1]}]
    rooms = [
        reverb | {"kwargs": {"rir": response, "rir_channels": [0]}}
        for response in (cut_with(command), from_source(plain, "file", pipe))
    ]
    sources = {
        "command": command,
        "address": from_source(plain, "url", trap.address),
        "pipe as an address": from_source(plain, "url", pipe),
        "pipe as a file": from_source(plain, "file", pipe),
        "address as a file": from_source(plain, "file", trap.address),
        "bucket": from_source(plain, "url", "s3://bucket/a.wav"),
        "memory": from_source(plain, "memory", pickled),
        "shar outside of a folder": from_source(plain, "shar", trap.command),
        "second source": plain | {"sources": two},
        "room": plain | {"transforms": [reverb]},
        "room that is a cut": plain | {"transforms": rooms[:1]},
        "room of a pipe": plain | {"transforms": rooms[1:]},
        "unknown change": plain | {"transforms": [{"name": "Compress", "kwargs": {"codec": "mp3"}}]},
    }
    stores = {
        "features of a pipe": features_of(storage_path=pipe),
        "features in files of a pipe": features_of(storage_type="numpy_files", storage_path=pipe),
        "features of an address": features_of(storage_type="lilcom_url", storage_path=trap.address),
        "features in files of an address": features_of(
            storage_type="lilcom_files", storage_path=trap.address
        ),
        "features of kaldi": features_of(storage_type="kaldiio", storage_path=trap.command, storage_key="x|"),
        "features in a pickle": features_of(storage_type="memory_raw", storage_path="", storage_key=pickled),
        "features in h5": features_of(storage_type="numpy_hdf5", storage_path=pipe),
    }
    return (
        {name: cut_with(recording) for name, recording in sources.items()}
        | {name: cut_with(plain, features=features) for name, features in stores.items()}
        | {
            "mixed": noisy,
            "padded": {"type": "PaddingCut", "id": "p", "duration": 1, "sampling_rate": 16000},
            "several channels": cut_with(command, type="MultiCut", channel=[0]),
            "another type": cut_with(command, type="os.system"),
            "pipe as features of a manifest": cut_with(plain, custom={"feature_filepath": pipe}),
        }
    )


ROUTES = list(routes(Trap(Path(), socket.create_server(("127.0.0.1", 0))), {"sources": [{}]}))


@pytest.mark.parametrize("packed", ["CutSet", "Shar"])
@pytest.mark.parametrize("name", ROUTES)
def test_no_cut_runs_or_fetches(
    name: str, packed: str, trap: Trap, tmp_path: Path, write_wav: Callable[..., Path]
) -> None:
    plain = recording_of(write_wav(tmp_path / "a.wav", 0.5))
    cut = routes(trap, plain)[name]
    path = tmp_path / ("c.jsonl.gz" if packed == "CutSet" else "shar/cuts.000000.jsonl.gz")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(f"{json.dumps(cut_with(plain))}\n{json.dumps(cut)}\n".encode()))
    corpus = path if packed == "CutSet" else path.parent
    with pytest.raises(CorpusError, match=r"jsonl.gz(, line 2)?: ") as caught:
        inspect_corpora([corpus])
    assert len(str(caught.value)) - len(str(path)) < 240 and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["command", "url", "room"])
def test_no_description_in_an_archive_does(
    kind: str, trap: Trap, tmp_path: Path, write_wav: Callable[..., Path]
) -> None:
    plain = recording_of(write_wav(tmp_path / "a.wav", 0.5))
    cut = MonoCut("u", 0.0, 0.5, 0, recording=Recording.from_dict(dict(plain)))
    cut.supervisions = [SupervisionSegment("u", "a", 0.0, 0.5, text="one")]
    (folder := tmp_path / "shar").mkdir()
    CutSet.from_cuts([cut]).to_shar(folder, fields={"recording": "wav"})
    archive = folder / "recording.000000.tar"
    with tarfile.open(archive) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar.getmembers()]  # type: ignore[union-attr]
    described = json.loads(members[1][1])
    command = from_source(plain, "command", trap.command)
    if kind == "room":
        kwargs = {"rir": command, "rir_channels": [0]}
        described["transforms"] = [{"name": "ReverbWithImpulseResponse", "kwargs": kwargs}]
    else:
        described = from_source(described, kind, trap.command if kind == "command" else trap.address)
    with tarfile.open(archive, "w") as tar:
        for member, content in zip(
            [m for m, _ in members], [members[0][1], json.dumps(described).encode()], strict=True
        ):
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    try:
        cuts = load_corpora([folder])
    except CorpusError as error:
        assert "only files are read" in str(error) and kind == "room"
    else:  # of a source only its channels are used: its sound is in the archive
        assert kind != "room"
        assert len(read_sound(cuts[0], 16000)) == 8000


def test_a_link_in_an_archive_leads_nowhere(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    plain = recording_of(write_wav(tmp_path / "a.wav", 0.5))
    (folder := tmp_path / "shar").mkdir()
    shar_cut = cut_with(from_source(plain, "shar", ""))
    (folder / "cuts.000000.jsonl.gz").write_bytes(gzip.compress(json.dumps(shar_cut).encode()))
    with tarfile.open(folder / "recording.000000.tar", "w") as tar:
        for name in ("u.wav", "u.json"):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(member)
    with pytest.raises(CorpusError, match="is damaged, or no plain file"):
        load_corpora([folder])


def test_what_is_plain_is_read(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    """A room and features that lie in files beside the CutSet, and changes that are numbers."""
    plain = recording_of(write_wav(tmp_path / "a.wav", 0.5))
    room = recording_of(write_wav(tmp_path / "room.wav", 0.1, seed=1))
    for recording in (plain, room):
        recording["sources"][0]["source"] = Path(recording["sources"][0]["source"]).name
    (tmp_path / "frames").mkdir()
    frames = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    np.save(tmp_path / "frames" / "u.npy", frames)
    stored = features_of(storage_type="numpy_files", storage_path="frames", storage_key="u.npy")
    transforms = [
        {"name": "Volume", "kwargs": {"factor": 0.5}},
        {"name": "ReverbWithImpulseResponse", "kwargs": {"rir": room, "rir_channels": [0]}},
        {"name": "Resample", "kwargs": {"source_sampling_rate": 16000, "target_sampling_rate": 8000}},
    ]
    lines = [
        cut_with(plain, features=stored),
        cut_with(plain | {"transforms": transforms, "sampling_rate": 8000}),
    ]
    lines[1]["id"] = "v"
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    first, second = load_corpora([path])
    whole, changed = read_sound(first, 8000), read_sound(second, 8000)
    assert len(whole) == len(changed) == 4000
    assert np.square(changed).mean() == pytest.approx(np.square(whole).mean() / 4, rel=0.5)
    assert np.array_equal(read_features(first, 3), frames)


def test_sound_can_be_used_without_the_features_beside_it(
    tmp_path: Path, write_wav: Callable[..., Path]
) -> None:
    plain = recording_of(write_wav(tmp_path / "a.wav", 0.5))
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(cut_with(plain, features=features_of())).encode()))
    [cut] = load_corpora([path])
    assert len(read_sound(cut, 16000)) == 8000
    with pytest.raises(CorpusError, match="u: its features are stored as lilcom_chunky"):
        read_features(cut, 3)


def test_no_address_in_a_dataset_is_asked(trap: Trap, tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra `huggingface` is not installed")
    sound = str(write_wav(tmp_path / "a.wav", 0.5))
    made = datasets.Dataset.from_dict({"audio": [{"bytes": None, "path": sound}], "text": ["one"]})
    made.save_to_disk(str(folder := tmp_path / "d"))
    info = json.loads((folder / "dataset_info.json").read_text())
    info["features"]["audio"] = {"_type": "Audio"}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    state = json.loads((folder / "state.json").read_text())
    for changes in (
        {"_data_files": [{"filename": "../" + folder.name + "/" + state["_data_files"][0]["filename"]}]},
        {"_data_files": [{"filename": trap.address}]},
        {"_data_files": [{"filename": "/etc/passwd"}]},
    ):
        (folder / "state.json").write_text(json.dumps(state | changes))
        with pytest.raises(CorpusError, match=r"state.json: cannot be read as a dataset"):
            load_corpora([folder])
    strange = {"_format_type": "os.system", "_format_kwargs": {"command": trap.command}}
    (folder / "state.json").write_text(json.dumps(state | strange))
    assert len(load_corpora([folder])) == 1
    made = datasets.Dataset.from_dict({"audio": [{"bytes": None, "path": trap.address}], "text": ["one"]})
    made.save_to_disk(str(other := tmp_path / "e"))
    (other / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(CorpusError, match=r"row 0: .* is an address, and only files are read"):
        load_corpora([other])


@pytest.mark.parametrize("form", ["pickle", "object array", "npz", "large"])
def test_features_are_numbers_alone(form: str, trap: Trap, tmp_path: Path) -> None:
    path = tmp_path / "f.npy"
    if form == "pickle":
        path.write_bytes(pickle.dumps(Evil(trap.command)))
    elif form == "object array":
        np.save(path, np.array([Evil(trap.command)], dtype=object), allow_pickle=True)
    elif form == "npz":
        np.savez(tmp_path / "f.npz", a=np.zeros((3, 3)))
        (tmp_path / "f.npz").rename(path)
    else:
        np.save(path, np.zeros((3, 3)))
        path.write_bytes(path.read_bytes().replace(b"(3, 3), }  ", b"(3333333333, 3), }"[:11].ljust(11)))
    (tmp_path / "m.jsonl").write_text('{"feature_filepath": "f.npy", "text": "one", "duration": 1}')
    [cut] = load_corpora([tmp_path / "m.jsonl"])
    with pytest.raises(CorpusError, match=r"f.npy: cannot be read as features"):
        read_features(cut, 3)


def test_a_recipe_of_lhotse_starts_no_program(trap: Trap, tmp_path: Path) -> None:
    """broadcast_news gives names of files to a shell; others name commands as sound."""
    with pytest.raises(CorpusError, match=r"the recipe wants to .*Popen"), nothing_started("the recipe"):
        os.popen(trap.command)
    with pytest.raises(CorpusError, match=r"os.system"), nothing_started("the recipe"):
        os.system(trap.command)
    with pytest.raises(CorpusError, match=r"socket"), nothing_started("the recipe"):
        socket.create_connection(("127.0.0.1", int(trap.address.split(":")[2].split("/")[0])))
    with nothing_started("outer"):
        with nothing_started("inner"):
            pass
        with pytest.raises(CorpusError, match="outer wants"):
            os.system(trap.command)
    assert os.system("true") == 0


def test_what_a_recipe_of_lhotse_finds_is_checked(
    trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_wav: Callable[..., Path]
) -> None:
    from lhotse import RecordingSet, SupervisionSet, recipes

    sound = recording_of(write_wav(tmp_path / "a.wav", 0.5))
    said = SupervisionSegment("u", sound["id"], 0.0, 0.5, text="one")

    def prepare_anything(corpus_dir: Path) -> Any:
        recording = Recording.from_dict(from_source(sound, "command", trap.command))
        return {
            "recordings": RecordingSet.from_recordings([recording]),
            "supervisions": SupervisionSet.from_segments([said]),
        }

    monkeypatch.setattr(recipes, "prepare_anything", prepare_anything, raising=False)
    with pytest.raises(AsrError, match=r"recipe anything: the sound of a is of the type command"):
        prepare("lhotse:anything", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
