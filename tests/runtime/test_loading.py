"""From a model file to sessions: what is read, what is kept in the cache, what is imported."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from asr_seq2seq import bundled
from asr_seq2seq.errors import ConfigError, ModelFileError
from asr_seq2seq.model.files import ModelFile, load_model, save_language_model, save_model
from asr_seq2seq.model_file.acoustic import read_model
from asr_seq2seq.model_file.language import read_language_model
from asr_seq2seq.runtime import graph_cache, session
from asr_seq2seq.runtime.onnx_model import OnnxModel
from asr_seq2seq.runtime.session import RuntimeOptions, products_saturate
from asr_seq2seq.runtime.weights import Quantizer

Make = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tiny_model: ModelFile, tmp_path: Path) -> Path:
    save_model(tmp_path / "model.safetensors", tiny_model)
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("name", [name for name in bundled.names() if not name.endswith("_lm")])
def test_bundled_models_are_read_as_before(name: str) -> None:
    found, expected = read_model(name), load_model(name)
    assert found.config == expected.config
    assert found.alphabet == expected.alphabet
    assert found.normalizer == expected.normalizer
    assert found.provenance == expected.provenance
    for key, tensor in expected.model.state_dict().items():
        np.testing.assert_array_equal(found.arrays[key], tensor.numpy())


def test_a_half_precision_file_is_read_in_float32(tiny_model: ModelFile, tmp_path: Path) -> None:
    save_model(tmp_path / "half.safetensors", tiny_model, half=True)
    arrays = read_model(tmp_path / "half.safetensors").arrays
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


def change_header(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    described = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["asr_seq2seq"])
    change(described)
    save_file(load_file(path), path, {"asr_seq2seq": json.dumps(described)})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.update(format="asr_seq2seq/9"), "has the format asr_seq2seq/9, this program reads"),
        (lambda d: d.update(format="asr_seq2seq_lm/1"), "holds a language model, not a recognizer"),
        (lambda d: d.update(format=5), "has the format 5"),
        (lambda d: d.pop("format"), "is not a model file of this program"),
        (lambda d: d.pop("alphabet"), "its description is not valid .*alphabet"),
        (lambda d: d.update(alphabet=["ab"]), "its description is not valid"),
        (lambda d: d.update(alphabet=["a"]), "its description is not valid .*its weights do not fit"),
        (lambda d: d.update(normalizer="klingon-v3"), "its description is not valid"),
        (lambda d: d.update(provenance=[]), "its description is not valid"),
        (lambda d: d["config"]["model"].update(surprise=1), "its description is not valid .*surprise"),
        (lambda d: d["config"]["model"]["decoder"].update(units=9), "its description is not valid"),
    ],
)
def test_a_changed_description(path: Path, change: Any, sentence: str) -> None:
    change_header(path, change)
    with pytest.raises(ModelFileError, match=f"^{path}: {sentence}"):
        read_model(path)


def test_files_that_are_no_models(path: Path, tmp_path: Path, make_language_model: Make) -> None:
    content = path.read_bytes()
    for size in (0, 5, 9, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "short.safetensors").write_bytes(content[:size])
        with pytest.raises(ModelFileError):
            read_model(tmp_path / "short.safetensors")
    with pytest.raises(ModelFileError, match="no such model file"):
        read_model(tmp_path / "none.safetensors")
    with pytest.raises(ModelFileError, match="is a folder"):
        read_model(tmp_path.parent)
    save_language_model(tmp_path / "lm.safetensors", make_language_model("abc"))
    with pytest.raises(ModelFileError, match="holds a language model, not a recognizer"):
        read_model(tmp_path / "lm.safetensors")
    with pytest.raises(ModelFileError, match="holds a recognizer, not a language model"):
        read_language_model(path)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_no_numbers(path: Path, wrong: float) -> None:
    arrays = load_file(path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    arrays["context.projection.bias"][0] = wrong
    save_file(arrays, path, header)
    with pytest.raises(ModelFileError, match="not all of its weights are finite"):
        read_model(path)


def test_graphs_are_built_once(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = read_model(path)
    features, lengths = np.zeros((1, 50, 10), np.float32), np.array([50])
    first = OnnxModel(model).encode(features, lengths).ctc
    files = sorted((tmp_path / "cache").rglob("*.onnx"))
    assert len(files) == 2
    for damage in (b"", b"no graph", files[0].read_bytes()[:-1] + b"x"):
        with monkeypatch.context() as patch:  # not built again
            patch.setitem(sys.modules, "asr_seq2seq.runtime.onnx_graph", None)
            np.testing.assert_array_equal(OnnxModel(model).encode(features, lengths).ctc, first)
        for file in files:
            file.write_bytes(damage)
        np.testing.assert_array_equal(OnnxModel(model).encode(features, lengths).ctc, first)


def test_without_a_cache_folder_graphs_are_built_in_memory(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    OnnxModel(read_model(path))
    monkeypatch.setattr(graph_cache, "cache_folder", lambda: None)
    OnnxModel(read_model(path))


def test_a_session_leaves_the_processor_as_it_was(path: Path) -> None:
    """Small numbers stay numbers for the rest of the program."""
    OnnxModel(read_model(path))
    assert np.float64(5e-324) + np.zeros(1)[0] > 0
    assert (np.full(8, 2e-308) * 0.5 > 0).all()


def test_8_bits_use_7_where_products_saturate(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert products_saturate() in (True, False)
    for saturate, kind, largest in (
        (True, "int8", 63),
        (False, "int8", 127),
        (True, "auto", None),
        (False, "auto", 127),
        (True, "float32", None),
    ):
        monkeypatch.setattr(session, "products_saturate", lambda saturate=saturate: saturate)
        assert RuntimeOptions(compute_type=kind).quantizer.largest == largest
    matrix = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    weights = Quantizer(63).matrix("m", matrix)
    assert np.abs(weights["m"]).max() == 63
    np.testing.assert_allclose(
        weights["m"] * weights["m.scale"][:, None], matrix, atol=np.abs(matrix).max() / 120
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"compute_type": "int4"}, "compute type int4: is unknown; use auto, float32, int8"),
        ({"threads": 0}, "threads must be 1 or more"),
        ({"device": "tpu"}, "device tpu: is unknown"),
    ],
)
def test_options_that_do_not_exist(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        RuntimeOptions(**options)


def test_threads_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert session.usable_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert session.usable_threads() >= 1


FORBID = """
import sys
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchaudio", "lhotse", "librosa", "scipy"}:
            raise AssertionError(f"imports {name}")
sys.meta_path.insert(0, Forbid())
import importlib, pkgutil
import asr_seq2seq.runtime, asr_seq2seq.decoding
for package in (asr_seq2seq.runtime, asr_seq2seq.decoding):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
"""
RUN = """
import sys
import soundfile, soxr
from asr_seq2seq.decoding.beam import search
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.model_file.acoustic import read_model
from asr_seq2seq.runtime.features import pad
from asr_seq2seq.runtime.onnx_model import OnnxModel
model = read_model("digits")
onnx_model = OnnxModel(model)
samples, rate = soundfile.read(sys.argv[1], dtype="float32")
samples = soxr.resample(samples, rate, model.config.features.sample_rate)
encoded = onnx_model.encode(*onnx_model.features(*pad([samples])))
print(model.alphabet.decode(search(onnx_model, encoded, DecodingOptions())[0][0].tokens))
"""


def test_a_file_is_transcribed_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hook that forbids it; the second time, with the graphs in the cache, without `onnx`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sample = ROOT / "data" / "samples" / "digits_03.flac"
    no_onnx = "import sys\nsys.modules['onnx'] = None\n"
    for code in (FORBID + RUN, no_onnx + RUN):
        command = [sys.executable, "-c", code, str(sample)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip() == sample.with_suffix(".txt").read_text().strip()
