"""WER against the number of words: a Markdown table and a picture from files of hypotheses."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import corpus_folder
import typer

from asr_seq2seq.errors import ConfigError
from asr_seq2seq.evaluation.hypotheses import read
from asr_seq2seq.evaluation.wer import score
from asr_seq2seq.outputs import keep_inputs
from asr_seq2seq.text.normalizer import Normalizer


def wer_by_length(path: Path, longest: Sequence[int]) -> dict[int, float]:
    """Number of words in the reference -> WER of all utterances of that length.

    Where `longest` is given, lengths are joined to groups that end with these and are named by them; what is
    longer than the last of them is of its group.
    """
    normalizer = Normalizer.named("english-v1")
    groups = defaultdict(list)
    for line in read(path):
        length = len(normalizer(line.reference).split())
        if longest:
            length = longest[min(bisect_left(longest, length), len(longest) - 1)]
        groups[length].append(line)
    return {
        length: score([x.reference for x in lines], [x.hypothesis for x in lines], normalizer).wer
        for length, lines in sorted(groups.items())
    }


def main(
    files: Annotated[
        list[str], typer.Argument(help="NAME=HYPOTHESES.jsonl as `evaluate` wrote it; several.")
    ],
    picture: Annotated[Path | None, typer.Option(help="PNG file to draw.")] = None,
    longest: Annotated[
        str,
        typer.Option(help="Join lengths to groups that end with these, e.g. 2,4,8; without it each alone."),
    ] = "",
) -> None:
    """Print WER by the number of words, a column a system, and draw it.

    Example: python tools/plot_by_length.py none=none.jsonl dot=dot.jsonl --picture wer.png
    """
    try:
        ends = sorted(int(end) for end in longest.split(",") if end)
    except ValueError:
        raise ConfigError(f"--longest {longest}: want numbers of words with commas between") from None
    systems = {}
    for argument in files:
        name, equals, path = argument.partition("=")
        if not equals:
            raise ConfigError(f"{argument}: must look like NAME=HYPOTHESES.jsonl")
        keep_inputs([picture] if picture else [], [path])
        systems[name] = wer_by_length(Path(path), ends)
    lengths = sorted(set().union(*systems.values()))
    print(f"| words{', up to' if ends else ''} | " + " | ".join(systems) + " |")
    print("|---|" + "---|" * len(systems))
    for length in lengths:
        cells = (f"{wer[length]:.2%}" if length in wer else "" for wer in systems.values())
        print(f"| {length} | " + " | ".join(cells) + " |")
    if picture is None:
        return
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ConfigError("drawing needs matplotlib: install the extra with pip install '.[plots]'") from None
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot(
        xlabel=f"words in the utterance{', up to' if ends else ''}", ylabel="WER, %", xticks=lengths
    )
    for (name, wer), marker in zip(systems.items(), "os^Dv*PX" * len(systems), strict=False):
        axes.plot(list(wer), [100 * value for value in wer.values()], marker=marker, label=name)
    axes.grid(alpha=0.3)
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(picture)


if __name__ == "__main__":
    corpus_folder.run(main)
