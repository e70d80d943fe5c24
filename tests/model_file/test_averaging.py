"""Means of model files and copies of half the size, by the verb `average`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr_seq2seq import bundled
from asr_seq2seq.cli.application import make_app
from asr_seq2seq.cli.run import run
from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.model.files import ModelFile, save_language_model
from asr_seq2seq.model_file.acoustic import read_model, write_model
from asr_seq2seq.model_file.averaging import write_average
from asr_seq2seq.model_file.language import read_language_model
from asr_seq2seq.text.tokenizer import Alphabet

app = make_app()


def test_weights_are_the_means(tiny_model: ModelFile, tmp_path: Path) -> None:
    model = tiny_model.with_provenance(epoch=2, dev_wer=0.5, hours=3.0).arrays()
    twice = replace(model, arrays={name: 3 * array for name, array in model.arrays.items()})
    paths = [tmp_path / "epoch_1.safetensors", tmp_path / "epoch_2.safetensors"]
    for path, one in zip(paths, (model, twice), strict=True):
        write_model(path, one)
    write_average(tmp_path / "mean.safetensors", paths)
    mean = read_model(tmp_path / "mean.safetensors")
    for name, array in model.arrays.items():
        np.testing.assert_allclose(mean.arrays[name], 2 * array, rtol=1e-6)
    assert mean.provenance["averaged"] == [path.name for path in paths]
    assert mean.provenance["hours"] == 3.0 and "epoch" not in mean.provenance
    other = replace(model, alphabet=Alphabet(" aeginox"))
    write_model(paths[1], other)
    with pytest.raises(ModelFileError, match=r"epoch_2.safetensors: is not of the same run"):
        write_average(tmp_path / "mean.safetensors", paths)
    with pytest.raises(ModelFileError, match="there are no models to average"):
        write_average(tmp_path / "mean.safetensors", [])


@pytest.mark.parametrize(("kind", "read"), [("acoustic", read_model), ("language", read_language_model)])
def test_a_copy_of_half_the_size(
    kind: str, read: Callable[..., Any], make_language_model: Callable[..., Any], tmp_path: Path
) -> None:
    name = "digits"
    if kind == "language":
        name = str(tmp_path / "lm.safetensors")
        save_language_model(Path(name), make_language_model(" abc", units=256))
    half, full = tmp_path / "half.safetensors", tmp_path / "full.safetensors"
    assert run(app, ["average", name, "-o", str(full)]) == 0
    assert run(app, ["average", str(full), "-o", str(half), "--half"]) == 0
    assert half.stat().st_size < 0.52 * full.stat().st_size
    one, other = read(half), read(bundled.find(name))
    assert one.config == other.config and one.provenance == other.provenance
    for key, array in other.arrays.items():
        np.testing.assert_allclose(one.arrays[key], array, rtol=2**-10, atol=1e-7)


def test_what_average_refuses(
    tiny_model: ModelFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.safetensors"
    write_model(path, tiny_model.arrays())
    for arguments, sentence in (
        ([str(path), "--half"], "is no run folder; with a model file give -o"),
        ([str(path), "-o", str(tmp_path / "o"), "--last", "2"], "is no run folder"),
        ([str(tmp_path / "none"), "-o", str(tmp_path / "o")], "no such model file"),
        ([str(path), "-o", str(path)], str(path)),
        ([str(tmp_path)], "there are no models to average"),
    ):
        assert run(app, ["average", *arguments]) == 2
        assert sentence in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == [path]
