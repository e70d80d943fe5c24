import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asr_seq2seq.config import LogMelConfig, PrecomputedConfig
from asr_seq2seq.corpora import Utterance
from asr_seq2seq.corpora.features import read_features
from asr_seq2seq.corpora.reading import read_sound
from asr_seq2seq.corpora.utterance import Features
from asr_seq2seq.errors import CorpusError
from asr_seq2seq.model.features import pad
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet
from asr_seq2seq.training.batching import (
    Batch,
    Batches,
    hold_out,
    seed_from,
    within_limits,
)
from asr_seq2seq.training_config import AugmentationConfig, DataConfig

TEXTS = ["One two", "three", "four-five six", "seven", "oh oh oh"]
SECONDS = [0.1 + 0.02 * number for number in range(24)]


def utterance_of(identity: str, seconds: float, path: str = "none.wav", text: str = "one") -> Utterance:
    return Utterance(identity, text, path, seconds)


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory, write_wav: Callable[..., Path]) -> list[Utterance]:
    folder = tmp_path_factory.mktemp("sound")
    made = []
    for number, seconds in enumerate(SECONDS):
        path = write_wav(folder / f"{number}.wav", seconds, rate=8000, seed=number)
        made.append(utterance_of(f"u{number}", seconds, str(path), TEXTS[number % len(TEXTS)]))
    return made


NORMALIZER = Normalizer.named("english-v1")
ALPHABET = Alphabet.from_texts(NORMALIZER(text) for text in TEXTS)


def batches_of(utterances: list[Utterance], data: dict[str, Any] | None = None, **settings: Any) -> Batches:
    config = DataConfig.model_validate({"batch_seconds": 1.5, "buckets": 4, "workers": 0} | (data or {}))
    return Batches(
        utterances,
        config,
        features=LogMelConfig(sample_rate=8000),
        alphabet=ALPHABET,
        normalizer=NORMALIZER,
        **settings,
    )


def names(batches: Batches) -> list[list[str]]:
    return [batch.ids for batch in batches]


def all_names(batches: Batches) -> list[str]:
    return [name for batch in batches for name in batch.ids]


def test_pad_sound() -> None:
    sound, lengths = pad([torch.ones(2), torch.ones(4)])
    assert sound.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert lengths.tolist() == [2, 4]


def test_a_batch_holds_sound_and_text(utterances: list[Utterance]) -> None:
    durations = {one.id: one.duration for one in utterances}
    texts = {one.id: one.text for one in utterances}
    for batch in batches_of(utterances):
        assert isinstance(batch, Batch)
        assert batch.texts == [NORMALIZER(texts[name]) for name in batch.ids]
        for row, name in enumerate(batch.ids):
            count, length = int(batch.lengths[row]), int(batch.token_lengths[row])
            assert count == round(durations[name] * 8000)
            assert batch.inputs[row, :count].any() and not batch.inputs[row, count:].any()
            assert ALPHABET.decode(batch.tokens[row, :length].tolist()) == batch.texts[row]
            assert not batch.tokens[row, length:].any()
        assert batch.seconds == pytest.approx(int(batch.lengths.sum()) / 8000)
        moved = batch.to(torch.device("cpu"))
        assert torch.equal(moved.inputs, batch.inputs) and moved.ids == batch.ids


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_utterance_comes_once_an_epoch(utterances: list[Utterance], shuffle: bool) -> None:
    batches = batches_of(utterances, shuffle=shuffle)
    assert batches.seconds == pytest.approx(sum(SECONDS))
    for epoch in range(3):
        batches.sampler.epoch = epoch
        assert sorted(all_names(batches)) == sorted(one.id for one in utterances)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_broken_off_does_not_harm_the_next(utterances: list[Utterance], workers: int) -> None:
    batches = batches_of(utterances, {"workers": workers}, shuffle=True)
    next(iter(batches))
    assert sorted(all_names(batches)) == sorted(one.id for one in utterances)


def test_batches_keep_to_the_budget(utterances: list[Utterance]) -> None:
    found = list(batches_of(utterances, shuffle=True))
    assert len(found) > 3
    for batch in found:
        assert batch.inputs.numel() / 8000 <= 1.5 + max(SECONDS)
    assert sum(batch.seconds for batch in found) / len(found) > 0.5


@pytest.mark.parametrize("data", [{"buckets": 1}, {"buckets": 1000}, {"batch_seconds": 0.05}], ids=str)
def test_any_number_of_buckets_and_any_budget(utterances: list[Utterance], data: dict[str, Any]) -> None:
    assert sorted(all_names(batches_of(utterances, data, shuffle=True))) == sorted(
        one.id for one in utterances
    )


@pytest.mark.parametrize("count", [1, 2])
def test_very_few_utterances(utterances: list[Utterance], count: int) -> None:
    few = utterances[:count]
    assert sorted(all_names(batches_of(few, shuffle=True))) == [f"u{n}" for n in range(count)]


def test_an_utterance_longer_than_a_batch_comes_by_itself_and_unremarked(
    utterances: list[Utterance], recwarn: pytest.WarningsRecorder
) -> None:
    assert [len(batch) for batch in names(batches_of(utterances, {"batch_seconds": 0.01}))] == [1] * len(
        utterances
    )
    assert not recwarn


def test_utterances_of_one_length(utterances: list[Utterance]) -> None:
    same = [replace(utterances[0], id=f"copy{number}") for number in range(9)]
    assert len(all_names(batches_of(same, shuffle=True))) == 9


def test_the_order_follows_from_seed_and_epoch(utterances: list[Utterance]) -> None:
    def order(seed: int, epoch: int) -> list[list[str]]:
        batches = batches_of(utterances, shuffle=True, seed=seed)
        batches.sampler.epoch = epoch
        return names(batches)

    assert order(seed=1, epoch=0) == order(seed=1, epoch=0)
    assert order(seed=1, epoch=3) == order(seed=1, epoch=3)
    assert order(seed=1, epoch=0) != order(seed=1, epoch=1)
    assert order(seed=1, epoch=0) != order(seed=2, epoch=0)


def test_an_epoch_can_be_repeated(utterances: list[Utterance]) -> None:
    batches = batches_of(utterances, shuffle=True)
    orders = []
    for epoch in (0, 1, 0):
        batches.sampler.epoch = epoch
        orders.append(names(batches))
    assert orders[0] == orders[2] != orders[1]


def test_a_worker_reads_the_same(utterances: list[Utterance]) -> None:
    here, there = batches_of(utterances, shuffle=True), batches_of(utterances, {"workers": 1}, shuffle=True)
    for epoch in (0, 1):
        here.sampler.epoch = there.sampler.epoch = epoch
        for one, other in zip(here, there, strict=True):
            assert one.ids == other.ids and one.texts == other.texts
            assert torch.equal(one.inputs, other.inputs) and torch.equal(one.tokens, other.tokens)


def test_what_cannot_be_read_is_named_and_left_out(utterances: list[Utterance], tmp_path: Path) -> None:
    (tmp_path / "b.wav").write_bytes(b"no sound")
    bad = [
        utterance_of("missing", 0.3, str(tmp_path / "a.wav")),
        utterance_of("broken", 0.2, str(tmp_path / "b.wav")),
    ]
    found = list(batches_of([*utterances, *bad], shuffle=True))
    problems = sorted(problem for batch in found for problem in batch.problems)
    assert [problem.partition(":")[0] for problem in problems] == ["utterance broken", "utterance missing"]
    assert sorted(name for batch in found for name in batch.ids) == sorted(one.id for one in utterances)
    for batch in found:
        assert len(batch.ids) == len(batch.texts) == len(batch.inputs) == len(batch.tokens)


def test_a_batch_of_nothing_readable_is_empty(tmp_path: Path) -> None:
    bad = [utterance_of(f"bad{number}", 0.3, str(tmp_path / "none.wav")) for number in range(2)]
    [batch] = batches_of(bad, {"batch_seconds": 10})
    assert len(batch.problems) == 2
    assert batch.ids == [] and batch.seconds == 0
    for tensor in (batch.inputs, batch.tokens, batch.lengths, batch.token_lengths):
        assert len(tensor) == 0
    assert batch.tokens.dtype == batch.lengths.dtype == batch.token_lengths.dtype == torch.long


def test_speed_perturbation_changes_lengths(utterances: list[Utterance]) -> None:
    torch.manual_seed(0)
    factors = [0.8, 1.0, 1.25]
    ratios = set()
    for batch in batches_of(utterances, augmentation=AugmentationConfig(speed_factors=factors)):
        for name, length in zip(batch.ids, batch.lengths.tolist(), strict=True):
            ratio = length / (SECONDS[int(name[1:])] * 8000)
            nearest = min(factors, key=lambda factor: abs(1 / factor - ratio))
            assert ratio == pytest.approx(1 / nearest, abs=0.01)
            ratios.add(nearest)
    assert ratios == set(factors)


def test_a_single_speed_is_applied_too(utterances: list[Utterance]) -> None:
    for batch in batches_of(utterances, augmentation=AugmentationConfig(speed_factors=[1.25])):
        for name, length in zip(batch.ids, batch.lengths.tolist(), strict=True):
            assert length == pytest.approx(SECONDS[int(name[1:])] * 8000 / 1.25, abs=2)


def test_too_short_and_too_long_utterances_are_left_out() -> None:
    utterances = [utterance_of(f"{seconds}", seconds) for seconds in (0.1, 0.5, 1.0, 2.0, 3.0)]
    kept, left_out = within_limits(utterances, DataConfig(min_seconds=0.5, max_seconds=2.0))
    assert [one.id for one in kept] == ["0.5", "1.0", "2.0"]
    assert left_out == 2
    with pytest.raises(CorpusError, match=r"none of the 5 .*data.min_seconds \(4\).*data.max_seconds"):
        within_limits(utterances, DataConfig(min_seconds=4))


@pytest.mark.parametrize(("fraction", "count"), [(0.1, 10), (0.001, 1), (0.5, 50)])
def test_some_utterances_are_held_out(fraction: float, count: int) -> None:
    utterances = [utterance_of(f"u{number}", 1.0) for number in range(100)]
    train, dev = hold_out(utterances, fraction)
    assert len(dev) == count and len(train) == 100 - count
    assert {one.id for one in train} | {one.id for one in dev} == {one.id for one in utterances}
    backwards = utterances[::-1]
    assert {one.id for one in hold_out(backwards, fraction)[1]} == {one.id for one in dev}


def test_too_few_utterances_to_hold_some_out() -> None:
    for count, fraction in ((1, 0.1), (2, 0.9)):
        utterances = [utterance_of(f"u{number}", 1.0) for number in range(count)]
        with pytest.raises(CorpusError, match=f"{count} utterances are too few"):
            hold_out(utterances, fraction)


def test_copies_of_an_utterance_are_held_out_together() -> None:
    once = [utterance_of(str(number), 1.0) for number in range(30)]
    utterances = [replace(one, id=f"{one.id}{copy}") for one in once for copy in ("", "#2", "#3")]
    train, dev = hold_out(utterances, 0.1)
    assert len(dev) == 3
    assert len(train) == 27 * 3
    assert not {one.id.partition("#")[0] for one in dev} & {one.id.partition("#")[0] for one in train}


def test_others_of_the_same_name_are_held_out_with_it_and_none_is_lost() -> None:
    pairs = [(utterance_of(str(n), 1.0, "a.wav"), utterance_of(f"{n}#2", 1.0, "b.wav")) for n in range(10)]
    train, dev = hold_out([one for pair in pairs for one in pair], 0.1)
    assert len(dev) == 2 and len(train) == 18
    assert {one.sound for one in dev} == {"a.wav", "b.wav"}


def test_a_noise_that_is_none_costs_an_utterance_and_not_the_run(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    (tmp_path / "broken.wav").write_text("no sound")
    augment = AugmentationConfig.model_validate({"noise": {"folder": str(tmp_path), "probability": 0.5}})
    found = list(batches_of(utterances, augmentation=augment, shuffle=True))
    problems = [problem for batch in found for problem in batch.problems]
    assert problems and all(str(tmp_path / "broken.wav") in problem for problem in problems)
    assert len(problems) + sum(len(batch.ids) for batch in found) == len(utterances)


def test_joined_utterances_are_read_one_after_another(utterances: list[Utterance]) -> None:
    utterances = [replace(one, speaker="a") for one in utterances]
    alone = {name: batch for batch in batches_of(utterances, {"batch_seconds": 0.05}) for name in batch.ids}
    joining = AugmentationConfig.model_validate({"joining": {"probability": 1.0, "max_seconds": 2.0}})
    longest = 0
    for batch in batches_of(utterances, augmentation=joining):
        for row, name in enumerate(batch.ids):
            parts = [alone[part] for part in name.split("+")]
            longest = max(longest, len(parts))
            expected = torch.cat([part.inputs[0, : part.lengths[0]] for part in parts])
            assert torch.equal(batch.inputs[row, : batch.lengths[row]], expected)
            assert batch.texts[row] == " ".join(part.texts[0] for part in parts)
    assert longest > 2


@pytest.mark.parametrize("workers", [0, 2])
def test_augmentation_follows_from_seed_epoch_and_name_alone(
    utterances: list[Utterance], workers: int
) -> None:
    augment = AugmentationConfig(speed_factors=[0.8, 1.0, 1.25], gain_decibels=6)

    def sounds(epoch: int, workers: int, **data: Any) -> dict[str, float]:
        batches = batches_of(
            utterances, {"workers": workers} | data, augmentation=augment, seed=3, shuffle=True
        )
        batches.sampler.epoch = epoch
        return {
            name: float(sound[:length].square().sum())
            for batch in batches
            for name, sound, length in zip(batch.ids, batch.inputs, batch.lengths, strict=True)
        }

    first = sounds(1, workers)
    assert first == pytest.approx(sounds(1, 0, batch_seconds=0.6))
    changed = sounds(2, workers)
    assert any(first[name] != pytest.approx(changed[name]) for name in first)


def test_a_plan_can_begin_in_the_middle_of_an_epoch(utterances: list[Utterance]) -> None:
    whole, rest = batches_of(utterances, shuffle=True), batches_of(utterances, shuffle=True)
    whole.sampler.epoch = rest.sampler.epoch = 2
    rest.sampler.skip = 3
    assert names(rest) == names(whole)[3:]


def with_features(path: Path) -> Utterance:
    return Utterance("a", "one two", None, 1.0, features=Features(str(path)))


def test_features_of_another_program_are_read(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).standard_normal((7, 3))
    np.save(tmp_path / "a.npy", frames)
    config = PrecomputedConfig(kind="precomputed", size=3)
    utterances = [with_features(tmp_path / "a.npy")]
    (batch,) = Batches(
        utterances, DataConfig(workers=0), features=config, alphabet=ALPHABET, normalizer=NORMALIZER
    )
    np.testing.assert_allclose(batch.inputs[0].numpy(), frames.astype(np.float32))
    assert batch.seconds == pytest.approx(0.07)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (np.zeros((4, 2)), "not frames of 3 numbers"),
        (np.zeros(4), "not frames of 3 numbers"),
        (np.zeros((0, 3)), "not frames of 3 numbers"),
        (np.zeros((4, 3), dtype=int), "not frames of 3 numbers"),
        (np.full((4, 3), np.nan), "not finite"),
        (np.array([{"a": 1}]), "cannot be read as features"),
        (b"rubbish", "cannot be read as features"),
        (None, "cannot be read as features"),
    ],
)
def test_bad_features_are_named(content: Any, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(CorpusError, match=f"a.npy: .*{problem}"):
        read_features(with_features(path), 3)


def test_sound_and_features_are_not_taken_for_each_other(utterances: list[Utterance], tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no features"):
        read_features(utterances[0], 3)
    with pytest.raises(CorpusError, match="no sound"):
        read_sound(with_features(tmp_path), 8000)


@pytest.mark.parametrize("shuffle", [False, True])
def test_only_workers_of_training_outlast_their_turn(utterances: list[Utterance], shuffle: bool) -> None:
    before = set(multiprocessing.active_children())
    batches = batches_of(utterances, {"workers": 1}, shuffle=shuffle)
    assert sum(map(len, names(batches))) == len(utterances)
    assert len(set(multiprocessing.active_children()) - before) == shuffle


def test_an_error_beside_workers_ends_the_program(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    lines = []
    for number in range(24):
        write_wav(tmp_path / f"{number}.wav", 0.2, rate=8000)
        lines.append(json.dumps({"audio_filepath": f"{number}.wav", "duration": 0.2, "text": "one"}))
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    (tmp_path / "program.py").write_text(
        "from asr_seq2seq.training.batching import *\n"
        "from asr_seq2seq.corpora import load_corpora\n"
        "def read():\n"
        f"    utterances = load_corpora([{str(tmp_path / 'all.jsonl')!r}])\n"
        "    batches = Batches(utterances, DataConfig(batch_seconds=1, workers=2), features=LogMelConfig(),\n"
        "                      alphabet=Alphabet.from_texts(['one']), normalizer=Normalizer.named('none'))\n"
        "    for batch in batches:\n"
        "        raise ValueError('as expected')\n"
        "if __name__ == '__main__':\n"
        "    read()\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1 and done.stderr.endswith("ValueError: as expected\n"), done.stderr


def test_names_need_not_be_text() -> None:
    name = "m\udcfcller"  # a file whose name is not UTF-8
    assert seed_from(1, name) == seed_from(1, name) != seed_from(1, "m\udcfdller")
    utterances = [utterance_of(f"{name}_{number}", 1.0) for number in range(4)]
    assert [len(part) for part in hold_out(utterances, 0.25)] == [3, 1]
