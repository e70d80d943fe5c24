"""Write a manifest that holds a part of another: some speakers, some recordings, some words.

The sound stays where it is; paths in the new manifest are relative to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import corpus_folder
import typer
from make_digit_strings import choose_records, names

from asr_seq2seq.cli.run import run_function
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.outputs import keep_inputs
from asr_seq2seq.text.normalizer import Normalizer


def select(
    source: Path,
    out: Path,
    *,
    words: str = "",
    speakers: str = "",
    exclude_speakers: str = "",
    numbers: str = "",
) -> int:
    """Write to `out` the lines of `source` that pass; returns how many did. CorpusError if none."""
    keep_inputs([out], [source])
    normal = Normalizer.named("english-v1")
    allowed = names(words)
    records = choose_records(source, speakers, exclude_speakers, numbers)
    if words:
        records = [record for record in records if set(normal(record["text"]).split()) <= allowed]
    if not records:
        raise CorpusError(f"{source} has no utterance of these words alone: {words}; allow more of them")
    corpus_folder.write_manifest(out, records)
    return len(records)


def main(
    source: Annotated[Path, typer.Option(help="JSON-lines manifest.")],
    out: Annotated[Path, typer.Option(help="Manifest to write.")],
    words: Annotated[str, typer.Option(help="Only texts made of these words alone: one,two.")] = "",
    speakers: Annotated[str, typer.Option(help="Only these speakers: a,b.")] = "",
    exclude_speakers: Annotated[str, typer.Option(help="All speakers but these: a,b.")] = "",
    numbers: Annotated[str, typer.Option(help="Only files whose name ends in _N: 0-4,7.")] = "",
) -> None:
    """Write a manifest that holds a part of another.

    Example: python tools/select_utterances.py --source ../shared/data/speechocean762/train.jsonl
    --words zero,one,two,three,four,five,six,seven,eight,nine --out corpora/speechocean_digits/train.jsonl
    """
    count = select(
        source, out, words=words, speakers=speakers, exclude_speakers=exclude_speakers, numbers=numbers
    )
    typer.echo(f"{out}: {count} utterances", err=True)


if __name__ == "__main__":
    run_function(main)
