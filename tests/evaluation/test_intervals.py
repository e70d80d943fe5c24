from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import t

from asr_seq2seq.evaluation.intervals import Numbers, difference_interval, ratio_interval, sampling


@dataclass(frozen=True)
class Setting:
    """A kind of corpus: how many speakers, how much of each, and how unlike they are.

    `speaker_spread` is the standard deviation of the speakers' rates as a part of `wer`; `clumping` (0 to 1)
    says how much the errors of an utterance come together. Without speakers each utterance is drawn alone.
    """

    name: str
    speakers: int
    utterances: int
    wer: float
    speaker_spread: float
    clumping: float
    words: float

    def corpus(self, chance: np.random.Generator) -> tuple[Numbers, Numbers]:
        """Errors and words of each speaker."""
        shape = (self.speakers, self.utterances)
        speakers = np.full((self.speakers, 1), self.wer)
        if self.speaker_spread:
            sharp = (1 - self.wer) / (self.wer * self.speaker_spread**2) - 1
            speakers = chance.beta(self.wer * sharp, (1 - self.wer) * sharp, speakers.shape)
        rates = np.broadcast_to(speakers, shape)
        if self.clumping:
            sharp = 1 / self.clumping - 1
            rates = chance.beta(np.maximum(rates * sharp, 1e-9), np.maximum((1 - rates) * sharp, 1e-9))
        words = 1 + chance.poisson(self.words - 1, shape)
        return chance.binomial(words, rates).sum(1).astype(float), words.sum(1).astype(float)


SETTINGS = [
    Setting("100 utterances of 6 words", 100, 1, 0.12, 0, 0.1, 6),
    Setting("130 utterances, errors clumped", 130, 1, 0.12, 0, 0.4, 6),
    Setting("100 utterances, few errors", 100, 1, 0.01, 0, 0.05, 6),
    Setting("1,000 utterances, few errors", 1000, 1, 0.005, 0, 0.05, 5.5),
    Setting("1,000 utterances of 20 words", 1000, 1, 0.05, 0, 0.1, 20),
    Setting("6 speakers x 50", 6, 50, 0.10, 0.5, 0.05, 6),
    Setting("8 speakers x 12", 8, 12, 0.10, 0.5, 0.05, 6),
    Setting("10 speakers x 13, as AN4's test", 10, 13, 0.12, 0.5, 0.1, 6),
    Setting("12 speakers x 10", 12, 10, 0.10, 0.5, 0.05, 6),
    Setting("20 speakers x 10", 20, 10, 0.10, 0.5, 0.05, 6),
    Setting("20 speakers x 20, very unlike", 20, 20, 0.05, 0.8, 0.05, 8),
    Setting("40 speakers x 10, very unlike", 40, 10, 0.10, 0.7, 0.05, 8),
]


def coverage(setting: Setting, corpora: int, resamples: int, seed: int = 1) -> tuple[float, float]:
    """The part of the simulated corpora whose interval holds the truth, and the median width."""
    chance = np.random.default_rng(seed)
    covered, widths = 0, []
    for number in range(corpora):
        errors, words = setting.corpus(chance)
        interval = ratio_interval(errors, words, resamples=resamples, seed=number)
        assert interval is not None
        covered += interval.low <= setting.wer <= interval.high
        widths.append(interval.high - interval.low)
    return covered / corpora, float(np.median(widths))


@pytest.mark.parametrize("name", ["100 utterances of 6 words", "8 speakers x 12", "20 speakers x 10"])
def test_the_interval_holds_the_truth_as_often_as_it_says(name: str) -> None:
    setting = next(setting for setting in SETTINGS if setting.name == name)
    covered, _ = coverage(setting, corpora=400, resamples=300)
    assert 0.92 <= covered <= 0.98  # two standard errors around 95 %


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_coverage_over_a_thousand_corpora(setting: Setting) -> None:
    covered, width = coverage(setting, corpora=1000, resamples=500)
    print(f"| {setting.name} | {setting.wer:.1%} | {covered:.1%} | {100 * width:.2f} points |")
    assert 0.93 <= covered <= 0.97


def test_the_simulated_corpora_have_the_rate_that_they_say() -> None:
    chance = np.random.default_rng(0)
    for setting in SETTINGS:
        drawn = [setting.corpus(chance) for _ in range(300)]
        rate = sum(errors.sum() for errors, _ in drawn) / sum(words.sum() for _, words in drawn)
        assert rate == pytest.approx(setting.wer, rel=0.1)


def test_with_many_units_the_interval_is_that_of_the_normal_theory() -> None:
    chance = np.random.default_rng(3)
    errors, words = chance.poisson(1.0, 2000).astype(float), np.full(2000, 10.0)
    interval = ratio_interval(errors, words, resamples=4000)
    width = t.ppf(0.975, 1999) * errors.std(ddof=1) / np.sqrt(2000) / 10
    assert interval is not None
    assert interval.low == pytest.approx(errors.mean() / 10 - width, rel=0.02)
    assert interval.high == pytest.approx(errors.mean() / 10 + width, rel=0.02)


def test_the_same_seed_gives_the_same_interval() -> None:
    errors, words = np.arange(20.0), np.full(20, 30.0)
    assert ratio_interval(errors, words) == ratio_interval(errors, words)
    assert ratio_interval(errors, words) != ratio_interval(errors, words, seed=2)


def test_no_error_at_all_does_not_mean_that_there_are_none() -> None:
    interval = ratio_interval(np.zeros(50), np.full(50, 2.0))
    assert interval is not None
    assert interval.low == 0
    assert interval.high == pytest.approx(0.0369, abs=1e-4)  # 3.69 / 100: exact, of a Poisson count of 0


def test_too_little_gives_no_interval() -> None:
    assert ratio_interval(np.ones(1), np.ones(1)) is None
    assert ratio_interval(np.ones(3), np.zeros(3)) is None
    assert ratio_interval(np.array([30.0, 40.0]), np.array([200.0, 150.0])) is None
    assert ratio_interval(np.full(6, 6.0), np.full(6, 6.0)) is None  # of one rate: nothing varies


def test_speakers_are_drawn_where_all_are_known() -> None:
    units = sampling(["a", "b", "a", "c", "d"])
    assert (units.unit, units.count) == ("speakers", 4)
    assert units.sums([1, 2, 3, 4, 5]).tolist() == [4, 2, 4, 5]
    assert sampling(["a", "b", "c", "d", None]).unit == "utterances"
    assert sampling(["a"] * 9).unit == "utterances"


def test_speakers_who_differ_make_the_interval_wider() -> None:
    chance = np.random.default_rng(0)
    speakers = np.repeat(np.arange(10), 30)
    errors = chance.binomial(5, np.repeat(np.linspace(0, 0.4, 10), 30)).astype(float)
    together = sampling([str(speaker) for speaker in speakers])
    alone = ratio_interval(errors, np.full(300, 5.0))
    clustered = ratio_interval(together.sums(errors), together.sums(np.full(300, 5.0)))
    assert alone is not None and clustered is not None
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_the_interval_of_a_difference_goes_with_its_p() -> None:
    chance = np.random.default_rng(0)
    words = np.full(200, 8.0)
    for shift in np.linspace(0, 0.4, 9):
        differences = chance.normal(shift, 1.0, 200)
        interval, p = difference_interval(differences, words, 200, resamples=2000)
        assert (interval.low > 0 or interval.high < 0) == (p < 0.05)
        plain = 2 * t.sf(abs(differences.mean()) / (differences.std(ddof=1) / np.sqrt(200)), 199)
        assert p == pytest.approx(plain, abs=0.03)
    assert difference_interval(np.zeros(200), words, 0, resamples=100)[1] == 1.0
