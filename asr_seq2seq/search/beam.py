"""Beam search over a batch of utterances at once; greedy search is a beam of 1.

No loop runs over utterances or hypotheses. Every hypothesis ends: at the length limit, which
derives from the number of encoded frames, only the end symbol is left to choose. An utterance
stops when nothing still open can beat its best finished text, so neither the batch it is in nor
the steps others need can change its result.
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
from asr_seq2seq.text import END, PADDING, START, UNKNOWN

_SHORTEST_LIMIT = 8  # characters that even the shortest sound may have
_LOOKED_AT = 0.5  # attention that a frame must have had, all steps together, to count as covered
_CHECK_EVERY = 4  # steps between two tests whether all utterances are done: each waits for the device


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
    device, batch = encoded.encoded.device, len(encoded.lengths)
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
    weights = torch.tensor(list(shares.values()), dtype=dtype, device=device)  # (P,)
    limits = length_limits(encoded.lengths, config.tokens_per_frame)
    longest = int(limits.max())

    utterances = torch.arange(batch, device=device)[:, None]  # (B, 1)
    # Open hypotheses: summed decoder log-probability, texts, and how sure each choice was; one at first.
    decoder = torch.zeros(batch, 1, dtype=dtype, device=device)
    tokens = torch.full((batch, 1), START, device=device)
    texts = torch.full((batch, beam, longest + 1), PADDING, device=device)
    chosen = torch.zeros(batch, beam, longest + 1, device=device)
    opened = torch.ones(batch, 1, dtype=torch.bool, device=device)
    looked = torch.zeros(batch, 1, encoded.encoded.shape[1], device=device)  # (B, K, T')
    # Finished ones: score, length and the P parts of the score; texts; choices.
    done_parts = torch.full((2 + len(shares), batch, beam), float("-inf"), dtype=dtype, device=device)
    done_texts, done_chosen = texts.clone(), chosen.clone()

    for step in range(longest + 1):
        logits, state = model.decoder.step(tokens.flatten(), state)
        log_p = (logits.to(dtype) / config.temperature).log_softmax(-1)
        grown = decoder[..., None] + log_p.view(batch, -1, logits.shape[-1])  # (B, K, V)
        joined = [scorer.scores(old) for scorer, old in zip(scorers, states, strict=True)]
        if covers and state.weights is not None:
            looked = looked + state.weights.view(batch, -1, looked.shape[2])
            covered = (looked > _LOOKED_AT).sum(-1).to(dtype)  # (B, K)
            joined.append(covered[..., None].expand_as(grown))
        parts = torch.stack((grown, *joined))  # (P, B, K, V)
        total = torch.tensordot(weights, parts, 1) + reward * (step + 1)
        total[..., END] -= reward
        total[..., [PADDING, START, UNKNOWN]] = float("-inf")
        sure = total.log_softmax(-1)  # what hypotheses have in common, their past, falls out
        must_end = (step >= limits)[:, None, None] & (torch.arange(total.shape[2], device=device) != END)
        total = total.masked_fill(must_end | ~opened[..., None], float("-inf"))

        candidates = min(beam, total[0].numel())
        scores, choice = total.flatten(1).topk(candidates)  # (B, K)
        parents, tokens = choice // total.shape[2], choice % total.shape[2]
        parts = parts.flatten(2).gather(2, choice.expand(len(parts), -1, -1))  # (P, B, K)
        decoder = parts[0]
        rows = parents[..., None].expand(-1, -1, longest + 1)
        texts, chosen = texts.gather(1, rows), chosen.gather(1, rows)
        chosen[..., step] = sure.flatten(1).gather(1, choice)

        ended = (tokens == END) & scores.isfinite()
        new_parts = torch.stack((scores, torch.full_like(scores, step), *parts))
        new_parts = new_parts.masked_fill(~ended, float("-inf"))
        best, order = torch.cat((done_parts[0], new_parts[0]), dim=1).topk(beam)
        done_parts = torch.cat((done_parts, new_parts), dim=2).gather(2, order.expand(len(new_parts), -1, -1))
        kept = order[..., None].expand(-1, -1, longest + 1)
        done_texts = torch.cat((done_texts, texts), dim=1).gather(1, kept)
        done_chosen = torch.cat((done_chosen, chosen), dim=1).gather(1, kept)

        opened = ~ended & scores.isfinite()
        # No text that begins with an open hypothesis can score more than this.
        gain = max(reward, 0.0) * (limits - step - 1).clamp_min(0)[:, None]
        if covers:
            gain = gain + config.coverage_weight * (encoded.lengths[:, None] - parts[-1])
        hope = (scores + gain).masked_fill(~opened, float("-inf")).amax(1)  # (B,)
        opened &= (hope > best[:, 0])[:, None]
        if step == longest or ((step + 1) % _CHECK_EVERY == 0 and not opened.any()):
            break
        texts[:, :candidates, step] = tokens
        state = state.select((parents + utterances * total.shape[1]).flatten())
        if covers:
            looked = looked.gather(1, parents[..., None].expand(-1, -1, looked.shape[2]))
        states = [scorer.advance(old, parents, tokens) for scorer, old in zip(scorers, states, strict=True)]
    return _collect(done_parts, done_texts, done_chosen, list(shares), reward)


def _collect(
    numbers: Tensor, texts: Tensor, chosen: Tensor, names: list[str], reward: float
) -> list[list[Hypothesis]]:
    results = []
    for rows, row_texts, row_chosen in zip(
        numbers.permute(1, 2, 0).tolist(), texts.tolist(), chosen.tolist(), strict=True
    ):
        results.append(
            [
                Hypothesis(
                    tuple(text[: int(length)]),
                    score,
                    **dict(zip(names, parts, strict=True)),
                    reward=reward * int(length),
                    chosen=tuple(choices[: int(length) + 1]),
                )
                for (score, length, *parts), text, choices in zip(rows, row_texts, row_chosen, strict=True)
                if score > float("-inf")
            ]
        )
    return results
