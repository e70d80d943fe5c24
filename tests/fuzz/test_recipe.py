"""Recipes and `--set` that nobody would write."""

import os
import random
from collections.abc import Callable
from pathlib import Path

from mutate import mutate_bytes, mutate_lines, mutate_yaml

from asr_seq2seq.recipes import load_config, load_language_model_config, to_yaml
from asr_seq2seq.training_config import Config, LanguageModelConfig

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHORT = b"""
seed: 3
data: {train: [a.jsonl, b.csv], dev: dev.jsonl, batch_seconds: 1.5}
features: {kind: logmel, sample_rate: 8000, mels: 20, high_hertz: 3800}
model: {encoder: {layers: [{units: 256, reduction: 4}, {units: 24}]}, context: {size: 256}}
augmentation: {speed_factors: [0.9, 1.0], noise: {folder: noises, snr: [5, 20]}}
training: {epochs: 2, learning_rate: 1e-3, start_from: null}
"""
PRECOMPUTED = (
    b"features: {kind: precomputed, size: 13, contents: cepstra, deltas: 2}\nsearch: {beam_size: 4}\n"
)


def test_recipes(campaign: Callable[..., object], tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        config = load_config(path)
        path.write_text(to_yaml(config), encoding="utf-8")
        assert load_config(path) == config

    seeds = [SHORT, PRECOMPUTED, to_yaml(Config()).encode(), (CONFIGS / "an4.yaml").read_bytes()]
    campaign("recipe (YAML)", seeds, read, [mutate_yaml, mutate_yaml, mutate_bytes, mutate_lines])


def test_recipes_of_language_models(campaign: Callable[..., object], tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        load_language_model_config(path)

    seeds = [to_yaml(LanguageModelConfig()).encode(), (CONFIGS / "lm_chars.yaml").read_bytes()]
    campaign("language model recipe (YAML)", seeds, read, [mutate_yaml, mutate_bytes])


def test_settings_of_the_command_line(campaign: Callable[..., object], tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(SHORT)
    seeds = [
        b"training.epochs=10",
        b"training.learning_rate=1e-3",
        b"model.encoder.layers=[{units: 3, reduction: 2}]",
        b"data.train=[a, b]",
        b"features={kind: precomputed, size: 13}",
        b"augmentation.noise.snr=[1, 2]",
        b"seed=7",
    ]
    campaign(
        "`--set`",
        seeds,
        lambda content: load_config(path, [os.fsdecode(content)]),
        [_mutate_value, _mutate_value, mutate_bytes, mutate_lines],
    )


def _mutate_value(setting: bytes, chance: random.Random) -> bytes:
    key, _, value = setting.partition(b"=")
    return key + b"=" + mutate_yaml(value, chance)
