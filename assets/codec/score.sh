#!/usr/bin/env bash
# Scores the embedded codec and the closed-form linear codec on the held-out test speakers (whole utterances).
set -euo pipefail
cd "$(dirname "$0")/../.."
speech=${LIBRISPEECH_MINI:-../shared/data/librispeech-mini}
work=${WORK:-target/assets}/score
[ -d "$speech" ] || { echo "score.sh: $speech is missing; set LIBRISPEECH_MINI" >&2; exit 1; }
rm -rf "$work"; mkdir -p "$work"
run() { "${CARGO_TARGET_DIR:-target}/debug/driftscope" --quiet --seed 1 --runs "$work/runs" "$@" >&2; }
codec=assets/codec

run fit demo-codec --audio "$speech" --config $codec/demo-codec.toml --set network.residual=false \
  --held-out $codec/held_out_speakers.txt --out "$work/linear.safetensors"
run roundtrip "$speech" --speakers $codec/test_speakers.txt --wav "$work/vae"
run roundtrip "$speech" --speakers $codec/test_speakers.txt --weights "$work/linear.safetensors" --wav "$work/linear"
$codec/measure.py "$work/vae" "$work/linear"
