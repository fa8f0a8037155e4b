//! Every stage of every fixture that transformers and pocket-tts wrote.

use std::path::Path;

use driftscope_core::audio::AudioClip;
use driftscope_core::codec::{Codec, CodecKind, CodecOptions, Codes, EncodecFrames, EndPadding, Gelu, StageOutput, Tap};
use driftscope_core::latents::Latents;
use safetensors::SafeTensors;

use crate::shared;

/// What the largest difference may be.
const LATENTS: f32 = 1e-5;
const AUDIO: f32 = 2e-5;

/// Arrays of one case, `[1, channels, frames]` in the file and `[frames, channels]` here.
struct Case(Vec<u8>, String);

impl Case {
    fn read(folder: &Path, n_samples: usize) -> Self {
        let name = format!("case_len{n_samples}.safetensors");
        Self(std::fs::read(folder.join(&name)).unwrap(), format!("{} {n_samples}", folder.display()))
    }

    fn get(&self, name: &str) -> Option<Vec<f32>> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).ok()?;
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
        Some(channels_last(&values, tensor.shape()[1]))
    }

    fn codes(&self) -> Codes {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor("codes").unwrap();
        let values: Vec<i64> = bytemuck::pod_collect_to_vec(tensor.data());
        let n_levels = tensor.shape()[1];
        Codes { values: channels_last(&values, n_levels).into_iter().map(|c| c as u32).collect(), n_levels }
    }

    /// Compares where the fixture has such an array; gives how many were compared.
    fn check(&self, name: &str, ours: &[f32], gate: f32) -> usize {
        let Some(theirs) = self.get(name) else { return 0 };
        assert_eq!(ours.len(), theirs.len(), "{} {name}: length", self.1);
        let off = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= gate, "{} {name}: off by {off:.1e}, more than {gate:.0e}", self.1);
        1
    }

    fn check_stages(&self, stages: &[StageOutput], names: &[(&str, &str)], prefix: (&str, &str), gate: f32) -> usize {
        let of = |name: &str| stages.iter().find(|s| s.name == name);
        let named = names.iter().map(|(theirs, ours)| self.check(theirs, &of(ours).unwrap().values, gate)).sum::<usize>();
        let numbered = (0..20).filter_map(|i| Some((format!("{}_{i:02}", prefix.0), of(&format!("{}.{i}", prefix.1))?)));
        named + numbered.map(|(theirs, ours)| self.check(&theirs, &ours.values, gate)).sum::<usize>()
    }
}

fn channels_last<T: Copy>(values: &[T], channels: usize) -> Vec<T> {
    let n = values.len() / channels;
    (0..n).flat_map(|t| (0..channels).map(move |c| values[c * n + t])).collect()
}

fn open(kind: CodecKind, weights: &Path, options: CodecOptions) -> Codec {
    Codec::open(kind, weights, &options).unwrap()
}

/// Encodes and decodes with `options` and compares both under these names.
fn check_both(case: &Case, kind: CodecKind, weights: &Path, options: CodecOptions, encoded: &str, decoded: &str) -> usize {
    let codec = open(kind, weights, options);
    let clip = AudioClip { samples: case.get("audio").unwrap(), sample_rate_hz: 24_000 };
    let compared = case.check(encoded, &codec.encode(&clip).unwrap().values, LATENTS);
    let Some(values) = case.get(encoded) else { return compared };
    let latents = Latents { values, dim: codec.dim(), frame_rate_hz: codec.frame_rate_hz() };
    compared + case.check(decoded, &codec.decode(&latents).unwrap().samples, AUDIO)
}

fn check_codes(case: &Case, codec: &Codec) -> usize {
    let clip = AudioClip { samples: case.get("audio").unwrap(), sample_rate_hz: 24_000 };
    let theirs = case.codes();
    assert_eq!(codec.encode_codes(&clip, None).unwrap(), theirs, "{}: codes", case.1);
    let coarse = codec.encode_codes(&clip, Some(2)).unwrap();
    let prefix: Vec<u32> = theirs.values.chunks(theirs.n_levels).flat_map(|c| &c[..2]).copied().collect();
    assert_eq!(coarse.values, prefix, "{}: fewer levels are the first ones", case.1);
    1 + case.check("audio_from_codes", &codec.decode_codes(&theirs).unwrap().samples, AUDIO)
}

fn stages(codec: &Codec, case: &Case, names: &[(&str, &str)], decoded: &[(&str, &str)]) -> usize {
    let Codec::Neural(layers) = codec else { panic!("a stack of layers") };
    let encoder = layers.encoder_stages(&case.get("audio").unwrap()).unwrap();
    let decoder = layers.decoder_stages(&case.get("latents").unwrap());
    // Fixtures of one layer each decode from the transformer's output.
    case.check_stages(&encoder, names, ("enc_layer", "encoder.layers"), LATENTS)
        + case.check_stages(&decoder, decoded, ("dec_layer", "decoder.layers"), AUDIO)
}

/// Ours are activated already.
fn check_lstms(codec: &Codec, case: &Case) -> usize {
    let Codec::Neural(layers) = codec else { panic!("a stack of layers") };
    let encoder = layers.encoder_stages(&case.get("audio").unwrap()).unwrap();
    let decoder = layers.decoder_stages(&case.get("latents").unwrap());
    let compare = |(theirs, stages, ours): (&str, &[StageOutput], &str)| {
        let theirs: Vec<f32> = case.get(theirs).unwrap().into_iter().map(|x| if x > 0.0 { x } else { x.exp_m1() }).collect();
        let ours = &stages.iter().find(|s| s.name == ours).unwrap().values;
        let off = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(ours.len() == theirs.len() && off <= LATENTS, "{}: LSTM is off by {off:.1e}", case.1);
    };
    [("enc_lstm", &encoder[..], "encoder.layers.14"), ("dec_lstm", &decoder[..], "decoder.layers.2")].into_iter().for_each(compare);
    2
}

#[test]
fn mimi_is_that_of_transformers() {
    let Some(folder) = shared::path("fixtures/codecs/mimi-small") else { return };
    let weights = folder.join("model.safetensors");
    let layers = CodecOptions { end: EndPadding::Layers, ..CodecOptions::default() };
    let mut compared = 0;
    for n_samples in [19_200, 24_000, 17_777, 700] {
        let case = Case::read(&folder, n_samples);
        let codec = open(CodecKind::Mimi, &weights, layers.clone());
        let encoded = [("seanet", "encoder.layers.14"), ("enc_transformer", "encoder_transformer"), ("latents", "downsample")];
        let decoded =
            [("dec_upsample", "upsample"), ("dec_transformer", "decoder_transformer"), ("audio_from_latents", "decoder.layers.14")];
        compared += stages(&codec, &case, &encoded, &decoded);
        compared += check_both(&case, CodecKind::Mimi, &weights, layers.clone(), "latents", "audio_from_latents");
        compared += check_both(&case, CodecKind::Mimi, &weights, CodecOptions::default(), "latents_prepadded", "");
        let dequantized = CodecOptions { tap: Tap::Dequantized, ..layers.clone() };
        compared += check_both(&case, CodecKind::Mimi, &weights, dequantized, "quantized", "audio_from_codes");
        compared += check_codes(&case, &codec);
        if n_samples == 19_200 {
            let mut stream = codec.encoder().unwrap();
            let mut values = Vec::new();
            case.get("audio").unwrap().chunks(1920).for_each(|chunk| values.extend(stream.push(chunk).unwrap()));
            values.extend(stream.finish().unwrap());
            compared += case.check("latents_streamed", &values, LATENTS);
        }
    }
    assert_eq!(compared, 72);
}

#[test]
fn encodec_is_that_of_transformers_in_both_layouts_of_its_weights() {
    let Some(folder) = shared::path("fixtures/codecs/encodec-small") else { return };
    let layers = CodecOptions { end: EndPadding::Layers, ..CodecOptions::default() };
    let mut compared = 0;
    for file in ["model.safetensors", "model_parametrizations.safetensors"] {
        let weights = folder.join(file);
        for n_samples in [24_000, 23_040, 10_007, 700, 5] {
            let case = Case::read(&folder, n_samples);
            let codec = open(CodecKind::Encodec, &weights, layers.clone());
            let encoded = [("enc_conv", "encoder.layers.12"), ("latents", "encoder.layers.15")];
            let decoded = [("dec_conv0", "decoder.layers.0"), ("audio_from_latents", "decoder.layers.15")];
            compared += stages(&codec, &case, &encoded, &decoded) + check_lstms(&codec, &case);
            compared += check_both(&case, CodecKind::Encodec, &weights, layers.clone(), "latents", "audio_from_latents");
            let dequantized = CodecOptions { tap: Tap::Dequantized, ..layers.clone() };
            compared += check_both(&case, CodecKind::Encodec, &weights, dequantized, "quantized", "audio_from_codes");
            compared += check_codes(&case, &codec);
            for (frames, encoded, decoded) in [
                (EncodecFrames::MeanRepeated, "latents_12p5_mean", "audio_from_up_repeat"),
                (EncodecFrames::MeanInterpolated, "latents_12p5_mean", "audio_from_up_linear"),
                (EncodecFrames::Stacked, "latents_12p5_stack", ""),
            ] {
                let options = CodecOptions { frames, ..CodecOptions::default() };
                compared += check_both(&case, CodecKind::Encodec, &weights, options, encoded, decoded);
            }
        }
    }
    assert_eq!(compared, 258);
}

#[test]
fn calm_is_that_of_pocket_tts_in_both_of_its_activations() {
    let mut compared = 0;
    for (name, lengths) in [("calm_vae-small", &[19_200, 24_000, 17_777, 700][..]), ("calm_vae-small-asym", &[19_200, 17_777])] {
        let Some(folder) = shared::path(&format!("fixtures/codecs/{name}")) else { return };
        let weights = folder.join("model.safetensors");
        for n_samples in lengths {
            let case = Case::read(&folder, *n_samples);
            let with = |gelu, tap| CodecOptions { gelu: Some(gelu), tap, ..CodecOptions::default() };
            let codec = open(CodecKind::Calm, &weights, CodecOptions::default());
            let encoded = [("seanet", "encoder.layers.11"), ("enc_transformer", "encoder_transformer"), ("latents", "downsample")];
            let decoded =
                [("dec_upsample", "upsample"), ("dec_transformer", "decoder_transformer"), ("audio_from_latents", "decoder.layers.11")];
            compared += stages(&codec, &case, &encoded, &decoded);
            compared += check_both(&case, CodecKind::Calm, &weights, with(Gelu::Tanh, Tap::Continuous), "latents", "audio_from_latents");
            compared += check_both(
                &case,
                CodecKind::Calm,
                &weights,
                with(Gelu::Exact, Tap::Continuous),
                "latents_gelu_erf",
                "audio_from_latents_gelu_erf",
            );
            for (tap, encoded) in [(Tap::Normalized, "latents_normalised"), (Tap::Projected, "quant_out")] {
                compared += check_both(&case, CodecKind::Calm, &weights, with(Gelu::Tanh, tap), encoded, "audio_from_latents");
            }
            // The language file of pocket-tts says the same as the JSON.
            let options = CodecOptions { config: Some(folder.join("config.yaml")), ..CodecOptions::default() };
            compared += check_both(&case, CodecKind::Calm, &weights, options, "latents", "audio_streamed");
        }
    }
    assert_eq!(compared, 108);
}
