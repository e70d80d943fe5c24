import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention

from asr_seq2seq.config import DecoderConfig
from asr_seq2seq.model.attention import DotAttention, LocationAttention

UNITS, ENCODED = 5, 7
LENGTHS = torch.tensor([6, 1, 4])


def config_of(heads: int = 1) -> DecoderConfig:
    return DecoderConfig(units=UNITS, heads=heads, attention_size=6, location_channels=2, location_width=2)


def inputs(count: int = 3) -> tuple[Tensor, Tensor]:
    """Queries (B, K, D) and an encoded sequence (B, T', E), its padding zero."""
    torch.manual_seed(1)
    queries, encoded = torch.randn(3, count, UNITS), torch.randn(3, 6, ENCODED)
    return queries, encoded * (torch.arange(6) < LENGTHS[:, None])[..., None]


def earlier_weights(attention: LocationAttention, queries: Tensor, encoded: Tensor) -> Tensor:
    """Weights (B, K, T') as they stand after a first step."""
    memory = attention.remember(encoded, LENGTHS)
    even = attention.start(memory)[:, None].expand(-1, queries.shape[1], -1)
    return attention(queries.flip(1), memory, even)[1]


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_dot_attention_is_that_of_torch(heads: int) -> None:
    attention = DotAttention(config_of(heads), ENCODED)
    queries, encoded = inputs()
    attended, weights = attention(queries, attention.remember(encoded, LENGTHS))
    assert attended.shape == (3, 3, heads * ENCODED) and weights.shape == (3, heads, 3, 6)
    for row, length in enumerate(LENGTHS.tolist()):
        real = encoded[row, :length]
        q = attention.query(queries[row]).view(-1, heads, 6 // heads).transpose(0, 1)  # (H, K, A/H)
        k = attention.key(real).view(-1, heads, 6 // heads).transpose(0, 1)  # (H, T', A/H)
        expected = scaled_dot_product_attention(q, k, real.expand(heads, -1, -1))  # (H, K, E)
        torch.testing.assert_close(attended[row], expected.transpose(0, 1).flatten(1), atol=1e-5, rtol=1e-5)


def test_location_attention_is_that_of_a_plain_loop() -> None:
    attention = LocationAttention(config_of(), ENCODED)
    queries, encoded = inputs()
    previous = earlier_weights(attention, queries, encoded)
    attended, weights = attention(queries, attention.remember(encoded, LENGTHS), previous)
    kernel = attention.convolution.weight[:, 0]  # (channels, 2 * width + 1)
    for b, length in enumerate(LENGTHS.tolist()):
        for k in range(queries.shape[1]):
            energies = []
            for t in range(length):
                seen = torch.zeros(len(kernel))
                for shift in range(-2, 3):
                    if 0 <= t + shift < length:
                        seen = seen + kernel[:, shift + 2] * previous[b, k, t + shift]
                where = linear(seen, attention.location.weight)
                hidden = torch.tanh(
                    linear(queries[b, k], attention.query.weight, attention.query.bias)
                    + linear(encoded[b, t], attention.key.weight)
                    + where
                )
                energies.append((hidden @ attention.score.weight[0]).item())
            exponentials = [math.exp(energy) for energy in energies]
            expected = torch.tensor([e / sum(exponentials) for e in exponentials])
            torch.testing.assert_close(weights[b, k, :length], expected, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(attended[b, k], expected @ encoded[b, :length], atol=1e-5, rtol=1e-5)


def test_location_attention_starts_evenly_over_the_real_frames() -> None:
    attention = LocationAttention(config_of(), ENCODED)
    even = attention.start(attention.remember(inputs()[1], LENGTHS))
    assert even.tolist() == [[pytest.approx(1 / n)] * n + [0.0] * (6 - n) for n in LENGTHS.tolist()]


@pytest.mark.parametrize("kind", [DotAttention, LocationAttention])
@pytest.mark.parametrize("factor", [1.0, 1e4])
def test_weights_sum_to_one_and_are_zero_on_padding(
    kind: type[DotAttention | LocationAttention], factor: float
) -> None:
    torch.manual_seed(0)
    attention = kind(config_of(2), ENCODED)
    queries, encoded = inputs()
    arguments = [queries * factor, attention.remember(encoded, LENGTHS)]
    if isinstance(attention, LocationAttention):
        arguments.append(earlier_weights(attention, queries, encoded))
    weights = attention(*arguments)[1].view(3, -1, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
    for row, length in enumerate(LENGTHS.tolist()):
        assert not weights[row, :, length:].any()


@pytest.mark.parametrize("kind", [DotAttention, LocationAttention])
def test_many_hypotheses_at_once_are_as_one_after_another(
    kind: type[DotAttention | LocationAttention],
) -> None:
    torch.manual_seed(0)
    attention = kind(config_of(2), ENCODED)
    queries, encoded = inputs(count=4)
    memory = attention.remember(encoded, LENGTHS)
    if isinstance(attention, LocationAttention):
        previous = earlier_weights(attention, queries, encoded)
        together = attention(queries, memory, previous)
        separate = [attention(queries[:, k, None], memory, previous[:, k, None]) for k in range(4)]
    else:
        together = attention(queries, memory)
        separate = [attention(queries[:, k, None], memory) for k in range(4)]
    torch.testing.assert_close(together[0], torch.cat([a for a, _ in separate], dim=1), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(together[1], torch.cat([w for _, w in separate], dim=-2), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("width", [1, 3, 70, 200])
@pytest.mark.parametrize("time", [1, 6, 64, 65, 150])
def test_blocks_of_the_location_filters_are_the_convolution(width: int, time: int) -> None:
    """More and fewer frames than a block holds, wider and narrower filters."""
    torch.manual_seed(0)
    config = DecoderConfig(units=UNITS, attention_size=6, location_channels=3, location_width=width)
    attention = LocationAttention(config, ENCODED)
    memory = attention.remember(torch.randn(2, time, ENCODED), torch.tensor([time, 1]))
    previous = torch.rand(2, 4, time)
    expected = attention.convolution(previous.view(8, 1, time)).view(2, 4, 3, time).transpose(2, 3)
    torch.testing.assert_close(attention._convolve(previous, memory), expected, atol=1e-5, rtol=1e-5)


def test_energies_taken_piece_by_piece_are_those_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    attention = LocationAttention(config_of(), ENCODED)
    queries, encoded = inputs(count=4)
    memory, previous = attention.remember(encoded, LENGTHS), earlier_weights(attention, queries, encoded)
    at_once = attention.look(queries, memory, previous)
    for cached in (1, 2 * 4 * 6 * 6):  # one utterance at a time, two and then one
        monkeypatch.setattr("asr_seq2seq.model.attention._CACHED", cached)
        torch.testing.assert_close(attention.look(queries, memory, previous), at_once)
        with torch.no_grad():
            torch.testing.assert_close(attention.look(queries, memory, previous), at_once)
