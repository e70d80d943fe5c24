"""Write a manifest that holds a part of others: some speakers, recordings, words, or hours at random.

The sound stays where it is; paths in the new manifest are relative to it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import corpus_folder
import soundfile
import typer
from make_digit_strings import choose_records, names

from asr_seq2seq.cli.run import run_function
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.outputs import keep_inputs
from asr_seq2seq.text.normalizer import Normalizer


def select(
    sources: Sequence[Path],
    out: Path,
    *,
    words: str = "",
    speakers: str = "",
    exclude_speakers: str = "",
    numbers: str = "",
    hours: float | None = None,
    seed: int = 1,
) -> int:
    """Write to `out` the lines of `sources` that pass; returns how many did. CorpusError if none.

    With `hours`, as many of them, drawn with `seed`, as are that long together.
    """
    keep_inputs([out], sources)
    normal = Normalizer.named("english-v1")
    allowed = names(words)
    records = [
        record for source in sources for record in choose_records(source, speakers, exclude_speakers, numbers)
    ]
    if words:
        records = [record for record in records if set(normal(record["text"]).split()) <= allowed]
    if not records:
        listing = ", ".join(map(str, sources))
        raise CorpusError(f"{listing} has no utterance of these words alone: {words}; allow more of them")
    if hours is not None:
        records = drawn(records, hours, seed)
    corpus_folder.write_manifest(out, records)
    return len(records)


def drawn(records: list[dict[str, Any]], hours: float, seed: int) -> list[dict[str, Any]]:
    """Records drawn with `seed` until they are `hours` long; CorpusError if there are not that many."""
    rest = hours * 3600
    kept: list[dict[str, Any]] = []
    for record in random.Random(seed).sample(records, len(records)):
        if rest <= 0:
            return kept
        rest -= seconds(record)
        kept.append(record)
    if rest > 0:
        raise CorpusError(f"there are {hours - rest / 3600:.2f} hours; ask for fewer than {hours:g}")
    return kept


def seconds(record: dict[str, Any]) -> float:
    """How long the sound of a record is, as it says or as its file does."""
    return float(record.get("duration") or soundfile.info(record["audio_filepath"]).duration)


def main(
    source: Annotated[list[Path], typer.Option(help="JSON-lines manifest; may be given again.")],
    out: Annotated[Path, typer.Option(help="Manifest to write.")],
    words: Annotated[str, typer.Option(help="Only texts made of these words alone: one,two.")] = "",
    speakers: Annotated[str, typer.Option(help="Only these speakers: a,b.")] = "",
    exclude_speakers: Annotated[str, typer.Option(help="All speakers but these: a,b.")] = "",
    numbers: Annotated[str, typer.Option(help="Only files whose name ends in _N: 0-4,7.")] = "",
    hours: Annotated[float | None, typer.Option(help="So many hours of them, drawn at random.")] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 1,
) -> None:
    """Write a manifest that holds a part of others.

    Example: python tools/select_utterances.py --source ../shared/data/speechocean762/train.jsonl
    --words zero,one,two,three,four,five,six,seven,eight,nine --out corpora/speechocean_digits/train.jsonl
    """
    count = select(
        source,
        out,
        words=words,
        speakers=speakers,
        exclude_speakers=exclude_speakers,
        numbers=numbers,
        hours=hours,
        seed=seed,
    )
    typer.echo(f"{out}: {count} utterances", err=True)


if __name__ == "__main__":
    run_function(main)
