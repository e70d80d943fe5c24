"""Each corpus is prepared from a small copy of its real layout; the manifests are then loaded and read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr_seq2seq.corpora import load_corpus
from asr_seq2seq.corpora.prepare import prepare
from asr_seq2seq.corpora.reading import read_sound
from asr_seq2seq.errors import AsrError, CorpusError, OutputError

SECONDS = 0.1


def sound(path: Path, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(map(ord, path.name))
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(SECONDS * 16000))
    soundfile.write(path, samples, 16000, **options)
    return path


def lines(path: Path, *content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in content), encoding="utf-8")


def fsdd(root: Path) -> Path:
    for index in (0, 4, 5, 10):
        for digit, speaker in ((0, "theo"), (7, "theo"), (0, "yweweler")):
            sound(root / "recordings" / f"{digit}_{speaker}_{index}.wav")
    lines(root / "README.md", "# Free Spoken Digit Dataset")
    lines(root / "metadata.py", "metadata = {}")
    return root


def an4(root: Path, train: int = 2) -> Path:
    etc, ids = root / "an4" / "etc", [f"an{251 + number}-fash-b" for number in range(train)]
    lines(etc / "an4_train.fileids", *(f"an4_clstk/fash/{name}" for name in ids))
    lines(etc / "an4_train.transcription", *(f"<s> ERASE {name[2:5]} </s> ({name})" for name in ids))
    lines(etc / "an4_test.fileids", "an4test_clstk/fcaw/an406-fcaw-b")
    lines(etc / "an4_test.transcription", "RUBOUT G M E F THREE NINE (an406-fcaw-b)")
    for name in ids:
        sound(root / "an4" / "wav" / "an4_clstk" / "fash" / f"{name}.sph", format="NIST")
    sound(root / "an4" / "wav" / "an4test_clstk" / "fcaw" / "an406-fcaw-b.sph", format="NIST")
    return root


def librispeech(root: Path) -> Path:
    for subset, speaker in (("dev-clean", 84), ("train-clean-100", 19)):
        chapter = root / "LibriSpeech" / subset / str(speaker) / "198"
        names = [f"{speaker}-198-{number:04}" for number in range(2)]
        for name in names:
            sound(chapter / f"{name}.flac")
        lines(chapter / f"{speaker}-198.trans.txt", *(f"{name} IT'S {name[-1]} WORDS" for name in names))
    lines(root / "LibriSpeech" / "SPEAKERS.TXT", "19 | F | train-clean-100 | 25.19 | Kara Shallenberg")
    return root


def speechocean762(root: Path) -> Path:
    for part, speaker in (("train", "0001"), ("test", "0003")):
        name = f"{speaker}0011"
        sound(root / "WAVE" / f"SPEAKER{speaker}" / f"{name}.WAV", format="WAV")
        lines(root / part / "wav.scp", f"{name}\tWAVE/SPEAKER{speaker}/{name}.WAV")
        lines(root / part / "text", f"{name}\tWE CALL IT BEAR")
        lines(root / part / "utt2spk", f"{name}\t{speaker}")
        lines(root / part / "spk2utt", f"{speaker}\t{name}")
    return root


def common_voice(root: Path) -> Path:
    header = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale"
    for part in ("train", "dev", "test"):
        name = f"common_voice_cy_{len(part)}.mp3"
        sound(root / "clips" / name, format="MP3")
        line = f'f00{part}\t{name}\t"Dw i ddim, meddai {part}.\t2\t0\t\tfemale\t\tcy'
        lines(root / f"{part}.tsv", header, line)
    lines(root / "clip_durations.tsv", "clip\tduration[ms]", "common_voice_cy_5.mp3\t90")
    return root


def ljspeech(root: Path) -> Path:
    folder = root / "LJSpeech-1.1"
    names = ("LJ001-0001", "LJ001-0002")
    texts = ("in 1465|in fourteen sixty-five", 'a "test|a "test')
    lines(folder / "metadata.csv", *(f"{name}|{text}" for name, text in zip(names, texts, strict=True)))
    for name in names:
        sound(folder / "wavs" / f"{name}.wav")
    return root


def read(path: Path) -> list[tuple[str, str | None]]:
    """Text and speaker of the utterances of a manifest, whose sounds are all read."""
    utterances = load_corpus(path)
    for utterance in utterances:
        assert len(read_sound(utterance, 16000)) == pytest.approx(SECONDS * 16000, abs=0.03 * 16000)
    return [(utterance.text, utterance.speaker) for utterance in utterances]


CASES: dict[Callable[[Path], Path], dict[str, list[tuple[str, str | None]]]] = {
    fsdd: {
        "train": [("zero", "theo")] * 2 + [("zero", "yweweler")] * 2 + [("seven", "theo")] * 2,
        "test": [("zero", "theo")] * 2 + [("zero", "yweweler")] * 2 + [("seven", "theo")] * 2,
    },
    an4: {
        "train": [("ERASE 251", "fash"), ("ERASE 252", "fash")],
        "test": [("RUBOUT G M E F THREE NINE", "fcaw")],
    },
    librispeech: {
        "dev-clean": [("IT'S 0 WORDS", "84"), ("IT'S 1 WORDS", "84")],
        "train-clean-100": [("IT'S 0 WORDS", "19"), ("IT'S 1 WORDS", "19")],
    },
    speechocean762: {"train": [("WE CALL IT BEAR", "0001")], "test": [("WE CALL IT BEAR", "0003")]},
    common_voice: {
        part: [(f'"Dw i ddim, meddai {part}.', f"f00{part}")] for part in ("train", "dev", "test")
    },
    ljspeech: {"all": [("in fourteen sixty-five", "LJ"), ('a "test', "LJ")]},
}


@pytest.mark.parametrize("lay_out", CASES, ids=lambda case: case.__name__)
def test_each_part_gets_a_manifest(lay_out: Callable[[Path], Path], tmp_path: Path) -> None:
    source = lay_out(tmp_path / "source")
    prepared = prepare(lay_out.__name__, source, tmp_path / "out" / "here")
    assert {part.path.stem: read(part.path) for part in prepared} == CASES[lay_out]
    for part in prepared:
        assert part.path.parent == tmp_path / "out" / "here"
        assert part.utterances == len(CASES[lay_out][part.path.stem])
        assert part.hours == pytest.approx(part.utterances * SECONDS / 3600, rel=0.5)
    before = {part.path: part.path.read_bytes() for part in prepared}
    prepare(lay_out.__name__, source, tmp_path / "out" / "here")
    assert {part.path: part.path.read_bytes() for part in prepared} == before


@pytest.mark.parametrize(
    ("lay_out", "inner"),
    [(an4, "an4"), (librispeech, "LibriSpeech"), (ljspeech, "LJSpeech-1.1")],
)
def test_the_inner_folder_will_do(lay_out: Callable[[Path], Path], inner: str, tmp_path: Path) -> None:
    source = lay_out(tmp_path / "source") / inner
    assert len(prepare(lay_out.__name__, source, tmp_path / "out")) == len(CASES[lay_out])


def test_names_and_durations(tmp_path: Path) -> None:
    [part] = prepare("ljspeech", ljspeech(tmp_path), tmp_path)
    first = json.loads(part.path.read_text().splitlines()[0])
    assert first == {
        "id": "LJ001-0001",
        "audio_filepath": "LJSpeech-1.1/wavs/LJ001-0001.wav",
        "duration": SECONDS,
        "text": "in fourteen sixty-five",
        "speaker": "LJ",
    }


def test_paths_are_relative_where_the_sound_is_near(tmp_path: Path) -> None:
    source = ljspeech(tmp_path / "source")
    for out, expected in (
        (source / "LJSpeech-1.1", "wavs/LJ001-0001.wav"),
        (tmp_path / "out", "../source/LJSpeech-1.1/wavs/LJ001-0001.wav"),
        (tmp_path / "a" / "b", "../../source/LJSpeech-1.1/wavs/LJ001-0001.wav"),
        (tmp_path / "a" / "b" / "c", str(source / "LJSpeech-1.1" / "wavs" / "LJ001-0001.wav")),
    ):
        [part] = prepare("ljspeech", source, out)
        assert json.loads(part.path.read_text().splitlines()[0])["audio_filepath"] == expected
        assert len(read(part.path)) == 2


def test_a_source_named_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ljspeech(tmp_path / "source")
    monkeypatch.chdir(tmp_path)
    [part] = prepare("ljspeech", Path("source"), Path("out"))
    assert len(read(part.path)) == 2


def test_the_first_hundred_of_an4_are_its_dev_set(tmp_path: Path) -> None:
    prepared = prepare("an4", an4(tmp_path / "source", train=103), tmp_path / "out")
    assert [(part.path.stem, part.utterances) for part in prepared] == [
        ("train", 3),
        ("dev", 100),
        ("test", 1),
    ]
    assert read(tmp_path / "out" / "dev.jsonl")[0] == ("ERASE 251", "fash")


def test_common_voice_without_durations_and_with_one_part(tmp_path: Path) -> None:
    source = common_voice(tmp_path / "cy")
    for name in ("clip_durations.tsv", "train.tsv", "dev.tsv"):
        (source / name).unlink()
    [part] = prepare("common_voice", source, tmp_path / "out")
    assert part.path.stem == "test"
    entry = json.loads(part.path.read_text())
    assert entry["gender"] == "female"
    assert "age" not in entry
    read(part.path)


@pytest.mark.parametrize("name", CASES, ids=lambda case: case.__name__)
def test_a_wrong_folder_is_named(name: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(
        CorpusError, match=r"has no .* in it; give the folder that the corpus was unpacked to"
    ):
        prepare(name.__name__, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def break_an4_list(root: Path) -> None:
    lines(root / "an4" / "etc" / "an4_test.fileids", "an4test_clstk/fcaw/an407-fcaw-b")


def shorten_an4_list(root: Path) -> None:
    lines(root / "an4" / "etc" / "an4_train.fileids", "an4_clstk/fash/an251-fash-b")


def make_an4_raw(root: Path) -> None:
    for path in root.rglob("*.sph"):
        path.rename(path.with_suffix(".raw"))


def lose_an4_sound(root: Path) -> None:
    next(root.rglob("an252*.sph")).unlink()


def lose_speechocean_sound(root: Path) -> None:
    next(root.rglob("*.WAV")).unlink()


def lose_librispeech_sound(root: Path) -> None:
    next(root.rglob("19*.flac")).unlink()


def break_ljspeech_line(root: Path) -> None:
    lines(root / "LJSpeech-1.1" / "metadata.csv", "LJ001-0001|one|one", "LJ001-0002, two")


def lose_common_voice_tables(root: Path) -> None:
    for path in root.glob("*.tsv"):
        path.unlink()


def empty_common_voice_table(root: Path) -> None:
    lines(root / "dev.tsv", "path\tsentence")


@pytest.mark.parametrize(
    ("lay_out", "harm", "reason"),
    [
        (an4, break_an4_list, r"an4_test.transcription, line 1: must end in \(an407-fcaw-b\)"),
        (an4, shorten_an4_list, r"an4_train.fileids has 1 lines and an4_train.transcription 2"),
        (an4, make_an4_raw, r"an251-fash-b.raw: is sound without a header; fetch the archive an4_sphere"),
        (an4, lose_an4_sound, r"an4_train.transcription, line 2: there is no file .*an252-fash-b.sph"),
        (speechocean762, lose_speechocean_sound, r"wav.scp, line 1: there is no file .*\.WAV"),
        (librispeech, lose_librispeech_sound, r"19-198.trans.txt, line \d: there is no sound"),
        (ljspeech, break_ljspeech_line, r"metadata.csv, line 2: must be a name and two texts"),
        (common_voice, lose_common_voice_tables, r"has no train.tsv, dev.tsv or test.tsv"),
        (common_voice, empty_common_voice_table, r"no utterance of the part dev is there"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(
    lay_out: Callable[[Path], Path], harm: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    harm(source := lay_out(tmp_path / "source"))
    with pytest.raises(CorpusError, match=reason) as caught:
        prepare(lay_out.__name__, source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("librispech", r"no preparation for librispech; did you mean librispeech\?"),
        ("FSDD", r"did you mean"),
        ("lhotse:librispech", r"lhotse has no recipe librispech; near it are librispeech,"),
        ("lhotse:", r"lhotse has no recipe ; near it are"),
    ],
)
def test_an_unknown_name_gets_the_near_ones(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=reason):
        prepare(name, tmp_path, tmp_path / "out")


def test_a_source_that_is_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"none: is not a folder; unpack the corpus"):
        prepare("fsdd", tmp_path / "none", tmp_path / "out")


def test_an_output_that_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match=r"cannot write .*out: "):
        prepare("ljspeech", ljspeech(tmp_path / "source"), tmp_path / "out")


def test_the_parts_of_a_recipe_of_lhotse(tmp_path: Path) -> None:
    source = librispeech(tmp_path / "source") / "LibriSpeech"
    prepared = prepare("lhotse:librispeech", source, tmp_path / "out")
    found = {part.path.name: sorted(read(part.path)) for part in prepared}
    assert found == {f"{part}.jsonl": texts for part, texts in CASES[librispeech].items()}


def test_a_recipe_of_lhotse_without_parts(tmp_path: Path) -> None:
    [part] = prepare("lhotse:ljspeech", ljspeech(tmp_path) / "LJSpeech-1.1", tmp_path / "out")
    assert part.path == tmp_path / "out" / "all.jsonl"
    assert [text for text, _ in read(part.path)] == ["in 1465", 'a "test']


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("yesno", r"lhotse's recipe yesno cannot read it \(AssertionError\)"),
        ("heroico", r"lhotse's recipe heroico needs speech_dir and transcript_dir; call"),
        ("voxceleb", r"lhotse's recipe voxceleb needs more than one folder; call"),
    ],
)
def test_a_recipe_that_fails_is_named(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(AsrError, match=reason):
        prepare(f"lhotse:{name}", tmp_path, tmp_path / "out")


def test_the_official_split_of_fsdd(shared_data: Path, tmp_path: Path) -> None:
    prepare("fsdd", shared_data / "fsdd", tmp_path)
    for part in ("train", "test"):
        expected = {
            (utterance.id.split("@")[0], utterance.text, round(utterance.duration, 4))
            for utterance in load_corpus(shared_data / "fsdd" / f"{part}.jsonl")
        }
        utterances = load_corpus(tmp_path / f"{part}.jsonl")
        assert {
            (utterance.id, utterance.text, round(utterance.duration, 4)) for utterance in utterances
        } == expected
