"""WER over beam sizes, with and without CTC and a language model, as a Markdown table.

    python tools/sweep_search.py MODEL dev.jsonl --language-model lm.safetensors

Finds defaults on dev data; never choose by a test set.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import corpus_folder
import typer

from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.evaluation.evaluate import evaluate
from asr_seq2seq.inference.loading import load, load_text_scorer


def main(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    corpus: Annotated[Path, typer.Argument(help="Corpus with texts.")],
    language_model: Annotated[Path | None, typer.Option(help="As of `evaluate`.")] = None,
    beams: Annotated[str, typer.Option(help="Beam sizes.")] = "1,2,4,8,16,32",
    ctc_weights: Annotated[str, typer.Option(help="Weights of CTC.")] = "0,0.3",
    lm_weights: Annotated[
        str, typer.Option(help="Weights of the language model, where one is given.")
    ] = "0.3",
    length_reward: Annotated[float | None, typer.Option(help="Score for each character.")] = None,
    coverage_weight: Annotated[float | None, typer.Option(help="Score for each frame attended to.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each cell instead.")] = False,
) -> None:
    """Evaluate a model once for each combination of beam size and weights."""
    recognizer = load(model)
    lm = language_model and load_text_scorer(language_model, recognizer.alphabet)
    cuts = load_corpora([corpus])
    sizes = [int(size) for size in numbers(beams)]
    columns = [(ctc, 0.0) for ctc in numbers(ctc_weights)]
    if lm:
        columns += [(c, v) for c in numbers(ctc_weights) for v in numbers(lm_weights)]
    if not as_json:
        names = [f"CTC {c:g}, " + (f"LM {v:g}" if v else "no LM") for c, v in columns]
        print("| beam | " + " | ".join(names) + " |\n|---|" + "---|" * len(columns), flush=True)
    for size in sizes:
        cells = []
        for ctc, weight in columns:
            settings: dict[str, float | None] = {
                "beam_size": size,
                "ctc_weight": ctc,
                "lm_weight": weight,
                "length_reward": length_reward,
                "coverage_weight": coverage_weight,
            }
            started = time.perf_counter()
            score = evaluate(recognizer, cuts, recognizer.options(settings), lm=lm or None).score
            cells.append(f"{score.wer:.2%}")
            if as_json:
                seconds = round(time.perf_counter() - started, 2)
                print(json.dumps(settings | {"wer": score.wer, "cer": score.cer, "seconds": seconds}))
        if not as_json:
            print(f"| {size} | " + " | ".join(cells) + " |", flush=True)


def numbers(text: str) -> list[float]:
    """The numbers of a list with commas."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{text!r} is not a list of numbers with commas, such as 1,2,4") from None


if __name__ == "__main__":
    corpus_folder.run(main)
