"""Beam search over a batch of utterances at once; greedy search is a beam of 1.

No loop runs over utterances or hypotheses. Every hypothesis ends: at the length limit, which
derives from the number of encoded frames, only the end symbol is left to choose. An utterance
stops when nothing still open can beat its best finished text, so neither the batch it is in nor
the steps others need can change its result. Those that have stopped leave the batch when they are half of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asr_seq2seq.config import SearchConfig
from asr_seq2seq.model.decoder import State
from asr_seq2seq.model.seq2seq import Encoded, Seq2Seq
from asr_seq2seq.search.hypothesis import Hypothesis
from asr_seq2seq.search.scorers import CtcPrefixScorer, Scorer, TextScorer, precise
from asr_seq2seq.text.tokenizer import END, PADDING, START, UNKNOWN

_SHORTEST_LIMIT = 8  # characters that even the shortest sound may have
_LOOKED_AT = 0.5  # attention that a frame must have had, all steps together, to count as covered
_CHECK_EVERY = 4  # steps between two tests which utterances are done: each waits for the device


def length_limits(lengths: Tensor, tokens_per_frame: float | None) -> Tensor:
    """Encoded lengths (B,) -> the largest number of characters a text may have, (B,); None means 1."""
    return (lengths * (tokens_per_frame or 1.0)).ceil().long().clamp_min(_SHORTEST_LIMIT)


@torch.inference_mode()
def search(
    model: Seq2Seq, encoded: Encoded, config: SearchConfig, lm: TextScorer | None = None
) -> list[list[Hypothesis]]:
    """The best texts of each utterance, best first, at most `beam_size` and at least one.

    The score of a text y is (1 - w) log p_decoder(y) + w log p_ctc(y) + v log p_lm(y) + c coverage(y)
    + reward * len(y), w the weight of CTC (Watanabe et al. 2017, section II-C), v that of a language
    model (Gulcehre et al. 2015, section 4.1), c that of the number of frames that attention has
    covered (Chorowski and Jaitly 2017); prefixes are scored alike. A language model makes every text
    pay for its length; the reward that is not set pays back what it takes on average.
    """
    beam = config.beam_size
    device, batch, lengths = encoded.encoded.device, len(encoded.lengths), encoded.lengths
    dtype = precise(device)
    shares = {"decoder": 1.0}
    scorers: list[Scorer] = []
    states: list[Any] = []
    if encoded.ctc is not None and config.ctc_weight:
        shares = {"decoder": 1 - config.ctc_weight, "ctc": config.ctc_weight}
        scorers.append(ctc := CtcPrefixScorer(encoded.ctc, encoded.lengths))
        states.append(ctc.start())
    if lm is not None and config.lm_weight:
        shares["lm"] = config.lm_weight
        scorers.append(lm)
        states.append(lm.start(batch))
    state: State = model.decoder.start(encoded.encoded, encoded.lengths, encoded.context)
    covers = config.coverage_weight > 0 and state.memory is not None
    if covers:
        shares["coverage"] = config.coverage_weight
    reward = config.length_reward
    if reward is None:
        reward = shares.get("lm", 0.0) * (lm.cost if lm is not None else 0.0)
    limits = length_limits(encoded.lengths, config.tokens_per_frame)
    shortest, longest = int(limits.min()), int(limits.max())

    utterances = torch.arange(batch, device=device)[:, None]  # (B, 1)
    symbols = torch.arange(model.decoder.vocabulary, device=device)  # (V,)
    rewards = torch.full_like(symbols, reward, dtype=dtype)
    rewards[END] = 0.0
    rewards[[PADDING, START, UNKNOWN]] = float("-inf")
    # Hypotheses: summed decoder log-probability, -inf where nothing may be added; last token; one at first.
    decoder = torch.zeros(batch, 1, dtype=dtype, device=device)
    tokens = torch.full((batch, 1), START, device=device)
    looked = torch.zeros(batch, 1, encoded.encoded.shape[1], device=device)  # (B, K, T')
    best = torch.full((batch,), float("-inf"), dtype=dtype, device=device)  # finished score
    # Of each step: parents and tokens; scores, how sure each choice was, and the P parts of the scores.
    choices = torch.zeros(2, longest + 1, batch, beam, dtype=torch.long, device=device)
    numbers = torch.full((2 + len(shares), *choices.shape[1:]), float("-inf"), dtype=dtype, device=device)

    rows: slice | Tensor = slice(None)  # those of `choices` and `numbers` that are still in the batch
    for step in range(longest + 1):
        logits, state = model.decoder.step(tokens.flatten(), state)
        log_p = (logits.to(dtype) / config.temperature).log_softmax(-1)
        grown = decoder[..., None] + log_p.view(batch, -1, logits.shape[-1])  # (B, K, V)
        joined = [scorer.scores(old) for scorer, old in zip(scorers, states, strict=True)]
        if covers and state.weights is not None:
            looked = looked + state.weights.view(batch, -1, looked.shape[2])
            covered = (looked > _LOOKED_AT).sum(-1).to(dtype)  # (B, K)
            joined.append(covered[..., None].expand_as(grown))
        total = rewards + reward * step  # (V,)
        for part, share in zip((grown, *joined), shares.values(), strict=True):
            total = torch.add(total, part, alpha=share)  # (B, K, V)
        sure = total.log_softmax(-1)  # what hypotheses have in common, their past, falls out
        if step >= shortest:
            must_end = (step >= limits)[:, None, None] & (symbols != END)
            total = total.masked_fill(must_end, float("-inf"))

        candidates = min(beam, total[0].numel())
        scores, choice = total.flatten(1).topk(candidates)  # (B, K)
        parents, tokens = choice // len(symbols), choice % len(symbols)
        sure, *parts = (part.flatten(1).gather(1, choice) for part in (sure, grown, *joined))
        choices[:, step][:, rows, :candidates] = torch.stack((parents, tokens))
        numbers[:, step][:, rows, :candidates] = torch.stack((scores, sure, *parts))

        ended = tokens == END
        best = torch.maximum(best, scores.masked_fill(~ended, float("-inf")).amax(1))
        hopes = scores.masked_fill(ended, float("-inf"))
        decoder = parts[0].masked_fill(hopes == float("-inf"), float("-inf"))
        if step == longest:
            break
        checked = (step + 1) % _CHECK_EVERY == 0
        if checked:
            # No text that begins with an open hypothesis can score more than this.
            if reward > 0:
                hopes = hopes + reward * (limits - step - 1).clamp_min(0)[:, None]
            if covers:
                hopes = hopes + config.coverage_weight * (lengths[:, None] - parts[-1])
            done = hopes.amax(1) <= best  # (B,)
            stopped = int(done.sum())
            if stopped == batch:
                break
            decoder = decoder.masked_fill(done[:, None], float("-inf"))
        state = state.select((parents + utterances * total.shape[1]).flatten())
        if covers:
            looked = looked.gather(1, parents[..., None].expand(-1, -1, looked.shape[2]))
        states = [scorer.advance(old, parents, tokens) for scorer, old in zip(scorers, states, strict=True)]
        if checked and 2 * stopped >= batch:
            kept = (~done).nonzero()[:, 0]  # (B',)
            rows, batch = kept if isinstance(rows, slice) else rows[kept], len(kept)
            decoder, tokens, best, looked = decoder[kept], tokens[kept], best[kept], looked[kept]
            limits, lengths, utterances = limits[kept], lengths[kept], utterances[:batch]
            state = state.keep(kept)
            pairs = [scorer.keep(old, kept) for scorer, old in zip(scorers, states, strict=True)]
            scorers, states = [scorer for scorer, _ in pairs], [old for _, old in pairs]
    return _collect(choices[:, : step + 1], numbers[:, : step + 1], list(shares), reward)


def _collect(choices: Tensor, numbers: Tensor, names: list[str], reward: float) -> list[list[Hypothesis]]:
    """Choices (2, S, B, K) and numbers (2 + P, S, B, K) of all steps -> the best finished texts."""
    (parents, tokens), beam = choices, choices.shape[3]
    scores = numbers[0].masked_fill(tokens != END, float("-inf")).transpose(0, 1).flatten(1)  # (B, S * K)
    scores, place = scores.topk(beam)
    ends, slots = place // beam, place % beam  # (B, K): the step that ended a text, and where in the beam
    parts = numbers[2:].transpose(1, 2).flatten(2).gather(2, place.expand(len(names), -1, -1))  # (P, B, K)
    # From each end back to the beginning.
    texts, chosen = torch.empty_like(tokens), torch.empty_like(numbers[1])
    for step in reversed(range(len(tokens))):
        texts[step] = tokens[step].gather(1, slots)
        chosen[step] = numbers[1, step].gather(1, slots)
        slots = torch.where(step <= ends, parents[step].gather(1, slots), slots)
    return [
        [
            Hypothesis(
                tuple(text[:length]),
                score,
                **dict(zip(names, of_text, strict=True)),
                reward=reward * length,
                chosen=tuple(sure[: length + 1]),
            )
            for length, score, of_text, text, sure in zip(*rows, strict=True)
            if score > float("-inf")
        ]
        for rows in zip(
            ends.tolist(),
            scores.tolist(),
            parts.permute(1, 2, 0).tolist(),
            texts.permute(1, 2, 0).tolist(),
            chosen.permute(1, 2, 0).tolist(),
            strict=True,
        )
    ]
