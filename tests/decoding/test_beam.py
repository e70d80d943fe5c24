import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import ctc_loss

from asr_seq2seq.decoding import beam
from asr_seq2seq.decoding.alignment import attention_of
from asr_seq2seq.decoding.beam import length_limits
from asr_seq2seq.decoding.hypothesis import Hypothesis
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.decoding.scorers import CtcPrefixScorer, LanguageModelScorer
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.model.files import LanguageModelFile
from asr_seq2seq.model.seq2seq import Encoded, Seq2Seq
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, START, Alphabet

Make = Callable[..., Any]
Text = tuple[int, ...]
ATTENTIONS = ["none", "dot", "location"]
LENGTHS = (2400, 900, 1, 3300)
SPELLED = Alphabet("abcde")  # what the recognizers here spell
LM_CHARACTERS = "acdxz"  # no b, no e, and two that no recognizer writes

every_attention = pytest.mark.parametrize("attention", ATTENTIONS)
with_and_without_ctc = pytest.mark.parametrize("weight", [0.0, 0.4])


def settings_of(attention: str) -> dict[str, Any]:
    return {"model.decoder.attention": attention}


def decoder_score(model: Seq2Seq, encoded: Encoded, text: Text) -> float:
    """log p of a text by teacher forcing; one utterance."""
    with torch.no_grad():
        inputs = torch.tensor([[START, *text]])
        logits = model.decoder(inputs, encoded.encoded, encoded.lengths, encoded.context)
        log_p = logits[0].double().log_softmax(-1)
    return sum(float(log_p[t, token]) for t, token in enumerate((*text, END)))


def ctc_score(encoded: Encoded, text: Text) -> float:
    assert encoded.ctc is not None
    target, length = torch.tensor([text], dtype=torch.long), torch.tensor([len(text)])
    log_p = encoded.ctc.double().transpose(0, 1)
    return -float(ctc_loss(log_p, target, encoded.lengths, length, reduction="sum"))


def lm_score(lm: LanguageModelFile, text: Text) -> float:
    """log p of a text by teacher forcing, through the language model's own alphabet."""
    ids = lm.alphabet.encode(SPELLED.decode(text))
    with torch.no_grad():
        log_p = lm.model(torch.tensor([[START, *ids]]))[0].double().log_softmax(-1)
    return sum(float(log_p[t, token]) for t, token in enumerate((*ids, END)))


def limits_of(case: Any, tokens_per_frame: float | None = None) -> list[int]:
    limits: list[int] = length_limits(case.reference.lengths.numpy(), tokens_per_frame).tolist()
    return limits


def assert_valid(hypotheses: list[Hypothesis], limit: int, vocabulary: int, beam_size: int) -> None:
    assert 1 <= len(hypotheses) <= beam_size
    scores = [hypothesis.score for hypothesis in hypotheses]
    assert scores == sorted(scores, reverse=True)
    assert all(math.isfinite(score) for score in scores)
    assert len({hypothesis.tokens for hypothesis in hypotheses}) == len(hypotheses)
    for hypothesis in hypotheses:
        assert len(hypothesis.tokens) <= limit
        assert all(FIRST_CHARACTER <= token < vocabulary for token in hypothesis.tokens)


def assert_alike(together: list[Hypothesis], alone: list[Hypothesis]) -> None:
    assert [h.tokens for h in together] == [h.tokens for h in alone]
    assert [h.score for h in together] == pytest.approx([h.score for h in alone], abs=1e-4)
    assert [h.chosen for h in together] == [pytest.approx(h.chosen, abs=1e-4) for h in alone]


@every_attention
def test_greedy_search_takes_the_best_character_each_time(
    attention: str, make_case: Make, make_sounds: Make
) -> None:
    lengths_found = set()
    for seed in range(6):
        case = make_case(settings_of(attention), make_sounds(2400, seed=seed), seed=seed, scale=4.0)
        decoder, encoded = case.network.decoder, case.reference
        (limit,) = limits_of(case)
        text: list[int] = []
        state, last = decoder.start(encoded.encoded, encoded.lengths, encoded.context), START
        while len(text) < limit:
            with torch.no_grad():
                logits, state = decoder.step(torch.tensor([last]), state)
            allowed = {END: float(logits[0, END])} | {c: float(logits[0, c]) for c in range(4, 9)}
            last = max(allowed, key=lambda token: allowed[token])
            if last == END:
                break
            text.append(last)
        [[hypothesis]] = case.search(DecodingOptions(beam_size=1, ctc_weight=0))
        assert hypothesis.tokens == tuple(text)
        assert hypothesis.ctc is None
        lengths_found.add(len(text))
    assert len(lengths_found) > 1  # otherwise the models are too dull to tell anything


@every_attention
@with_and_without_ctc
@pytest.mark.parametrize("reward", [0.0, 1.5, -0.5])
def test_a_huge_beam_finds_the_best_of_all_texts(
    attention: str,
    weight: float,
    reward: float,
    make_case: Make,
    make_sounds: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beam, "_SHORTEST_LIMIT", 3)
    every_text = [text for length in range(4) for text in product(range(4, 7), repeat=length)]
    options = DecodingOptions(beam_size=200, ctc_weight=weight, length_reward=reward, tokens_per_frame=0.01)
    for seed in range(2):
        sounds = make_sounds(1500, seed=seed)
        case = make_case(settings_of(attention), sounds, vocabulary=7, seed=seed, scale=3.0)
        scores = {}
        for text in every_text:
            score = (1 - weight) * decoder_score(case.network, case.reference, text) + reward * len(text)
            scores[text] = score + (weight * ctc_score(case.reference, text) if weight else 0.0)
        [hypotheses] = case.search(options)
        assert_valid(hypotheses, limit=3, vocabulary=7, beam_size=200)
        assert hypotheses[0].tokens == max(scores, key=lambda text: scores[text])
        for hypothesis in hypotheses:
            assert hypothesis.score == pytest.approx(scores[hypothesis.tokens], abs=1e-4)


@every_attention
@with_and_without_ctc
def test_the_score_is_the_sum_of_its_parts(
    attention: str, weight: float, make_case: Make, make_sounds: Make
) -> None:
    case = make_case(settings_of(attention), make_sounds(2400), scale=3.0)
    [hypotheses] = case.search(DecodingOptions(ctc_weight=weight, length_reward=0.7))
    assert_valid(hypotheses, int(case.reference.lengths), vocabulary=9, beam_size=8)
    for hypothesis in hypotheses:
        text = hypothesis.tokens
        assert hypothesis.decoder == pytest.approx(
            decoder_score(case.network, case.reference, text), abs=1e-4
        )
        parts = (1 - weight) * hypothesis.decoder + 0.7 * len(text)
        if weight:
            assert hypothesis.ctc == pytest.approx(ctc_score(case.reference, text), abs=1e-4)
            parts += weight * hypothesis.ctc
        else:
            assert hypothesis.ctc is None
        assert hypothesis.score == pytest.approx(parts)


@every_attention
@with_and_without_ctc
def test_a_batch_gives_what_each_utterance_gives_alone(
    attention: str, weight: float, make_case: Make, make_sounds: Make
) -> None:
    for seed, reward in ((0, 0.0), (1, 0.5)):
        case = make_case(settings_of(attention), make_sounds(*LENGTHS), seed=seed, scale=3.0)
        options = DecodingOptions(beam_size=4, ctc_weight=weight, length_reward=reward)
        for together, alone in zip(case.search(options), case.alone(options), strict=True):
            assert_alike(together, alone)


def test_without_a_head_its_weight_has_no_effect(make_case: Make, make_sounds: Make) -> None:
    case = make_case({"model.ctc_weight": 0}, make_sounds(*LENGTHS), scale=3.0)
    assert case.search(DecodingOptions(ctc_weight=0.5)) == case.search(DecodingOptions(ctc_weight=0))


def test_a_beam_wider_than_all_texts(make_case: Make, make_sounds: Make) -> None:
    case = make_case(None, make_sounds(1, 500), vocabulary=5)
    for hypotheses in case.search(DecodingOptions(beam_size=1000)):
        assert_valid(hypotheses, limit=8, vocabulary=5, beam_size=1000)


def test_fewer_texts_than_the_beam_holds(make_case: Make, make_sounds: Make) -> None:
    case = make_case(settings_of("dot"), make_sounds(2400, 900), scale=3.0)
    every = case.search(DecodingOptions(beam_size=6))
    some = case.search(DecodingOptions(beam_size=6, n_best=2))
    assert some == [hypotheses[:2] for hypotheses in every]
    assert case.search(DecodingOptions(beam_size=6, n_best=100)) == every


def test_a_model_that_never_ends_is_stopped_at_the_limit(make_case: Make, make_sounds: Make) -> None:
    def never_end(network: Seq2Seq) -> None:
        network.decoder.output.bias[END] = -1e4

    case = make_case({"model.ctc_weight": 0}, make_sounds(1, 8000, 4000), never_end)
    limits = limits_of(case, 1.0)
    assert limits == [8, 26, 13]
    for hypotheses, limit in zip(case.search(DecodingOptions(beam_size=3)), limits, strict=True):
        assert [len(hypothesis.tokens) for hypothesis in hypotheses] == [limit] * 3


def test_length_limits() -> None:
    lengths = np.array([1, 8, 9, 100])
    assert length_limits(lengths, 1.0).tolist() == [8, 8, 9, 100]
    assert length_limits(lengths, None).tolist() == [8, 8, 9, 100]
    assert length_limits(lengths, 0.25).tolist() == [8, 8, 8, 25]
    assert length_limits(lengths, 1.5).tolist() == [8, 12, 14, 150]


@settings(max_examples=25, deadline=None)
@given(
    attention=st.sampled_from(ATTENTIONS),
    seed=st.integers(0, 1000),
    length=st.integers(1, 2000),
    scales=st.tuples(st.sampled_from([1.0, 5.0, 1e4]), st.sampled_from([None, 0.0, 1.0, 30.0, 1e4])),
    characters=st.sampled_from(["b", "abcde", LM_CHARACTERS]),
    options=st.builds(
        DecodingOptions,
        beam_size=st.integers(1, 12),
        ctc_weight=st.sampled_from([0.0, 0.3, 0.99]),
        lm_weight=st.sampled_from([0.0, 0.3, 5.0]),
        length_reward=st.sampled_from([-2.0, 0.0, 3.0]),
        temperature=st.sampled_from([0.01, 1.0, 10.0]),
        tokens_per_frame=st.sampled_from([0.1, 1.0, 2.0]),
    ),
)
def test_every_search_ends_within_its_limit(
    attention: str,
    seed: int,
    length: int,
    scales: tuple[float, float | None],
    characters: str,
    options: DecodingOptions,
    make_case: Make,
    make_sounds: Make,
    make_language_model: Make,
    scorer_of: Make,
) -> None:
    sounds = make_sounds(length, 700, seed=seed)
    case = make_case(settings_of(attention), sounds, seed=seed, scale=scales[0])
    lm = None
    if scales[1] is not None:
        lm = scorer_of(make_language_model(characters, seed=seed, scale=scales[1]), SPELLED)
    limits = limits_of(case, options.tokens_per_frame)
    for hypotheses, limit in zip(case.search(options, lm), limits, strict=True):
        assert_valid(hypotheses, limit, vocabulary=9, beam_size=options.beam_size)


@every_attention
@with_and_without_ctc
def test_with_a_language_model_the_score_is_the_sum_of_its_parts(
    attention: str,
    weight: float,
    make_case: Make,
    make_sounds: Make,
    make_language_model: Make,
    scorer_of: Make,
) -> None:
    options = DecodingOptions(ctc_weight=weight, lm_weight=0.6, length_reward=2.5)
    spelled = set()
    for seed in range(4):
        lm = make_language_model(LM_CHARACTERS, seed=seed, scale=2.0)
        case = make_case(settings_of(attention), make_sounds(2400), seed=seed, scale=3.0)
        [hypotheses] = case.search(options, scorer_of(lm, SPELLED))
        assert_valid(hypotheses, int(case.reference.lengths), vocabulary=9, beam_size=8)
        for hypothesis in hypotheses:
            text = hypothesis.tokens
            spelled.update(text)
            assert hypothesis.lm == pytest.approx(lm_score(lm, text), abs=1e-4)
            assert hypothesis.decoder == pytest.approx(
                decoder_score(case.network, case.reference, text), abs=1e-4
            )
            parts = (1 - weight) * hypothesis.decoder + 0.6 * hypothesis.lm + 2.5 * hypothesis.length
            if weight:
                assert hypothesis.ctc == pytest.approx(ctc_score(case.reference, text), abs=1e-4)
                parts += weight * hypothesis.ctc
            assert hypothesis.score == pytest.approx(parts)
    assert spelled & {5, 8}  # characters that the language model does not know
    assert spelled & {4, 6, 7}


@every_attention
@with_and_without_ctc
@pytest.mark.parametrize("reward", [1.5, 6.0])
def test_a_huge_beam_with_a_language_model_finds_the_best_of_all_texts(
    attention: str,
    weight: float,
    reward: float,
    make_case: Make,
    make_sounds: Make,
    make_language_model: Make,
    scorer_of: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beam, "_SHORTEST_LIMIT", 3)
    every_text = [text for length in range(4) for text in product(range(4, 7), repeat=length)]
    options = DecodingOptions(
        beam_size=200, ctc_weight=weight, lm_weight=2.0, length_reward=reward, tokens_per_frame=0.01
    )
    changed = 0
    for seed in range(4):
        lm, sounds = make_language_model(LM_CHARACTERS, seed=seed, scale=4.0), make_sounds(1500, seed=seed)
        case = make_case(settings_of(attention), sounds, vocabulary=7, seed=seed, scale=2.0)
        scores = {}
        for text in every_text:
            score = (1 - weight) * decoder_score(case.network, case.reference, text) + reward * len(text)
            score += weight * ctc_score(case.reference, text) if weight else 0.0
            scores[text] = score + 2.0 * lm_score(lm, text)
        [hypotheses] = case.search(options, scorer_of(lm, Alphabet("abc")))
        assert_valid(hypotheses, limit=3, vocabulary=7, beam_size=200)
        assert hypotheses[0].tokens == max(scores, key=lambda text: scores[text])
        for hypothesis in hypotheses:
            assert hypothesis.score == pytest.approx(scores[hypothesis.tokens], abs=1e-4)
        changed += case.search(options)[0][0].tokens != hypotheses[0].tokens
    assert changed  # otherwise the language models are too dull to tell anything


@every_attention
def test_greedy_search_with_a_language_model_takes_the_best_sum_each_time(
    attention: str, make_case: Make, make_sounds: Make, make_language_model: Make, scorer_of: Make
) -> None:
    lengths_found = set()
    for seed in range(6):
        lm, sounds = make_language_model(LM_CHARACTERS, seed=seed, scale=4.0), make_sounds(2400, seed=seed)
        case = make_case(settings_of(attention), sounds, seed=seed, scale=4.0)
        decoder, encoded = case.network.decoder, case.reference
        (limit,) = limits_of(case)
        text: list[int] = []
        state, last = decoder.start(encoded.encoded, encoded.lengths, encoded.context), START
        while len(text) < limit:
            with torch.no_grad():
                logits, state = decoder.step(torch.tensor([last]), state)
                spelled = [START, *lm.alphabet.encode(SPELLED.decode(text))]
                lm_log_p = lm.model(torch.tensor([spelled]))[0, -1].double().log_softmax(-1)
            log_p = (logits[0].double() / 1.7).log_softmax(-1)
            own = {END: END} | {c: lm.alphabet.encode(SPELLED.decode([c]))[0] for c in range(4, 9)}
            last = max(own, key=lambda token: float(log_p[token] + 0.6 * lm_log_p[own[token]]))
            if last == END:
                break
            text.append(last)
        options = DecodingOptions(
            beam_size=1, ctc_weight=0, lm_weight=0.6, length_reward=0.0, temperature=1.7
        )
        [[hypothesis]] = case.search(options, scorer_of(lm, SPELLED))
        assert hypothesis.tokens == tuple(text)
        lengths_found.add(len(text))
    assert len(lengths_found) > 1


@every_attention
@with_and_without_ctc
def test_a_batch_with_a_language_model_gives_what_each_utterance_gives_alone(
    attention: str,
    weight: float,
    make_case: Make,
    make_sounds: Make,
    make_language_model: Make,
    scorer_of: Make,
) -> None:
    lm = scorer_of(make_language_model(LM_CHARACTERS, scale=3.0), SPELLED)
    for seed, reward in ((0, 0.0), (1, 0.5)):
        case = make_case(settings_of(attention), make_sounds(*LENGTHS), seed=seed, scale=3.0)
        options = DecodingOptions(beam_size=4, ctc_weight=weight, lm_weight=0.5, length_reward=reward)
        for together, alone in zip(case.search(options, lm), case.alone(options, lm), strict=True):
            assert_alike(together, alone)


@every_attention
def test_what_leaves_the_batch_changes_nothing(
    attention: str,
    make_case: Make,
    make_sounds: Make,
    make_language_model: Make,
    scorer_of: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = []

    class Watched(LanguageModelScorer):
        def keep(self, state: Any, utterances: Any) -> Any:
            kept.append(utterances.tolist())
            return super().keep(state, utterances)

    monkeypatch.setattr(beam, "_CHECK_EVERY", 1)
    lm = make_language_model(LM_CHARACTERS, scale=3.0)
    scorer = Watched(scorer_of(lm, SPELLED).model, lm.alphabet, SPELLED)
    sounds = make_sounds(700, 2400, 1, 3300, 900, 300, 1800)
    case = make_case(settings_of(attention), sounds, scale=3.0)
    options = DecodingOptions(beam_size=3, ctc_weight=0.4, coverage_weight=0.2, length_reward=0.5)
    found = case.search(options, scorer)
    assert kept and len(kept[0]) <= 3 and kept[0] != list(range(len(kept[0])))
    for together, alone in zip(found, case.alone(options, scorer), strict=True):
        assert_alike(together, alone)


def test_a_language_model_without_weight_has_no_effect(
    make_case: Make, make_sounds: Make, make_language_model: Make, scorer_of: Make
) -> None:
    case = make_case(None, make_sounds(*LENGTHS), scale=3.0)
    options = DecodingOptions(lm_weight=0)
    assert case.search(options, scorer_of(make_language_model("ab"), SPELLED)) == case.search(options)


def test_temperature_flattens_the_decoder_alone(make_case: Make, make_sounds: Make) -> None:
    case = make_case(None, make_sounds(2400), scale=3.0)
    [[plain]] = case.search(DecodingOptions(beam_size=1))
    [[flat]] = case.search(DecodingOptions(beam_size=1, temperature=1e6))
    uniform = -(flat.length + 1) * math.log(9)  # nine symbols, the end symbol after the last character
    assert flat.decoder == pytest.approx(uniform, rel=1e-3)
    assert plain.decoder != pytest.approx(-(plain.length + 1) * math.log(9), rel=1e-3)
    assert flat.ctc == pytest.approx(ctc_score(case.reference, flat.tokens), abs=1e-4)


@every_attention
@with_and_without_ctc
def test_choices_are_as_sure_as_all_scores_together_say(
    attention: str, weight: float, make_case: Make, make_sounds: Make
) -> None:
    """At each step: the softmax over the symbols of the joined score of the text so far with each added."""
    case = make_case(settings_of(attention), make_sounds(2400), vocabulary=9, scale=2.0)
    options = DecodingOptions(beam_size=3, ctc_weight=weight, length_reward=0.3)
    encoded = case.reference
    scorer = CtcPrefixScorer(encoded.ctc.numpy(), encoded.lengths.numpy())
    for best in case.search(options)[0]:
        text = (*best.tokens, END)
        inputs = torch.tensor([[START, *best.tokens]])
        with torch.no_grad():
            logits = case.network.decoder(inputs, encoded.encoded, encoded.lengths, encoded.context)[0]
        state = scorer.start()
        for step, token in enumerate(text):
            joint = (1 - weight) * logits[step].double().log_softmax(-1) + 0.3
            joint += weight * torch.from_numpy(scorer.scores(state)[0, 0])
            joint[END] -= 0.3
            joint[[0, 1, 3]] = float("-inf")
            assert best.chosen[step] == pytest.approx(float(joint.log_softmax(-1)[token]), abs=1e-4)
            if token != END:
                state = scorer.advance(state, np.array([[0]]), np.array([[token]]))
        assert len(best.chosen) == len(text)


@pytest.mark.parametrize("attention", ["dot", "location"])
@with_and_without_ctc
def test_coverage_counts_the_frames_that_attention_has_looked_at(
    attention: str, weight: float, make_case: Make, make_sounds: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beam, "_SHORTEST_LIMIT", 3)
    monkeypatch.setattr(beam, "_LOOKED_AT", 0.2)
    every_text = [text for length in range(4) for text in product(range(4, 7), repeat=length)]
    usual = {"beam_size": 200, "ctc_weight": weight, "tokens_per_frame": 0.01}
    changed = 0
    for seed in range(6):
        sounds = make_sounds(2400, seed=seed)
        case = make_case(settings_of(attention), sounds, vocabulary=7, seed=seed, scale=3.0)
        scores = {}
        for text in every_text:
            (weights,) = case.network.attention(case.reference, [text])
            covered = int((weights.sum(0) > 0.2).sum())
            score = (1 - weight) * decoder_score(case.network, case.reference, text) + 0.7 * covered
            scores[text] = score + (weight * ctc_score(case.reference, text) if weight else 0.0)
        best = max(scores, key=lambda text: scores[text])
        found = case.search(DecodingOptions(coverage_weight=0.7, **usual))[0]
        if math.isfinite(scores[best]):
            assert found[0].tokens == best
            assert found[0].score == pytest.approx(scores[best], abs=1e-3)
        changed += case.search(DecodingOptions(**usual))[0][0].tokens != found[0].tokens
    assert changed


@pytest.mark.parametrize("attention", ["dot", "location"])
def test_where_attention_looks_along_a_text(attention: str, make_case: Make, make_sounds: Make) -> None:
    case = make_case(settings_of(attention), make_sounds(3000, 2000), scale=2.0)
    texts: list[Text] = [(4, 5, 6), (7,)]
    found = attention_of(case.model, case.encode(case.sounds), texts)
    assert found is not None
    for ours, expected in zip(found, case.network.attention(case.reference, texts), strict=True):
        np.testing.assert_allclose(ours, expected.numpy(), rtol=0, atol=1e-5)


def test_without_attention_none_is_given(make_case: Make, make_sounds: Make) -> None:
    case = make_case(settings_of("none"), make_sounds(3000))
    assert attention_of(case.model, case.encode(case.sounds), [(4,)]) is None


def test_a_batch_with_coverage_gives_what_each_utterance_gives_alone(
    make_case: Make, make_sounds: Make
) -> None:
    case = make_case(settings_of("dot"), make_sounds(*LENGTHS), scale=2.0)
    options = DecodingOptions(beam_size=4, coverage_weight=0.3)
    for together, alone in zip(case.search(options), case.alone(options), strict=True):
        assert_alike(together, alone)
        assert together[0].coverage == alone[0].coverage


def test_what_a_language_model_takes_from_a_character_is_paid_back(
    make_case: Make, make_sounds: Make, make_language_model: Make, scorer_of: Make
) -> None:
    case = make_case(None, make_sounds(2400), vocabulary=9)
    scorer = scorer_of(make_language_model(LM_CHARACTERS), SPELLED, cost=1.7)
    one, *_ = case.search(DecodingOptions(lm_weight=0.6), scorer)[0]
    assert one.reward == pytest.approx(0.6 * 1.7 * one.length)
    (other, *_) = case.search(DecodingOptions(lm_weight=0.6, length_reward=0.6 * 1.7), scorer)[0]
    assert (one.tokens, one.score) == (other.tokens, other.score)
    (plain, *_) = case.search(DecodingOptions())[0]
    assert plain.reward == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"beam_size": 0}, "`beam_size` must be from 1 to 1000"),
        ({"n_best": 0}, "`n_best` must be 1 or more"),
        ({"ctc_weight": 1.0}, "`ctc_weight` must be from 0 to below 1"),
        ({"lm_weight": math.inf}, "`lm_weight` must be 0 or more"),
        ({"coverage_weight": -1.0}, "`coverage_weight` must be 0 or more"),
        ({"length_reward": math.nan}, "`length_reward` must be a finite number"),
        ({"temperature": 0.0}, "`temperature` must be above 0"),
        ({"tokens_per_frame": 0.0}, "`tokens_per_frame` must be above 0"),
    ],
)
def test_options_out_of_range(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"^decoding: {sentence}"):
        DecodingOptions(**changes)
