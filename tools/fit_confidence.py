"""Fit the scaling of words' confidences for a recognizer with a language model, which has its own.

Training fits it for the recognizer alone. With a language model, words are right more often than the choices
of their characters are probable. What is printed goes into its recipe, under `words.decoding`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq.cli.run import run_function
from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.decoding.confidence import PlattScaling
from asr_seq2seq.evaluation.calibration import calibrate
from asr_seq2seq.evaluation.evaluate import evaluate
from asr_seq2seq.inference.loading import load, load_text_scorer
from asr_seq2seq.progress import sound_progress
from asr_seq2seq.runtime.session import RuntimeOptions


def main(
    model: Annotated[Path, typer.Argument(help="A recognizer: a file, a run's folder or a name.")],
    corpora: Annotated[list[Path], typer.Argument(help="Speech that nothing else was trained on.")],
    language_model: Annotated[Path | None, typer.Option(help="The language model of the search.")] = None,
) -> None:
    """Recognize the corpora; say how far confidences are off and which settings mend them.

    Example: python tools/fit_confidence.py english dev.jsonl --language-model english_lm
    """
    runtime = RuntimeOptions()
    loaded = load(model, runtime)
    lm = None if language_model is None else load_text_scorer(language_model, loaded.alphabet, runtime)
    present = PlattScaling.of(loaded.options(lm=lm))
    options = loaded.options(PlattScaling().options(), lm)
    utterances = load_corpora(corpora)
    with sound_progress() as progress:
        bar = progress.add_task("recognizing", total=sum(one.duration for one in utterances), note="")
        found = evaluate(
            loaded, utterances, options, lambda seconds, _: progress.advance(bar, seconds), lm=lm
        )
    fitted = calibrate(found.lines, loaded.normalizer, present)
    print(fitted.describe())
    print(", ".join(f"{name}: {value:.3g}" for name, value in fitted.scaling.options().items()))


if __name__ == "__main__":
    run_function(main)
