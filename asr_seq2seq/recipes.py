"""Recipes as YAML files, with overrides such as ``training.epochs=10``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from asr_seq2seq.config import Config, LanguageModelConfig, validate, validate_language_model
from asr_seq2seq.errors import ConfigError


def load_config(path: Path | str, overrides: Iterable[str] = ()) -> Config:
    """Read a recipe and apply overrides such as ``training.epochs=10`` (values are YAML).

    Raises ConfigError that names the file, the key and the nearest valid key.
    """
    return validate(_read_tree(Path(path), overrides), str(path))


def load_language_model_config(path: Path | str, overrides: Iterable[str] = ()) -> LanguageModelConfig:
    """The same for a language model's recipe."""
    return validate_language_model(_read_tree(Path(path), overrides), str(path))


def to_yaml(config: Config | LanguageModelConfig) -> str:
    """The whole recipe, defaults included, as YAML that `load_config` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_tree(path: Path, overrides: Iterable[str]) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file; the recipes are in configs/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a configuration ({error}); give a YAML file") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not valid YAML ({_one_line(error)}); mend it there") from None
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must be a table of settings such as `training: {{epochs: 30}}`")
    for override in overrides:
        _apply(tree, override)
    return tree


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {override}: must look like path.to.key=value, e.g. training.epochs=10")
    node = tree
    for part in parts[:-1]:
        if isinstance(node.get(part), list):
            raise ConfigError(f"--set {override}: {part} is a list; give the whole of it, {part}=[...]")
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    try:
        node[parts[-1]] = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML ({_one_line(error)})") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
