import numpy as np
import pytest
import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from asr_seq2seq.config import ContextConfig
from asr_seq2seq.model.context import Context

SIZE = 6


def context_of(pooling: str, bidirectional: bool) -> Context:
    torch.manual_seed(0)
    config = ContextConfig.model_validate({"pooling": pooling, "size": 4})
    return Context(config, SIZE, bidirectional).eval()


def by_numpy(context: Context, pooling: str, bidirectional: bool, h: np.ndarray) -> np.ndarray:
    weights = {name: p.detach().numpy() for name, p in context.named_parameters()}
    if pooling == "mean":
        q = h.mean(0)
    elif pooling == "last":
        q = np.concatenate((h[-1, : SIZE // 2], h[0, SIZE // 2 :])) if bidirectional else h[-1]
    else:
        hidden = np.tanh(h @ weights["hidden.weight"].T + weights["hidden.bias"])
        scores = np.exp(hidden @ weights["score.weight"][0])
        q = (scores / scores.sum()) @ h
    return np.tanh(weights["projection.weight"] @ q + weights["projection.bias"])


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("pooling", ["last", "mean", "attentive"])
def test_a_padded_batch_gives_what_numpy_gives_for_each_utterance(pooling: str, bidirectional: bool) -> None:
    context = context_of(pooling, bidirectional)
    generator = torch.Generator().manual_seed(0)
    utterances = [torch.randn(length, SIZE, generator=generator) for length in (1, 5, 9)]
    lengths = torch.tensor([1, 5, 9])
    for extra in (0, 4):
        encoded = pad(pad_sequence(utterances, batch_first=True), (0, 0, 0, extra))
        result = context(encoded, lengths).detach().numpy()
        for row, h in enumerate(utterances):
            expected = by_numpy(context, pooling, bidirectional, h.numpy())
            np.testing.assert_allclose(result[row], expected, atol=1e-5)
