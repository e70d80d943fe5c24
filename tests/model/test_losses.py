from collections.abc import Callable
from typing import Any

import pytest
import torch

from asr_seq2seq.errors import ConfigError
from asr_seq2seq.model.features import pad
from asr_seq2seq.model.losses import guidance

Make = Callable[..., Any]


def heads(*times: int, vocabulary: int = 4) -> list[torch.Tensor]:
    """Log-probabilities (T, V) of that many frames each, nearly certain of what comes when."""
    random = torch.Generator().manual_seed(1)
    return [(3 * torch.randn(time, vocabulary, generator=random)).log_softmax(1) for time in times]


def test_guidance_is_the_attention_that_misses_the_alignment() -> None:
    head = torch.full((9, 4), 0.1 / 3)
    head[:, 0] = 0.9
    head[2] = torch.tensor([0.1, 0.7, 0.1, 0.1])
    head[6:8] = torch.tensor([0.1, 0.1, 0.1, 0.7])
    weights = torch.rand(3, 9, generator=torch.Generator().manual_seed(0)).softmax(1)
    # Frames 0 to 4 are near the first character, 4 to 8 near the second; the end is free.
    away = -(weights[0, :5].sum().log() + weights[1, 4:].sum().log())
    found = guidance(
        weights[None], head.log()[None], torch.tensor([9]), torch.tensor([[1, 3]]), torch.tensor([2])
    )
    torch.testing.assert_close(found, 0.7 * away)


def test_guidance_of_a_batch_is_the_sum_over_its_utterances() -> None:
    texts = [torch.tensor(text) for text in ([1, 2, 1], [3], [1, 1, 1, 1])]  # the last is too long for CTC
    head, lengths = pad(heads(12, 7, 5))
    tokens, token_lengths = pad(texts)
    weights = torch.rand(3, 5, 12, generator=torch.Generator().manual_seed(0)).softmax(2)
    weights = weights * (torch.arange(12) < lengths[:, None])[:, None]  # none on padding
    together = guidance(weights, head, lengths, tokens, token_lengths)
    alone = [
        guidance(
            weights[row : row + 1, : count + 1, :time],
            head[row : row + 1, :time],
            lengths[row : row + 1],
            tokens[row : row + 1, :count],
            token_lengths[row : row + 1],
        )
        for row, (time, count) in enumerate(zip(lengths.tolist(), token_lengths.tolist(), strict=True))
    ]
    assert alone[2] == 0
    torch.testing.assert_close(together, torch.stack(alone).sum())


@pytest.mark.parametrize("attention", ["dot", "location"])
def test_guidance_teaches_attention_and_not_the_head(
    attention: str, make_model: Make, make_sounds: Make
) -> None:
    changes = {"model.decoder.attention": attention, "model.guidance_weight": 0.5}
    model = make_model(changes, scale=2.0)
    batch = (*pad(make_sounds(4000, 2500)), torch.tensor([[4, 5], [6, 0]]), torch.tensor([2, 1]), 0.0)
    without = model.loss(*batch).total
    model.train()
    guided = model.loss(*batch)
    assert guided.total > without  # validation goes without guidance
    torch.testing.assert_close(guided.total - guided.total.detach() + without, without)
    (0.3 * guided.ctc + 0.7 * guided.decoder - guided.total).backward()
    assert model.decoder.attention.query.weight.grad.abs().sum() > 0
    assert model.ctc_head.weight.grad.abs().max() < 1e-6


def test_guidance_needs_attention_and_a_head(make_config: Make) -> None:
    for changes in ({"model.decoder.attention": "none"}, {"model.ctc_weight": 0}):
        with pytest.raises(ConfigError, match="guidance_weight needs attention and a CTC head"):
            make_config({"model.decoder.attention": "dot", "model.guidance_weight": 0.5} | changes)
