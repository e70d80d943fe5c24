from typing import Any

import pytest
import torch
from torch import Tensor

from asr_seq2seq.config import DecoderConfig
from asr_seq2seq.model.decoder import Decoder, DotDecoder, FixedVectorDecoder, LocationDecoder
from asr_seq2seq.text.tokenizer import START

KINDS: dict[str, type[Decoder]] = {"none": FixedVectorDecoder, "dot": DotDecoder, "location": LocationDecoder}
UNITS, ENCODED, VOCABULARY = 8, 6, 9
LENGTHS = torch.tensor([7, 1, 4])

every_kind = pytest.mark.parametrize("kind", KINDS)


def decoder_of(kind: str, **settings: Any) -> Decoder:
    torch.manual_seed(0)
    config = DecoderConfig.model_validate(
        {"attention": kind, "units": UNITS, "embedding": 5, "attention_size": 6, "heads": 2}
        | {"location_channels": 3, "location_width": 2}
        | settings
    )
    return KINDS[kind](config, ENCODED, VOCABULARY).eval()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """tokens (B, U), encoded (B, T', E) with zero padding, context (B, D)."""
    torch.manual_seed(1)
    tokens = torch.randint(4, VOCABULARY, (3, 6))
    tokens[:, 0] = START
    encoded = torch.randn(3, 7, ENCODED) * (torch.arange(7) < LENGTHS[:, None])[..., None]
    return tokens, encoded, torch.randn(3, UNITS).tanh()


@every_kind
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_forward_is_repeated_steps(kind: str, cell: str, layers: int) -> None:
    decoder = decoder_of(kind, cell=cell, layers=layers)
    tokens, encoded, context = inputs()
    whole = decoder(tokens, encoded, LENGTHS, context)
    state, steps = decoder.start(encoded, LENGTHS, context), []
    for column in tokens.unbind(1):
        logits, state = decoder.step(column, state)
        steps.append(logits)
    assert whole.shape == (3, 6, VOCABULARY)
    torch.testing.assert_close(torch.stack(steps, dim=1), whole, atol=1e-5, rtol=1e-5)


@every_kind
def test_a_logit_depends_on_earlier_tokens_only(kind: str) -> None:
    decoder = decoder_of(kind)
    tokens, encoded, context = inputs()
    changed = tokens.clone()
    changed[:, 3] = 4 + (changed[:, 3] - 3) % 5
    before, after = (decoder(t, encoded, LENGTHS, context) for t in (tokens, changed))
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert not torch.isclose(after[:, 3:], before[:, 3:]).all(-1).any()


@every_kind
def test_padding_and_batch_change_nothing(kind: str) -> None:
    decoder = decoder_of(kind)
    tokens, encoded, context = inputs()
    together = decoder(tokens, encoded, LENGTHS, context)
    for row, length in enumerate(LENGTHS.tolist()):
        one = slice(row, row + 1)
        alone = decoder(tokens[one], encoded[one, :length], LENGTHS[one], context[one])
        torch.testing.assert_close(together[one], alone, atol=1e-5, rtol=1e-5)


@every_kind
def test_selected_hypotheses_go_on_as_if_alone(kind: str) -> None:
    """Each utterance grows two hypotheses, which then change places."""
    decoder = decoder_of(kind, layers=2)
    tokens, encoded, context = inputs()
    first, pairs = tokens[:, 0], tokens[:, 1:3]  # (B,), (B, 2)
    _, state = decoder.step(first, decoder.start(encoded, LENGTHS, context))
    state = state.select(torch.arange(3).repeat_interleave(2))
    _, state = decoder.step(pairs.flatten(), state)
    state = state.select(torch.tensor([1, 0, 3, 2, 5, 4]))
    together, last = decoder.step(tokens[:, 3].repeat_interleave(2), state)
    for place, column in enumerate((1, 0)):
        sequence = torch.stack((first, pairs[:, column], tokens[:, 3]), dim=1)
        expected = decoder(sequence, encoded, LENGTHS, context)[:, -1]
        torch.testing.assert_close(together.view(3, 2, -1)[:, place], expected, atol=1e-5, rtol=1e-5)
    if kind != "none":
        assert last.weights is not None
        torch.testing.assert_close(last.weights.sum(1), torch.ones(6))


def test_a_fixed_vector_decoder_keeps_nothing_but_the_context() -> None:
    decoder = decoder_of("none")
    tokens, encoded, context = inputs()
    state = decoder.start(encoded, LENGTHS, context)
    assert state.memory is None and state.attended is None and state.weights is None
    other = torch.randn_like(encoded)
    assert torch.equal(decoder(tokens, encoded, LENGTHS, context), decoder(tokens, other, LENGTHS, context))


@every_kind
def test_only_attention_gives_gradient_directly_to_the_encoded_sequence(kind: str) -> None:
    decoder = decoder_of(kind)
    tokens, encoded, context = inputs()
    encoded.requires_grad_()
    context.requires_grad_()
    loss = decoder(tokens, encoded, LENGTHS, context).log_softmax(-1)[..., 4].sum()
    of_encoded, of_context = torch.autograd.grad(loss, (encoded, context), allow_unused=True)
    assert (of_context != 0).any(1).all()
    if kind == "none":
        assert of_encoded is None
    else:
        real = torch.arange(7) < LENGTHS[:, None]
        assert (of_encoded[0] != 0).any(1).all()
        assert not of_encoded[~real].any()
