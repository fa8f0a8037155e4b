#!/usr/bin/env bash
# Makes assets/demo/voices/: every sentence of sentences.txt, spoken by its voice of voices.tsv, as 16 kHz mono FLAC.
# Needs espeak-ng, sox and flac (Debian: apt install espeak-ng sox flac). The same versions give the same bytes.
set -euo pipefail
cd "$(dirname "$0")"
for tool in espeak-ng sox flac; do
  command -v "$tool" >/dev/null || { echo "make-voices.sh: $tool is missing; install espeak-ng, sox and flac" >&2; exit 1; }
done
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
rm -rf voices; mkdir voices
while IFS=$'\t' read -r speaker text; do
  IFS=$'\t' read -r _ voice pitch speed < <(grep -P "^$speaker\t" voices.tsv)
  mkdir -p "voices/$speaker"
  n=$(find "voices/$speaker" -name '*.flac' | wc -l)
  name=$speaker-$(printf %02d $((n + 1)))
  espeak-ng -v "$voice" -p "$pitch" -s "$speed" -w "$work/raw.wav" -- "$text"
  # Silence at the ends goes. Peaks at -12 dBFS over a noise floor at -78 dBFS, as a recording has one: in digital silence frames
  # do not change at all, and every ratio to the true change would be infinite. Sox's noise is the same each time (-R); no dither (-D).
  sox -D "$work/raw.wav" -b 16 -c 1 "$work/speech.wav" gain -3 rate -v 16000 gain -n -12 \
    silence 1 0.02 0.1% reverse silence 1 0.02 0.1% reverse pad 0.12 0.12
  sox -R -D -m -v 1 "$work/speech.wav" -v 1 "|sox -R -n -r 16000 -b 32 -p synth $(soxi -D "$work/speech.wav") whitenoise vol 0.00022" \
    -b 16 "$work/$name.wav"
  # -V checks that the FLAC decodes to what was put in; no seek table and no padding keep files small.
  flac -s -V -8 --no-padding --no-seektable -o "voices/$speaker/$name.flac" "$work/$name.wav"
done < sentences.txt
