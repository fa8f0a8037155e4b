#!/usr/bin/env bash
# The study of docs/study.md, from audio to curves: about a quarter of an hour on two cores.
#   docs/study.sh SPEECH_DIR OUT_DIR [FIFTY_HZ_STORE]
# SPEECH_DIR: LibriSpeech layout; FIFTY_HZ_STORE: any other latents store to repeat it on. Tables go to OUT_DIR/*/*.txt.
set -euo pipefail
speech=$1; out=$2; other=${3:-}
driftscope=${DRIFTSCOPE:-driftscope}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
export DRIFTSCOPE_RUNS="$out/runs"

fit() { # KIND HORIZON FOLDER STORE
  $driftscope --quiet fit "$1" --store "$4" --out "$3/predictors/$1-k$2.safetensors" --force \
    --set hidden_dim=256 --set n_components=4 --set horizon="$2" --set max_steps=1500
}

study() { # NAME STORE
  local at=$out/$1 store=$2 k kind
  mkdir -p "$at/predictors"
  for kind in mdn vmf; do
    for k in 1 2 4 8 16; do fit $kind $k "$at" "$store"; done
  done
  $driftscope --quiet evaluate --store "$store" --predictor "$at/predictors" --horizons 1,2,4,8 --json "$at/evaluate.json" | tee "$at/evaluate.txt"
  for kind in mdn vmf; do
    $driftscope --quiet inject --store "$store" --predictor "$at/predictors/$kind-k1.safetensors" --direct "$at/predictors/$kind-k2.safetensors" \
      --direct "$at/predictors/$kind-k4.safetensors" --direct "$at/predictors/$kind-k8.safetensors" --direct "$at/predictors/$kind-k16.safetensors" \
      --utterances 30 --json "$at/inject-$kind.json" --figures "$at/figures" --force | tee "$at/inject-$kind.txt"
  done
}

# The evaluation side is the thirty speakers that the embedded codec was not trained on either.
[ -e "$out/speech/latents.zarr" ] || $driftscope encode "$speech" --codec demo --store "$out/speech/latents.zarr" \
  --eval-speakers "$(paste -sd, "$here/../assets/codec/held_out_speakers.txt")"
study speech "$out/speech/latents.zarr"
utterance=$(head -1 "$out/speech/splits/eval_utt_ids.txt")
$driftscope rollout --store "$out/speech/latents.zarr" --predictor "$out/speech/predictors/mdn-k1.safetensors" --utterance "$utterance" --start 20 --steps 16 \
  --wav "$out/rollout.wav" --force
$driftscope synth --store "$out/speech/latents.zarr" --utterance "$utterance" --modes gt,stationary,slow:0.75,wrong-direction --out "$out/sounds" --force
[ -z "$other" ] || study other "$other"
