"""Collect English sentences that are free to use from Debian packages, for voices and language models.

- the example sentences of WordNet 3.0 (package `wordnet-base`; the WordNet license allows any use),
- the six novels of Jane Austen (`r-cran-janeaustenr`; public domain),
- the World English Bible (`sword-text-web`; public domain).

The packages need not be installed: ``apt-get download PACKAGE`` and ``dpkg -x PACKAGE.deb FOLDER``.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from asr_seq2seq.cli.run import run_function
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.files import atomic_write
from asr_seq2seq.text.normalizer import Normalizer

_SENTENCE_END = re.compile(r"(?<=[.!?;:])(?<!Mr\.)(?<!Mrs\.)(?<!Dr\.)(?<!St\.)['\"\u2019\u201d)]*\s+")
_LETTERS = re.compile(r"[a-z][a-z' ]*")
_ABBREVIATIONS = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint"}
_R_STRING = b"\x00\x04\x00\x09"  # how a string of plain characters begins in R's serialized form


def main(
    out: Annotated[Path, typer.Option(help="Text file to write, one sentence a line.")],
    root: Annotated[Path, typer.Option(help="Where the packages are installed or unpacked.")] = Path("/"),
    min_words: Annotated[int, typer.Option(help="Words of the shortest sentence.")] = 2,
    max_words: Annotated[int, typer.Option(help="Words of the longest sentence.")] = 35,
    count: Annotated[int | None, typer.Option(help="Sentences to draw by chance; without it all.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same sentences.")] = 1,
) -> None:
    """Write the sentences of all three sources, normalized, each once, in an order drawn by chance.

    Example: python tools/free_text.py --root packages --out corpora/sentences.txt
    """
    normalizer = Normalizer.named("english-v1")
    kept: dict[str, None] = {}
    for source in (wordnet, austen, bible):
        before = len(kept)
        for sentence in source(root):
            text = " ".join(_ABBREVIATIONS.get(word, word) for word in normalizer(sentence).split())
            if min_words <= len(text.split()) <= max_words and _LETTERS.fullmatch(text):
                kept[text] = None
        typer.echo(f"{source.__name__}: {len(kept) - before:,} sentences", err=True)
    sentences = list(kept)
    order = np.random.default_rng(seed).permutation(len(sentences))[:count]
    text = "".join(sentences[index] + "\n" for index in order)
    with atomic_write(out) as file:
        file.write(text)
    typer.echo(f"{out}: {len(order):,} sentences, {len(text):,} characters", err=True)


def sentences_of(text: str) -> Iterator[str]:
    """Running text cut behind full stops, and behind colons and semicolons too."""
    yield from _SENTENCE_END.split(" ".join(text.split()))


def wordnet(root: Path) -> Iterator[str]:
    """What stands between quotation marks in the glosses: examples of a word's use."""
    for part in ("noun", "verb", "adj", "adv"):
        text = _read(root / f"usr/share/wordnet/data.{part}", "wordnet-base").decode("latin-1")
        yield from re.findall(r'"([^"\n]+)"', text)


def austen(root: Path) -> Iterator[str]:
    """The lines of each novel, joined; its strings are taken from R's serialized form as they stand."""
    place = root / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
    content = _read(place, "r-cran-janeaustenr")
    while content:
        stream = zlib.decompressobj()
        data = stream.decompress(content[4:])  # behind the length
        content = stream.unused_data
        lines = [_string_at(data, found.end()) for found in re.finditer(re.escape(_R_STRING), data)]
        for paragraph in "\n".join(lines).split("\n\n"):
            if not paragraph.isupper():  # a heading
                yield from sentences_of(paragraph.replace("_", "").replace("--", ", "))


def _string_at(data: bytes, start: int) -> str:
    (length,) = struct.unpack_from(">i", data, start)
    return data[start + 4 : start + 4 + max(0, length)].decode("latin-1")


def bible(root: Path) -> Iterator[str]:
    """The text of each book without its markup and notes."""
    folder = root / "usr/share/sword/modules/texts/ztext/engWEB2015eb"
    for testament in ("ot", "nt"):
        index = _read(folder / f"{testament}.bzs", "sword-text-web")
        blocks = _read(folder / f"{testament}.bzz", "sword-text-web")
        for start, size, _ in struct.iter_unpack("<III", index):
            text = zlib.decompress(blocks[start : start + size]).decode("utf-8", "ignore")
            text = re.sub(r"<(note|title)\b.*?</\1>", " ", text, flags=re.DOTALL)
            yield from sentences_of(re.sub(r"<[^>]*>", " ", text))


def _read(path: Path, package: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be read ({error.strerror}): install Debian's {package}, or unpack it and name "
            "the folder with --root"
        ) from None


if __name__ == "__main__":
    run_function(main)
