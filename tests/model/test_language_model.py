from collections.abc import Callable
from typing import Any

import torch

from asr_seq2seq.text.tokenizer import START

Make = Callable[..., Any]


def test_forward_is_repeated_step(make_language_model: Make) -> None:
    model = make_language_model("abcde", scale=3.0).model
    tokens = torch.randint(START, 9, (3, 12), generator=torch.Generator().manual_seed(0))
    state = model.start(3)
    with torch.no_grad():
        whole = model(tokens).log_softmax(-1)
        for t in range(12):
            log_p, state = model.step(tokens[:, t], state)
            torch.testing.assert_close(log_p, whole[:, t])


def test_selected_rows_go_on_as_they_would_have(make_language_model: Make) -> None:
    model = make_language_model("abcde", scale=3.0).model
    with torch.no_grad():
        _, state = model.step(torch.tensor([4, 5, 6]), model.start(3))
        log_p, _ = model.step(torch.tensor([7, 7, 7]), state)
        chosen, _ = model.step(torch.tensor([7, 7, 7, 7]), state.select(torch.tensor([2, 0, 0, 1])))
    torch.testing.assert_close(chosen, log_p[[2, 0, 0, 1]])


def test_the_loss_is_per_character_and_padding_has_no_part_in_it(make_language_model: Make) -> None:
    model = make_language_model("abcde", scale=3.0).model
    tokens, lengths = torch.tensor([[4, 5, 6, 0, 0], [7, 0, 0, 0, 0]]), torch.tensor([3, 1])
    with torch.no_grad():
        log_p = model(torch.tensor([[START, 4, 5, 6]])).log_softmax(-1)[0]
        one = sum(float(log_p[t, token]) for t, token in enumerate((4, 5, 6, 2)))
        log_p = model(torch.tensor([[START, 7]])).log_softmax(-1)[0]
        other = float(log_p[0, 7] + log_p[1, 2])
        loss = float(model.loss(tokens, lengths))
    assert abs(loss + (one + other) / 6) < 1e-5
