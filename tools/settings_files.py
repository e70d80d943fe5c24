"""Write docs/settings.md and the JSON schemas of configs/ from the settings in the package.

Usage: python tools/settings_files.py; tests/docs/test_settings.py holds that the files are current.
"""

from __future__ import annotations

import json
from pathlib import Path

from asr_seq2seq.files import atomic_write
from asr_seq2seq.settings_reference import Setting, Table, as_yaml, json_schema, tables_of
from asr_seq2seq.training_config import Config, LanguageModelConfig

ROOT = Path(__file__).resolve().parents[1]
_HEAD = """\
# Settings

Every setting of a recipe, with its default. A recipe is a YAML file in which each heading below is a table;
what it does not give has its default, and `null` means that nothing is given. On the command line a setting
is changed by its path:

```console
$ asr-seq2seq train english_finetune --set training.epochs=20 --set data.batch_seconds=40
$ asr-seq2seq train english_finetune --help-settings         # all of them, with the values of this recipe
```

This page and the schemas `configs/recipe.schema.json` and `configs/language_model.schema.json` are made from
the package by `python tools/settings_files.py`. Editors that know JSON schemas check and complete a recipe
whose first line names its schema, as in `configs/`: `# yaml-language-server: $schema=recipe.schema.json`.
"""


def settings_page() -> str:
    """docs/settings.md: a section for each kind of recipe, a table of settings for each table in it."""
    language_model = _section(tables_of(LanguageModelConfig))
    return (
        f"{_HEAD}\n# Settings of a recognizer (`train`)\n\n{_section(tables_of(Config))}"
        f"\n# Settings of a language model (`train-lm`)\n\n{language_model}"
    )


def files() -> dict[Path, str]:
    """Each file that is made from the settings, and what it must hold."""
    schemas: dict[str, type[Config | LanguageModelConfig]] = {
        "recipe": Config,
        "language_model": LanguageModelConfig,
    }
    found = {
        ROOT / "configs" / f"{name}.schema.json": json.dumps(
            json_schema(recipe), indent=1, ensure_ascii=False
        )
        + "\n"
        for name, recipe in schemas.items()
    }
    return found | {ROOT / "docs" / "settings.md": settings_page()}


def main() -> None:
    """Write the files."""
    for path, text in files().items():
        with atomic_write(path) as file:
            file.write(text)


def _section(tables: list[Table]) -> str:
    parts = []
    for table in tables:
        path, _, kind = table.path.partition(" ")
        name = f"`{path}`" if path else "The recipe itself"
        heading = f"{name} where `features.kind` is `{kind}`" if kind else name
        rows = "\n".join(map(_row, table.settings))
        head = "| setting | default | values | meaning |\n|---|---|---|---|"
        parts.append(f"## {heading}\n\n{table.description}\n\n{head}\n{rows}\n")
    return "\n".join(parts)


def _row(one: Setting) -> str:
    default = "must be given" if one.required else f"`{as_yaml(one.default)}`"
    name = one.path.rpartition(".")[2]
    return f"| `{name}` | {default} | {one.values} | {one.description} |"


if __name__ == "__main__":
    main()
