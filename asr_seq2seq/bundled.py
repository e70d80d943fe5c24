"""The models and recipes that come with the package, by their names."""

from __future__ import annotations

from functools import cache
from pathlib import Path

DEFAULT = "english"


def names() -> list[str]:
    """What `find` knows beside files."""
    return sorted(path.stem for path in _folder().glob("*.safetensors"))


def find(model: str | Path) -> Path:
    """The model file at this path, the best model of a run folder, or else the bundled one of this name.

    What begins with hf: is fetched from the Hugging Face Hub.
    """
    path = Path(model)
    if str(model).startswith("hf:"):
        return _from_hub(str(model))
    if (path / "model.safetensors").is_file():
        return path / "model.safetensors"
    if path.is_file() or path.suffix or len(path.parts) != 1:
        return path
    bundled = _folder() / f"{path}.safetensors"
    return bundled if bundled.exists() else path


@cache
def _from_hub(name: str) -> Path:
    from asr_seq2seq import hub

    return hub.download(name)


def recipes() -> list[str]:
    """The recipes that `find_recipe` knows beside files."""
    return sorted(path.stem for path in _recipes().glob("*.yaml"))


def find_recipe(recipe: str | Path) -> Path:
    """The recipe at this path, or the bundled one of this name where there is no such file."""
    path = Path(recipe)
    if path.exists() or path.suffix or len(path.parts) != 1:
        return path
    bundled = _recipes() / f"{path}.yaml"
    return bundled if bundled.exists() else path


def default() -> Path:
    """The model file that is used where none is named, whatever the current folder holds."""
    return _folder() / f"{DEFAULT}.safetensors"


def _folder() -> Path:
    return Path(__file__).parent / "model_file" / "pretrained"


def _recipes() -> Path:
    """`configs` of the repository, which an installation has inside of the package."""
    package = Path(__file__).parent
    return package / "configs" if (package / "configs").is_dir() else package.parent / "configs"
