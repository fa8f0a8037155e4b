//! Mimi, EnCodec and CALM's VAE: the same as their references, the same in pieces as in one, and clear about files they cannot use.

mod device;
pub(crate) mod models;
mod parity;
mod pieces;

use std::path::Path;

use driftscope_core::audio::AudioClip;
use driftscope_core::codec::{Codec, CodecKind, CodecOptions, EncodecFrames, Tap};
use driftscope_core::job::Cancel;
use driftscope_core::latents::Latents;
use models::Model;
use proptest::prelude::*;
use safetensors::Dtype;

const NEURAL: [CodecKind; 3] = [CodecKind::Mimi, CodecKind::Encodec, CodecKind::Calm];

fn open(kind: CodecKind, weights: &Path) -> Codec {
    Codec::open(kind, weights, &CodecOptions::default()).unwrap()
}

/// A codec of random weights, with options.
fn tiny(kind: CodecKind, options: &CodecOptions) -> Codec {
    let folder = tempfile::tempdir().unwrap();
    Codec::open(kind, &Model::new(kind).write(folder.path()), options).unwrap()
}

fn sound(n_samples: usize) -> AudioClip {
    let samples = (0..n_samples).map(|i| 0.4 * (i as f32 * 0.31).sin() + 0.2 * (i as f32 * 1.7).cos()).collect();
    AudioClip { samples, sample_rate_hz: 24_000 }
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// In pieces of these lengths, over and over.
fn pieces<'a>(values: &'a [f32], unit: usize, lengths: &[usize]) -> Vec<&'a [f32]> {
    let (mut rest, mut parts) = (values, Vec::new());
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            return parts;
        }
        let (part, after) = rest.split_at((length * unit).min(rest.len()));
        parts.push(part);
        rest = after;
    }
    parts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, rng_seed: prop::test_runner::RngSeed::Fixed(4), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_pieces_is_as_in_one(n_samples in 1_usize..700, lengths in prop::collection::vec(0_usize..90, 1..6), at in 0_usize..6) {
        prop_assume!(lengths.iter().any(|l| *l > 0));
        use EncodecFrames::{MeanInterpolated, MeanRepeated, Native, Stacked};
        let (kind, frames) = [
            (CodecKind::Mimi, Native),
            (CodecKind::Calm, Native),
            (CodecKind::Encodec, Native),
            (CodecKind::Encodec, MeanRepeated),
            (CodecKind::Encodec, MeanInterpolated),
            (CodecKind::Encodec, Stacked),
        ][at];
        let codec = tiny(kind, &CodecOptions { frames, ..CodecOptions::default() });
        let clip = sound(n_samples);
        let whole = codec.encode(&clip).unwrap();
        prop_assert_eq!(whole.n_frames(), n_samples.div_ceil(codec.hop_samples()));

        let mut encoder = codec.encoder().unwrap();
        let mut values: Vec<f32> = pieces(&clip.samples, 1, &lengths).into_iter().flat_map(|part| encoder.push(part).unwrap()).collect();
        values.extend(encoder.finish().unwrap());
        prop_assert!(furthest(&values, &whole.values) < 1e-5);

        let sound = codec.decode(&whole).unwrap();
        prop_assert_eq!(sound.samples.len(), whole.n_frames() * codec.hop_samples());
        let mut decoder = codec.decoder();
        let mut samples: Vec<f32> = pieces(&whole.values, codec.dim(), &lengths).into_iter().flat_map(|part| decoder.push(part).unwrap()).collect();
        samples.extend(decoder.finish().unwrap());
        prop_assert!(furthest(&samples, &sound.samples) < 1e-5);
    }
}

#[test]
fn a_stream_gives_each_frame_as_soon_as_it_is_complete() {
    for kind in [CodecKind::Mimi, CodecKind::Calm] {
        let codec = tiny(kind, &CodecOptions::default());
        let (hop, dim) = (codec.hop_samples(), codec.dim());
        let (mut encoder, mut decoder) = (codec.encoder().unwrap(), codec.decoder());
        for _ in 0..4 {
            assert!(encoder.push(&sound(hop - 1).samples).unwrap().is_empty(), "{kind}");
            let frame = encoder.push(&[0.1]).unwrap();
            assert_eq!((frame.len(), decoder.push(&frame).unwrap().len()), (dim, hop), "{kind}");
        }
    }
}

#[test]
fn files_of_moshi_are_read_as_those_of_transformers() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let model = Model::new(CodecKind::Mimi);
    let mut renamed = model.clone().in_kyutai_names("conv.conv.", "convtr.convtr.", "in_proj_weight");
    let of_moshi = |name: &str| {
        let levels = name.replace("codebook.embed_sum", "_codebook.embedding_sum").replace("codebook.cluster", "_codebook.cluster");
        let levels = levels.replace("codebook.initialized", "_codebook._initialized").replace(".layers.", ".vq.layers.");
        let name = if name.starts_with("quantizer") { levels } else { name.to_owned() };
        name.replace("semantic_residual_vector_quantizer", "rvq_first")
            .replace("acoustic_residual_vector_quantizer", "rvq_rest")
            .replace("downsample.conv.", "downsample.conv.conv.conv.")
            .replace("upsample.conv.", "upsample.convtr.convtr.convtr.")
    };
    renamed.tensors = renamed.tensors.into_iter().map(|(name, tensor)| (of_moshi(&name), tensor)).collect();
    let (a, b) = (open(CodecKind::Mimi, &model.write(ours.path())), open(CodecKind::Mimi, &renamed.write(theirs.path())));
    let latents = a.encode(&sound(300)).unwrap();
    assert!(furthest(&latents.values, &b.encode(&sound(300)).unwrap().values) < 1e-5);
    assert!(furthest(&a.decode(&latents).unwrap().samples, &b.decode(&latents).unwrap().samples) < 1e-5);
    assert_eq!(a.encode_codes(&sound(300), None).unwrap(), b.encode_codes(&sound(300), None).unwrap());
}

#[test]
fn what_is_wrong_with_a_file_is_said_in_one_sentence() {
    let conv = |kind| if kind == CodecKind::Calm { "mimi.decoder.model.0.conv.weight" } else { "decoder.layers.0.conv.weight" };
    let cases: [(&str, fn(&mut Model, &str), &[&str]); 4] = [
        ("missing", |model, name| drop(model.tensors.remove(name)), &["decoder.layers.0.conv.weight [8, 8, 7] is missing"]),
        ("misshapen", |model, name| model.tensors.get_mut(name).unwrap().0 = vec![8, 56, 1], &["is [8, 56, 1], not [8, 8, 7]"]),
        ("extra", |model, name| drop(model.tensors.insert(format!("{name}s"), (vec![1], vec![0.5]))), &["weights has no place"]),
        ("NaN", |model, name| model.tensors.get_mut(name).unwrap().1[9] = f32::NAN, &["holds a value that is no number (at 9)"]),
    ];
    for kind in NEURAL {
        for (what, damage, expected) in &cases {
            let folder = tempfile::tempdir().unwrap();
            let mut model = Model::new(kind);
            damage(&mut model, conv(kind));
            let path = model.write(folder.path());
            refused(kind, &path, what, expected);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = Model::new(kind).write(folder.path());
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        refused(kind, &path, "truncated", &[&format!("ends after {} of {} bytes", bytes.len() - 5, bytes.len())]);
        std::fs::write(&path, &bytes[..40]).unwrap();
        refused(kind, &path, "truncated header", &["not a whole safetensors file"]);
        std::fs::write(&path, "no weights at all").unwrap();
        refused(kind, &path, "text", &["not a whole safetensors file"]);
        std::fs::remove_file(&path).unwrap();
        refused(kind, &path, "absent", &["cannot be read"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = Model::new(CodecKind::Encodec).write(folder.path());
    refused(CodecKind::Mimi, &path, "another codec's", &["no usable weights of the mimi codec", "is [2, 1, 7], not [64, 1, 7]"]);
    refused(CodecKind::Calm, &path, "another codec's", &["no usable weights of the calm codec", "is missing"]);
}

fn refused(kind: CodecKind, path: &Path, what: &str, expected: &[&str]) {
    let message = Codec::open(kind, path, &CodecOptions::default()).unwrap_err().to_string();
    assert!(message.starts_with(&path.display().to_string()) && !message.contains('\n'), "{kind}, {what}: {message}");
    for part in expected {
        assert!(message.contains(part), "{kind}, {what}: {message:?} does not say {part:?}");
    }
}

#[test]
fn a_file_without_an_encoder_decodes_and_says_why_it_does_not_encode() {
    let (whole, silent) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let model = Model::new(CodecKind::Calm);
    let mut zeroed = model.clone();
    zeroed.tensors.iter_mut().filter(|(name, _)| name.starts_with("mimi.encoder")).for_each(|(_, tensor)| tensor.1.fill(0.0));
    let (whole, silent) = (open(CodecKind::Calm, &model.write(whole.path())), open(CodecKind::Calm, &zeroed.write(silent.path())));
    let latents = whole.encode(&sound(200)).unwrap();
    assert_eq!(whole.decode(&latents).unwrap(), silent.decode(&latents).unwrap());
    for message in [silent.encode(&sound(200)).unwrap_err().to_string(), silent.encoder().unwrap_err().to_string()] {
        assert!(message.contains("all zeros") && message.contains("kyutai/pocket-tts"), "{message}");
    }
}

#[test]
fn half_precision_files_are_computed_in_single() {
    let formats: [(Dtype, fn(f32) -> Vec<u8>, fn(f32) -> f32); 2] = [
        (Dtype::BF16, |v| ((v.to_bits() >> 16) as u16).to_le_bytes().to_vec(), |v| f32::from_bits(v.to_bits() >> 16 << 16)),
        // One of the few numbers that both have: a sign and a power of two.
        (Dtype::F16, |v| if v < 0.0 { vec![0, 0xb0] } else { vec![0, 0x30] }, |v| if v < 0.0 { -0.125 } else { 0.125 }),
    ];
    for kind in NEURAL {
        for (dtype, bytes, rounded) in formats {
            let (half, single) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let mut model = Model::new(kind);
            model.tensors.values_mut().for_each(|(_, values)| values.iter_mut().for_each(|v| *v = rounded(*v)));
            let (half, single) = (open(kind, &model.write_as(half.path(), dtype, bytes)), open(kind, &model.write(single.path())));
            let latents = single.encode(&sound(100)).unwrap();
            assert_eq!(half.encode(&sound(100)).unwrap(), latents, "{kind} {dtype:?}");
            assert_eq!(half.decode(&latents).unwrap(), single.decode(&latents).unwrap(), "{kind} {dtype:?}");
        }
    }
}

#[test]
fn a_change_is_decoded_where_it_can_be_heard_and_nowhere_else() {
    for kind in NEURAL {
        let codec = tiny(kind, &CodecOptions::default());
        let latents = codec.encode(&sound(60 * codec.hop_samples())).unwrap();
        let mut changed = latents.clone();
        changed.values[20 * codec.dim()..23 * codec.dim()].iter_mut().for_each(|v| *v += 0.5);
        let (before, after) = (codec.decode(&latents).unwrap(), codec.decode(&changed).unwrap());
        let between = codec.decode_between(&changed, 20..23, &before, &Cancel::default()).unwrap();
        assert_eq!(between.samples, after.samples, "{kind}");
        let ([_, reach], hop) = (codec.reach(), codec.hop_samples());
        let last = before.samples.iter().zip(&after.samples).rposition(|(a, b)| (a - b).abs() > 1e-4).unwrap() / hop;
        assert!(last >= 23 && last <= reach.saturating_add(22), "{kind}: heard up to frame {last}, reach {reach}");
        assert_eq!(before.samples[..20 * hop], after.samples[..20 * hop], "{kind}: nothing is heard before its time");
    }
}

/// What a codec keeps of the last change's past serves the next one only where it is that one's.
#[test]
fn changes_one_after_the_other_are_each_decoded_with_their_own_past() {
    for kind in NEURAL {
        let codec = tiny(kind, &CodecOptions::default());
        let latents = codec.encode(&sound(60 * codec.hop_samples())).unwrap();
        for (past, at, by) in [(0.0, 40, 0.5), (0.0, 40, -0.7), (0.3, 40, 0.5), (0.3, 41, 0.5), (0.3, 40, 0.2), (0.0, 40, 0.2)] {
            let moved = |latents: &Latents, frames: std::ops::Range<usize>, by: f32| {
                let mut moved = latents.clone();
                moved.values[frames.start * latents.dim..frames.end * latents.dim].iter_mut().for_each(|v| *v += by);
                moved
            };
            let truth = moved(&latents, 30..31, past);
            let changed = moved(&truth, at..at + 3, by);
            let around = codec.decode(&truth).unwrap();
            let between = codec.decode_between(&changed, at..at + 3, &around, &Cancel::default()).unwrap();
            assert!(between == codec.decode(&changed).unwrap(), "{kind}: the past by {past}, frame {at} by {by}");
        }
    }
}

#[test]
fn an_excerpt_that_begins_far_enough_back_sounds_like_the_whole() {
    for kind in [CodecKind::Mimi, CodecKind::Calm] {
        let codec = tiny(kind, &CodecOptions::default());
        let ([_, reach], hop, dim) = (codec.reach(), codec.hop_samples(), codec.dim());
        let n_frames = reach + 30;
        let latents = codec.encode(&sound(n_frames * hop)).unwrap();
        let whole = codec.decode(&latents).unwrap();
        let from = n_frames - reach - 10;
        let excerpt = codec.decode(&Latents { values: latents.values[from * dim..].to_vec(), ..latents }).unwrap();
        let off = furthest(&excerpt.samples[reach * hop..], &whole.samples[(from + reach) * hop..]);
        // Positions are turned by angles in single precision, and an excerpt has others: no less exact than the reference allows.
        assert!(off < 2e-5, "{kind}: {reach} frames back, and off by {off:.1e}");
        assert!(furthest(&excerpt.samples[..hop], &whole.samples[from * hop..(from + 1) * hop]) > 1e-3, "{kind}: the past is heard");
    }
}

#[test]
fn taps_travel_with_the_tag_and_lead_back() {
    let taps = [
        (CodecKind::Mimi, Tap::Continuous, 8),
        (CodecKind::Mimi, Tap::Dequantized, 8),
        (CodecKind::Mimi, Tap::Projected, 8),
        (CodecKind::Encodec, Tap::Dequantized, 8),
        (CodecKind::Calm, Tap::Continuous, 3),
        (CodecKind::Calm, Tap::Normalized, 3),
        (CodecKind::Calm, Tap::Projected, 8),
    ];
    for (kind, tap, dim) in taps {
        let codec = tiny(kind, &CodecOptions { tap, ..CodecOptions::default() });
        assert_eq!((codec.dim(), codec.tag().tap.as_str(), codec.tag().codec.as_str()), (dim, tap.name(), kind.name()));
        assert_eq!(codec.tag().weights_hash.len(), 64);
        let latents = codec.encode(&sound(120)).unwrap();
        let sound_of_tap = codec.decode(&latents).unwrap();
        match tap {
            // The same sound, from another place on its way.
            Tap::Normalized => same_as_continuous(kind, &sound_of_tap),
            Tap::Projected if kind == CodecKind::Calm => same_as_continuous(kind, &sound_of_tap),
            Tap::Dequantized => {
                let from_codes = codec.decode_codes(&codec.encode_codes(&sound(120), None).unwrap()).unwrap();
                assert!(furthest(&from_codes.samples, &sound_of_tap.samples) < 1e-5, "{kind}");
            }
            _ => {}
        }
    }
    let stacked = tiny(CodecKind::Encodec, &CodecOptions { frames: EncodecFrames::Stacked, ..CodecOptions::default() });
    assert_eq!((stacked.dim(), stacked.hop_samples(), stacked.tag().tap.as_str()), (48, 36, "continuous, 6 stacked"));
    same_as_continuous(CodecKind::Encodec, &stacked.decode(&stacked.encode(&sound(144)).unwrap()).unwrap());

    let impossible = [(CodecKind::Encodec, Tap::Projected), (CodecKind::Calm, Tap::Dequantized), (CodecKind::Mimi, Tap::Normalized)];
    for (kind, tap) in impossible {
        let folder = tempfile::tempdir().unwrap();
        let options = CodecOptions { tap, ..CodecOptions::default() };
        let message = Codec::open(kind, &Model::new(kind).write(folder.path()), &options).unwrap_err().to_string();
        assert!(message.contains(&format!("the {kind} codec has no {} latents", tap.name())), "{message}");
    }
}

fn same_as_continuous(kind: CodecKind, other: &AudioClip) {
    let codec = tiny(kind, &CodecOptions::default());
    let n_samples = if kind == CodecKind::Encodec { 144 } else { 120 };
    let own = codec.decode(&codec.encode(&sound(n_samples)).unwrap()).unwrap();
    assert!(furthest(&own.samples, &other.samples) < 1e-5, "{kind}");
}

#[test]
fn sound_and_latents_that_do_not_fit_are_refused() {
    for kind in NEURAL {
        let codec = tiny(kind, &CodecOptions::default());
        let mut broken = sound(40);
        broken.samples[7] = f32::NAN;
        let nothing = AudioClip { samples: Vec::new(), sample_rate_hz: 24_000 };
        let latents = |dim, value| Latents { values: vec![value; 2 * dim], dim, frame_rate_hz: codec.frame_rate_hz() };
        for (message, expected) in [
            (codec.encode(&broken).unwrap_err().to_string(), "sample 7 is no number"),
            (codec.encode(&nothing).unwrap_err().to_string(), "no samples"),
            (codec.decode(&latents(codec.dim() + 1, 0.0)).unwrap_err().to_string(), "decodes frames of"),
            (codec.decode(&latents(codec.dim(), f32::INFINITY)).unwrap_err().to_string(), "latent frame 0 holds a value that is no number"),
        ] {
            assert!(message.contains(expected), "{kind}: {message}");
        }
        let stop = Cancel::default();
        stop.cancel();
        assert!(codec.decode_unless(&latents(codec.dim(), 0.0), &stop).is_err());
    }
    assert!(tiny(CodecKind::Calm, &CodecOptions::default()).encode_codes(&sound(10), None).is_err());
    assert!(tiny(CodecKind::Mimi, &CodecOptions::default()).encode_codes(&sound(10), Some(4)).is_err());
    assert_eq!("encodec".parse::<CodecKind>().unwrap(), CodecKind::Encodec);
    assert!("opus".parse::<CodecKind>().unwrap_err().to_string().contains("mimi"));
}
