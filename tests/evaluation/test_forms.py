"""Names, headers, times and tags are never words: what forms hold, and what is refused."""

import json
from pathlib import Path

import pytest

from asr_seq2seq.errors import CorpusError
from asr_seq2seq.evaluation.texts import read_pairs
from asr_seq2seq.evaluation.wer import score
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.transcript import Segment, Transcript
from asr_seq2seq.writers import WRITERS

CAT, DOG = "the cat sat", "the dog sat"


def _pairs(
    folder: Path, reference: tuple[str, str], heard: tuple[str, str], form: str | None = None
) -> list[tuple[str, str, str]]:
    paths = []
    for side, (name, content) in (("r", reference), ("h", heard)):
        (folder / side).mkdir(exist_ok=True)
        paths.append(folder / side / name)
        paths[-1].write_bytes(content.encode())
    [lines] = read_pairs(*paths, form=form)
    return [(line.id, line.reference, line.hypothesis) for line in lines]


def _transcript(*texts: str, shift: float = 0.0) -> Transcript:
    segments = tuple(
        Segment(n, 2.0 * n + shift, 2.0 * n + 1.5 + shift, text, (), 0.0) for n, text in enumerate(texts)
    )
    return Transcript(" ".join(texts), segments, None, 2.0 * len(texts))


SRT = """\ufeff1
00:00:00,000 --> 00:00:02,000
<i>the</i> {\\an8}cat
sat


2
00:01:02,5 --> 00:01:04,000 X1:3
42
""".replace("\n", "\r\n")
VTT = """WEBVTT - a title
Kind: captions

NOTE the cat is a remark

STYLE
::cue { color: red }

intro
00:00.000 --> 00:02.000 align:start
<v Ann>the <c.big>cat</c> <00:00:01.000>sat

00:01:02.500 --> 00:01:04.000
42 &lt;&amp;
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text", "u1-1 the cat sat\nu1-2 a dog\n"),
        ("text", "u1-1\tthe cat sat\n\nu1-2   a dog\r\n"),
        ("ref.txt", "103-1240-0000 the cat sat\n103-1240-0001 a dog\n"),
        ("ref.txt", "a b.wav\tthe cat sat\nc.wav\ta dog\n"),  # what transcribe prints
        ("x.csv", "path,sentence\na.wav,the cat sat\nb.wav,a dog\n"),
        ("x.csv", 'ID,Text\n1,"the cat\nsat"\n2,a dog\n'),
        ("x.tsv", 'client_id\tpath\tsentence\nspk\ta.wav\tthe "cat" sat\nspk\tb.wav\ta dog\n'),
        ("x", "path,text\na.wav,the cat sat\nb.wav,a dog\n"),
        ("x.txt", "the cat sat (ann-1)\na dog (ann-2)\n"),
        ("x.json", json.dumps([{"id": "a", "text": CAT}, {"id": "b", "text": "a dog"}])),
        (
            "x.json",
            json.dumps({"files": [{"file": "a.wav", "text": CAT}, {"file": "b.wav", "text": "a dog"}]}),
        ),
        ("x.txt", '{"text": "the cat sat"}\n{"text": "a dog"}\n'),
        ("x.stm", "a 1 s 0 1 the cat sat\nb 1 s 0 1 a dog\n"),
        ("x", "a 1 s 0.00 1.50 the cat sat\nb 1 s 0.00 1.50 <o> a dog\n"),
        ("x", "a 1 0.1 0.20 the\na 1 0.5 0.20 cat 0.9\na 1 0.8 0.20 sat\nb 1 0.1 0.20 a\nb 1 0.3 0.20 dog\n"),
        ("x.srt", SRT.replace("42", "a dog")),
        ("x.vtt", VTT.replace("42 &lt;&amp;", "a dog")),
        ("x.txt", SRT.replace("42", "a dog")),
        ("x.txt", VTT.replace("42 &lt;&amp;", "a dog")),
        ("x.tsv", "start\tend\ttext\n0\t1000\tthe cat sat\n1000\t2000\ta dog\n"),
        ("labels.txt", "0.000000\t1.000000\tthe cat sat\n1.5\t2.000000\ta dog\n"),
        *(
            (f"x.{form}", WRITERS[form](_transcript(CAT, "a dog"), "x"))
            for form in ("txt", "srt", "vtt", "tsv", "json")
        ),
    ],
)
def test_forms_hold_words_and_nothing_else(tmp_path: Path, name: str, content: str) -> None:
    found = _pairs(tmp_path, (name, content), (name, content))
    counted = score([r for _, r, _ in found], [h for _, _, h in found], Normalizer.named("english-v1"))
    assert (counted.words, counted.hits, len(found)) == (5, 5, 2)


@pytest.mark.parametrize("other", ["srt", "vtt", "tsv", "json", "txt"])
def test_recordings_in_other_segments_are_compared_as_a_whole(tmp_path: Path, other: str) -> None:
    mine = WRITERS["srt"](_transcript(CAT, "a dog"), "x")
    theirs = WRITERS[other](_transcript("the", "dog sat a dog", "", "42", shift=0.25), "x")
    assert _pairs(tmp_path, ("x.srt", mine), (f"x.{other}", theirs)) == [
        ("1", "the cat sat a dog", "the dog sat a dog 42")
    ]
    assert _pairs(tmp_path, (f"x.{other}", theirs), ("x.srt", mine))[0][2] == "the cat sat a dog"


def test_subtitles_with_the_same_times_are_compared_cue_by_cue(tmp_path: Path) -> None:
    assert _pairs(tmp_path, ("x.srt", SRT), ("x.vtt", VTT)) == [("1", CAT, CAT), ("2", "42", "42 <&")]


def test_forms_go_together_by_the_sounds(tmp_path: Path) -> None:
    sounds = {"audio_filepath": "x/b.wav", "text": "a dog"}, {"audio_filepath": "x/a.wav", "text": CAT}
    manifest = "\n".join(map(json.dumps, sounds))
    expected = [("b@1", "a dog", "a hog"), ("a@2", CAT, CAT)]
    for heard in (
        ("h.txt", "y/a.flac\tthe cat sat\ny/b.flac\ta hog\n"),
        ("h.csv", "file,transcription,gender\na.wav,the cat sat,f\nb.wav,a hog,m\n"),
        (
            "h.json",
            json.dumps({"files": [{"file": "a.wav", "text": CAT}, {"file": "b.wav", "text": "a hog"}]}),
        ),
    ):
        assert _pairs(tmp_path, ("r.jsonl", manifest), heard) == expected
    folder = tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("the cat\nsat\n")
    (folder / "a.srt").write_text(SRT)
    (folder / "a.wav").write_bytes(b"RIFF\0\0")
    (folder / "deep" / "b.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\na hog\n")
    [lines] = read_pairs(tmp_path / "r" / "r.jsonl", folder)
    assert [(line.id, line.reference, line.hypothesis) for line in lines] == expected
    [lines] = read_pairs(folder, folder)
    assert [(line.id, line.hypothesis) for line in lines] == [("a", CAT), ("deep/b", "a hog")]


def test_a_table_of_both_texts_is_read_from_both_sides(tmp_path: Path) -> None:
    table = "id,reference,hypothesis\nx,the cat,the hat\n"
    assert _pairs(tmp_path, ("x.csv", table), ("x.csv", table)) == [("x", "the cat", "the hat")]


def test_kaldi_with_an_empty_text_and_a_missing_utterance(tmp_path: Path) -> None:
    reference = ("text", "u1 one\nu2 two three\n")
    assert _pairs(tmp_path, reference, ("text", "u2 two\nu1\n")) == [
        ("u1", "one", ""),
        ("u2", "two three", "two"),
    ]
    with pytest.raises(CorpusError, match=r'the utterance "u3" of .* is not there'):
        _pairs(tmp_path, reference, ("text", "u2 two\nu3 x\n"))


@pytest.mark.parametrize(
    ("reference", "heard"),
    [
        ("the cat\na dog\n", "the hat\na dog\n"),  # words that differ by chance
        ("hello world\n", "hello word\n"),
        ("1st of May\nthe 2nd\nthe 3rd\n", "1st of May\nthe 2nd\nthe 3rd\n"),
        ('I\'m here\ntwenty-one\n"So"\n', 'I\'m here\ntwenty-one\n"So"\n'),
        ("5 3\n5 7\n", "5 3\n5 8\n"),
    ],
)
def test_plain_lines_stay_plain(tmp_path: Path, reference: str, heard: str) -> None:
    found = _pairs(tmp_path, ("r.txt", reference), ("h.txt", heard))
    assert [text for _, text, _ in found] == reference.splitlines()


@pytest.mark.parametrize(
    ("reference", "heard"),
    [
        ("1 the cat\n2 a dog\n", "1 the hat\n2 a dog\n"),
        ("1 the cat\n2 a dog\n", "2 a dog\n1 the hat\n"),
        ("spk-a the cat\nspk-b a dog\n", "spk-a the hat\nspk-b a dog\n"),
        ("".join(f"{'abcdefghijkl'[n]}bc x y\n" for n in range(12)),) * 2,
        ("u1 one\nu2 two\nthree\n", "u1 one\nu2 two\nthree\n"),
        ("u1 one\nu1 two\n", "u1 one\nu1 two\n"),
        ("B2B is good\n", "B2C is good\n"),
    ],
)
def test_lines_that_can_be_read_in_two_ways_need_a_word(tmp_path: Path, reference: str, heard: str) -> None:
    files = ("r.txt", reference), ("h.txt", heard)
    with pytest.raises(CorpusError, match="--form kaldi or --form lines"):
        _pairs(tmp_path, *files)
    assert _pairs(tmp_path, *files, form="lines")[0][:2] == ("1", reference.splitlines()[0])
    if len({line.split()[0] for line in reference.splitlines()}) > 1:
        assert _pairs(tmp_path, *files, form="kaldi")[0][0] == reference.split()[0]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.ass", "[Script Info]\n", "in a form that is not read"),
        ("x.txt", "[Script Info]\nTitle: a\n", "in a form that is not read"),
        ("x.TextGrid", 'File type = "ooTextFile"\n', "in a form that is not read"),
        ("x.txt", "<?xml version='1.0'?>\n<tt/>\n", "in a form that is not read"),
        ("x.txt", "0:01 the cat\n0:04 a dog\n", "begin with times"),
        ("x.txt", "[00:01.00]the cat\n[00:04.00]a dog\n", "begin with times"),
        ("x.txt", "[00:00.000 --> 00:02.000]  the cat\n", "begin with times"),
        ("x.csv", "name,words\na,b\n", "line 1: no column holds the text"),
        ("x.csv", "path;sentence\na;b\n", "line 1: no column holds the text"),
        ("x.csv", "path,sentence\na.wav,one, two\n", "line 2: has not as many fields"),
        ("x.csv", 'path,sentence\na.wav,"one\n', "mend its quotes"),
        ("x.csv", "path,text,sentence\na,b,c\n", "mean the same"),
        ("x.csv", "path,path,sentence\na,b,c\n", "there twice"),
        ("x.tsv", "start\tend\ttext\nx\t1\tone\n", "line 2: start and end must be numbers"),
        ("x.srt", "the cat\n", "line 1: a cue must have its times"),
        ("x.srt", "1\n00:00 > 00:01\na\n", "must have its times"),
        ("x.srt", "1\n00:00:00,0 --> tomorrow\na\n", "line 2: must be the times"),
        ("x.srt", "one\n00:00:00,0 --> 00:00:01,0\na\n", "line 2: must be the times"),
        ("x.srt", "1\n00:00:00,0 --> 00:00:01,0\na\n2\n00:00:01,0 --> 00:00:02,0\nb\n", "blank line between"),
        ("x.vtt", "WEBVTT\n\n", "holds no cue"),
        ("x.json", '{"segments": [{"text": 5}]}', "segment 1: the key `text`"),
        ("x.json", '{"files": [], "failed": 1}', "files that failed"),
        ("x.txt", "one\0two\n", "bytes of zero"),
        ("x.jsonl", '{"text": "a", "id": [1]}', "the id must be text"),
    ],
)
def test_what_cannot_be_read_truly_is_refused(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    with pytest.raises(CorpusError, match=sentence) as caught:
        _pairs(tmp_path, (name, content), (name, content))
    assert str(tmp_path) in str(caught.value)


def test_utterances_and_a_recording_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"has 2 utterances, but .* is one recording"):
        _pairs(tmp_path, ("text", "u1 a\nu2 b\n"), ("x.srt", SRT))
    with pytest.raises(CorpusError, match="--form must be one of lines, kaldi, trn"):
        _pairs(tmp_path, ("a", "x"), ("a", "x"), form="srt")
