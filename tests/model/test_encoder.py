import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from asr_seq2seq.config import EncoderConfig
from asr_seq2seq.model.encoder import Encoder, PyramidLayer, reverse_by_length

FEATURES = 4
CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


def utterances(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, FEATURES, generator=generator) for length in lengths]


def encoder_of(reductions: list[int], cell: str = "lstm", bidirectional: bool = True) -> Encoder:
    torch.manual_seed(0)
    layers = [{"units": 5 + number, "reduction": r} for number, r in enumerate(reductions)]
    config = EncoderConfig.model_validate({"cell": cell, "bidirectional": bidirectional, "layers": layers})
    return Encoder(config, FEATURES).eval()


def test_each_sequence_is_reversed_by_its_own_length() -> None:
    sequence = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [7, 0, 0, 0]]).T[..., None]  # (T, B, 1)
    reversed_ = reverse_by_length(sequence, torch.tensor([4, 2, 1]))
    assert reversed_[..., 0].T.tolist() == [[4, 3, 2, 1], [6, 5, 0, 0], [7, 0, 0, 0]]
    assert torch.equal(reverse_by_length(reversed_, torch.tensor([4, 2, 1])), sequence)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_a_layer_is_that_of_torch_on_packed_sequences(cell: str, bidirectional: bool) -> None:
    torch.manual_seed(0)
    config = EncoderConfig.model_validate({"cell": cell, "bidirectional": bidirectional})
    layer = PyramidLayer(config, FEATURES, units=5, reduction=1)
    reference = CELLS[cell](FEATURES, 5, bidirectional=bidirectional)
    weights = dict(layer.forward_layer.named_parameters())
    if layer.backward_layer is not None:
        weights |= {f"{name}_reverse": p for name, p in layer.backward_layer.named_parameters()}
    reference.load_state_dict(weights)
    sequence = pad_sequence(utterances(7, 3, 1))
    lengths = torch.tensor([7, 3, 1])
    expected, _ = pad_packed_sequence(reference(pack_padded_sequence(sequence, lengths))[0])
    outputs, output_lengths = layer(sequence, lengths)
    torch.testing.assert_close(outputs, expected, atol=1e-6, rtol=1e-5)
    assert output_lengths.tolist() == [7, 3, 1]


def test_a_reduction_concatenates_frames_in_order() -> None:
    config = EncoderConfig(bidirectional=False)
    layer = PyramidLayer(config, FEATURES, units=5, reduction=3)
    [x] = utterances(5)
    grouped = torch.cat((x, torch.zeros(1, FEATURES))).reshape(2, 3 * FEATURES)
    outputs, lengths = layer(x[:, None], torch.tensor([5]))
    torch.testing.assert_close(outputs[:, 0], layer.forward_layer(grouped)[0])
    assert lengths.tolist() == [2]


@pytest.mark.parametrize("reductions", [[1], [2], [3], [2, 2], [3, 2, 1]], ids=str)
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_padding_and_batch_change_nothing(cell: str, bidirectional: bool, reductions: list[int]) -> None:
    encoder = encoder_of(reductions, cell, bidirectional)
    alone = utterances(1, 2, 7, 13, 24)
    lengths = torch.tensor([len(x) for x in alone])
    padded = nn.functional.pad(pad_sequence(alone, batch_first=True), (0, 0, 0, 5))
    together, together_lengths = encoder(padded, lengths)
    for row, x in enumerate(alone):
        expected, expected_length = encoder(x[None], lengths[row : row + 1])
        count = len(x)
        for reduction in reductions:
            count = math.ceil(count / reduction)
        assert int(expected_length) == int(together_lengths[row]) == count == expected.shape[1]
        torch.testing.assert_close(together[row, :count], expected[0], atol=1e-5, rtol=1e-5)
        assert not together[row, count:].any()


def test_gradients_do_not_depend_on_padding() -> None:
    encoder = encoder_of([2, 2])
    [x] = utterances(9)
    gradients = []
    for padding in (0, 6):
        encoder.zero_grad()
        padded = nn.functional.pad(x, (0, 0, 0, padding))[None]
        encoder(padded, torch.tensor([9]))[0].square().sum().backward()
        gradients.append([p.grad for p in encoder.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-5)


def test_the_size_is_that_of_the_last_layer() -> None:
    assert encoder_of([2, 1]).size == 12
    assert encoder_of([2, 1], bidirectional=False).size == 6


def test_the_forget_gates_start_open() -> None:
    layer = encoder_of([1]).layers[0].forward_layer
    assert layer.bias_ih_l0[5:10].tolist() == [1.0] * 5
    assert (layer.bias_ih_l0[:5] != 1).all()
