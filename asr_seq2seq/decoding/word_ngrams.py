"""Word n-grams in a search that spells, with look-ahead inside the open word.

The score of a beginning of a word is the probability of all words that begin so (Hori, Cho and Watanabe
2018, section 3.2, here with n-grams): a wrong character costs at once, and a whole word has cost exactly log
p(w | h) where it ends. A word that the vocabulary lacks is spelled by character trigrams, after the model's
unknown word:

    p(beginning | h) = sum of p(w | h) over words w that begin so + p(unknown | h) p_spelling(beginning)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from asr_seq2seq.decoding.prefix_tree import END_OF_WORD, PrefixTree
from asr_seq2seq.decoding.scorers import IMPOSSIBLE, Float64
from asr_seq2seq.model_file.word_ngrams import HistoryLevel, WordNgrams
from asr_seq2seq.runtime.protocol import Integers
from asr_seq2seq.text.tokenizer import END, FIRST_CHARACTER, Alphabet

_BITS = 16  # of a word's number
_UNIT = 2.0**-52  # shares are summed in whole units, so that differences of running sums are exact
_FOREIGN = math.log(1e-6)  # of a character that no word of the model has
_LEAST = 1e-300
_NONE = -1


class _Level:
    """The n-grams of one order as one sorted table of (history, word), with running sums of their shares."""

    def __init__(self, level: HistoryLevel, below: int) -> None:
        """`below` n-grams of the order below can be histories."""
        owners = np.repeat(np.arange(len(level.counts)), level.counts)
        self.keys = (owners << _BITS) + level.words
        units = np.rint(level.shares / _UNIT).astype(np.uint64)
        self.sums = np.zeros(len(units) + 1, np.uint64)
        np.cumsum(units, out=self.sums[1:])  # modulo 2 ** 64, as are the differences
        self.rests = np.append(level.rests, 1.0)  # the last for no history
        self.histories = np.full(below + 1, _NONE)
        self.histories[level.histories] = np.arange(len(level.histories))

    def places(self, histories: Integers, words: Integers) -> Integers:
        """Where (history, word) is in the table, or would be; histories that are none are before all."""
        return np.searchsorted(self.keys, (histories << _BITS) + words)

    def find(self, histories: Integers, words: Integers) -> Integers:
        """The n-grams (history, word), `_NONE` where there is none."""
        if not len(self.keys):  # all n-grams of an order can have been pruned
            return np.full_like(words, _NONE)
        places = self.places(histories, words)
        known = np.minimum(places, len(self.keys) - 1)
        found = (self.keys[known] == (histories << _BITS) + words) & (histories != _NONE)
        return np.where(found, known, _NONE)


class NgramTable:
    """What `WordNgrams` says of ranges of words, for many histories at once.

    Histories are (R, N): for each order from 2 the number of its history among those of that order, or none.
    """

    def __init__(self, model: WordNgrams) -> None:
        self.boundary, self.unknown = len(model.words), len(model.words) + 1
        self.unigrams = np.concatenate([[0.0], np.cumsum(model.unigrams)])
        self.levels: list[_Level] = []
        below = len(model.unigrams)
        for level in model.levels:
            self.levels.append(_Level(level, below))
            below = len(level.words)

    def sums(self, histories: Integers, bounds: Integers) -> Float64:
        """p of the words from each bound (M,) to the next, by the history of the former, (M, N): (M - 1,)."""
        p: Float64 = np.diff(self.unigrams[bounds])
        for level, history in zip(self.levels, histories.T, strict=True):
            own = np.diff(level.sums[level.places(history, bounds)])
            p = own * np.where(history[:-1] == _NONE, 0.0, _UNIT) + level.rests[history[:-1]] * p
        return np.maximum(p, 0.0)

    def after(self, histories: Integers, words: Integers) -> Integers:
        """The histories (R, N) after one more word each, (R,)."""
        result = np.empty_like(histories)
        place = words
        for column, level in enumerate(self.levels):
            result[:, column] = level.histories[place]
            if column + 1 < len(self.levels):
                place = level.find(histories[:, column], words)
        return result


@dataclass(frozen=True)
class _Open:
    """Hypotheses (B, K) with a word that is open.

    `text` is log p of the words before, `histories` (B, K, N) what these leave to the table, `end` log p(end
    of the text | these) where the word is empty; `nodes` is where the word stands in the tree, `unknown` log
    p of an unknown word that begins so, `context` its last two symbols.
    """

    text: Float64
    histories: Integers
    end: Float64
    nodes: Integers
    unknown: Float64
    context: Integers


@dataclass(frozen=True)
class WordNgramState:
    """Open hypotheses, and what they become with one more symbol of the model, (B, K, A + 1).

    `children` are nodes, `known` log p of the words below them, `unknown` of unknown words; `closed` (B, K)
    is log p of the whole word, `after` (B, K, N) the histories behind it, `ends` (B, K) p of the end of the
    text there, and `strange` (B, K) log p of an unknown word.
    """

    open: _Open
    children: Integers
    known: Float64
    unknown: Float64
    closed: Float64
    after: Integers
    ends: Float64
    strange: Float64


class LookAheadScorer:
    """log p(text begins so) by word n-grams, less a penalty for each word.

    Without the penalty all that may follow a beginning, the end of the text too, sums to it.
    """

    def __init__(self, model: WordNgrams, alphabet: Alphabet) -> None:
        """`alphabet` is the decoder's."""
        self.cost = math.log(max(1.0, float(model.provenance.get("dev_perplexity", 1.0))))
        self.suits: Mapping[str, float] = model.decoding.options()
        self.word_penalty = model.decoding.word_penalty
        self.table = NgramTable(model)
        characters = model.alphabet.characters
        self.tree = PrefixTree.of(model.words, characters)
        self.width = len(characters) + 1
        self.spelling = model.spelling.reshape(-1, self.width)  # by the two symbols before
        self.vocabulary, self.space = len(alphabet), alphabet.space
        # Of each of the decoder's symbols that of the model: END_OF_WORD for the space, `width` for none.
        own = [characters.find(character) + 1 or self.width for character in alphabet.characters]
        self.symbols = np.array([self.width] * FIRST_CHARACTER + own)
        self.symbols[self.space] = END_OF_WORD

    def start(self, batch: int) -> WordNgramState:
        """The empty text, K = 1."""
        words = np.full(batch, self.table.boundary)
        histories = self.table.after(np.full((batch, len(self.table.levels)), _NONE), words)
        ends, strange = self._ends(histories)
        shape = batch, 1
        return self._ahead(
            _Open(
                text=np.zeros(shape),
                histories=histories.reshape(*shape, -1),
                end=np.log(ends).reshape(shape),
                nodes=np.zeros(shape, np.int64),
                unknown=strange.reshape(shape),
                context=np.zeros(shape, np.int64),
            )
        )

    def scores(self, state: WordNgramState) -> Float64:
        """(B, K, V): log p that the text begins with each continuation; at END, that it is the text."""
        text = state.open.text[..., None]
        both = np.logaddexp(state.known, state.unknown)
        strange = state.open.unknown[..., None] + _FOREIGN
        scores: Float64 = text + np.concatenate([both, strange], axis=2)[..., self.symbols]
        closed = state.open.text + state.closed
        scores[..., self.space] = closed + np.log1p(-state.ends)
        # Behind a space the text can end too, as it can before it.
        before = state.open.text + np.minimum(state.open.end, np.log1p(-np.exp(state.open.end)))
        empty = (state.open.nodes == 0) & (state.open.context == 0)
        scores[..., END] = np.where(empty, before, closed + np.log(state.ends))
        return np.maximum(scores, IMPOSSIBLE)

    def advance(self, state: WordNgramState, parents: Integers, tokens: Integers) -> WordNgramState:
        """The states of hypotheses (B, K'): parent row within the utterance, and the character added."""
        rows = np.arange(len(parents))[:, None], parents
        symbols = self.symbols[tokens]
        inside = np.minimum(symbols, self.width - 1)
        foreign, closes = symbols == self.width, symbols == END_OF_WORD
        before, ends = state.open, state.ends[rows]
        unknown = np.where(foreign, before.unknown[rows] + _FOREIGN, state.unknown[(*rows, inside)])
        nodes = np.where(foreign, _NONE, state.children[(*rows, inside)])
        context = before.context[rows] % self.width * self.width + np.where(foreign, 0, symbols)
        return self._ahead(
            _Open(
                text=before.text[rows] + np.where(closes, state.closed[rows], 0.0),
                histories=np.where(closes[..., None], state.after[rows], before.histories[rows]),
                end=np.where(closes, np.log(ends), before.end[rows]),
                nodes=np.where(closes, 0, nodes),
                unknown=np.where(closes, state.strange[rows], unknown),
                context=np.where(closes, 0, context),
            )
        )

    def keep(self, state: WordNgramState, utterances: Integers) -> tuple[LookAheadScorer, WordNgramState]:
        """The scorer itself, and the state of only these utterances, (B',)."""
        opened = _Open(*(getattr(state.open, field.name)[utterances] for field in fields(_Open)))
        rest = (getattr(state, field.name)[utterances] for field in fields(state)[1:])
        return self, WordNgramState(opened, *rest)

    def _ahead(self, hypotheses: _Open) -> WordNgramState:
        shape = hypotheses.text.shape
        histories = hypotheses.histories.reshape(-1, len(self.table.levels))  # (R, N)
        children, known = self._children(histories, hypotheses.nodes.ravel())
        unknown = hypotheses.unknown[..., None] + self.spelling[hypotheses.context]
        whole = children[:, END_OF_WORD]
        words = np.where(whole == _NONE, self.table.unknown, self.tree.first[whole])
        after = self.table.after(histories, words)
        ends, strange = self._ends(after)
        known = known.reshape(*shape, -1)
        return WordNgramState(
            hypotheses,
            children.reshape(*shape, -1),
            known,
            unknown,
            closed=np.logaddexp(known[..., END_OF_WORD], unknown[..., END_OF_WORD]) - self.word_penalty,
            after=after.reshape(*shape, -1),
            ends=ends.reshape(shape),
            strange=strange.reshape(shape),
        )

    def _children(self, histories: Integers, nodes: Integers) -> tuple[Integers, Float64]:
        """The child of each node (R,) by each symbol, and log p of the words below it, (R, A + 1) each."""
        children = np.full((len(nodes), self.width), _NONE)
        known = np.full(children.shape, -np.inf)
        first = self.tree.children[nodes]
        counts = np.where(nodes == _NONE, 0, self.tree.children[nodes + 1] - first)
        # The first word of each child, and behind them the end of the range of all.
        bounds = np.where(counts, counts + 1, 0)
        rows = np.repeat(np.arange(len(nodes)), bounds)
        if not len(rows):
            return children, known
        places = np.arange(len(rows)) - np.repeat(np.cumsum(bounds) - bounds, bounds)
        is_child = places < counts[rows]
        found = np.where(is_child, first[rows] + places, 0)
        limits = np.where(is_child, self.tree.first[found], self.tree.last[nodes[rows]])
        p = self.table.sums(histories[rows], limits)[is_child[:-1]]
        cells = rows[is_child], self.tree.symbols[found[is_child]]
        children[cells] = found[is_child]
        with np.errstate(divide="ignore"):
            known[cells] = np.log(p)
        return children, known

    def _ends(self, histories: Integers) -> tuple[Float64, Float64]:
        """p(end of the text | history) and log p(unknown word | history), (R,) each."""
        bounds = self.table.boundary + np.arange(3)
        p = self.table.sums(np.repeat(histories, 3, axis=0), np.tile(bounds, len(histories)))
        p = np.clip(p, _LEAST, 1 - 1e-12)  # no end is sure or ruled out, whatever a file says
        return p[0::3], np.log(p[1::3])
