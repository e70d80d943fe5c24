import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from asr_seq2seq.corpora import Utterance, load_corpora, load_corpus
from asr_seq2seq.corpora.reading import read_native, read_sound
from asr_seq2seq.errors import AudioError, CorpusError
from asr_seq2seq.training.batching import readable

Write = Callable[..., Path]


def manifest(folder: Path, *entries: dict[str, Any] | str, name: str = "m.jsonl") -> Path:
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {"audio_filepath": "sound/a.wav", "duration": 1.0, "text": "one two"} | changes


@pytest.fixture
def folder(tmp_path: Path, write_wav: Write) -> Path:
    """A folder with sound/a.wav, one second long."""
    write_wav(tmp_path / "sound" / "a.wav", 1.0)
    return tmp_path


def samples(path: Path) -> Any:
    return soundfile.read(path, dtype="float32")[0]


def test_an_utterance_is_read_with_all_its_keys(folder: Path) -> None:
    extra = {"accent": "scots", "take": 3}
    [cut] = load_corpus(manifest(folder, entry(speaker=7, id="u1", **extra)))
    assert cut.id == "u1"
    assert cut.duration == 1.0
    assert cut.text == "one two"
    assert cut.speaker == "7"
    assert cut.custom == extra
    np.testing.assert_allclose(read_sound(cut, 16000), samples(folder / "sound" / "a.wav"))


def test_paths_are_relative_to_the_manifest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest(folder, entry())
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    [cut] = load_corpus("../m.jsonl")
    assert len(read_sound(cut, 16000)) == 16000


def test_a_manifest_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = manifest(folder, entry())

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CorpusError, match=r"m.jsonl: cannot be read \(Permission denied\)"):
        load_corpus(path)


def test_absolute_paths_stay(folder: Path) -> None:
    path = str(folder / "sound" / "a.wav")
    (folder / "elsewhere").mkdir()
    [cut] = load_corpus(manifest(folder / "elsewhere", entry(audio_filepath=path)))
    assert len(read_sound(cut, 16000)) == 16000


def test_order_is_kept_and_empty_lines_are_skipped(folder: Path) -> None:
    cuts = load_corpus(manifest(folder, "", entry(text="b"), "   ", entry(text="a"), ""))
    assert [cut.text for cut in cuts] == ["b", "a"]
    assert len({cut.id for cut in cuts}) == 2


@pytest.mark.parametrize("text", ["", "it's “ü”", "line\u2028separator"])
def test_texts_are_kept_as_they_are(folder: Path, text: str) -> None:
    line = json.dumps(entry(text=text), ensure_ascii=False)
    [cut] = load_corpus(manifest(folder, line))
    assert cut.text == text


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize(("offset", "seconds"), [(0.0, 0.25), (0.25, 0.5), (0.5, 0.5), (0.0, 1.0)])
def test_a_part_of_a_file(tmp_path: Path, write_wav: Write, rate: int, offset: float, seconds: float) -> None:
    path = write_wav(tmp_path / "sound" / "a.wav", 1.0, rate=rate)
    [cut] = load_corpus(manifest(tmp_path, entry(offset=offset, duration=seconds)))
    assert cut.duration == seconds
    start = round(offset * rate)
    np.testing.assert_allclose(read_sound(cut, rate), samples(path)[start : start + round(seconds * rate)])


def test_a_missing_duration_is_measured(folder: Path) -> None:
    line = entry()
    del line["duration"]
    [cut] = load_corpus(manifest(folder, line))
    assert cut.duration == pytest.approx(1.0)
    [cut] = load_corpus(manifest(folder, line | {"offset": 0.75}))
    assert cut.duration == pytest.approx(0.25)
    assert len(read_sound(cut, 16000)) == 4000
    with pytest.raises(CorpusError, match=r"line 1.*begins at 1.5 s, beyond the end"):
        load_corpus(manifest(folder, line | {"offset": 1.5}))


@pytest.mark.parametrize("content", [b"", b"no sound", b"ID3"])
@pytest.mark.parametrize("duration", [{}, {"duration": 1.5}])
def test_one_bad_file_does_not_stop_the_rest(folder: Path, content: bytes, duration: dict[str, Any]) -> None:
    (folder / "b.wav").write_bytes(content)
    first, second = load_corpus(
        manifest(folder, {"audio_filepath": "b.wav", "text": "b"} | duration, entry())
    )
    known = not content or not duration
    assert ("b.wav" in (first.problem or "")) == known
    assert second.problem is None
    cuts, problems = readable([first, second])
    assert len(cuts) == 2 - known and len(problems) == known
    if known:
        with pytest.raises(CorpusError, match=r"none of 1 utterances can be read; utterance b@1: .*b.wav"):
            readable([first])


@pytest.mark.parametrize("nothing", ["null", "NaN"])
def test_what_is_null_is_not_given(folder: Path, nothing: str) -> None:
    line = json.dumps(entry())[:-1]
    for key in ("duration", "offset", "channel", "speaker", "id", "accent", "feature_filepath"):
        line = line.replace('"duration": 1.0, ', "") + f', "{key}": {nothing}'
    [cut] = load_corpus(manifest(folder, line + "}"))
    assert (cut.id, cut.start, cut.duration, cut.custom) == ("a@1", 0.0, 1.0, {})
    assert cut.speaker is None


@pytest.mark.parametrize("nothing", ["null", "NaN"])
def test_a_text_that_is_null_is_missing(folder: Path, nothing: str) -> None:
    with pytest.raises(CorpusError, match="line 1: the key `text` is missing"):
        load_corpus(manifest(folder, f'{{"audio_filepath": "sound/a.wav", "text": {nothing}}}'))


def test_line_ends_and_a_byte_order_mark_of_windows(folder: Path) -> None:
    lines = "\r\n".join(json.dumps(entry(text=text)) for text in ("one", "two"))
    (folder / "m.jsonl").write_bytes(b"\xef\xbb\xbf" + lines.encode() + b"\r\n")
    assert [cut.text for cut in load_corpus(folder / "m.jsonl")] == ["one", "two"]


@pytest.mark.parametrize("form", ["manifest", "cutset"])
def test_one_channel_of_several(tmp_path: Path, form: str) -> None:
    both = 0.1 * np.random.default_rng(0).standard_normal((8000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "call.wav", both, 8000, subtype="FLOAT")
    if form == "manifest":
        lines = [entry(audio_filepath="call.wav", channel=channel) for channel in (0, 1)]
        path = manifest(tmp_path, *lines, entry(audio_filepath="call.wav"))
    else:
        recording = Recording.from_file(tmp_path / "call.wav")
        cuts = []
        for channel in (0, 1):
            said = SupervisionSegment(f"{channel}", "call", 0.0, 1.0, channel=channel, text="one")
            cuts.append(MonoCut(f"{channel}", 0.0, 1.0, channel, recording=recording, supervisions=[said]))
        CutSet.from_cuts(cuts).to_file(path := tmp_path / "c.jsonl.gz")
    found = [read_sound(cut, 8000) for cut in load_corpus(path)]
    expected = [both[:, 0], both[:, 1], both.mean(axis=1)][: len(found)]
    for samples, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(samples, right, atol=1e-6)


def test_a_channel_that_is_not_there_is_named(folder: Path) -> None:
    [first, second] = load_corpus(manifest(folder, entry(channel=0), entry(channel=1)))
    assert len(read_sound(first, 16000)) == 16000
    with pytest.raises(AudioError, match=r"a.wav has no channel 1: it has 1 channel"):
        read_sound(second, 16000)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{not json", "not a JSON object"),
        ('{"audio_filepath": "sound/a.wav"', "not a JSON object"),
        ("[" * 100_000, "JSON"),
        ("[1, 2]", "is a JSON list"),
        ('"text"', "must be an object"),
        ("null", "must be an object"),
        ({"text": "a"}, "`audio_filepath` is missing"),
        ({"audio_filepath": "sound/a.wav"}, "`text` is missing"),
        (entry(text=None), "`text` is missing"),
        (entry(text=3), "`text` should be a valid string, not 3"),
        (entry(audio_filepath=3), "`audio_filepath` must be text, not 3"),
        ({"feature_filepath": "a.npy", "text": "a", "duration": 1}, "there is no file"),
        ({"feature_filepath": "sound/a.wav", "text": "a"}, "need a `duration`"),
        ({"feature_filepath": "sound/a.wav", "text": "a", "duration": 1, "offset": 1}, "no `offset`"),
        (entry(audio_filepath="sound/none.wav"), "there is no file .*none.wav"),
        (entry(audio_filepath="sound"), "there is no file"),
        (entry(audio_filepath=""), "there is no file"),
        (entry(audio_filepath="a\0b.wav"), "there is no file"),
        (entry(audio_filepath="a" * 300), "there is no file"),
        (entry(duration=float("inf")), "Infinity is not a JSON number"),
        (entry(duration=-1.0), "`duration`"),
        (entry(duration=0), "`duration`"),
        (entry(duration="1.0"), "`duration`"),
        (entry(duration=True), "`duration`"),
        (entry(duration=1e305), "`duration`"),
        (entry(duration=10**400), "`duration`"),
        (entry(offset=-0.5), "`offset`"),
        (entry(channel=-1), "`channel`"),
        (entry(channel=1.5), "`channel`"),
        (entry(channel="left"), "`channel`"),
        (entry(id=["a"]), "`id` must be text or a number"),
        (entry(id="a" * 2000), "`id` "),
        (entry(text="\ud800"), "`text`"),
        (entry(audio_filepath="http://127.0.0.1/a.wav"), "is an address, and only files are read"),
        (entry(audio_filepath="file:///etc/passwd"), "is an address"),
        (entry(audio_filepath="pipe:touch x"), "is an address"),
        (entry(audio_filepath="touch x |"), "is a command, and none is run"),
        (entry(offset="start"), "`offset`"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_wrong_is_named_with_its_line(folder: Path, line: dict[str, Any] | str, reason: str) -> None:
    path = manifest(folder, entry(), "", line, entry())
    with pytest.raises(CorpusError, match=reason) as caught:
        load_corpus(path)
    assert f"{path}, line 3" in str(caught.value)


def test_keys_have_synonyms_and_the_first_goes_before_them(folder: Path) -> None:
    lines = [
        {"path": "sound/a.wav", "transcript": "one", "speaker_id": 3, "take": 1},
        {"audio_filepath": "sound/a.wav", "text": "two", "path": "x", "sentence": "y", "speaker_id": 3},
        {"file_name": "sound/a.wav", "audio_filepath": None, "text": "three"},
    ]
    first, second, third = load_corpus(manifest(folder, *lines))
    assert (first.text, first.speaker, first.custom) == ("one", "3", {"take": 1})
    assert (second.text, second.custom) == ("two", {"path": "x", "sentence": "y"})
    assert (third.text, third.sound) == ("three", first.sound)
    with pytest.raises(CorpusError, match="line 1: path and wav mean the same"):
        load_corpus(manifest(folder, {"path": "sound/a.wav", "wav": "b.wav", "text": "one"}))


def test_a_manifest_of_other_bytes_is_named(folder: Path) -> None:
    path = folder / "m.jsonl"
    path.write_bytes(json.dumps(entry()).encode() + b'\n{"text": "\xff\xfe"}\n')
    with pytest.raises(CorpusError, match=r"m.jsonl.* UTF-8"):
        load_corpus(path)


def test_a_byte_order_mark_is_no_part_of_the_manifest(folder: Path) -> None:
    path = folder / "m.jsonl"
    path.write_text(json.dumps(entry()), encoding="utf-8-sig")
    assert len(load_corpus(path)) == 1


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_manifest_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(content)
    with pytest.raises(CorpusError, match=r"m.jsonl: holds no utterance"):
        load_corpus(path)


def test_what_is_no_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"none.jsonl: no such corpus"):
        load_corpus(tmp_path / "none.jsonl")
    with pytest.raises(CorpusError, match="is a folder"):
        load_corpus(tmp_path)
    (tmp_path / "words.txt").write_text("one")
    with pytest.raises(CorpusError, match=r"words.txt: is not a corpus that is known"):
        load_corpus(tmp_path / "words.txt")


def recorded(path: Path, identity: str) -> MonoCut:
    """The cut that lhotse itself makes of a sound file."""
    cut = Recording.from_file(path, recording_id=identity).to_cut()
    cut.supervisions = [SupervisionSegment(identity, identity, 0.0, cut.duration, text="one two")]
    return cut


def test_a_cutset_gives_the_same(folder: Path, write_wav: Write) -> None:
    write_wav(folder / "sound" / "b.wav", 0.5, seed=1)
    from_manifest = load_corpus(
        manifest(folder, entry(id="a"), entry(id="b", audio_filepath="sound/b.wav", duration=0.5))
    )
    CutSet.from_cuts(recorded(folder / "sound" / f"{x}.wav", x) for x in "ab").to_file(folder / "c.jsonl.gz")
    for cut, expected in zip(load_corpus(folder / "c.jsonl.gz"), from_manifest, strict=True):
        assert (cut.id, cut.duration) == (expected.id, expected.duration)
        assert cut.text == "one two"
        np.testing.assert_allclose(read_sound(cut, 16000), read_sound(expected, 16000))


def of_cut(cut: MonoCut, path: Path) -> Utterance:
    CutSet.from_cuts([cut]).to_file(path)
    [utterance] = load_corpus(path)
    return utterance


def test_a_part_of_a_cut_gives_its_samples(folder: Path) -> None:
    part = recorded(folder / "sound" / "a.wav", "a").truncate(offset=0.25, duration=0.25)
    whole = samples(folder / "sound" / "a.wav")
    found = read_sound(of_cut(part, folder / "c.jsonl.gz"), 16000)
    np.testing.assert_allclose(found, whole[4000:8000])


def test_the_changes_of_a_cut_are_made(folder: Path) -> None:
    cut = recorded(folder / "sound" / "a.wav", "a")
    fast = of_cut(cut.perturb_speed(1.25), folder / "c.jsonl.gz")
    assert len(read_sound(fast, 16000)) == 12800
    loud = of_cut(cut.perturb_volume(2.0).resample(8000), folder / "c.jsonl.gz")
    assert len(read_sound(loud, 8000)) == 8000
    np.testing.assert_allclose(read_native(loud)[0], 2 * read_sound(of_cut(cut, folder / "d.jsonl.gz"), 8000))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip",
        gzip.compress(b"{broken"),
        gzip.compress(b'{"id": "a"}\n'),
        gzip.compress(b"[1]\n" * 9)[:-9],
    ],
    ids=["empty", "not gzip", "not json", "not a cut", "cut short"],
)
def test_a_damaged_cutset_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"c.jsonl.gz(, line 1)?: ") as caught:
        load_corpus(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [0, 2])
def test_a_cut_has_one_text(folder: Path, count: int) -> None:
    cut = recorded(folder / "sound" / "a.wav", "a")
    cut.supervisions = cut.supervisions * count
    CutSet.from_cuts([cut]).to_file(folder / "c.jsonl.gz")
    with pytest.raises(CorpusError, match=r"the cut a must hold exactly one supervision with text"):
        load_corpus(folder / "c.jsonl.gz")


def test_a_cut_without_sound_is_named(folder: Path) -> None:
    cut = recorded(folder / "sound" / "a.wav", "a")
    cut.recording = None
    CutSet.from_cuts([cut]).to_file(folder / "c.jsonl.gz")
    with pytest.raises(CorpusError, match="the cut a "):
        load_corpus(folder / "c.jsonl.gz")


def test_several_corpora_have_distinct_names(folder: Path) -> None:
    first = manifest(folder, entry(id="a", text="1"), entry(id="b", text="2"), name="first.jsonl")
    second = manifest(folder, entry(id="a", text="3"), entry(id="c", text="4"), name="second.json")
    cuts = load_corpora([first, second, first])
    assert [cut.text for cut in cuts] == ["1", "2", "3", "4", "1", "2"]
    assert [cut.id for cut in cuts][:4] == ["a", "b", "a#2", "c"]
    assert len({cut.id for cut in cuts}) == 6


def test_a_number_does_not_meet_a_name_that_is_there(folder: Path) -> None:
    path = manifest(folder, *[entry(id=name) for name in ("a#2", "a", "a", "a#2")])
    assert len({cut.id for cut in load_corpora([path])}) == 4


def test_a_real_corpus_loads(shared_data: Path) -> None:
    cuts = load_corpus(shared_data / "fsdd" / "test.jsonl")
    assert len(cuts) == 300
    cut = cuts[0]
    assert abs(len(read_sound(cut, 8000)) - cut.duration * 8000) <= 1
