#!/usr/bin/env bash
# Makes everything in assets/ again, in order: voices, (codec), latents, predictors, packed latents.
#   assets/make.sh            all but the training of the codec: minutes on two cores
#   assets/make.sh --codec    the training of the codec too: about forty minutes on two cores
# Needs: the built program; espeak-ng, sox and flac for the voices; the audio that the predictors and the codec learn from.
set -euo pipefail
cd "$(dirname "$0")/.."
speech=${LIBRISPEECH_MINI:-../shared/data/librispeech-mini}
work=${WORK:-target/assets}
target=${CARGO_TARGET_DIR:-target}
run() { echo "+ driftscope $*" >&2; "$target/debug/driftscope" --seed "${seed:-42}" --runs "$work/runs" "$@"; }
[ -d "$speech" ] || { echo "make.sh: $speech is missing; set LIBRISPEECH_MINI to a folder of read speech (LibriSpeech layout)" >&2; exit 1; }
rm -rf "$work"; mkdir -p "$work"

# No speaker is on both sides: these voices are heard and measured, never trained on.
eval_voices=9003,9006,9008,9010,9013,9016

assets/demo/make-voices.sh

if [ "${1:-}" = --codec ]; then
  cargo build --workspace --all-targets --locked
  seed=1 run fit demo-codec --audio "$speech" --config assets/codec/demo-codec.toml \
    --held-out assets/codec/held_out_speakers.txt --out assets/codec/demo-codec.safetensors --force
fi
# The program embeds what this script makes: it is built again after each part that it embeds.
cargo build --workspace --all-targets --locked

# The demo's own store (voices only), and the one that the predictors learn from (voices and read speech).
run encode assets/demo/voices --codec demo --store "$work/voices/latents.zarr" --eval-speakers "$eval_voices"
run encode "$speech" assets/demo/voices --codec demo --store "$work/all/latents.zarr" --eval-speakers "$eval_voices"

mkdir -p "$work/predictors"
fit() { # KIND HORIZON STEPS
  run fit "$1" --store "$work/all/latents.zarr" --out "$work/predictors/$1-k$2.safetensors" \
    --set hidden_dim=256 --set n_components=4 --set horizon="$2" --set max_steps="$3" --set batch=256 --set half_precision=true
}
for kind in mdn vmf; do
  fit $kind 1 2500
  for horizon in 2 4 8 16; do fit $kind $horizon 1200; done
done

rm -rf assets/demo/predictors; mkdir -p assets/demo/predictors
cp "$work"/predictors/*.safetensors assets/demo/predictors/
run pack-demo --store "$work/voices/latents.zarr" --out assets/demo/latents.safetensors --force
du -ch assets | tail -1
