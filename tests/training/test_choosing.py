import pytest

from asr_seq2seq import bundled
from asr_seq2seq.corpora import Utterance
from asr_seq2seq.training.choosing import choose_recipe, shared


@pytest.mark.parametrize(
    ("hours", "recipe"), [(0.5, "english_finetune"), (50, "librispeech_100"), (900, "librispeech_960")]
)
def test_a_recipe_by_the_size_of_the_corpus(hours: float, recipe: str) -> None:
    assert choose_recipe(hours).recipe == recipe
    assert recipe in bundled.recipes()


def test_what_two_sets_share() -> None:
    train = [Utterance("a", "one", "a.wav", 1.0, speaker="x"), Utterance("b", "two", "b.wav", 1.0, start=1.0)]
    apart = [Utterance("c", "three", "b.wav", 1.0, speaker="y")]
    assert shared(train, apart) == []
    alike = [Utterance("d", "one", "b.wav", 1.0, start=1.0, speaker="x")]
    found = shared(train, [*apart, *alike])
    assert found == [
        "1 speaker",
        "the sentences of 1 of 2 dev utterances",
        "the sound of 1 of 2 dev utterances",
    ]
