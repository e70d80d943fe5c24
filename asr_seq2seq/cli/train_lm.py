"""The verb `train-lm`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asr_seq2seq.bundled import find_recipe
from asr_seq2seq.cli.options import AsJson, Device, HelpSettings, RunFolder, Settings
from asr_seq2seq.cli.output import print_json, print_line, print_settings, stop_interrupted
from asr_seq2seq.extras import needed
from asr_seq2seq.outputs import keep_recipe
from asr_seq2seq.signals import while_importing


def train_lm(
    config: Annotated[Path, typer.Argument(help="A recipe: a YAML file, lm_chars or lm_words.")],
    settings: Settings = None,
    help_settings: HelpSettings = False,
    run: RunFolder = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Train a language model of characters or words on text; the best one is RUN/model.safetensors."""
    from asr_seq2seq.recipes import load_language_model_config, to_yaml

    config = find_recipe(config)
    recipe = load_language_model_config(config, settings or [])
    if help_settings:
        return print_settings(recipe, as_json)
    with needed("training", "train"), while_importing():
        from asr_seq2seq.model.device import keep_freed_memory
        from asr_seq2seq.training.lm import train_language_model
        from asr_seq2seq.training.word_lm import train_word_ngrams

    run = run or Path("runs") / config.stem
    keep_recipe(run, config, lambda: to_yaml(load_language_model_config(config, [])))
    keep_freed_memory()
    if recipe.kind == "words":
        result = train_word_ngrams(recipe, run)
    else:
        result = train_language_model(recipe, run, device)
    if result.stopped:
        stop_interrupted(result.model, result.epoch, result.stopped)
    if as_json:
        print_json(
            {"model": str(result.model), "epoch": result.epoch, "dev_perplexity": result.dev_perplexity}
        )
    else:
        print_line(str(result.model))
