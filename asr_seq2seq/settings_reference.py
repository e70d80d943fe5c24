"""Every setting of a recipe with its default, values and description, from the pydantic fields alone.

`train RECIPE --help-settings`, docs/settings.md and the JSON schemas for editors are views of this.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from asr_seq2seq.config import RENAMED
from asr_seq2seq.training_config import Config, LanguageModelConfig

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_MOST_SHOWN = 100_000  # bounds beyond it only keep a mistyped recipe away
_LONGEST_VALUE = 16  # characters, in a column


@dataclass(frozen=True)
class Setting:
    """One setting: `path` as `--set` takes it, its default, what it may be in words, what it does."""

    path: str
    default: Any
    required: bool  # it has no default: a value must be given
    values: str
    description: str
    table: str  # the path of the table of settings that it stands in, and the kind of features it belongs to

    @property
    def kind(self) -> str:
        """The kind of features that has it; empty elsewhere."""
        return self.table.partition(" ")[2]


@dataclass(frozen=True)
class Table:
    """Settings that stand together: `path` is empty for the recipe itself."""

    path: str
    description: str
    settings: list[Setting]


def tables_of(recipe: type[Config | LanguageModelConfig]) -> list[Table]:
    """All settings of a recipe by table, in the order of the fields; items of lists are tables too."""
    schema = json_schema(recipe)
    return list(_tables(schema, schema, "", "", given_values(recipe())))


def given_values(recipe: Config | LanguageModelConfig) -> dict[str, Any]:
    """Path of each setting -> its value in this recipe as plain JSON; a list is one value."""
    found: dict[str, Any] = {}

    def walk(node: dict[str, Any], prefix: str) -> None:
        for name, value in node.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{name}.")
            else:
                found[f"{prefix}{name}"] = _canonical(value)

    walk(recipe.model_dump(mode="json"), "")
    return found


def given_settings(recipe: Config | LanguageModelConfig) -> list[tuple[Setting, Any]]:
    """Each setting that this recipe has, with its value there."""
    given = given_values(recipe)
    kinds = ("", given.get("features.kind"))
    return [
        (one, given[one.path])
        for table in tables_of(type(recipe))
        for one in table.settings
        if one.path in given and one.kind in kinds
    ]


def help_lines(recipe: Config | LanguageModelConfig) -> list[str]:
    """One line for each setting: path=value of this recipe, its default where that differs, what it does."""
    found = [(one, as_yaml(value)) for one, value in given_settings(recipe)]
    width = max(len(one.path) + len(value) + 1 for one, value in found if len(value) <= _LONGEST_VALUE)
    return [
        f"{f'{one.path}={value}':{width}}  {one.description}"
        + ("" if one.required or value == as_yaml(one.default) else f" (default {as_yaml(one.default)})")
        for one, value in found
    ]


def as_yaml(value: Any) -> str:
    """A value as `--set` takes it, on one line: JSON, which is YAML, with bare words."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def json_schema(recipe: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a recipe, the same from every release of pydantic."""
    schema: dict[str, Any] = _canonical(recipe.model_json_schema())
    properties = schema["properties"]
    for old, new in RENAMED.items():
        if new in properties:
            note = {"deprecated": True, "description": f"the old name of `{new}`"}
            properties[old] = properties[new] | note
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def _tables(
    schema: dict[str, Any], node: dict[str, Any], path: str, kind: str, defaults: dict[str, Any]
) -> Iterator[Table]:
    """The table of `node`, an object of the schema, and then those in it."""
    settings, inner = [], []
    for name, field in node["properties"].items():
        if field.get("deprecated"):
            continue
        below = f"{path}.{name}" if path else name
        for reference in _references(field):
            table = schema["$defs"][reference.rpartition("/")[2]]
            own = table["properties"].get("kind", {}).get("const", kind)
            inner.append((table, f"{below}[]" if field.get("type") == "array" else below, own))
        if field.get("type") == "array" or not _references(field):
            required = name in node.get("required", ())
            default = None if required else field.get("default", defaults.get(below))
            about = field.get("description", "")
            place = f"{path} {kind}".strip()
            settings.append(Setting(below, default, required, _values(field), about, place))
    if settings:
        yield Table(f"{path} {kind}".strip(), node.get("description", ""), settings)
    for table, below, own in inner:
        yield from _tables(schema, table, below, own, defaults)


def _references(field: dict[str, Any]) -> list[str]:
    """The tables that a field may hold, or that its items are."""
    choices = [field, *field.get("oneOf", ()), field.get("items", {})]
    return [choice["$ref"] for choice in choices if isinstance(choice, dict) and "$ref" in choice]


def _values(field: dict[str, Any]) -> str:
    """What a setting may be, in words."""
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(_values(choice) for choice in field["anyOf"])
    kind: str = field.get("type", "tables")
    if kind == "array":
        return f"list of {_values(field['items'])}" if "items" in field else "list"
    if kind == "boolean":
        return "`true`, `false`"
    words = {"string": "text", "integer": "integer", "number": "number", "null": "`null`"}
    bounds = [
        f"{sign} {field[name]:g}"
        for name, sign in _BOUNDS.items()
        if name in field and abs(field[name]) <= _MOST_SHOWN
    ]
    return " ".join([words.get(kind, kind), ", ".join(bounds)]).strip()


def _canonical(node: Any) -> Any:
    """A schema without the titles that pydantic makes of names, and in its present wording."""
    if isinstance(node, list):
        return [_canonical(child) for child in node]
    if not isinstance(node, dict):
        return int(node) if isinstance(node, float) and node.is_integer() else node
    found = {}
    for name, child in node.items():
        if name == "properties" and isinstance(child, dict):
            found[name] = {key: _canonical(value) for key, value in child.items()}
        elif name != "title":
            found[name] = _canonical(child)
    if len(found.get("allOf", ())) == 1:
        found |= found.pop("allOf")[0]
    if "const" in found:
        found.pop("enum", None)
    return found
