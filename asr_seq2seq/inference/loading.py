"""A model file, made ready to compute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from asr_seq2seq import bundled
from asr_seq2seq.config import DecodingConfig, RecognizerSettings
from asr_seq2seq.decoding.options import DecodingOptions
from asr_seq2seq.decoding.scorers import LanguageModelScorer, TextScorer
from asr_seq2seq.errors import ConfigError, ModelFileError
from asr_seq2seq.extras import needed
from asr_seq2seq.model_file.acoustic import longest_seconds, read_model, write_model
from asr_seq2seq.model_file.vocabulary import Vocabulary, vocabulary
from asr_seq2seq.outputs import keep_inputs
from asr_seq2seq.runtime.onnx_model import OnnxModel
from asr_seq2seq.runtime.protocol import AcousticModel, LanguageModel
from asr_seq2seq.runtime.session import RuntimeOptions
from asr_seq2seq.text.normalizer import Normalizer
from asr_seq2seq.text.tokenizer import Alphabet


@dataclass(frozen=True)
class LoadedModel:
    """A model that can be recognized with: the network behind its protocol, and all that its file says.

    `path` is the file, None of a model that has none yet.
    """

    acoustic: AcousticModel
    config: RecognizerSettings
    alphabet: Alphabet
    normalizer: Normalizer
    provenance: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @property
    def longest_seconds(self) -> float:
        """The longest utterance that the model was trained on; a longer one is cut into segments."""
        return longest_seconds(self.provenance)

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The words of the training texts, where the file tells."""
        return vocabulary(self.provenance)

    def options(
        self, changes: Mapping[str, Any] | None = None, lm: TextScorer | None = None
    ) -> DecodingOptions:
        """The model's own decoding options with those in `changes` that are not None in their place.

        What the language model `lm` says of itself stands between the two.

        ConfigError for an option that is unknown, out of its range, or that the network cannot follow.
        """
        given = {name: value for name, value in (changes or {}).items() if value is not None}
        if given.get("ctc_weight") and not self.config.model.ctc_weight:
            raise ConfigError("this model has no CTC head, so that ctc_weight must be 0 or left out")
        if given.get("coverage_weight") and not self.acoustic.has_attention:
            raise ConfigError("this model has no attention, so that coverage_weight must be 0 or left out")
        suits = {} if lm is None else dict(lm.suits)
        if not self.config.model.ctc_weight:
            suits.pop("ctc_weight", None)
        return DecodingOptions.from_config(self.config.decoding).changed(suits | given)


def load(path: str | Path | None = None, options: RuntimeOptions | None = None) -> LoadedModel:
    """Read a model file, or a bundled model by its name; the default one where `path` is None.

    It is computed in onnxruntime, or in PyTorch where the options' backend says so. Raises ModelFileError in
    one sentence for a file that is missing, damaged or from another program.
    """
    found = bundled.default() if path is None else bundled.find(path)
    arrays = read_model(found)
    acoustic: AcousticModel
    if options is not None and options.backend == "torch":
        acoustic = _torch_backend().acoustic_model(arrays, options)
    else:
        acoustic = OnnxModel(arrays, options)
    return LoadedModel(acoustic, arrays.config, arrays.alphabet, arrays.normalizer, arrays.provenance, found)


def save_copy(
    model: LoadedModel,
    options: DecodingOptions,
    path: Path,
    *,
    lm: TextScorer | None = None,
    half: bool = False,
) -> None:
    """Write the model file anew with these decoding options as its own; `half` stores weights as float16.

    Options as the language model `lm` has them are left out: they suit no search without it.
    """
    if model.path is None:
        raise ModelFileError("this model was not loaded from a file: there is none to copy")
    keep_inputs([path], [model.path])
    arrays = read_model(model.path)
    names = DecodingConfig.model_fields.keys() & {one.name for one in fields(options)}
    suits = {} if lm is None else lm.suits
    names -= {name for name, value in suits.items() if getattr(options, name) == value}
    changed = arrays.config.decoding.model_copy(update={name: getattr(options, name) for name in names})
    config = arrays.config.model_copy(update={"decoding": changed})
    write_model(path, replace(arrays, config=config), half=half)


def _torch_backend() -> ModuleType:
    with needed("the backend torch", "train"):
        import torch  # noqa: F401

        from asr_seq2seq.model import torch_backend
    return torch_backend


def load_text_scorer(
    path: str | Path, alphabet: Alphabet, options: RuntimeOptions | None = None
) -> TextScorer:
    """What a search with a model of this alphabet needs of the language model in `path`.

    A word n-gram model, an ARPA file or a binary one of kenlm, is known by its content, or by its name;
    any other file is one of `train-lm`, or one that is bundled.
    """
    from asr_seq2seq.decoding.ngram_file import is_word_ngram
    from asr_seq2seq.model_file.storage import format_of
    from asr_seq2seq.model_file.word_ngrams import FORMAT, read_word_ngrams

    found = bundled.find(path)
    if is_word_ngram(found):
        from asr_seq2seq.decoding.ngram import WordNgramScorer

        return WordNgramScorer(found, alphabet)
    if format_of(found, "train-lm") == FORMAT:
        from asr_seq2seq.decoding.word_ngrams import LookAheadScorer

        return LookAheadScorer(read_word_ngrams(found), alphabet)
    return _character_scorer(found, alphabet, options)


def _character_scorer(path: Path, alphabet: Alphabet, options: RuntimeOptions | None) -> TextScorer:
    from asr_seq2seq.model_file.language import read_language_model
    from asr_seq2seq.runtime.onnx_language_model import OnnxLanguageModel

    own = read_language_model(path)
    perplexity = float(own.provenance.get("dev_perplexity", 1.0))
    cost = math.log(max(1.0, perplexity))
    model: LanguageModel
    if options is not None and options.backend == "torch":
        model = _torch_backend().language_model(own, options)
    else:
        model = OnnxLanguageModel(own, options)
    return LanguageModelScorer(model, own.alphabet, alphabet, cost)
