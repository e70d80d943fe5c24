from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from asr_seq2seq.inference.loading import LoadedModel, load, save_copy


class Suited:
    """A language model, of which only what suits it is looked at."""

    suits: ClassVar[dict[str, Any]] = {
        "lm_weight": 0.7,
        "length_reward": 1.0,
        "ctc_weight": 0.45,
        "beam_size": 12,
        "confidence_temperature": 2.0,
        "confidence_offset": 1.0,
    }


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load("digits")


def test_what_suits_the_language_model_stands_between_the_model_and_the_user(model: LoadedModel) -> None:
    lm: Any = Suited()
    own, suited = model.options(), model.options(lm=lm)
    assert suited == replace(own, **Suited.suits)
    given = model.options({"lm_weight": 0.2, "beam_size": 3, "ctc_weight": None}, lm)
    assert given == replace(suited, lm_weight=0.2, beam_size=3)


def test_a_network_without_ctc_is_not_given_a_weight_of_it(model: LoadedModel) -> None:
    lm: Any = Suited()
    network = model.config.model.model_copy(update={"ctc_weight": 0.0})
    headless = replace(model, config=model.config.model_copy(update={"model": network}))
    assert headless.options(lm=lm).ctc_weight == headless.options().ctc_weight
    assert headless.options(lm=lm).lm_weight == 0.7


def test_a_copy_has_what_the_user_set_and_not_what_the_language_model_brought(
    model: LoadedModel, tmp_path: Path
) -> None:
    lm: Any = Suited()
    save_copy(model, model.options({"lm_weight": 0.2, "beam_size": 3}, lm), tmp_path / "a.safetensors", lm=lm)
    assert load(tmp_path / "a.safetensors").options() == replace(model.options(), lm_weight=0.2, beam_size=3)
