"""ESPnet at the sizes of the benchmarks: the network of its RNN recipes, and its beam search."""

from __future__ import annotations

import logging
from typing import Any

import torch
from benchmarking import Run, Sizes
from torch import Tensor, nn

PACKAGES = "configargparse editdistance humanfriendly kaldiio nltk sentencepiece torch_complex typeguard"
INSTALLATION = f"pip install --no-deps espnet && pip install {PACKAGES}"


def is_news(record: logging.LogRecord) -> bool:
    """Not what ESPnet warns of at every call: that it cannot be traced, that a text is as long as can be."""
    return record.levelno > logging.WARNING or record.module not in {"nets_utils", "beam_search"}


def network(sizes: Sizes, ctc_weight: float) -> Any:
    """Its RNN encoder, which skips every second frame after each layer, and its location-aware decoder.

    The last symbol is start and end, the first one the blank of CTC, which it has where the weight is not 0.
    """
    for name in (None, "espnet.nets.beam_search"):
        logging.getLogger(name).addFilter(is_news)
    from espnet2.asr.ctc import CTC
    from espnet2.asr.decoder.rnn_decoder import RNNDecoder
    from espnet2.asr.encoder.rnn_encoder import RNNEncoder
    from espnet2.asr.espnet_model import ESPnetASRModel

    units = sizes.units
    encoder = RNNEncoder(
        sizes.mels,
        num_layers=sizes.layers,
        hidden_size=units,
        output_size=units,
        subsample=[2] * sizes.layers,
    )
    attention = {"atype": "location", "adim": units}
    attention |= {"aconv_chans": sizes.channels, "aconv_filts": sizes.width}  # the width to each side
    decoder = RNNDecoder(sizes.symbols, units, num_layers=1, hidden_size=units, att_conf=attention)
    names = ["<blank>", "<unk>", *map(str, range(2, sizes.symbols - 1)), "<sos/eos>"]
    absent = ("frontend", "specaug", "normalize", "preencoder", "postencoder", "joint_network")
    return ESPnetASRModel(
        sizes.symbols,
        names,
        encoder=encoder,
        decoder=decoder,
        ctc=CTC(sizes.symbols, units),
        ctc_weight=ctc_weight,
        **dict.fromkeys(absent),
    )


def loss(model: nn.Module, features: Tensor, tokens: Tensor) -> Any:
    """Features (B, T, F), tokens (B, U) of which none is the last symbol -> its cross entropy."""
    lengths = torch.full((len(features),), features.shape[1], device=features.device)
    token_lengths = torch.full_like(lengths, tokens.shape[1])
    return model(speech=features, speech_lengths=lengths, text=tokens, text_lengths=token_lengths)[0]


def searches(model: Any, frames: Tensor, ctc_weight: float, sizes: Sizes) -> dict[str, Run]:
    """Its beam search over encoded frames (1, T', E); CTC scores the decoder's best symbols.

    One utterance at a time: its search in batches does not take its RNN decoder.
    """
    from espnet.nets.beam_search import BeamSearch
    from espnet.nets.scorers.ctc import CTCPrefixScorer

    end = sizes.symbols - 1
    searcher = BeamSearch(
        scorers={"decoder": model.decoder, "ctc": CTCPrefixScorer(model.ctc, end)},
        weights={"decoder": 1 - ctc_weight, "ctc": ctc_weight},
        beam_size=sizes.beam,
        vocab_size=sizes.symbols,
        sos=end,
        eos=end,
        pre_beam_score_key="full",
    ).eval()

    @torch.inference_mode()
    def texts() -> list[int]:
        # A negative limit is a number of symbols.
        best: list[int] = searcher(frames[0], maxlenratio=-float(sizes.tokens))[0].yseq.tolist()
        assert len(best) == sizes.tokens + 2  # with start and end
        return best

    return {"ESPnet": texts}
