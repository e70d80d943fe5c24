"""Ten real utterances learned by heart by each decoder: all of the road from sound to text, both ways."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asr_seq2seq.corpora import load_corpus
from asr_seq2seq.evaluation.evaluate import evaluate
from asr_seq2seq.inference.loading import load
from asr_seq2seq.model.files import ModelFile, save_model
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.batching import Batches
from asr_seq2seq.training_config import Config


@pytest.fixture(scope="module")
def ten(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten utterances of children reading, 1.5 to 2.5 s each."""
    source = shared_data / "speechocean762"
    lines = []
    for line in (source / "train.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if 1.5 < entry["duration"] < 2.5 and len(entry["text"]) < 25:
            lines.append(json.dumps({**entry, "audio_filepath": str(source / entry["audio_filepath"])}))
        if len(lines) == 10:
            break
    path = tmp_path_factory.mktemp("ten") / "ten.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("attention", ["none", "dot", "location"])
def test_ten_real_utterances_are_overfitted(
    attention: str, ten: Path, make_config: Callable[..., Config], tmp_path: Path
) -> None:
    config = make_config(
        {
            "features.mels": 40,
            "data.buckets": 1,
            "model.encoder.layers": [{"units": 64, "reduction": 3}, {"units": 64}],
            "model.context": {"pooling": "attentive", "size": 96},
            "model.decoder": {"attention": attention, "units": 96, "embedding": 32, "attention_size": 48},
        }
    )
    cuts, normalizer = load_corpus(ten), Normalizer.named("english-v1")
    alphabet = Alphabet.from_texts(normalizer(cut.text) for cut in cuts)
    (batch,) = Batches(cuts, config.data, features=config.features, alphabet=alphabet, normalizer=normalizer)
    torch.manual_seed(0)
    model = Seq2Seq(config, len(alphabet))
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(150):
        loss = model.loss(batch.inputs, batch.lengths, batch.tokens, batch.token_lengths, 0.0).total
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.01:
            break
    save_model(tmp_path / "model.safetensors", ModelFile(model, config.recognizer(), alphabet, normalizer))
    recognizer = load(tmp_path / "model.safetensors")
    for beam_size in (1, 4):
        assert evaluate(recognizer, cuts, recognizer.options({"beam_size": beam_size})).score.wer == 0.0
