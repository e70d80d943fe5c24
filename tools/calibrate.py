"""Make the confidence of a model's words honest: fit its temperature on a dev set, and store it.

    python tools/calibrate.py runs/fsdd/model.safetensors dev.jsonl

prints the temperature and the expected calibration error before and after on that set, and with
`--test` on sets that took no part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import corpus_folder
import typer

from asr_seq2seq.corpora import load_corpora
from asr_seq2seq.decoding.confidence import expected_calibration_error, soften
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.evaluation.evaluate import calibrate, evaluate, judged_words
from asr_seq2seq.model.files import load_model, save_model
from asr_seq2seq.training.device import pick_device


def main(
    model: Annotated[Path, typer.Argument(help="Model file; it is changed in place.")],
    dev: Annotated[list[Path], typer.Argument(help="Corpora that the model did not learn from.")],
    test: Annotated[list[Path] | None, typer.Option(help="Corpora to measure the result on.")] = None,
    half: Annotated[bool, typer.Option(help="Store the weights as float16, as they were.")] = False,
) -> None:
    """Fit the temperature of the words' confidences and store it in the model file."""
    if not model.is_file():
        raise ConfigError(f"{model}: no such file; give a model file, which is changed in place")
    recognizer = load_model(model, pick_device("auto"))
    plain = recognizer.with_decoding(confidence_temperature=1.0).loaded()
    lines = evaluate(plain, load_corpora(dev)).lines
    temperature, before, after = calibrate(lines, recognizer.normalizer)
    print(f"temperature {temperature:.3f}; expected calibration error on dev: {before:.2%} -> {after:.2%}")
    for corpus in test or []:
        found = evaluate(plain, load_corpora([corpus]))
        sure, right = judged_words(found.lines, recognizer.normalizer)
        after = expected_calibration_error([soften(p, temperature) for p in sure], right)
        print(f"{corpus}: {found.calibration_error:.2%} -> {after:.2%}")
    save_model(model, recognizer.with_decoding(confidence_temperature=temperature), half=half)


if __name__ == "__main__":
    corpus_folder.run(main)
