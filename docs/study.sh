#!/usr/bin/env bash
# The study of docs/study.md, from audio to curves: some minutes on two cores.
#   docs/study.sh SPEECH_DIR OUT_DIR [FIFTY_HZ_STORE]
# SPEECH_DIR: LibriSpeech layout; FIFTY_HZ_STORE: any other latents store to repeat it on.
set -euo pipefail
speech=$1; out=$2; other=${3:-}
driftscope=${DRIFTSCOPE:-driftscope}
mkdir -p "$out"
export DRIFTSCOPE_RUNS="$out/runs"

fit() { # KIND HORIZON FOLDER STORE
  $driftscope --quiet fit "$1" --store "$4" --out "$3/predictors/$1-k$2.safetensors" --force \
    --set hidden_dim=256 --set n_components=4 --set horizon="$2" --set max_steps=1500
}

study() { # NAME STORE
  local at=$out/$1 store=$2
  mkdir -p "$at/predictors"
  for k in 1 2 4 8 16; do fit mdn $k "$at" "$store"; done
  fit vmf 1 "$at" "$store"
  $driftscope --quiet evaluate --store "$store" --predictor "$at/predictors" --horizons 1,2,4,8 --json "$at/evaluate.json"
  for kind in mdn vmf; do
    $driftscope --quiet inject --store "$store" --predictor "$at/predictors/$kind-k1.safetensors" --direct "$at/predictors" --utterances 44 \
      --json "$at/inject-$kind.json" --figures "$at/figures-$kind" --force
  done
}

[ -e "$out/speech/latents.zarr" ] || $driftscope encode "$speech" --codec demo --store "$out/speech/latents.zarr"
study speech "$out/speech/latents.zarr"
utterance=$(head -1 "$out/speech/splits/eval_utt_ids.txt")
$driftscope rollout --store "$out/speech/latents.zarr" --predictor "$out/speech/predictors/mdn-k1.safetensors" --utterance "$utterance" --start 20 --steps 16 \
  --wav "$out/rollout.wav" --force
$driftscope synth --store "$out/speech/latents.zarr" --utterance "$utterance" --modes gt,stationary,slow:0.75,wrong-direction --out "$out/sounds" --force
[ -z "$other" ] || study other "$other"
