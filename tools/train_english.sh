#!/bin/sh
# The model `english` and its card, from the corpora in ../shared/data: one command, some eleven hours of one core that
# computes in bfloat16. Run it from the clone, where asr-seq2seq is installed:
#   sh tools/train_english.sh
# It can be cut at any moment. The same command goes on: what is there is kept, and training resumes where it was.
set -eu
export OMP_NUM_THREADS=1
data=../shared/data
dev=0003,0044,0092,0094,0111,0113,0120,0133,0157,0457,0563,0736

missing() { [ ! -e "corpora/$1" ]; }

decoded() { # NAME MANIFEST [OPTION...]: a corpus as WAV, which is read much faster than what is compressed
  name=$1 manifest=$2
  shift 2
  if missing "wav/$name"; then python tools/decode_corpus.py --source "$manifest" --out "corpora/wav/$name" "$@"; fi
}

selected() { # OUT SOURCE OPTION...
  out=$1 source=$2
  shift 2
  if missing "$out"; then python tools/select_utterances.py --source "$source" --out "corpora/$out" "$@"; fi
}

stage() { # NAME OPTION...: a run to its end
  run=runs/$1
  shift
  if [ ! -e "$run/complete" ]; then
    asr-seq2seq train configs/english.yaml --run "$run" "$@"
    touch "$run/complete"
  fi
}

if missing digit_strings/english; then
  python tools/make_digit_strings.py --source $data/fsdd/train.jsonl --count 600 --seed 1 --out corpora/digit_strings/english
fi
for name in speechocean762 librispeech librispeech5 librispeech_voices fsdd; do
  decoded $name $data/$name/train.jsonl
done
decoded prompts $data/prompts/train.jsonl --foreign '#*()'
decoded dialogue $data/dialogue/train.jsonl --foreign '#*()<>@^_/É' --without configs/dialogue_without.txt
decoded digit_strings corpora/digit_strings/english/manifest.jsonl
selected wav/dialogue/half.jsonl corpora/wav/dialogue/manifest.jsonl --hours 3.5
if missing acoustics; then python tools/make_acoustics.py --speech $data/librispeech/train.jsonl --out corpora/acoustics; fi
selected english_dev/speechocean762.jsonl $data/speechocean762/dev.jsonl --speakers $dev
selected english_dev/librispeech.jsonl $data/librispeech/dev.jsonl --speakers 422
selected english_other/speechocean762.jsonl $data/speechocean762/dev.jsonl --exclude-speakers $dev
selected english_other/librispeech.jsonl $data/librispeech/dev.jsonl --exclude-speakers 422
selected speechocean_digits/dev.jsonl $data/speechocean762/dev.jsonl --words zero,one,two,three,four,five,six,seven,eight,nine
if missing test_acoustics; then
  python tools/make_acoustics.py --rooms 0 --noises 40 --seed 2 --speech $data/librispeech/dev.jsonl --out corpora/test_acoustics
fi
for ratio in 20 10 5; do
  if missing noisy/speechocean762_$ratio; then
    python tools/make_noisy.py --source corpora/english_dev/speechocean762.jsonl --noises corpora/test_acoustics/noises \
      --snr $ratio --out corpora/noisy/speechocean762_$ratio
  fi
done

padding="--set augmentation.padding.probability=0.3"
stage english_1
# shellcheck disable=SC2086 # two words
stage english_2 --set seed=2 --set training.start_from=runs/english_1/model.safetensors --set training.epochs=8 \
  --set training.learning_rate=1.5e-3 --set data.batch_seconds=120 $padding
# Speechocean762 four times and half of the dialogue: what the dev sets need.
train=corpora/wav/speechocean762/manifest.jsonl
train=$train,$train,$train,$train,corpora/wav/dialogue/half.jsonl
for name in librispeech librispeech5 librispeech_voices prompts fsdd digit_strings; do
  train=$train,corpora/wav/$name/manifest.jsonl
done
# shellcheck disable=SC2086
stage english_3 --set seed=3 --set training.start_from=runs/english_2/model.safetensors --set training.epochs=3 \
  --set training.learning_rate=1e-3 --set data.batch_seconds=120 --set "data.train=[$train]" $padding

# A short one with more of single digits, which so few words make that longer speech forgets them.
train=corpora/wav/fsdd/manifest.jsonl
train=$train,$train,$train,$train,corpora/wav/digit_strings/manifest.jsonl
for name in speechocean762 librispeech librispeech5 librispeech_voices prompts digit_strings; do
  train=$train,corpora/wav/$name/manifest.jsonl
done
# shellcheck disable=SC2086
stage english_4 --set seed=4 --set training.start_from=runs/english_3/model.safetensors --set training.epochs=1 \
  --set training.learning_rate=4e-4 --set training.warmup_steps=50 --set data.batch_seconds=120 --set "data.train=[$train]" $padding

asr-seq2seq average runs/english_4/model.safetensors -o asr_seq2seq/model_file/pretrained/english.safetensors --half
python tools/model_card.py docs/cards/english.yaml --out asr_seq2seq/model_file/pretrained/english.md
