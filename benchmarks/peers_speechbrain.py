"""SpeechBrain at the sizes of the benchmarks: its networks, its beam search and its features."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from benchmarking import Run, Sizes
from torch import Tensor, nn
from torch.nn import functional

from asr_seq2seq.text.tokenizer import END, PADDING, START

CHANNELS = (128, 256)  # of the CRDNN's blocks of convolutions, as in its recipe
DROPOUT = 0.15


class Pyramid(nn.Module):
    """SpeechBrain's LSTM layers with 2 frames joined before each."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        from speechbrain.nnet.RNN import LSTM

        inputs = [2 * sizes.mels] + [4 * sizes.units] * (sizes.layers - 1)
        self.layers = nn.ModuleList(LSTM(sizes.units, input_size=size, bidirectional=True) for size in inputs)
        self.size = 2 * sizes.units

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, T, F) -> encoded (B, T // 2 ** layers, E)."""
        for layer in self.layers:
            pairs = features.shape[1] // 2
            features, _ = layer(features[:, : 2 * pairs].reshape(len(features), pairs, -1))
        return features


class Crdnn(nn.Module):
    """The encoder of its LibriSpeech recipe at the sizes here: convolutions, LSTM layers, a linear layer.

    The recipe makes time shorter only after the convolutions, by 8; `pooled` does so between them too,
    which is less work.
    """

    def __init__(self, sizes: Sizes, *, pooled: bool) -> None:
        super().__init__()
        from speechbrain.lobes.models.CRDNN import CRDNN
        from speechbrain.nnet.RNN import LSTM

        layers = {"rnn_class": LSTM, "rnn_layers": sizes.layers, "rnn_neurons": sizes.units}
        layers |= {"cnn_blocks": len(CHANNELS), "cnn_channels": CHANNELS}
        layers |= {"dnn_blocks": 1, "dnn_neurons": sizes.units, "dropout": DROPOUT}
        shorter = {"time_pooling": True, "time_pooling_size": 2 if pooled else 8, "using_2d_pooling": pooled}
        self.network = CRDNN(input_size=sizes.mels, **layers, **shorter)
        self.size = sizes.units

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, T, F) -> encoded (B, T // 8, E)."""
        encoded: Tensor = self.network(features)
        return encoded


class SpeechBrainNetwork(nn.Module):
    """An encoder, and SpeechBrain's decoder with location attention."""

    def __init__(self, sizes: Sizes, encoder: Pyramid | Crdnn) -> None:
        super().__init__()
        from speechbrain.nnet.embedding import Embedding
        from speechbrain.nnet.linear import Linear
        from speechbrain.nnet.RNN import AttentionalRNNDecoder

        units = sizes.units
        self.encoder = encoder
        self.embedding = Embedding(num_embeddings=sizes.symbols, embedding_dim=units)
        location = {"channels": sizes.channels, "kernel_size": sizes.width}  # the width to each side
        self.decoder = AttentionalRNNDecoder(
            "lstm", "location", units, units, num_layers=1, enc_dim=encoder.size, input_size=units, **location
        )
        self.output = Linear(n_neurons=sizes.symbols, input_size=units)
        self.ctc_head = Linear(n_neurons=sizes.symbols, input_size=encoder.size)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Features (B, T, F), tokens (B, U) from the start symbol on -> log-probabilities (B, U, V)."""
        encoded = self.encoder(features)
        hidden, _ = self.decoder(self.embedding(tokens), encoded, whole(encoded))
        logits: Tensor = self.output(hidden)
        return logits.log_softmax(-1)


def whole(batch: Tensor) -> Tensor:
    """SpeechBrain's relative lengths (B,), where nothing is padding."""
    return torch.ones(len(batch), device=batch.device)


def loss(model: SpeechBrainNetwork, features: Tensor, tokens: Tensor) -> Any:
    """Features (B, T, F), tokens (B, U) -> the mean cross entropy of the tokens and the end."""
    from speechbrain.nnet.losses import nll_loss

    inputs, targets = functional.pad(tokens, (1, 0), value=START), functional.pad(tokens, (0, 1), value=END)
    return nll_loss(model(features, inputs), targets, length=whole(features))


def searches(peer: SpeechBrainNetwork, frames: Tensor, ctc_weight: float, sizes: Sizes) -> dict[str, Run]:
    """SpeechBrain's beam search; with CTC, scored for all symbols (full) or the decoder's best (partial)."""
    from speechbrain.decoders import S2SRNNBeamSearcher
    from speechbrain.decoders.scorer import CTCScorer, ScorerBuilder

    scorers: dict[str, Any] = {"SpeechBrain": None}
    if ctc_weight:
        ctc, share = CTCScorer(peer.ctc_head, PADDING, END), {"ctc": ctc_weight}
        full = ScorerBuilder(weights=share, full_scorers=[ctc])
        partly = ScorerBuilder(weights=share, partial_scorers=[ctc], scorer_beam_scale=1.5)
        scorers = {"SpeechBrain, full": full, "SpeechBrain, partial": partly}
    # Like ours, it takes a step more than it writes characters; the product is rounded down.
    limit = (sizes.tokens + 1.5) / frames.shape[1]
    settings: dict[str, Any] = {"bos_index": START, "eos_index": END, "beam_size": sizes.beam}
    settings |= {"min_decode_ratio": limit, "max_decode_ratio": limit}

    @torch.inference_mode()
    def texts(searcher: nn.Module) -> list[list[int]]:
        best: list[list[int]] = searcher(frames, whole(frames))[0]
        assert {len(text) for text in best} == {sizes.tokens}
        return best

    parts = (peer.embedding, peer.decoder, peer.output)
    return {
        name: partial(texts, S2SRNNBeamSearcher(*parts, scorer=scorer, **settings).eval())
        for name, scorer in scorers.items()
    }


def log_mel(sizes: Sizes, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Sound (B, N) -> log-mel frames (B, T, F)."""
    from speechbrain.lobes.features import Fbank

    fbank: nn.Module = Fbank(sample_rate=sizes.sample_rate, n_mels=sizes.mels).to(device)
    return fbank
