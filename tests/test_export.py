import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_seq2seq import audio
from asr_seq2seq.config import LogMelConfig
from asr_seq2seq.errors import ModelFileError, OutputError
from asr_seq2seq.inspection import inspect
from asr_seq2seq.model.features import pad
from asr_seq2seq.model.files import ModelFile, load_model, save_model
from asr_seq2seq.search import search
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import FIRST_CHARACTER, Alphabet

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnx is not installed")

from asr_seq2seq.export import export_model
from asr_seq2seq.onnx_file import DESCRIPTION, GRAPHS

ALPHABET = Alphabet(" aeginot")
SAMPLES = Path(__file__).resolve().parents[1] / "data" / "samples"


@pytest.fixture
def both(
    make_config: Callable[..., Any], make_model: Callable[..., Any], tmp_path: Path
) -> Callable[..., tuple[ModelFile, ModelFile]]:
    """A recognizer with random weights, large so that its texts differ, and its ONNX form."""

    def make(changes: dict[str, Any], *, int8: bool = False) -> tuple[ModelFile, ModelFile]:
        model = make_model(changes, FIRST_CHARACTER + len(ALPHABET.characters), scale=3.0)
        normalizer = Normalizer.named("english-v1")
        torch_form = ModelFile(model, make_config(changes), ALPHABET, normalizer, {"trained_on": ["nothing"]})
        export_model(tmp_path / "model.onnx.zip", torch_form, int8=int8)
        return torch_form, load_model(tmp_path / "model.onnx.zip")

    return make


def assert_same(
    torch_form: ModelFile, onnx_form: ModelFile, inputs: torch.Tensor, lengths: torch.Tensor
) -> None:
    """Encoder outputs and, along a few forced steps of two hypotheses, logits; then whole searches."""
    with torch.inference_mode():
        encoded = [form.model.encode(inputs, lengths) for form in (torch_form, onnx_form)]
        assert torch.equal(encoded[0].lengths, encoded[1].lengths)
        for name in ("encoded", "context", "ctc"):
            ours, theirs = getattr(encoded[0], name), getattr(encoded[1], name)
            assert (ours is None) == (theirs is None)
            if ours is not None:
                torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-4)
        states = [
            form.model.decoder.start(one.encoded, one.lengths, one.context)
            for form, one in zip((torch_form, onnx_form), encoded, strict=True)
        ]
        tokens = torch.ones(len(lengths), dtype=torch.long)
        for step in range(5):
            results = [
                form.model.decoder.step(tokens, state)
                for form, state in zip((torch_form, onnx_form), states, strict=True)
            ]
            torch.testing.assert_close(results[1][0], results[0][0], rtol=0, atol=1e-4)
            states = [result[1] for result in results]
            assert (states[0].weights is None) == (states[1].weights is None)
            if states[0].weights is not None:
                torch.testing.assert_close(states[1].weights, states[0].weights, rtol=0, atol=1e-5)
            if step == 1:
                rows = torch.arange(len(lengths)).repeat_interleave(2)
                states = [state.select(rows) for state in states]
                tokens = tokens.repeat_interleave(2)
            tokens = (torch.arange(len(tokens)) * 5 + step) % len(ALPHABET)
        found = [
            search(form.model, one, form.config.search.changed(length_reward=2.0))
            for form, one in zip((torch_form, onnx_form), encoded, strict=True)
        ]
    texts = [[[one.tokens for one in hypotheses] for hypotheses in batch] for batch in found]
    assert texts[0] == texts[1]


DECODERS = [
    {"model.decoder.attention": "none", "model.decoder.layers": 2},
    {"model.decoder.attention": "dot", "model.decoder.heads": 1},
    {"model.decoder.attention": "dot", "model.decoder.heads": 3, "model.decoder.layers": 2},
    {"model.decoder.attention": "location"},
    {"model.decoder.attention": "location", "model.decoder.layers": 2},
]


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda changes: "-".join(map(str, changes.values())))
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_decoders_and_cells(both: Callable[..., Any], make_sounds: Any, decoder: Any, cell: str) -> None:
    changes = decoder | {"model.decoder.cell": cell, "model.encoder.cell": cell}
    sounds = make_sounds(4000, 2501, 1)
    lengths = torch.tensor([len(sound) for sound in sounds])
    assert_same(*both(changes), torch.nn.utils.rnn.pad_sequence(sounds, batch_first=True), lengths)


@pytest.mark.parametrize(
    "changes",
    [
        {"model.context.pooling": "last"},
        {"model.context.pooling": "last", "model.encoder.bidirectional": False},
        {"model.context.pooling": "attentive"},
        {"model.ctc_weight": 0},
        {"model.encoder.layers": [{"units": 7, "reduction": 3}, {"units": 4}]},
        {"features.normalization": "none", "features.level": True},
        {"features.window_seconds": 0.0231, "features.hop_seconds": 0.0077, "features.high_hertz": 3100},
    ],
    ids=str,
)
def test_rooms_before_the_decoder(both: Callable[..., Any], make_sounds: Any, changes: Any) -> None:
    sounds = make_sounds(2100, 4000)
    sounds[0][700:] += 0.5  # behind the end, where padding is
    inputs = torch.nn.utils.rnn.pad_sequence(sounds, batch_first=True)
    assert_same(*both(changes | {"model.decoder.attention": "dot"}), inputs, torch.tensor([700, 4000]))


@pytest.mark.parametrize("deltas", [0, 2])
@pytest.mark.parametrize("normalization", ["utterance", "corpus"])
def test_precomputed_features(
    both: Callable[..., Any], make_config: Any, deltas: int, normalization: str
) -> None:
    features = {"kind": "precomputed", "size": 5, "deltas": deltas, "normalization": normalization}
    frames = torch.randn(3, 40, 5, generator=torch.Generator().manual_seed(1))
    assert_same(*both({"features": features}), frames, torch.tensor([40, 3, 17]))


def texts_of(model: ModelFile, sounds: list[Path]) -> list[str]:
    features = model.config.features
    assert isinstance(features, LogMelConfig)
    inputs, lengths = pad([torch.from_numpy(audio.load(path, features.sample_rate)) for path in sounds])
    with torch.inference_mode():
        found = search(model.model, model.model.encode(inputs, lengths), model.config.search)
    return [model.alphabet.decode(hypotheses[0].tokens).strip() for hypotheses in found]


def test_real_speech_is_written_down_alike(tmp_path: Path) -> None:
    export_model(tmp_path / "digits.onnx.zip", load_model())
    sounds = sorted(SAMPLES.glob("*.flac"))
    ours, theirs = (texts_of(load_model(path), sounds) for path in (None, tmp_path / "digits.onnx.zip"))
    assert theirs == ours


def test_int8_is_a_third_as_large_and_hears_digits(tmp_path: Path) -> None:
    export_model(tmp_path / "full.onnx.zip", load_model())
    export_model(tmp_path / "int8.onnx.zip", load_model(), int8=True)
    assert (tmp_path / "int8.onnx.zip").stat().st_size * 3 < (tmp_path / "full.onnx.zip").stat().st_size
    paths = sorted(SAMPLES.glob("*.flac"))
    found = texts_of(load_model(tmp_path / "int8.onnx.zip"), paths)
    assert found == [path.with_suffix(".txt").read_text().strip() for path in paths]


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda changes: "-".join(map(str, changes.values())))
def test_no_int8_product_saturates_on_any_processor(
    both: Callable[..., Any], tmp_path: Path, decoder: Any
) -> None:
    """AVX2 without VNNI adds two products of unsigned and signed bytes in 16 bits; unsigned ones have 32."""
    import onnx

    both(decoder, int8=True)
    kinds = []
    with zipfile.ZipFile(tmp_path / "model.onnx.zip") as archive:
        for name in GRAPHS:
            constants = onnx.load_from_string(archive.read(name)).graph.initializer
            kinds += [constant.data_type for constant in constants]
    assert kinds.count(onnx.TensorProto.UINT8) >= 5  # encoder, context, CTC, decoder, logits
    assert onnx.TensorProto.INT8 not in kinds


def test_where_attention_looked(both: Callable[..., Any], make_sounds: Any) -> None:
    torch_form, onnx_form = both({"model.decoder.attention": "location"})
    sounds, lengths = torch.stack(make_sounds(3000, 3000)), torch.tensor([3000, 2000])
    looked = [
        form.model.attention(form.model.encode(sounds, lengths), [[4, 5, 6], [7]])
        for form in (torch_form, onnx_form)
    ]
    for ours, theirs in zip(*looked, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
    torch_form, onnx_form = both({"model.decoder.attention": "none"})
    assert onnx_form.model.attention(onnx_form.model.encode(sounds, lengths), [[4], [7]]) is None


def test_all_that_describes_the_model_travels(tiny_model: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "any name"
    export_model(path, tiny_model)
    again = load_model(path)
    for name in ("config", "alphabet", "normalizer", "provenance", "longest_seconds"):
        assert getattr(again, name) == getattr(tiny_model, name)
    assert again.model.seconds_per_frame == tiny_model.model.seconds_per_frame
    facts = inspect(path)
    assert facts["kind"] == "model file in ONNX form"
    assert facts["weights"] == "float32"
    assert facts["parameters"] == sum(p.numel() for p in tiny_model.model.parameters())
    export_model(tmp_path / "again", tiny_model)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_an_onnx_form_is_not_exported_again(tiny_model: ModelFile, tmp_path: Path) -> None:
    export_model(tmp_path / "model.onnx.zip", tiny_model)
    with pytest.raises(ModelFileError, match="in ONNX form already"):
        export_model(tmp_path / "again.onnx.zip", load_model(tmp_path / "model.onnx.zip"))
    before = (tmp_path / "model.onnx.zip").read_bytes()
    with pytest.raises(ModelFileError, match="cannot be written as a model file"):
        save_model(tmp_path / "model.onnx.zip", load_model(tmp_path / "model.onnx.zip"))
    assert (tmp_path / "model.onnx.zip").read_bytes() == before


@pytest.mark.parametrize("kept", [4, 30, 0.5, 0.999])
def test_a_file_cut_short(tiny_model: ModelFile, tmp_path: Path, kept: float) -> None:
    path = tmp_path / "model.onnx.zip"
    export_model(path, tiny_model)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(ModelFileError, match=f"^{path}: is damaged or cut short"):
        load_model(path)


def test_every_changed_byte_of_a_graph_is_found(tiny_model: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx.zip"
    export_model(path, tiny_model)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="is damaged or cut short"):
        load_model(path)


def _rewrite(path: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)


def _describe(members: dict[str, bytes], **changes: Any) -> None:
    members[DESCRIPTION] = json.dumps(json.loads(members[DESCRIPTION]) | changes).encode()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda members: members.pop(DESCRIPTION), "is not a model file of this program"),
        (lambda members: members.pop(GRAPHS[1]), "is damaged or cut short"),
        (lambda members: members.update({GRAPHS[0]: b"no graph"}), "onnxruntime cannot load its graphs"),
        (lambda members: members.update({GRAPHS[2]: b""}), "onnxruntime cannot load its graphs"),
        (
            lambda members: members.update({GRAPHS[2]: members[GRAPHS[1]]}),
            "are not the graphs that it describes",
        ),
        (lambda members: members.update({DESCRIPTION: b"{"}), "its description cannot be read"),
        (lambda members: members.update({DESCRIPTION: b"[]"}), "its description cannot be read"),
        (
            lambda members: _describe(members, format="asr_seq2seq_onnx/9"),
            "has the format asr_seq2seq_onnx/9",
        ),
        (lambda members: _describe(members, normalizer="klingon-v3"), "its description is not valid"),
        (lambda members: _describe(members, alphabet=["a"]), "are not the graphs that it describes"),
    ],
)
def test_a_changed_or_foreign_archive(
    tiny_model: ModelFile, tmp_path: Path, change: Any, sentence: str
) -> None:
    path = tmp_path / "model.onnx.zip"
    export_model(path, tiny_model)
    _rewrite(path, change)
    with pytest.raises(ModelFileError, match=f"^{path}: .*{sentence}"):
        load_model(path)


def _graph(change: Callable[[Any], object]) -> Callable[[dict[str, bytes]], None]:
    """A change of the first graph's protobuf."""

    def rewrite(members: dict[str, bytes]) -> None:
        import onnx

        model = onnx.load_from_string(members[GRAPHS[0]])
        change(model)
        members[GRAPHS[0]] = model.SerializeToString()

    return rewrite


def _external(tensor: Any, location: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    tensor.external_data.add(key="location", value=location)


def _constant(model: Any) -> None:
    node = model.graph.node.add(op_type="Identity", input=["sound"], output=["other"])
    _external(node.attribute.add(name="value", type=4).t, "weights.bin")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda model: _external(model.graph.initializer[0], "/etc/passwd"), "refers to data in other files"),
        (lambda model: _external(model.graph.initializer[0], "../weights"), "refers to data in other files"),
        (_constant, "refers to data in other files"),
        (lambda model: model.graph.node.add(op_type="If", input=["sound"]), "has the operator If"),
        (lambda model: model.graph.node.add(op_type="Add", domain="my"), r"has the operator my\.Add"),
        (lambda model: model.graph.node[0].attribute.add(name="body", type=5).g.node.add(), "inner graphs"),
        (lambda model: model.functions.add(name="f"), "has functions"),
    ],
)
def test_graphs_that_reach_beyond_their_file(
    tiny_model: ModelFile, tmp_path: Path, change: Any, sentence: str
) -> None:
    path = tmp_path / "model.onnx.zip"
    export_model(path, tiny_model)
    _rewrite(path, _graph(change))
    with pytest.raises(ModelFileError, match=f"^{path}: .*{sentence}"):
        load_model(path)


def test_an_archive_that_expands_is_refused(tiny_model: ModelFile, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx.zip"
    export_model(path, tiny_model)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (members | {GRAPHS[0]: bytes(50_000_000)}).items():
            archive.writestr(name, content)
    with pytest.raises(ModelFileError, match="is compressed or encrypted"):
        load_model(path)


def test_without_the_extra_packages(
    tiny_model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_model(tmp_path / "model.onnx.zip", tiny_model)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("onnx", "onnxruntime")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    sentence = r"^the ONNX form needs onnx and onnxruntime: install asr_seq2seq again$"
    with pytest.raises(ModelFileError, match=sentence):
        load_model(tmp_path / "model.onnx.zip")
    with pytest.raises(ModelFileError, match=sentence):
        export_model(tmp_path / "other.onnx.zip", tiny_model)
    assert not (tmp_path / "other.onnx.zip").exists()


def test_nothing_is_written_into_a_folder_that_is_not_there(tiny_model: ModelFile, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder does not exist"):
        export_model(tmp_path / "none" / "model.onnx.zip", tiny_model)
    with pytest.raises(OutputError, match="it is a folder"):
        export_model(tmp_path, tiny_model)


def test_a_search_with_other_settings(tiny_model: ModelFile, tmp_path: Path, make_sounds: Any) -> None:
    export_model(tmp_path / "model.onnx.zip", tiny_model)
    onnx_form = load_model(tmp_path / "model.onnx.zip")
    settings = tiny_model.searching(beam_size=3, coverage_weight=0.2, ctc_weight=0.0)
    sounds, lengths = torch.stack(make_sounds(3000, 3000)), torch.tensor([3000, 2500])
    found = [
        search(form.model, form.model.encode(sounds, lengths), settings) for form in (tiny_model, onnx_form)
    ]
    assert [[one.tokens for one in row] for row in found[0]] == [
        [one.tokens for one in row] for row in found[1]
    ]
    assert replace(onnx_form, model=tiny_model.model) == tiny_model
    save_model(tmp_path / "model.safetensors", tiny_model)


@pytest.mark.parametrize("attention", ["none", "dot", "location"])
def test_some_utterances_alone(both: Callable[..., Any], make_sounds: Any, attention: str) -> None:
    _, onnx_form = both({"model.decoder.attention": attention})
    sounds, lengths = torch.stack(make_sounds(3000, 3000, 3000)), torch.tensor([3000, 2500, 3000])
    encoded = onnx_form.model.encode(sounds, lengths)
    decoder = onnx_form.model.decoder
    state = decoder.start(encoded.encoded, encoded.lengths, encoded.context)
    two_each = state.select(torch.arange(3).repeat_interleave(2))
    tokens = torch.arange(FIRST_CHARACTER, FIRST_CHARACTER + 6)
    logits, _ = decoder.step(tokens, two_each)
    kept, _ = decoder.step(tokens[[2, 3, 4, 5]], two_each.keep(torch.tensor([1, 2])))
    torch.testing.assert_close(kept, logits[2:], rtol=0, atol=1e-5)
