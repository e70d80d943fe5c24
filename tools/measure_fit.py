"""How well the utterances of a corpus fit their texts under a model: finds recordings whose text is another.

For each utterance the losses of its reference per character, of the decoder and of the CTC head, and what the
CTC head alone would write (the best path). Utterances whose decoder loss is far above the corpus's median
are to be listened to; short ones may be high because the model does not know such words.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated, Any

import corpus_folder
import torch
import typer
from torch import Tensor
from torch.nn import functional

from asr_seq2seq import audio
from asr_seq2seq.errors import ConfigError
from asr_seq2seq.files import to_json
from asr_seq2seq.model.features import pad
from asr_seq2seq.model.files import ModelFile, load_model
from asr_seq2seq.model.seq2seq import Seq2Seq
from asr_seq2seq.outputs import keep_inputs
from asr_seq2seq.text.tokenizer import END, PADDING, START

_BATCH_SECONDS = 200.0


def losses(model: Seq2Seq, sound: list[Tensor], tokens: list[Tensor]) -> list[tuple[float, float, list[int]]]:
    """Sounds (N_i,) and their characters (U_i,) -> (decoder loss, CTC loss, best path) of each.

    Losses are per character, the decoder's with the end symbol.
    """
    padded, lengths = pad(sound)
    targets, counts = pad(tokens)
    targets = targets.long()
    encoded = model.encode(padded, lengths)
    if encoded.ctc is None:
        raise ConfigError(
            "the model has no CTC head; give one that was trained with model.ctc_weight above 0"
        )
    inputs = functional.pad(targets, (1, 0), value=START)
    ends = functional.pad(targets, (0, 1)).scatter(1, counts[:, None], END)
    logits = model.decoder(inputs, encoded.encoded, encoded.lengths, encoded.context).float()
    decoder = functional.cross_entropy(
        logits.transpose(1, 2), ends, ignore_index=PADDING, reduction="none"
    ).sum(1)
    ctc = functional.ctc_loss(
        encoded.ctc.transpose(0, 1), targets, encoded.lengths, counts, blank=PADDING, reduction="none"
    )
    best = [
        torch.unique_consecutive(row[:length].argmax(1)).tolist()
        for row, length in zip(encoded.ctc, encoded.lengths.tolist(), strict=True)
    ]
    return [
        (float(d) / (count + 1), float(c) / max(count, 1), [symbol for symbol in path if symbol != PADDING])
        for d, c, count, path in zip(decoder, ctc, counts.tolist(), best, strict=True)
    ]


@torch.inference_mode()
def measure(model_file: ModelFile, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records with `decoder`, `ctc` and `ctc_text`, the worst fit of the decoder first."""
    model = model_file.model.eval()
    config = model_file.config.features
    if config.kind != "logmel":
        raise ConfigError("only a trained model of sound can be asked how well texts fit")
    records = sorted(records, key=lambda record: float(record["duration"]))
    found = []
    while records:
        count = max(1, min(64, int(_BATCH_SECONDS / max(float(records[0]["duration"]), 0.1))))
        batch, records = records[:count], records[count:]
        sound = [
            torch.from_numpy(
                audio.load(
                    record["audio_filepath"],
                    config.sample_rate,
                    offset=record.get("offset", 0.0),
                    duration=record["duration"],
                )
            )
            for record in batch
        ]
        texts = [model_file.normalizer(record["text"]) for record in batch]
        tokens = [torch.tensor(model_file.alphabet.encode(text)).long() for text in texts]
        for record, (decoder, ctc, path) in zip(batch, losses(model, sound, tokens), strict=True):
            text = model_file.alphabet.decode(path)
            found.append(record | {"decoder": round(decoder, 3), "ctc": round(ctc, 3), "ctc_text": text})
    return sorted(found, key=lambda record: -record["decoder"])


def main(
    model: Annotated[Path, typer.Argument(help="Model file.")],
    corpus: Annotated[Path, typer.Argument(help="JSON-lines manifest with durations.")],
    out: Annotated[Path, typer.Option(help="JSON lines to write, the worst first.")],
) -> None:
    """Write how well each utterance of CORPUS fits its text under MODEL.

    Example: python tools/measure_fit.py runs/english_more/model.safetensors
    ../shared/data/dialogue/train.jsonl --out fit/dialogue.jsonl
    """
    keep_inputs([out], [model, corpus])
    torch.set_num_threads(1)
    found = measure(load_model(model), corpus_folder.read_manifest(corpus))
    with corpus_folder.writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("".join(to_json(record, allow_nan=True) + "\n" for record in found), encoding="utf-8")
    middle = [statistics.median(record[name] for record in found) for name in ("decoder", "ctc")]
    typer.echo(f"{out}: medians per character: decoder {middle[0]:.2f}, CTC {middle[1]:.2f}", err=True)


if __name__ == "__main__":
    corpus_folder.run(main)
