"""Recipes as YAML files, with overrides such as ``training.epochs=10``.

A recipe is data from elsewhere: it is YAML without tags, small, not deep, and its aliases stand for
little, so that no recipe runs anything or takes all memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from asr_seq2seq import bundled
from asr_seq2seq.config import RENAMED, renamed
from asr_seq2seq.errors import ConfigError, brief
from asr_seq2seq.training_config import Config, LanguageModelConfig, validate, validate_language_model

_MOST_BYTES = 1_000_000
_MOST_VALUES = 100_000  # with those that aliases stand for
_MOST_DEPTH = 30


def load_config(path: Path | str, overrides: Iterable[str] = ()) -> Config:
    """Read a recipe, or a bundled one by its name, and apply overrides such as ``training.epochs=10``.

    The values of overrides are YAML. Where one names a dev corpus, ``data.dev_fraction`` of the recipe gives
    way, and the other way round. ConfigError names the file, the key and the nearest valid key.
    """
    path = bundled.find_recipe(path)
    return validate(_read_tree(path, overrides), str(path))


def load_language_model_config(path: Path | str, overrides: Iterable[str] = ()) -> LanguageModelConfig:
    """The same for a language model's recipe."""
    path = bundled.find_recipe(path)
    return validate_language_model(_read_tree(path, overrides), str(path))


def to_yaml(config: Config | LanguageModelConfig) -> str:
    """The whole recipe, defaults included, as YAML that `load_config` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def parse_yaml(text: str) -> Any:
    """The value of a YAML text from elsewhere; ``ValueError`` in one line says why it is none.

    There are tables with text as keys, lists, texts, numbers, truth values and null; dates are texts.
    Tags, a key given twice, and texts that are large, deep, or stand for a lot are refused.

    >>> parse_yaml("training: {epochs: 3}")
    {'training': {'epochs': 3}}
    """
    if len(text) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES:,} characters")
    try:
        loader = _Loader(text)
        try:
            value = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise ValueError(f"{brief(str(error.problem or error.context), 100)}{place}") from None
    except yaml.YAMLError as error:
        raise ValueError(brief(str(error).splitlines()[0], 100)) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return _plain(value)


class _Loader(yaml.SafeLoader):
    """YAML's plain values, and nothing that a tag asks for."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise yaml.composer.ComposerError(
                None, None, "tags such as !!binary are not used here", event.start_mark
            )
        self.depth += 1
        if self.depth > _MOST_DEPTH:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        keys = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.composer.ComposerError(None, None, "a key must be a text", key.start_mark)
            if key.value in keys:
                what = f"the key {brief(key.value, 40)} is given twice"
                raise yaml.composer.ComposerError(None, None, what, key.start_mark)
            keys.add(key.value)
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MOST_VALUES // 10:
            # PyYAML before 6.0.3 lets these grow without end.
            raise yaml.constructor.ConstructorError(None, None, "merges too many keys", node.start_mark)

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """An integer or a float; what only looks like one is a text."""
        try:
            kind = node.tag.rpartition(":")[2]
            return self.construct_yaml_int(node) if kind == "int" else self.construct_yaml_float(node)
        except ValueError:
            raise yaml.constructor.ConstructorError(None, None, "not a number", node.start_mark) from None


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


def _plain(value: Any) -> Any:
    """A copy without anything that two places share; ValueError for what is no tree of settings."""
    count = 0

    def copy(node: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if depth > _MOST_DEPTH:
            raise ValueError("nested too deeply")
        if count > _MOST_VALUES:
            raise ValueError(f"its aliases stand for more than {_MOST_VALUES:,} values")
        if isinstance(node, list):
            return [copy(child, depth + 1) for child in node]
        if not isinstance(node, dict):
            return node
        for key in node:
            if not isinstance(key, str):
                raise ValueError(f"the key {brief(str(key), 40)} is no text; put it into quotation marks")
        return {key: copy(child, depth + 1) for key, child in node.items()}

    return copy(value, 0)


def _read_tree(path: Path, overrides: Iterable[str]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES * 4 + 1)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such recipe; give a YAML file, or the name of one in configs/, e.g. fsdd"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text; give a YAML file") from None
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{path}: cannot be read as a configuration ({reason}); give a YAML file") from None
    try:
        tree = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"{path}: is not valid YAML ({error}); mend it there") from None
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must be a table of settings such as `training: {{epochs: 30}}`")
    tree = renamed(tree, str(path))
    for override in overrides:
        _apply(tree, override)
        _one_source_of_dev(tree, override)
    return tree


def _one_source_of_dev(tree: dict[str, Any], override: str) -> None:
    """Let the later of a dev corpus and a dev fraction stand."""
    key = override.partition("=")[0].strip()
    data = tree.get("data")
    if isinstance(data, dict) and key == "data.dev" and data.get("dev"):
        data.pop("dev_fraction", None)
    elif isinstance(data, dict) and key == "data.dev_fraction" and data.get("dev_fraction"):
        data.pop("dev", None)


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    parts = key.strip().split(".")
    shown = f"--set {brief(override)}"
    if not equals or not all(parts) or len(parts) > _MOST_DEPTH:
        raise ConfigError(f"{shown}: must look like path.to.key=value, e.g. training.epochs=10")
    parts[0] = RENAMED.get(parts[0], parts[0])
    node = tree
    for part in parts[:-1]:
        if isinstance(node.get(part), list):
            name = brief(part)
            raise ConfigError(f"{shown}: {name} is a list; give the whole of it, {name}=[...]")
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    try:
        node[parts[-1]] = parse_yaml(value)
    except ValueError as error:
        raise ConfigError(f"{shown}: the value is not valid YAML ({error})") from None
