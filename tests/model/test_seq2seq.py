from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from asr_seq2seq.model.features import pad
from asr_seq2seq.model.losses import Loss, disagreement
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, START

ATTENTIONS = ["none", "dot", "location"]
TEXTS = [[4, 5, 5, 6], [8], [], [4, 7, 3]]
LENGTHS = (4000, 2500, 900, 3111)

Make = Callable[..., Any]


def loss_of(
    model: Seq2Seq,
    sounds: list[Tensor],
    texts: list[list[int]],
    smoothing: float = 0.0,
    consistency: float = 0.0,
    sampling: float = 0.0,
) -> Loss:
    tokens = pad_sequence([torch.tensor(text, dtype=torch.long) for text in texts], batch_first=True)
    token_lengths = torch.tensor([len(text) for text in texts])
    return model.loss(*pad(sounds), tokens, token_lengths, smoothing, sampling, consistency)


def by_torch(
    model: Seq2Seq, sounds: list[Tensor], texts: list[list[int]], smoothing: float
) -> tuple[Tensor, Tensor]:
    """Both parts of the loss from single utterances without any padding."""
    cross_entropy = nn.CrossEntropyLoss(reduction="sum", label_smoothing=smoothing)
    ctc_loss = nn.CTCLoss(blank=0, reduction="sum", zero_infinity=True)
    decoder, ctc, characters = torch.zeros(()), torch.zeros(()), 0
    for sound, text in zip(sounds, texts, strict=True):
        encoded = model.encode(sound[None], torch.tensor([len(sound)]))
        inputs = torch.tensor([[START, *text]])
        logits = model.decoder(inputs, encoded.encoded, encoded.lengths, encoded.context)
        decoder = decoder + cross_entropy(logits[0], torch.tensor([*text, END]))
        characters += len(text) + 1
        if encoded.ctc is not None:
            target = torch.tensor([text], dtype=torch.long)
            ctc = ctc + ctc_loss(
                encoded.ctc.transpose(0, 1), target, encoded.lengths, torch.tensor([len(text)])
            )
    return decoder / characters, ctc / characters


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("ctc_weight", [0, 0.3, 1])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_loss_is_that_of_torch_on_single_utterances(
    attention: str, ctc_weight: float, smoothing: float, make_model: Make, make_sounds: Make
) -> None:
    model = make_model({"model.decoder.attention": attention, "model.ctc_weight": ctc_weight}, scale=2.0)
    sounds = make_sounds(*LENGTHS)
    loss = loss_of(model, sounds, TEXTS, smoothing)
    decoder, ctc = by_torch(model, sounds, TEXTS, smoothing)
    torch.testing.assert_close(loss.decoder, decoder, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss.ctc, ctc, atol=1e-5, rtol=1e-5)
    total = (1 - ctc_weight) * decoder + ctc_weight * ctc
    torch.testing.assert_close(loss.total, total, atol=1e-5, rtol=1e-5)
    assert loss.total.shape == ()


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_does_not_change_the_loss(attention: str, make_model: Make, make_sounds: Make) -> None:
    model = make_model({"model.decoder.attention": attention})
    sound, lengths = pad(make_sounds(*LENGTHS))
    tokens = pad_sequence([torch.tensor(t, dtype=torch.long) for t in TEXTS], batch_first=True)
    token_lengths = torch.tensor([len(text) for text in TEXTS])
    plain = model.loss(sound, lengths, tokens, token_lengths, 0.1)
    longer = functional.pad(sound, (0, 1500)), lengths, functional.pad(tokens, (0, 3)), token_lengths
    padded = model.loss(*longer, 0.1)
    for name in ("total", "decoder", "ctc"):
        torch.testing.assert_close(getattr(padded, name), getattr(plain, name), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_bfloat16_changes_the_loss_little(attention: str, make_model: Make, make_sounds: Make) -> None:
    model = make_model({"model.decoder.attention": attention}).train()
    exact = loss_of(model, make_sounds(*LENGTHS), TEXTS)
    with torch.autocast("cpu", torch.bfloat16):
        rough = loss_of(model, make_sounds(*LENGTHS), TEXTS)
    rough.total.backward()  # type: ignore[no-untyped-call]
    assert rough.total.item() == pytest.approx(exact.total.item(), rel=0.02)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("ctc_weight", [0, 0.3])
def test_disagreement_costs_the_divergence_of_two_hearings(
    ctc_weight: float, make_model: Make, make_sounds: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What differs between two hearings here is dropout; a model that drops nothing agrees with itself.
    sounds = make_sounds(*LENGTHS)
    model = make_model({"model.ctc_weight": ctc_weight}).train()
    once, twice = loss_of(model, sounds, TEXTS), loss_of(model, sounds, TEXTS, consistency=2.0)
    for name in ("total", "decoder", "ctc"):
        torch.testing.assert_close(getattr(twice, name), getattr(once, name), atol=1e-6, rtol=1e-5)

    changes = {"model.ctc_weight": ctc_weight, "model.encoder.dropout": 0.5}
    model = make_model(changes, scale=2.0).train()
    heard: list[tuple[Tensor, Tensor]] = []

    def listen(log_p: Tensor, mask: Tensor) -> Tensor:
        heard.append((log_p, mask))
        return disagreement(log_p, mask)

    monkeypatch.setattr("asr_seq2seq.model.losses.disagreement", listen)
    loss = loss_of(model, sounds, TEXTS, consistency=2.0)
    assert len(heard) == (2 if ctc_weight else 1)
    expected = torch.zeros(())
    for (log_p, mask), weight in zip(heard, [1 - ctc_weight, ctc_weight], strict=False):
        one, other = log_p.chunk(2)
        assert not torch.allclose(one, other)
        assert torch.equal(mask[: len(one)], mask[len(one) :])
        for left, right in ((one, other), (other, one)):
            divergence = (left.exp() * (left - right)).sum(-1)  # KL(left || right)
            expected = expected + weight * divergence[mask[: len(one)]].sum()
    characters = 2 * sum(len(text) + 1 for text in TEXTS)
    assert heard[0][1].sum() == characters
    parts = (1 - ctc_weight) * loss.decoder + ctc_weight * loss.ctc
    torch.testing.assert_close(loss.total, parts + 2.0 * expected / characters)


def test_each_hearing_learns_from_the_other() -> None:
    log_p = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0)).log_softmax(-1).requires_grad_()
    mask = torch.tensor([[True, True, False], [True, True, True]]).repeat(2, 1)
    disagreement(log_p, mask).backward()  # type: ignore[no-untyped-call]
    assert log_p.grad is not None
    # The derivative of KL(p || q) by log q is -p, and p is held.
    expected = -log_p.detach().exp().roll(2, 0) * mask[..., None]
    torch.testing.assert_close(log_p.grad, expected)


def test_gradients_of_the_loss_are_finite(make_model: Make, make_sounds: Make) -> None:
    model = make_model()
    loss_of(model, make_sounds(*LENGTHS), TEXTS).total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_text_too_long_for_its_sound_keeps_the_loss_finite(make_model: Make, make_sounds: Make) -> None:
    model = make_model()
    loss = loss_of(model, make_sounds(500), [[4] * 50])
    loss.total.backward()
    assert loss.total.isfinite() and loss.ctc.item() == 0
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_without_ctc_there_is_no_head(make_model: Make, make_sounds: Make) -> None:
    model = make_model({"model.ctc_weight": 0})
    assert model.ctc_head is None
    assert not any("ctc" in name for name in model.state_dict())
    assert model.encode(*pad(make_sounds(2000))).ctc is None
    loss = loss_of(model, make_sounds(*LENGTHS), TEXTS)
    assert loss.ctc.item() == 0
    assert torch.equal(loss.total, loss.decoder)


def test_ctc_probabilities_sum_to_one(make_model: Make, make_sounds: Make) -> None:
    ctc = make_model().encode(*pad(make_sounds(2000, 700))).ctc
    torch.testing.assert_close(ctc.exp().sum(-1), torch.ones(ctc.shape[:2]))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_without_attention_the_encoder_learns_through_the_context_only(
    attention: str, make_model: Make, make_sounds: Make
) -> None:
    model = make_model({"model.decoder.attention": attention, "model.ctc_weight": 0})
    encoded = model.encode(*pad(make_sounds(2000)))
    tokens = torch.tensor([[START, 4, 5]])
    weights = list(model.encoder.parameters())
    for context in (encoded.context, encoded.context.detach()):
        logits = model.decoder(tokens, encoded.encoded, encoded.lengths, context)
        loss = logits.log_softmax(-1)[..., END].sum()
        learns = True
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
            learns = any(gradient is not None and bool(gradient.any()) for gradient in gradients)
        assert learns == (context.requires_grad or attention != "none")


@pytest.mark.parametrize("attention", ["dot", "location"])
def test_attention_is_what_the_decoder_saw_step_by_step(
    attention: str, make_model: Callable[..., Seq2Seq], make_sounds: Callable[..., Any]
) -> None:
    model = make_model({"model.decoder.attention": attention})
    encoded = model.encode(*pad(make_sounds(2400, 900)))
    texts = [(4, 5, 6), (7,)]
    found = model.attention(encoded, texts)
    assert found is not None
    for row, text in enumerate(texts):
        alone = model.encode(*pad(make_sounds(2400, 900)[row : row + 1]))
        state = model.decoder.start(alone.encoded, alone.lengths, alone.context)
        assert found[row].shape == (len(text) + 1, int(encoded.lengths[row]))
        for step, token in enumerate((START, *text)):
            with torch.no_grad():
                _, state = model.decoder.step(torch.tensor([token]), state)
            assert state.weights is not None
            torch.testing.assert_close(found[row][step], state.weights[0], atol=1e-5, rtol=1e-4)


def test_a_fixed_vector_has_no_attention(
    make_model: Callable[..., Seq2Seq], make_sounds: Callable[..., Any]
) -> None:
    model = make_model({"model.decoder.attention": "none"})
    assert model.attention(model.encode(*pad(make_sounds(900))), [(4,)]) is None


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_the_decoder_reads_a_share_of_its_own_characters(
    attention: str, make_model: Make, make_sounds: Make
) -> None:
    model = make_model({"model.decoder.attention": attention}, scale=5.0)
    encoded = model.encode(*pad(make_sounds(4000, 4000)))
    inputs = torch.tensor([[START, *[4, 5, 6, 7] * 500]] * 2)
    torch.manual_seed(0)
    changed = model._with_own_characters(inputs, encoded, 0.25, 1)
    assert (changed[:, 0] == START).all() and (changed[:, 1:] >= FIRST_CHARACTER).all()
    # Where it is drawn for, a place still gets its true character as often as the decoder thinks it right.
    logits = model.decoder(inputs, encoded.encoded, encoded.lengths, encoded.context)[:, :-1]
    right = logits[..., FIRST_CHARACTER:].softmax(-1).gather(2, inputs[:, 1:, None] - FIRST_CHARACTER)
    expected = 0.25 * (1 - right).mean()
    assert (changed != inputs)[:, 1:].float().mean() == pytest.approx(float(expected.detach()), abs=0.02)


def test_sampling_changes_the_decoders_loss_alone(make_model: Make, make_sounds: Make) -> None:
    model = make_model({"model.decoder.attention": "location"}, scale=5.0)
    tokens, token_lengths = pad([torch.tensor(text, dtype=torch.long) for text in TEXTS])
    batch = (*pad(make_sounds(*LENGTHS)), tokens.long(), token_lengths, 0.0)
    plain, sampled = model.loss(*batch), model.loss(*batch, 1.0)
    torch.testing.assert_close(sampled.ctc, plain.ctc)
    assert sampled.decoder != plain.decoder
    assert model.loss(*batch, 0.0).decoder == plain.decoder


def test_two_hearings_read_the_same_characters(make_model: Make, make_sounds: Make) -> None:
    model = make_model({"model.decoder.attention": "dot"}).train()
    encoded = model.encode(*(torch.cat((part, part)) for part in pad(make_sounds(*LENGTHS))))
    inputs = torch.full((2 * len(LENGTHS), 20), FIRST_CHARACTER)
    one, other = model._with_own_characters(inputs, encoded, 1.0, 2).chunk(2)
    assert torch.equal(one, other)
    one, other = model._with_own_characters(inputs, encoded, 1.0, 1).chunk(2)
    assert not torch.equal(one, other)


def test_sampling_in_bfloat16_leaves_all_weights_to_learn(make_model: Make, make_sounds: Make) -> None:
    # Autocast keeps the weights that it has cast, and those cast for the drawing know no gradient.
    model = make_model({"model.decoder.attention": "dot"}).train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model, make_sounds(*LENGTHS), TEXTS, sampling=0.5)
    loss.total.backward()  # type: ignore[no-untyped-call]
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
