import math
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import ctc_loss

from asr_seq2seq.config import SearchConfig
from asr_seq2seq.model.features import pad
from asr_seq2seq.model.files import LanguageModelFile
from asr_seq2seq.model.seq2seq import Encoded, Seq2Seq
from asr_seq2seq.search import beam
from asr_seq2seq.search.beam import length_limits, search
from asr_seq2seq.search.hypothesis import Hypothesis
from asr_seq2seq.search.scorers import CtcPrefixScorer, LanguageModelScorer
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, START, Alphabet

Make = Callable[..., Any]
ATTENTIONS = ["none", "dot", "location"]
LENGTHS = (2400, 900, 1, 3300)
SPELLED = Alphabet("abcde")  # what the recognizers here spell
LM_CHARACTERS = "acdxz"  # no b, no e, and two that no recognizer writes

every_attention = pytest.mark.parametrize("attention", ATTENTIONS)


def encode(model: Seq2Seq, sounds: list[Tensor]) -> Encoded:
    with torch.no_grad():
        return model.encode(*pad(sounds))


def decoder_score(model: Seq2Seq, encoded: Encoded, text: tuple[int, ...]) -> float:
    """log p of a text by teacher forcing; one utterance."""
    with torch.no_grad():
        inputs = torch.tensor([[START, *text]])
        logits = model.decoder(inputs, encoded.encoded, encoded.lengths, encoded.context)
        log_p = logits[0].double().log_softmax(-1)
    return sum(float(log_p[t, token]) for t, token in enumerate((*text, END)))


def ctc_score(encoded: Encoded, text: tuple[int, ...]) -> float:
    assert encoded.ctc is not None
    target, length = torch.tensor([text], dtype=torch.long), torch.tensor([len(text)])
    log_p = encoded.ctc.double().transpose(0, 1)
    return -float(ctc_loss(log_p, target, encoded.lengths, length, reduction="sum"))


def lm_score(lm: LanguageModelFile, text: tuple[int, ...]) -> float:
    """log p of a text by teacher forcing, through the language model's own alphabet."""
    ids = lm.alphabet.encode(SPELLED.decode(text))
    with torch.no_grad():
        log_p = lm.model(torch.tensor([[START, *ids]]))[0].double().log_softmax(-1)
    return sum(float(log_p[t, token]) for t, token in enumerate((*ids, END)))


def scorer_of(lm: LanguageModelFile, spelled: Alphabet = SPELLED) -> LanguageModelScorer:
    return LanguageModelScorer(lm.model, lm.alphabet, spelled)


def assert_valid(hypotheses: list[Hypothesis], limit: int, vocabulary: int, beam_size: int) -> None:
    assert 1 <= len(hypotheses) <= beam_size
    scores = [hypothesis.score for hypothesis in hypotheses]
    assert scores == sorted(scores, reverse=True)
    assert all(score == score and abs(score) != float("inf") for score in scores)
    assert len({hypothesis.tokens for hypothesis in hypotheses}) == len(hypotheses)
    for hypothesis in hypotheses:
        assert len(hypothesis.tokens) <= limit
        assert all(FIRST_CHARACTER <= token < vocabulary for token in hypothesis.tokens)


@every_attention
def test_greedy_search_takes_the_best_character_each_time(
    attention: str, make_model: Make, make_sounds: Make
) -> None:
    lengths_found = set()
    for seed in range(6):
        model = make_model({"model.decoder.attention": attention}, seed=seed, scale=4.0)
        encoded = encode(model, make_sounds(2400, seed=seed))
        limit = int(length_limits(encoded.lengths, 1.0))
        text: list[int] = []
        state, last = model.decoder.start(encoded.encoded, encoded.lengths, encoded.context), START
        while len(text) < limit:
            with torch.no_grad():
                logits, state = model.decoder.step(torch.tensor([last]), state)
            allowed = {END: float(logits[0, END])} | {c: float(logits[0, c]) for c in range(4, 9)}
            last = max(allowed, key=lambda token: allowed[token])
            if last == END:
                break
            text.append(last)
        [[hypothesis]] = search(model, encoded, SearchConfig(beam_size=1, ctc_weight=0))
        assert hypothesis.tokens == tuple(text)
        assert hypothesis.ctc is None
        lengths_found.add(len(text))
    assert len(lengths_found) > 1  # otherwise the models are too dull to tell anything


@every_attention
@pytest.mark.parametrize("weight", [0.0, 0.4])
@pytest.mark.parametrize("reward", [0.0, 1.5, -0.5])
def test_a_huge_beam_finds_the_best_of_all_texts(
    attention: str,
    weight: float,
    reward: float,
    make_model: Make,
    make_sounds: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beam, "_SHORTEST_LIMIT", 3)
    every_text = [text for length in range(4) for text in product(range(4, 7), repeat=length)]
    config = SearchConfig(beam_size=200, ctc_weight=weight, length_reward=reward, tokens_per_frame=0.01)
    for seed in range(4):
        model = make_model({"model.decoder.attention": attention}, vocabulary=7, seed=seed, scale=3.0)
        encoded = encode(model, make_sounds(1500, seed=seed))
        scores = {}
        for text in every_text:
            score = (1 - weight) * decoder_score(model, encoded, text) + reward * len(text)
            scores[text] = score + (weight * ctc_score(encoded, text) if weight else 0.0)
        [hypotheses] = search(model, encoded, config)
        assert_valid(hypotheses, limit=3, vocabulary=7, beam_size=200)
        assert hypotheses[0].tokens == max(scores, key=lambda text: scores[text])
        for hypothesis in hypotheses:
            assert hypothesis.score == pytest.approx(scores[hypothesis.tokens], abs=1e-4)


@every_attention
@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_the_score_is_the_sum_of_its_parts(
    attention: str, weight: float, make_model: Make, make_sounds: Make
) -> None:
    model = make_model({"model.decoder.attention": attention}, scale=3.0)
    encoded = encode(model, make_sounds(2400))
    [hypotheses] = search(model, encoded, SearchConfig(ctc_weight=weight, length_reward=0.7))
    assert_valid(hypotheses, int(encoded.lengths), vocabulary=9, beam_size=8)
    for hypothesis in hypotheses:
        assert hypothesis.decoder == pytest.approx(decoder_score(model, encoded, hypothesis.tokens), abs=1e-4)
        parts = (1 - weight) * hypothesis.decoder + 0.7 * len(hypothesis.tokens)
        if weight:
            assert hypothesis.ctc == pytest.approx(ctc_score(encoded, hypothesis.tokens), abs=1e-4)
            parts += weight * hypothesis.ctc
        else:
            assert hypothesis.ctc is None
        assert hypothesis.score == pytest.approx(parts)


@every_attention
@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_a_batch_gives_what_each_utterance_gives_alone(
    attention: str, weight: float, make_model: Make, make_sounds: Make
) -> None:
    sounds = make_sounds(*LENGTHS)
    for seed, reward in ((0, 0.0), (1, 0.5)):
        model = make_model({"model.decoder.attention": attention}, seed=seed, scale=3.0)
        config = SearchConfig(beam_size=4, ctc_weight=weight, length_reward=reward)
        together = search(model, encode(model, sounds), config)
        for sound, hypotheses in zip(sounds, together, strict=True):
            [alone] = search(model, encode(model, [sound]), config)
            assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
            assert [h.score for h in hypotheses] == pytest.approx([h.score for h in alone], abs=1e-4)


def test_without_a_head_its_weight_has_no_effect(make_model: Make, make_sounds: Make) -> None:
    model = make_model({"model.ctc_weight": 0}, scale=3.0)
    encoded = encode(model, make_sounds(*LENGTHS))
    assert search(model, encoded, SearchConfig(ctc_weight=0.5)) == search(
        model, encoded, SearchConfig(ctc_weight=0)
    )


def test_a_beam_wider_than_all_texts(make_model: Make, make_sounds: Make) -> None:
    model = make_model(vocabulary=5)
    encoded = encode(model, make_sounds(1, 500))
    for hypotheses in search(model, encoded, SearchConfig(beam_size=1000)):
        assert_valid(hypotheses, limit=8, vocabulary=5, beam_size=1000)


def test_a_model_that_never_ends_is_stopped_at_the_limit(make_model: Make, make_sounds: Make) -> None:
    model = make_model({"model.ctc_weight": 0})
    with torch.no_grad():
        model.decoder.output.bias[END] = -1e4
    encoded = encode(model, make_sounds(1, 8000, 4000))
    limits = length_limits(encoded.lengths, 1.0).tolist()
    assert limits == [8, 26, 13]
    for hypotheses, limit in zip(search(model, encoded, SearchConfig(beam_size=3)), limits, strict=True):
        assert [len(hypothesis.tokens) for hypothesis in hypotheses] == [limit] * 3


def test_length_limits() -> None:
    lengths = torch.tensor([1, 8, 9, 100])
    assert length_limits(lengths, 1.0).tolist() == [8, 8, 9, 100]
    assert length_limits(lengths, 0.25).tolist() == [8, 8, 8, 25]
    assert length_limits(lengths, 1.5).tolist() == [8, 12, 14, 150]


@settings(max_examples=25, deadline=None)
@given(
    attention=st.sampled_from(ATTENTIONS),
    seed=st.integers(0, 1000),
    length=st.integers(1, 2000),
    scale=st.sampled_from([1.0, 5.0, 1e4]),
    config=st.builds(
        SearchConfig,
        beam_size=st.integers(1, 12),
        ctc_weight=st.sampled_from([0.0, 0.3, 0.99]),
        length_reward=st.sampled_from([-2.0, 0.0, 3.0]),
        tokens_per_frame=st.sampled_from([0.1, 1.0, 2.0]),
    ),
)
def test_every_search_ends_within_its_limit(
    attention: str,
    seed: int,
    length: int,
    scale: float,
    config: SearchConfig,
    make_model: Make,
    make_sounds: Make,
) -> None:
    model = make_model({"model.decoder.attention": attention}, seed=seed, scale=scale)
    encoded = encode(model, make_sounds(length, 700, seed=seed))
    limits = length_limits(encoded.lengths, config.tokens_per_frame).tolist()
    for hypotheses, limit in zip(search(model, encoded, config), limits, strict=True):
        assert_valid(hypotheses, limit, vocabulary=9, beam_size=config.beam_size)


@every_attention
@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_with_a_language_model_the_score_is_the_sum_of_its_parts(
    attention: str, weight: float, make_model: Make, make_sounds: Make, make_language_model: Make
) -> None:
    config = SearchConfig(ctc_weight=weight, lm_weight=0.6, length_reward=2.5)
    spelled = set()
    for seed in range(4):
        lm = make_language_model(LM_CHARACTERS, seed=seed, scale=2.0)
        model = make_model({"model.decoder.attention": attention}, seed=seed, scale=3.0)
        encoded = encode(model, make_sounds(2400))
        [hypotheses] = search(model, encoded, config, scorer_of(lm))
        assert_valid(hypotheses, int(encoded.lengths), vocabulary=9, beam_size=8)
        for hypothesis in hypotheses:
            text = hypothesis.tokens
            spelled.update(text)
            assert hypothesis.decoder == pytest.approx(decoder_score(model, encoded, text), abs=1e-4)
            assert hypothesis.lm == pytest.approx(lm_score(lm, text), abs=1e-4)
            parts = (1 - weight) * hypothesis.decoder + 0.6 * hypothesis.lm + 2.5 * hypothesis.length
            if weight:
                assert hypothesis.ctc == pytest.approx(ctc_score(encoded, text), abs=1e-4)
                parts += weight * hypothesis.ctc
            assert hypothesis.score == pytest.approx(parts)
    assert spelled & {5, 8}  # characters that the language model does not know
    assert spelled & {4, 6, 7}


@every_attention
@pytest.mark.parametrize("weight", [0.0, 0.4])
@pytest.mark.parametrize("reward", [1.5, 6.0])
def test_a_huge_beam_with_a_language_model_finds_the_best_of_all_texts(
    attention: str,
    weight: float,
    reward: float,
    make_model: Make,
    make_sounds: Make,
    make_language_model: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beam, "_SHORTEST_LIMIT", 3)
    every_text = [text for length in range(4) for text in product(range(4, 7), repeat=length)]
    config = SearchConfig(
        beam_size=200, ctc_weight=weight, lm_weight=2.0, length_reward=reward, tokens_per_frame=0.01
    )
    changed = 0
    for seed in range(4):
        lm = make_language_model(LM_CHARACTERS, seed=seed, scale=4.0)
        model = make_model({"model.decoder.attention": attention}, vocabulary=7, seed=seed, scale=2.0)
        encoded = encode(model, make_sounds(1500, seed=seed))
        scores = {}
        for text in every_text:
            score = (1 - weight) * decoder_score(model, encoded, text) + reward * len(text)
            score += weight * ctc_score(encoded, text) if weight else 0.0
            scores[text] = score + 2.0 * lm_score(lm, text)
        [hypotheses] = search(model, encoded, config, scorer_of(lm, Alphabet("abc")))
        assert_valid(hypotheses, limit=3, vocabulary=7, beam_size=200)
        assert hypotheses[0].tokens == max(scores, key=lambda text: scores[text])
        for hypothesis in hypotheses:
            assert hypothesis.score == pytest.approx(scores[hypothesis.tokens], abs=1e-4)
        [without] = search(model, encoded, config)
        changed += without[0].tokens != hypotheses[0].tokens
    assert changed  # otherwise the language models are too dull to tell anything


@every_attention
def test_greedy_search_with_a_language_model_takes_the_best_sum_each_time(
    attention: str, make_model: Make, make_sounds: Make, make_language_model: Make
) -> None:
    lengths_found = set()
    for seed in range(6):
        lm = make_language_model(LM_CHARACTERS, seed=seed, scale=4.0)
        model = make_model({"model.decoder.attention": attention}, seed=seed, scale=4.0)
        encoded = encode(model, make_sounds(2400, seed=seed))
        limit = int(length_limits(encoded.lengths, 1.0))
        text: list[int] = []
        state, last = model.decoder.start(encoded.encoded, encoded.lengths, encoded.context), START
        while len(text) < limit:
            with torch.no_grad():
                logits, state = model.decoder.step(torch.tensor([last]), state)
                spelled = [START, *lm.alphabet.encode(SPELLED.decode(text))]
                lm_log_p = lm.model(torch.tensor([spelled]))[0, -1].double().log_softmax(-1)
            log_p = (logits[0].double() / 1.7).log_softmax(-1)
            own = {END: END} | {c: lm.alphabet.encode(SPELLED.decode([c]))[0] for c in range(4, 9)}
            last = max(own, key=lambda token: float(log_p[token] + 0.6 * lm_log_p[own[token]]))
            if last == END:
                break
            text.append(last)
        config = SearchConfig(beam_size=1, ctc_weight=0, lm_weight=0.6, temperature=1.7)
        [[hypothesis]] = search(model, encoded, config, scorer_of(lm))
        assert hypothesis.tokens == tuple(text)
        lengths_found.add(len(text))
    assert len(lengths_found) > 1


@every_attention
@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_a_batch_with_a_language_model_gives_what_each_utterance_gives_alone(
    attention: str, weight: float, make_model: Make, make_sounds: Make, make_language_model: Make
) -> None:
    sounds, lm = make_sounds(*LENGTHS), scorer_of(make_language_model(LM_CHARACTERS, scale=3.0))
    for seed, reward in ((0, 0.0), (1, 0.5)):
        model = make_model({"model.decoder.attention": attention}, seed=seed, scale=3.0)
        config = SearchConfig(beam_size=4, ctc_weight=weight, lm_weight=0.5, length_reward=reward)
        together = search(model, encode(model, sounds), config, lm)
        for sound, hypotheses in zip(sounds, together, strict=True):
            [alone] = search(model, encode(model, [sound]), config, lm)
            assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
            assert [h.score for h in hypotheses] == pytest.approx([h.score for h in alone], abs=1e-4)


@every_attention
def test_what_leaves_the_batch_changes_nothing(
    attention: str,
    make_model: Make,
    make_sounds: Make,
    make_language_model: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = []

    class Watched(LanguageModelScorer):
        def keep(self, state: Any, utterances: Tensor) -> Any:
            kept.append(utterances.tolist())
            return super().keep(state, utterances)

    monkeypatch.setattr(beam, "_CHECK_EVERY", 1)
    lm = make_language_model(LM_CHARACTERS, scale=3.0)
    scorer = Watched(lm.model, lm.alphabet, SPELLED)
    sounds = make_sounds(700, 2400, 1, 3300, 900, 300, 1800)
    model = make_model({"model.decoder.attention": attention}, scale=3.0)
    config = SearchConfig(beam_size=3, ctc_weight=0.4, coverage_weight=0.2, length_reward=0.5)
    together = search(model, encode(model, sounds), config, scorer)
    assert kept and len(kept[0]) <= 3 and kept[0] != list(range(len(kept[0])))
    for sound, hypotheses in zip(sounds, together, strict=True):
        [alone] = search(model, encode(model, [sound]), config, scorer)
        assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
        assert [h.score for h in hypotheses] == pytest.approx([h.score for h in alone], abs=1e-4)
        assert [h.chosen for h in hypotheses] == [pytest.approx(h.chosen, abs=1e-4) for h in alone]


def test_a_language_model_without_weight_has_no_effect(
    make_model: Make, make_sounds: Make, make_language_model: Make
) -> None:
    model = make_model(scale=3.0)
    encoded = encode(model, make_sounds(*LENGTHS))
    config = SearchConfig(lm_weight=0)
    assert search(model, encoded, config, scorer_of(make_language_model("ab"))) == search(
        model, encoded, config
    )


def test_temperature_flattens_the_decoder_alone(make_model: Make, make_sounds: Make) -> None:
    model = make_model(scale=3.0)
    encoded = encode(model, make_sounds(2400))
    [[plain]] = search(model, encoded, SearchConfig(beam_size=1))
    [[flat]] = search(model, encoded, SearchConfig(beam_size=1, temperature=1e6))
    uniform = -(flat.length + 1) * math.log(9)  # nine symbols, the end symbol after the last character
    assert flat.decoder == pytest.approx(uniform, rel=1e-3)
    assert plain.decoder != pytest.approx(-(plain.length + 1) * math.log(9), rel=1e-3)
    assert flat.ctc == pytest.approx(ctc_score(encoded, flat.tokens), abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    attention=st.sampled_from(ATTENTIONS),
    seed=st.integers(0, 1000),
    length=st.integers(1, 2000),
    scales=st.tuples(st.sampled_from([1.0, 5.0, 1e4]), st.sampled_from([0.0, 1.0, 30.0, 1e4])),
    characters=st.sampled_from(["b", "abcde", LM_CHARACTERS]),
    config=st.builds(
        SearchConfig,
        beam_size=st.integers(1, 12),
        ctc_weight=st.sampled_from([0.0, 0.3, 0.99]),
        lm_weight=st.sampled_from([0.0, 0.3, 5.0]),
        length_reward=st.sampled_from([-2.0, 0.0, 3.0]),
        temperature=st.sampled_from([0.01, 1.0, 10.0]),
        tokens_per_frame=st.sampled_from([0.1, 1.0, 2.0]),
    ),
)
def test_every_search_with_a_language_model_ends_within_its_limit(
    attention: str,
    seed: int,
    length: int,
    scales: tuple[float, float],
    characters: str,
    config: SearchConfig,
    make_model: Make,
    make_sounds: Make,
    make_language_model: Make,
) -> None:
    model = make_model({"model.decoder.attention": attention}, seed=seed, scale=scales[0])
    lm = scorer_of(make_language_model(characters, seed=seed, scale=scales[1]))
    encoded = encode(model, make_sounds(length, 700, seed=seed))
    limits = length_limits(encoded.lengths, config.tokens_per_frame).tolist()
    for hypotheses, limit in zip(search(model, encoded, config, lm), limits, strict=True):
        assert_valid(hypotheses, limit, vocabulary=9, beam_size=config.beam_size)


@every_attention
@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_choices_are_as_sure_as_all_scores_together_say(
    attention: str, weight: float, make_model: Make, make_sounds: Make
) -> None:
    """At each step: the softmax over the symbols of the joined score of the text so far with each added."""
    model = make_model({"model.decoder.attention": attention}, vocabulary=9, scale=2.0)
    config = SearchConfig(beam_size=3, ctc_weight=weight, length_reward=0.3)
    encoded = encode(model, make_sounds(2400))
    scorer = CtcPrefixScorer(encoded.ctc, encoded.lengths)
    for best in search(model, encoded, config)[0]:
        text = (*best.tokens, END)
        inputs = torch.tensor([[START, *best.tokens]])
        with torch.no_grad():
            logits = model.decoder(inputs, encoded.encoded, encoded.lengths, encoded.context)[0]
        state = scorer.start()
        for step, token in enumerate(text):
            joint = (1 - weight) * logits[step].double().log_softmax(-1) + 0.3
            joint += weight * scorer.scores(state)[0, 0]
            joint[END] -= 0.3
            joint[[0, 1, 3]] = float("-inf")
            assert best.chosen[step] == pytest.approx(float(joint.log_softmax(-1)[token]), abs=1e-4)
            if token != END:
                state = scorer.advance(state, torch.zeros(1, 1).long(), torch.tensor([[token]]))
        assert len(best.chosen) == len(text)


@pytest.mark.parametrize("attention", ["dot", "location"])
@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_coverage_counts_the_frames_that_attention_has_looked_at(
    attention: str, weight: float, make_model: Make, make_sounds: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beam, "_SHORTEST_LIMIT", 3)
    monkeypatch.setattr(beam, "_LOOKED_AT", 0.2)
    every_text = [text for length in range(4) for text in product(range(4, 7), repeat=length)]
    settings = {"ctc_weight": weight, "tokens_per_frame": 0.01}
    changed = 0
    for seed in range(6):
        model = make_model({"model.decoder.attention": attention}, vocabulary=7, seed=seed, scale=3.0)
        encoded = encode(model, make_sounds(2400, seed=seed))
        scores = {}
        for text in every_text:
            (weights,) = model.attention(encoded, [text])
            covered = int((weights.sum(0) > 0.2).sum())
            score = (1 - weight) * decoder_score(model, encoded, text) + 0.7 * covered
            scores[text] = score + (weight * ctc_score(encoded, text) if weight else 0.0)
        best = max(scores, key=lambda text: scores[text])
        found = search(model, encoded, SearchConfig(beam_size=200, coverage_weight=0.7, **settings))[0]
        if math.isfinite(scores[best]):
            assert found[0].tokens == best
            assert found[0].score == pytest.approx(scores[best], abs=1e-3)
        plain = search(model, encoded, SearchConfig(beam_size=200, **settings))[0]
        changed += plain[0].tokens != found[0].tokens
    assert changed


def test_a_batch_with_coverage_gives_what_each_utterance_gives_alone(
    make_model: Make, make_sounds: Make
) -> None:
    model = make_model({"model.decoder.attention": "dot"}, scale=2.0)
    config = SearchConfig(beam_size=4, coverage_weight=0.3)
    sounds = make_sounds(*LENGTHS)
    for sound, together in zip(sounds, search(model, encode(model, sounds), config), strict=True):
        (alone,) = search(model, encode(model, [sound]), config)
        assert [one.tokens for one in alone] == [one.tokens for one in together]
        assert alone[0].coverage == together[0].coverage
        assert alone[0].chosen == pytest.approx(together[0].chosen, abs=1e-4)


def test_what_a_language_model_takes_from_a_character_is_paid_back(
    make_model: Make, make_sounds: Make, make_language_model: Make
) -> None:
    model, lm = make_model(vocabulary=9), make_language_model(LM_CHARACTERS)
    encoded = encode(model, make_sounds(2400))
    scorer = LanguageModelScorer(lm.model, lm.alphabet, SPELLED, cost=1.7)
    one, *_ = search(model, encoded, SearchConfig(lm_weight=0.6), scorer)[0]
    assert one.reward == pytest.approx(0.6 * 1.7 * one.length)
    (other, *_) = search(model, encoded, SearchConfig(lm_weight=0.6, length_reward=0.6 * 1.7), scorer)[0]
    assert (one.tokens, one.score) == (other.tokens, other.score)
    (plain, *_) = search(model, encoded, SearchConfig())[0]
    assert plain.reward == 0
