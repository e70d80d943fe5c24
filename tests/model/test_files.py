import copy
import json
import struct
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.model.files import ModelFile, load_model, save_model
from asr_seq2seq.model_file.acoustic import RECOGNIZER


def _header(path: Path) -> tuple[dict, bytes]:
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def _rewrite(path: Path, change) -> None:
    """Change our description in the header and write the file again."""
    header, body = _header(path)
    metadata = json.loads(header["__metadata__"]["asr_seq2seq"])
    change(metadata)
    header["__metadata__"]["asr_seq2seq"] = json.dumps(metadata)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def test_written_and_read_again_gives_identical_output(tiny_model: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, tiny_model)
    again = load_model(path)
    sound, lengths = torch.randn(3, 4000), torch.tensor([4000, 2500, 100])
    with torch.inference_mode():
        before, after = (m.model.encode(sound, lengths) for m in (tiny_model, again))
    assert torch.equal(before.encoded, after.encoded)
    assert torch.equal(before.context, after.context)
    tokens, counts = torch.tensor([[4, 5], [6, 7], [8, 4]]), torch.tensor([2, 2, 1])
    with torch.inference_mode():
        losses = [m.model.loss(sound, lengths, tokens, counts, 0.0).total for m in (tiny_model, again)]
    assert torch.equal(*losses)
    assert (again.config, again.alphabet, again.normalizer) == (
        tiny_model.config,
        tiny_model.alphabet,
        tiny_model.normalizer,
    )
    assert again.provenance == tiny_model.provenance


def test_half_precision_takes_half_the_room(tiny_model: ModelFile, tmp_path: Path) -> None:
    save_model(tmp_path / "full.safetensors", tiny_model)
    save_model(tmp_path / "half.safetensors", tiny_model, half=True)
    (_, full), (_, half) = (_header(tmp_path / f"{name}.safetensors") for name in ("full", "half"))
    weights = sum(weight.nbytes for weight in tiny_model.model.parameters())
    assert len(full) - len(half) == weights / 2 and weights > 0.99 * len(full)
    weights = load_model(tmp_path / "half.safetensors").model.state_dict()
    for name, weight in tiny_model.model.state_dict().items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-3, atol=1e-6)


def test_what_float16_cannot_hold_is_not_written(tiny_model: ModelFile, tmp_path: Path) -> None:
    model = copy.deepcopy(tiny_model.model)
    path = tmp_path / "half.safetensors"
    model.features.mean[0] = 1e6  # statistics of features may be large
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = 1e6
    with pytest.raises(ModelFileError, match="too large for float16; store it in full"):
        save_model(path, replace(tiny_model, model=model), half=True)
    assert not path.exists()
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = 1
    save_model(path, replace(tiny_model, model=model), half=True)
    assert load_file(path)["features.mean"][0] == 1e6


@pytest.mark.parametrize("kept", [0, 5, 8, 50, 0.5, 0.999])
def test_a_file_cut_short_is_one_clear_error(tiny_model: ModelFile, tmp_path: Path, kept: float) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, tiny_model)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(ModelFileError, match=r"cut short|not a model file"):
        load_model(path)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for content in (b"this is no model at all, only text", b"\x80\x02}q\x00." * 20, bytes(100), b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="not a model file of this program"):
            load_model(path)


def test_a_model_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ModelFileError, match="not a model file of this program"):
        load_model(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such model file"):
        load_model(tmp_path / "none.safetensors")
    with pytest.raises(ModelFileError, match="is a folder"):
        load_model(tmp_path)


def test_a_file_of_a_newer_version_names_both_formats(tiny_model: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, tiny_model)
    _rewrite(path, lambda metadata: metadata.update(format="asr_seq2seq/99"))
    with pytest.raises(ModelFileError, match=f"asr_seq2seq/99.*{RECOGNIZER.format}"):
        load_model(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda metadata: metadata.pop("alphabet"),
        lambda metadata: metadata.update(alphabet=["ab", "c"]),
        lambda metadata: metadata.update(alphabet=[*metadata["alphabet"], "\u4e00"]),
        lambda metadata: metadata.update(normalizer="klingon-v3"),
        lambda metadata: metadata["config"]["model"].update(layers=3),
        lambda metadata: metadata["config"]["model"]["context"].update(pooling="attentive"),
        lambda metadata: metadata.update(config=None),
        lambda metadata: metadata.update(normalizer=["english-v1"]),
        lambda metadata: metadata.update(provenance=[1]),
    ],
)
def test_a_description_that_does_not_fit(tiny_model: ModelFile, tmp_path: Path, change) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, tiny_model)
    _rewrite(path, change)
    with pytest.raises(ModelFileError, match=str(path)):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m["config"]["model"]["decoder"].update(embedding=8192), "its weights do not fit"),
        (lambda m: m["config"]["model"]["encoder"]["layers"][0].update(units=8192), "its weights do not fit"),
        (lambda m: m["config"]["model"]["decoder"].update(layers=10**9), "model.decoder.layers"),
        (lambda m: m["config"]["features"].update(window_seconds=1e9), "window_seconds"),
        (lambda m: m["provenance"].update(longest_seconds="nan"), "longest_seconds is no number"),
        (lambda m: m["provenance"].update(made=json.loads("[" * 500 + "]" * 500)), "nested too deeply"),
        (lambda m: m.update(provenance=None), "provenance: input should be a valid dictionary"),
        (lambda m: m.update(alphabet=["x" * 5000]), "is not a single character"),
        (lambda m: m.update(normalizer="x" * 5000), "there is no normalizer named"),
    ],
)
def test_absurd_descriptions_are_refused_before_anything_is_built(
    tiny_model: ModelFile, tmp_path: Path, change, sentence: str
) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, tiny_model)
    _rewrite(path, change)
    began = time.perf_counter()
    with pytest.raises(ModelFileError, match=sentence) as caught:
        load_model(path)
    assert time.perf_counter() - began < 5
    assert len(str(caught.value)) - len(str(path)) < 250


def test_weights_that_are_no_floating_point_numbers(tiny_model: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, tiny_model)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    name = next(iter(tensors))
    save_file(tensors | {name: tensors[name].to(torch.int32)}, path, metadata)
    with pytest.raises(ModelFileError, match="are not floating-point numbers"):
        load_model(path)


def test_writing_fails_whole(tiny_model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, tiny_model)
    before = path.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    from asr_seq2seq.errors import OutputError

    with pytest.raises(OutputError, match="no space left"):
        save_model(path, tiny_model)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_weights_that_are_not_finite(tiny_model: ModelFile, tmp_path: Path) -> None:
    broken = copy.deepcopy(tiny_model)
    with torch.no_grad():
        next(broken.model.parameters()).fill_(torch.nan)
    save_model(tmp_path / "model.safetensors", broken)
    with pytest.raises(ModelFileError, match="not all of its weights are finite"):
        load_model(tmp_path / "model.safetensors")
