"""What the tools that read a recipe of their own share: its form, and one sentence where it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from asr_seq2seq.errors import ConfigError


class Room(BaseModel):
    """A table of a recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


T = TypeVar("T", bound=Room)


def read_recipe(path: Path, kind: type[T], tool: str) -> T:
    """The recipe of `tool` at `path`; ConfigError in one sentence where it is none."""
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {place}: {first['msg']}; see the head of tools/{tool}.py") from None
