"""The exported graphs give what the runtime gives, and the documented way to run them works."""

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile

from asr_seq2seq import audio
from asr_seq2seq.decoding.beam import search
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.export import DESCRIPTION, export_model
from asr_seq2seq.inspection import inspect
from asr_seq2seq.model.files import ModelFile
from asr_seq2seq.model_file.acoustic import AcousticArrays, read_model
from asr_seq2seq.model_file.storage import ModelArrays
from asr_seq2seq.runtime.features import pad
from asr_seq2seq.runtime.onnx_model import OnnxModel
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import FIRST_CHARACTER, Alphabet

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "samples" / "digits_03.flac"
ALPHABET = Alphabet(" abcdef")


@pytest.fixture
def make_arrays(make_model: Any, make_config: Any) -> Callable[..., AcousticArrays]:
    """Settings -> a network of random weights, as a model file holds it."""

    def make(changes: dict[str, Any]) -> AcousticArrays:
        network = make_model(changes, FIRST_CHARACTER + len(ALPHABET.characters), scale=3.0)
        config = make_config(changes).recognizer()
        return ModelFile(network, config, ALPHABET, Normalizer.named("english-v1"), {}).arrays()

    return make


def graphs_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".onnx")]
        return {name: onnxruntime.InferenceSession(archive.read(name)) for name in names}


def run(session: Any, **given: Any) -> dict[str, Any]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"features.normalization": "utterance"},
        {"features.normalization": "corpus", "features.level": True},
        {"features.normalization": "none", "features.window_seconds": 0.0231, "features.hop_seconds": 0.0077},
        {"features": {"kind": "precomputed", "size": 5, "deltas": 2}},
        {"features": {"kind": "precomputed", "size": 5, "normalization": "corpus"}},
    ],
    ids=str,
)
def test_features(make_arrays: Callable[..., AcousticArrays], tmp_path: Path, changes: Any) -> None:
    model = make_arrays(changes)
    export_model(tmp_path / "model.zip", model)
    chance = np.random.default_rng(0)
    if "features" in changes:
        parts, name = [chance.standard_normal((length, 5)) for length in (40, 3, 17)], "frames"
    else:
        parts, name = [0.1 * chance.standard_normal(length) for length in (4000, 700, 1)], "sound"
    inputs, lengths = pad(parts)
    inputs[1, lengths[1] :] += 0.5  # behind the end, where padding is
    found = run(graphs_of(tmp_path / "model.zip")["features.onnx"], **{name: inputs, "lengths": lengths})
    features, counts = OnnxModel(model).features(inputs, lengths)
    assert found["feature_lengths"].tolist() == counts.tolist()
    np.testing.assert_allclose(found["features"], features, rtol=0, atol=2e-4)


@pytest.mark.parametrize("attention", ["none", "dot", "location"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_encoder_and_step(
    make_arrays: Callable[..., AcousticArrays], tmp_path: Path, attention: str, cell: str
) -> None:
    model = make_arrays({"model.decoder.attention": attention, "model.decoder.cell": cell})
    export_model(tmp_path / "model.zip", model)
    graphs = graphs_of(tmp_path / "model.zip")
    ours = OnnxModel(model)
    features = np.random.default_rng(1).standard_normal((2, 30, 10)).astype(np.float32)
    lengths = np.array([30, 21])
    encoded = ours.encode(features, lengths)
    found = run(graphs["encoder.onnx"], features=features, lengths=lengths)
    np.testing.assert_allclose(found["ctc"], encoded.ctc, rtol=0, atol=1e-5)
    state = ours.start(encoded)
    tokens, rows = np.array([[4], [5]]), np.array([[0], [1]])
    logits, _, _ = ours.step(state, tokens.ravel())
    given = {"tokens": tokens, "rows": rows, **state.memory, **state.carried}
    theirs = run(graphs["decoder_step.onnx"], **given)["logits"]
    np.testing.assert_allclose(theirs.reshape(2, -1), logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("int8", [False, True])
def test_another_program_runs_it_as_documented(tmp_path: Path, int8: bool) -> None:
    """With the code of docs/export.md, which needs no package of ours."""
    model = read_model("digits")
    export_model(tmp_path / "digits.zip", model, int8=int8)
    samples = audio.load(SAMPLE, model.config.features.sample_rate)  # type: ignore[union-attr]
    soundfile.write(tmp_path / "sound.wav", samples, model.config.features.sample_rate, "PCM_16")  # type: ignore[union-attr]
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    command = [sys.executable, "-c", code, str(tmp_path / "digits.zip"), str(tmp_path / "sound.wav")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == SAMPLE.with_suffix(".txt").read_text().strip()


@pytest.mark.parametrize("attention", ["none", "dot", "location"])
def test_the_documented_code_runs_every_decoder(
    make_arrays: Callable[..., AcousticArrays], tmp_path: Path, attention: str
) -> None:
    changes = {"model.decoder.attention": attention, "model.ctc_weight": 0.0}
    model = make_arrays(changes)
    model.arrays["decoder.output.bias"][2] = 1.0  # texts end
    export_model(tmp_path / "model.zip", model)
    samples = np.random.default_rng(2).integers(-9000, 9000, 3000).astype(np.int16)
    soundfile.write(tmp_path / "sound.wav", samples, 8000, "PCM_16")
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["", str(tmp_path / "model.zip"), str(tmp_path / "sound.wav")])
        exec(code, {"print": lambda text: shown.write(text)})
    ours = OnnxModel(model)
    encoded = ours.encode(*ours.features(*pad([samples / 32768])))
    [[best, *_]] = search(ours, encoded, DecodingOptions(beam_size=1))
    assert shown.getvalue() == ALPHABET.decode(best.tokens).strip()


def test_int8_is_a_third_as_large_and_leaves_one_bit(tmp_path: Path) -> None:
    """On processors without VNNI two products are added in 16 bits: numbers above 63 would saturate."""
    export_model(tmp_path / "full.zip", read_model())
    export_model(tmp_path / "int8.zip", read_model(), int8=True)
    assert (tmp_path / "int8.zip").stat().st_size * 2 < (tmp_path / "full.zip").stat().st_size
    with zipfile.ZipFile(tmp_path / "int8.zip") as archive:
        for name in ("encoder.onnx", "decoder_step.onnx"):
            constants = onnx.load_from_string(archive.read(name)).graph.initializer
            matrices = [onnx.numpy_helper.to_array(one) for one in constants if one.data_type == 3]
            assert any(matrix.size > 1000 for matrix in matrices)
            assert max(np.abs(matrix.astype(int)).max() for matrix in matrices) == 63


def test_an_exported_form_is_not_read_back(tiny_model: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx.zip"
    export_model(path, tiny_model.arrays())
    with zipfile.ZipFile(path) as archive:
        description = json.loads(archive.read(DESCRIPTION))
        archive.extract("encoder.onnx", tmp_path)
    assert description["alphabet"] == tiny_model.alphabet.to_json()
    assert description["weights"] == "float32"
    for exported in (path, tmp_path / "encoder.onnx"):
        sentence = f"^{exported}: is an exported form for other programs; give the .safetensors model file$"
        for read in (read_model, inspect):
            with pytest.raises(ModelFileError, match=sentence):
                read(exported)
    export_model(tmp_path / "again", tiny_model.arrays())
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_a_graph_has_only_operators_of_the_standard(tiny_model: ModelFile, tmp_path: Path) -> None:
    assert isinstance(tiny_model.arrays(), ModelArrays)
    export_model(tmp_path / "model.zip", tiny_model.arrays())
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".onnx"):
                opsets = onnx.load_from_string(archive.read(name)).opset_import
                assert [opset.domain for opset in opsets] == [""]
