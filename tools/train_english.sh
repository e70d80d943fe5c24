#!/bin/sh
# The model `english` and its card, from the corpora in ../shared/data: one command, some twelve hours of one core that
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

later_stage() { # NUMBER EPOCHS LEARNING_RATE OPTION...: one that begins with the model of the stage before
  number=$1 epochs=$2 learning_rate=$3
  shift 3
  stage "english_$number" --set "seed=$number" --set "training.start_from=runs/english_$((number - 1))/model.safetensors" \
    --set "training.epochs=$epochs" --set "training.learning_rate=$learning_rate" --set data.batch_seconds=120 \
    --set augmentation.padding.probability=0.3 "$@"
}

train_on() { # PART...: the setting that names these manifests of corpora/wav
  printf 'data.train=['
  printf 'corpora/wav/%s.jsonl,' "$@"
  printf ']'
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

stage english_1
later_stage 2 8 1.5e-3
# Speechocean762 four times and half of the dialogue: what the dev sets need.
speechocean=speechocean762/manifest
reading="librispeech/manifest librispeech5/manifest librispeech_voices/manifest"
long="$speechocean $speechocean $speechocean $speechocean $reading dialogue/half prompts/manifest"
# shellcheck disable=SC2086 # several names
later_stage 3 3 1e-3 --set "$(train_on $long fsdd/manifest digit_strings/manifest)"
# A short one with single digits four times: in longer speech they are too few to be kept in mind.
digits="fsdd/manifest fsdd/manifest fsdd/manifest fsdd/manifest digit_strings/manifest digit_strings/manifest"
short="$speechocean $reading prompts/manifest $digits"
# shellcheck disable=SC2086
later_stage 4 1 4e-4 --set training.warmup_steps=50 --set "$(train_on $short)"
# All of it again, with masks against learning by heart and more often with silence or faint noise around it.
masks="--set features.spec_augment.time_masks=2 --set features.spec_augment.time_width=15
  --set features.spec_augment.frequency_masks=1 --set features.spec_augment.frequency_width=12"
# shellcheck disable=SC2086
later_stage 5 4 1.2e-3 --set training.warmup_steps=50 --set augmentation.padding.probability=0.5 $masks \
  --set "$(train_on $long $digits)"
# The short one once more, for the same reason.
# shellcheck disable=SC2086
later_stage 6 1 4e-4 --set training.warmup_steps=50 --set "$(train_on $short)"

asr-seq2seq average runs/english_6/model.safetensors -o asr_seq2seq/model_file/pretrained/english.safetensors --half
python tools/model_card.py docs/cards/english.yaml --out asr_seq2seq/model_file/pretrained/english.md
