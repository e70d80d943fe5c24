"""What a corpus, a model file or a run folder holds, as a table of names and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asr_seq2seq import bundled
from asr_seq2seq.epochs import METRICS, rank, read_metrics
from asr_seq2seq.errors import AsrError
from asr_seq2seq.signals import while_importing

_MODELS = (".safetensors", ".onnx", ".zip")  # exported forms are told as what they are


def inspect(*paths: Path, quick: bool = False) -> dict[str, Any]:
    """Facts about one path of any kind, or about several corpora, that fit into JSON.

    The kind is told by the name. `quick` does not read the sound of a corpus.
    """
    for given in paths:
        path = given if given.is_dir() else bundled.find(given)
        model = path.suffix in _MODELS
        run = path.is_dir() and ((path / METRICS).exists() or (path / "state").is_dir())
        if not path.exists() and not model:
            raise AsrError(f"{path}: no such file or folder; give a corpus, a model file or a run folder")
        if (model or run) and len(paths) > 1:
            raise AsrError(f"{path}: is not a corpus, and only corpora are compared; inspect it alone")
        if model or run:
            return inspect_model(path) if model else inspect_run(path)
    with while_importing():
        from asr_seq2seq.corpora.check import inspect_corpora

    return inspect_corpora(paths, quick=quick)


def inspect_model(path: Path) -> dict[str, Any]:
    """Size, shape, alphabet, normalizer and provenance of a model file."""
    from asr_seq2seq.model_file.acoustic import read_model

    model = read_model(path)
    return {
        "kind": "model file",
        "parameters": model.parameters,
        "bytes": path.stat().st_size,
        "model": model.config.model.model_dump(mode="json"),
        "features": model.config.features.model_dump(mode="json"),
        "alphabet": model.alphabet.characters,
        "normalizer": {model.normalizer.name: model.normalizer.describe()},
        "search": model.config.decoding.model_dump(mode="json"),
        "provenance": model.provenance,
    }


def inspect_run(path: Path) -> dict[str, Any]:
    """How far a run has come and its best epoch."""
    model = path / "model.safetensors"
    rows = read_metrics(path)
    epochs = [row for row in rows if row.get("epoch") != 0]
    facts: dict[str, Any] = {"kind": "run folder", "epochs": len(epochs)}
    if len(epochs) < len(rows):
        facts["before"] = rows[0]  # of fine-tuning, what it started from
    if epochs:
        facts |= {"best": min(epochs, key=rank), "last": epochs[-1]}
    if model.exists() and "dev_wer" in facts.get("best", {}):
        facts["model"] = inspect_model(model)
    return facts


def as_text(facts: dict[str, Any]) -> str:
    """The facts for people: YAML, and what is suspicious or shared as tables under it."""
    import yaml

    tables = []
    for path, corpus in facts.get("corpora", {"": facts}).items():
        if "suspicious" in corpus:
            rows = [(name, found["count"], found["first"]) for name, found in corpus["suspicious"].items()]
            tables.append(_table(f"suspicious in {path}" if path else "suspicious", rows))
    for pair in facts.get("shared", []):
        rows = [(name, pair[name]["count"], pair[name]["first"]) for name in ("speakers", "sounds")]
        tables.append(_table(f"shared by {' and '.join(pair['between'])}", rows))
    told = {name: fact for name, fact in facts.items() if name not in ("suspicious", "corpora", "shared")}
    for path, corpus in facts.get("corpora", {}).items():
        told[path] = {name: fact for name, fact in corpus.items() if name != "suspicious"}
    text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    return "\n".join([text.rstrip("\n"), *tables])


def _table(title: str, rows: list[tuple[str, int, list[str]]]) -> str:
    """A line for each row with its count and the first few that it counts, which may continue."""
    lines = [f"{title}:" if rows else f"{title}: nothing"]
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, count, first in rows:
        more = ", ..." if count > len(first) else ""
        lines.append(f"  {name:<{width}}  {count:>7}  {', '.join(first)}{more}".rstrip())
    return "\n".join(lines)
