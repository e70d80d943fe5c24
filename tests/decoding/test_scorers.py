from itertools import groupby, product

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn.functional import ctc_loss

from asr_seq2seq.decoding.scorers import IMPOSSIBLE, CtcPrefixScorer, CtcState, log_cumulative_sum
from asr_seq2seq.text.tokenizer import END, PADDING

VOCABULARY = 7
Text = tuple[int, ...]
Array = npt.NDArray[np.floating]
PREFIXES: list[Text] = [(), (4,), (4, 4), (4, 5, 4), (5, 5, 6), (3, 1), (6, 5, 4, 5)]


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(-1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))).astype(np.float32)


def log_probabilities(time: int, seed: int = 0, sharpness: float = 2.0) -> Array:
    return log_softmax(sharpness * np.random.default_rng(seed).standard_normal((1, time, VOCABULARY)))


def texts_of(log_p: Array) -> dict[Text, float]:
    """The probability of every text, summed over all of its alignments."""
    p = np.exp(log_p[0].astype(np.float64))
    texts: dict[Text, float] = {}
    for path in product(range(VOCABULARY), repeat=len(p)):
        text = tuple(label for label, _ in groupby(path) if label != PADDING)
        texts[text] = texts.get(text, 0.0) + float(np.prod(p[np.arange(len(p)), path]))
    return texts


def state_of(scorer: CtcPrefixScorer, prefix: Text) -> CtcState:
    state = scorer.start()
    for label in prefix:
        rows = np.zeros((len(scorer.lengths), 1), int)
        state = scorer.advance(state, rows, np.full_like(rows, label))
    return state


def log(probability: float) -> float:
    return float(np.log(probability)) if probability > 0 else IMPOSSIBLE


@pytest.mark.parametrize("time", [1, 2, 4, 5])
def test_prefix_scores_are_sums_over_all_alignments(time: int) -> None:
    log_p = log_probabilities(time)
    texts = texts_of(log_p)
    scorer = CtcPrefixScorer(log_p, np.array([time]))
    for prefix in PREFIXES:
        scores = scorer.scores(state_of(scorer, prefix))[0, 0]
        assert scores[END] == pytest.approx(log(texts.get(prefix, 0.0)), rel=1e-6)
        for label in set(range(VOCABULARY)) - {PADDING, END}:
            longer = (*prefix, label)
            begins = sum(p for text, p in texts.items() if text[: len(longer)] == longer)
            assert scores[label] == pytest.approx(log(begins), rel=1e-6)


@pytest.mark.parametrize("text", PREFIXES)
def test_the_score_of_a_whole_text_is_the_ctc_loss(text: Text) -> None:
    log_p = log_probabilities(30)
    scorer = CtcPrefixScorer(log_p, np.array([30]))
    expected = -ctc_loss(
        torch.from_numpy(log_p).double().transpose(0, 1),
        torch.tensor([text], dtype=torch.long),
        torch.tensor([30]),
        torch.tensor([len(text)]),
        reduction="sum",
    )
    assert scorer.scores(state_of(scorer, text))[0, 0, END] == pytest.approx(float(expected))


def test_hypotheses_advance_from_the_parents_they_name() -> None:
    log_p = np.concatenate((log_probabilities(6), log_probabilities(6, seed=1)))
    scorer = CtcPrefixScorer(log_p, np.array([6, 6]))
    state = scorer.advance(scorer.start(), np.zeros((2, 3), int), np.array([[4, 5, 6]] * 2))
    parents, tokens = np.array([[1, 1], [2, 0]]), np.array([[5, 4], [6, 5]])
    state = scorer.advance(state, parents, tokens)
    scores = scorer.scores(state)
    for row, texts in enumerate([[(5, 5), (5, 4)], [(6, 6), (4, 5)]]):
        alone = CtcPrefixScorer(log_p[row, None], np.array([6]))
        for place, text in enumerate(texts):
            expected = alone.scores(state_of(alone, text))[0, 0, 1:]  # nothing asks for the padding's
            np.testing.assert_allclose(scores[row, place, 1:], expected, rtol=1e-12)


def test_scoring_leaves_the_state_as_it_was() -> None:
    for batch in (1, 2):
        log_p = np.repeat(log_probabilities(6), batch, axis=0)
        scorer = CtcPrefixScorer(log_p, np.full(batch, 4))
        state = scorer.start()
        before = state.forward.copy()
        first = scorer.scores(state)
        assert np.array_equal(state.forward, before)
        assert np.array_equal(scorer.scores(state), first)


def test_padding_and_batch_change_nothing() -> None:
    alone = [log_probabilities(time, seed=time) for time in (1, 4, 9)]
    rubbish = log_softmax(np.random.default_rng(0).standard_normal((3, 12, VOCABULARY)))
    for row, log_p in enumerate(alone):
        rubbish[row, : log_p.shape[1]] = log_p[0]
    together = CtcPrefixScorer(rubbish, np.array([1, 4, 9]))
    for prefix in PREFIXES:
        scores = together.scores(state_of(together, prefix))
        for row, log_p in enumerate(alone):
            single = CtcPrefixScorer(log_p, np.array([log_p.shape[1]]))
            expected = single.scores(state_of(single, prefix))[0, :, 1:]
            np.testing.assert_allclose(scores[row, :, 1:], expected, rtol=1e-9)


def plain_prefix_scores(log_p: Array, text: Text) -> Array:
    """Watanabe et al. 2017, algorithm 2, frame by frame; column END is the text as it is."""
    time = len(log_p)
    label, blank = np.full(time, -np.inf), np.cumsum(log_p[:, PADDING])
    last = None
    for character in text:
        new_label, new_blank = np.full(time, -np.inf), np.full(time, -np.inf)
        for t in range(time):
            if t:
                arrival = blank[t - 1] if character == last else np.logaddexp(blank[t - 1], label[t - 1])
                stay, rest = new_label[t - 1], np.logaddexp(new_blank[t - 1], new_label[t - 1])
            else:
                arrival, stay, rest = (0.0 if last is None else -np.inf), -np.inf, -np.inf
            new_label[t] = np.logaddexp(stay, arrival) + log_p[t, character]
            new_blank[t] = rest + log_p[t, PADDING]
        label, blank, last = new_label, new_blank, character
    scores = np.full(log_p.shape[1], -np.inf)
    for t in range(time):
        for character in range(1, log_p.shape[1]):
            if t:
                arrival = blank[t - 1] if character == last else np.logaddexp(blank[t - 1], label[t - 1])
            else:
                arrival = 0.0 if last is None else -np.inf
            scores[character] = np.logaddexp(scores[character], arrival + log_p[t, character])
    scores[END] = np.logaddexp(label[-1], blank[-1])
    return scores


@pytest.mark.parametrize("sharpness", [0.5, 10.0, 100.0])
def test_a_long_sound_keeps_its_precision(sharpness: float) -> None:
    time = 2000
    log_p = log_probabilities(time, sharpness=sharpness)
    text = tuple((4 + np.random.default_rng(0).integers(3, size=6)).tolist())
    scorer = CtcPrefixScorer(log_p, np.array([time]))
    scores = scorer.scores(state_of(scorer, text))[0, 0]
    with np.errstate(invalid="ignore"):
        expected = plain_prefix_scores(log_p[0].astype(np.float64), text)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[1:], expected[1:], rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("label", [PADDING, 4])
def test_a_head_that_is_certain_keeps_its_precision(label: int) -> None:
    """One label has nearly all the probability at every frame of a long sound."""
    logits = np.zeros((1, 2000, VOCABULARY))
    logits[..., label] = 60.0
    log_p = log_softmax(logits)
    scorer = CtcPrefixScorer(log_p, np.array([2000]))
    for text in [(), (4,), (4, 4), (5, 4)]:
        scores = scorer.scores(state_of(scorer, text))[0, 0, 1:]
        with np.errstate(invalid="ignore"):
            expected = plain_prefix_scores(log_p[0].astype(np.float64), text)[1:]
        np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-6)


def test_probabilities_too_small_for_a_float_stay_finite() -> None:
    """What underflows may be taken as impossible, but never as likelier than it is."""
    log_p = log_probabilities(50, sharpness=1000.0)
    scorer = CtcPrefixScorer(log_p, np.array([50]))
    for text in PREFIXES:
        scores = scorer.scores(state_of(scorer, text))[0, 0, 1:]
        with np.errstate(invalid="ignore"):
            expected = plain_prefix_scores(log_p[0].astype(np.float64), text)[1:]
        assert np.isfinite(scores).all()
        assert (scores <= expected + 1e-6).all()


@pytest.mark.parametrize("time", [1, 31, 32, 33, 100])
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("few", [0, 1500])
def test_running_sums_in_blocks_are_those_of_logarithms(
    time: int, spread: float, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether numbers rise, fall or jump within a block, and where the first are impossible."""
    monkeypatch.setattr("asr_seq2seq.decoding.scorers._FEW", few)
    random = np.random.default_rng(0)
    for slope in (-50.0, -1.0, 0.0, 1.0, 50.0):
        logs = spread * random.standard_normal((2, 3, time)) + slope * np.arange(time)
        logs[1, 1, : time // 2] = IMPOSSIBLE
        found = np.maximum(log_cumulative_sum(logs), IMPOSSIBLE)
        expected = np.logaddexp.accumulate(logs, axis=-1)
        possible = expected > IMPOSSIBLE / 2
        np.testing.assert_allclose(found[possible], expected[possible], rtol=1e-12, atol=1e-9)
        assert (found[~possible] <= IMPOSSIBLE / 2).all()
