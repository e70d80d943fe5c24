import bz2
import gzip
import lzma
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from asr_seq2seq.decoding.ngram_file import checked, is_word_ngram
from asr_seq2seq.errors import AsrError, ModelFileError

ARPA = b"""\\data\\
ngram 1=4
ngram 2=1

\\1-grams:
-1\t<unk>
-99\t<s>
-1\t</s>
-1\ta

\\2-grams:
-1\t<s> a
"""
MAGIC = b"mmap lm http://kheafield.com/code format version 5\n\0".ljust(56, b"\0")
BINARY = MAGIC + bytes(32) + struct.pack("<B3xfi?3xI2Q", 2, 1.5, 2, True, 1, 4, 1) + bytes(100)


def _compressed(pack: Callable[[bytes], bytes]) -> bytes:
    return pack(ARPA)


@pytest.mark.parametrize(
    "content", [ARPA, b"\n" + ARPA, BINARY, *map(_compressed, (gzip.compress, bz2.compress, lzma.compress))]
)
@pytest.mark.parametrize("name", ["lm.binary", "3-gram.arpa.gz", "words", "words.safetensors"])
def test_word_ngrams_are_known_by_their_content(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert is_word_ngram(path)
    with checked(path) as plain:
        assert plain.read_bytes().startswith((b"\\data\\", b"\n", b"mmap"))


@pytest.mark.parametrize(
    "name", ["a.arpa", "a.ARPA", "a.arpa.gz", "a.arpa.bz2", "lm.bin", "lm.binary", "lm.klm"]
)
def test_a_file_without_content_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    assert is_word_ngram(tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    assert is_word_ngram(tmp_path / name)


def test_a_model_of_ours_is_none_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "lm.bin").write_bytes(struct.pack("<Q", 2) + b"{}")
    assert not is_word_ngram(tmp_path / "lm.bin")
    assert not is_word_ngram(tmp_path / "none.safetensors")
    assert not is_word_ngram(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cannot be read as a word n-gram model"),
        (b"a remark\n" + ARPA, "begins with"),
        (ARPA.replace(b"1=4", b"1=4000000000"), "more than the file can hold"),
        (ARPA.replace(b"ngram 1=4\n", b""), "out of order"),
        (ARPA.replace(b"ngram", b"words"), "missing"),
        (MAGIC, "damaged, cut short or unfinished"),
        (BINARY[:112], "damaged, cut short or unfinished"),
        (BINARY[:88] + b"\xff" + BINARY[89:], "damaged, cut short or unfinished"),
        (
            BINARY.replace(struct.pack("<Q", 4), struct.pack("<Q", 1 << 60)),
            "damaged, cut short or unfinished",
        ),
        (gzip.compress(ARPA)[:-9], "damaged or cut short"),
        (gzip.compress(b"no ARPA"), "holds is no ARPA file"),
        (b"\x1f\x8b nothing", "damaged or cut short"),
        (bz2.compress(ARPA)[:20], "damaged or cut short"),
        (lzma.compress(ARPA)[:20], "damaged or cut short"),
    ],
)
def test_damaged_files_and_absurd_counts(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "words.arpa"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=f"^{path}: .*{sentence}"), checked(path):
        pass


def test_what_expands_beyond_measure_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    path = tmp_path / "words.arpa.gz"
    path.write_bytes(gzip.compress(ARPA + bytes(3_000_000)))
    with pytest.raises(ModelFileError, match="expands to more than 100 times its size"), checked(path):
        pass
    path.write_bytes(gzip.compress(ARPA))
    with checked(path):
        assert list((tmp_path / "temporary").iterdir())
    assert not list((tmp_path / "temporary").iterdir())


def test_without_kenlm_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asr_seq2seq.inference.loading import load_text_scorer
    from asr_seq2seq.text.tokenizer import Alphabet

    monkeypatch.setitem(sys.modules, "kenlm", None)
    (tmp_path / "lm.binary").write_bytes(BINARY)
    with pytest.raises(AsrError, match=r"pip install 'asr_seq2seq\[kenlm\]'"):
        load_text_scorer(tmp_path / "lm.binary", Alphabet("abc"))
