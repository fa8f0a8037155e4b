//! What the codec promises: causality to the bit, sound that comes back, refusals in one sentence, and the same weights from the
//! same fit.

use super::features::{FRAMES_PER_LATENT, PATCH};
use super::*;
use crate::fit::FitConfig;
use crate::job::JobCtx;

/// A sung vowel: harmonics of a gliding pitch under three formants, with a little breath.
fn vowel(seconds: f64, pitch_hz: f64, seed: u64) -> AudioClip {
    let rate = f64::from(SAMPLE_RATE_HZ);
    let formants = [(650.0, 90.0, 1.0), (1_100.0, 110.0, 0.5), (2_600.0, 160.0, 0.2)];
    let mut noise = seed.wrapping_mul(2_654_435_761) | 1;
    let mut phase = 0.0;
    let samples = (0..(seconds * rate) as usize).map(|i| {
        let t = i as f64 / rate;
        let f0 = pitch_hz * (1.0 + 0.1 * (2.0 * std::f64::consts::PI * 0.7 * t).sin());
        phase += 2.0 * std::f64::consts::PI * f0 / rate;
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let breath = (noise >> 33) as f64 / f64::from(1_u32 << 31) - 0.5;
        let voiced: f64 = (1..40)
            .map(|k| k as f64 * f0)
            .filter(|&f| f < 7_500.0)
            .map(|f| {
                let envelope: f64 = formants.iter().map(|(c, w, a)| a / (1.0 + ((f - c) / w).powi(2))).sum();
                envelope * (phase * (f / f0)).sin()
            })
            .sum();
        (0.1 * voiced * (0.6 + 0.4 * (2.0 * std::f64::consts::PI * 3.0 * t).sin()) + 0.002 * breath) as f32
    });
    AudioClip { samples: samples.collect(), sample_rate_hz: SAMPLE_RATE_HZ }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn a_latent_sees_nothing_after_its_own_80_ms() {
    let codec = DemoCodec::embedded().unwrap();
    let clip = vowel(1.6, 120.0, 1);
    let before = codec.encode(&clip).unwrap();
    assert_eq!(before.n_frames(), 20);
    for t in [4, 11] {
        let mut changed = clip.clone();
        changed.samples[(t + 1) * HOP_SAMPLES..].iter_mut().for_each(|s| *s = 0.3 - *s);
        let after = codec.encode(&changed).unwrap();
        let upto = (t + 1) * codec.dim();
        assert_eq!(bits(&before.values[..upto]), bits(&after.values[..upto]), "frames up to {t}");
        assert_ne!(before.frame(t + 1), after.frame(t + 1));
    }
    // The last sample of its own 80 ms is seen, so the limit is as late as it may be.
    let mut changed = clip.clone();
    changed.samples[5 * HOP_SAMPLES - 10] += 0.9;
    assert_ne!(codec.encode(&changed).unwrap().frame(4), before.frame(4));
}

#[test]
fn an_offset_of_the_recording_is_not_seen() {
    let codec = DemoCodec::embedded().unwrap();
    let clip = vowel(1.0, 120.0, 1);
    let mut offset = clip.clone();
    offset.samples.iter_mut().for_each(|s| *s += 0.05);
    let (a, b) = (codec.encode(&clip).unwrap(), codec.encode(&offset).unwrap());
    let worst = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 0.02, "{worst}");
}

#[test]
fn the_decoder_looks_one_latent_ahead_and_no_further() {
    let codec = DemoCodec::embedded().unwrap();
    let latents = codec.encode(&vowel(1.6, 120.0, 1)).unwrap();
    let before = codec.magnitudes(&latents).unwrap();
    let per_latent = before.len() / latents.n_frames();
    for t in [3, 12] {
        let mut changed = latents.clone();
        changed.values[(t + 2) * codec.dim()..].iter_mut().for_each(|z| *z = 1.0 - *z);
        let after = codec.magnitudes(&changed).unwrap();
        let upto = (t + 1) * per_latent;
        assert_eq!(bits(&before[..upto]), bits(&after[..upto]), "frames of latents up to {t}");
        assert_ne!(before[upto..upto + per_latent], after[upto..upto + per_latent], "latent {} sees {}", t + 1, t + 2);
    }
}

#[test]
fn a_vowel_comes_back() {
    let codec = DemoCodec::embedded().unwrap();
    let clip = vowel(2.0, 140.0, 2);
    let latents = codec.encode(&clip).unwrap();
    let decoded = codec.decode(&latents, &Cancel::default()).unwrap();
    assert_eq!(decoded.samples.len(), latents.n_frames() * HOP_SAMPLES);
    assert_eq!(decoded.samples, codec.decode(&latents, &Cancel::default()).unwrap().samples, "same latents, same bytes");
    let (x, y) = (codec.analysis.patches(&clip.samples), codec.analysis.patches(&decoded.samples));
    let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
    let (mx, my) = (mean(&x), mean(&y));
    let cov: f32 = x.iter().zip(&y).map(|(a, b)| (a - mx) * (b - my)).sum();
    let norm = |v: &[f32], m: f32| v.iter().map(|a| (a - m).powi(2)).sum::<f32>().sqrt();
    let correlation = cov / (norm(&x, mx) * norm(&y, my));
    assert!(correlation > 0.9, "mel correlation {correlation}");
    let rms = |v: &[f32]| (v.iter().map(|a| a * a).sum::<f32>() / v.len() as f32).sqrt();
    let level = rms(&decoded.samples) / rms(&clip.samples);
    assert!((0.7..1.3).contains(&level), "level {level}");
}

#[test]
fn bad_input_is_refused_in_one_sentence() {
    let codec = DemoCodec::embedded().unwrap();
    let clip = |samples: Vec<f32>| AudioClip { samples, sample_rate_hz: SAMPLE_RATE_HZ };
    let latents = |values: Vec<f32>, dim| Latents { values, dim, frame_rate_hz: 12.5 };
    let cases = [
        (codec.encode(&clip(vec![])).err(), "no samples"),
        (codec.encode(&clip(vec![0.0, f32::NAN])).err(), "sample 1 is no number"),
        (codec.decode(&latents(vec![0.0; 96], 32), &Cancel::default()).err(), "frames of 64 values; given are 3 of 32"),
        (codec.decode(&latents(vec![], 64), &Cancel::default()).err(), "given are 0 of 64"),
        (codec.decode(&latents([vec![0.0; 70], vec![f32::INFINITY; 58]].concat(), 64), &Cancel::default()).err(), "latent frame 1"),
    ];
    for (problem, expected) in cases {
        let message = problem.unwrap().to_string();
        assert!(message.contains(expected), "{message:?} says {expected:?}");
    }
}

#[test]
fn broken_weights_are_refused_in_one_sentence() {
    let whole = include_bytes!("../../../../assets/codec/demo-codec.safetensors");
    let mut foreign = whole.to_vec();
    let at = foreign.windows(5).position(|w| w == b"demo-").unwrap();
    foreign[at] = b'x';
    let cases: [(&[u8], &str); 4] = [
        (&whole[..whole.len() - 100], "not a whole safetensors file"),
        (&whole[..40], "not a whole safetensors file"),
        (b"RIFF and then some text", "not a whole safetensors file"),
        (&foreign, "the header has no driftscope.demo-codec"),
    ];
    for (bytes, expected) in cases {
        let message = DemoCodec::from_bytes(bytes, "w.safetensors").unwrap_err().to_string();
        assert!(message.starts_with("w.safetensors") && message.contains(expected), "{message:?} says {expected:?}");
    }
}

fn small(residual: bool, steps: u64) -> DemoCodecConfig {
    DemoCodecConfig {
        network: NetworkConfig {
            n_bins: 321,
            latent_dim: 8,
            residual,
            width: 24,
            n_blocks: 1,
            fine_width: 16,
            n_fine_blocks: 1,
            ..NetworkConfig::default()
        },
        fit: FitConfig { steps, checkpoint_every: 3, ..DemoCodecConfig::default().fit },
        batch: 2,
        segment_latents: 6,
        held_out_speakers: vec!["held".to_owned()],
        ..DemoCodecConfig::default()
    }
}

fn choir() -> Vec<SpeechClip> {
    let voice = |i: u32| SpeechClip { speaker: format!("{i}"), clip: vowel(3.0, 100.0 + 25.0 * f64::from(i), i.into()) };
    (0..4).map(voice).collect()
}

#[test]
fn the_fit_is_reproducible_and_spares_held_out_speakers() {
    let ctx = JobCtx::quiet(Device::flex(), 3);
    for residual in [false, true] {
        let bytes = fit_codec(&ctx, &choir(), &small(residual, 4), None).unwrap();
        let mut more = choir();
        more.push(SpeechClip { speaker: "held".to_owned(), clip: vowel(2.0, 300.0, 9) });
        assert!(bytes == fit_codec(&ctx, &more, &small(residual, 4), None).unwrap(), "residual {residual}");
        let codec = DemoCodec::from_bytes(&bytes, "fresh").unwrap();
        assert_eq!(codec.header().provenance.n_utterances, 4);
        let latents = codec.encode(&choir()[1].clip).unwrap();
        assert_eq!((latents.dim, latents.n_frames()), (8, 38));
        assert!(codec.decode(&latents, &Cancel::default()).unwrap().samples.iter().all(|s| s.is_finite()));
    }
}

#[test]
fn training_lowers_the_loss() {
    let ctx = JobCtx::quiet(Device::flex(), 3);
    let mut ctx_seen = ctx.clone();
    let losses = std::sync::Arc::new(std::sync::Mutex::new(Vec::<f32>::new()));
    let sink = std::sync::Arc::clone(&losses);
    ctx_seen.progress = crate::job::Progress::new(move |event| {
        sink.lock().unwrap().extend(event.note.strip_prefix("loss ").and_then(|l| l.parse::<f32>().ok()));
    });
    let mut config = small(true, 121);
    config.fit.learning_rate = 3e-3;
    config.fit.warmup_steps = 5;
    fit_codec(&ctx_seen, &choir(), &config, None).unwrap();
    let losses = losses.lock().unwrap();
    assert!(losses.last().unwrap() < &(0.85 * losses[0]), "{losses:?}");
}

#[test]
fn too_little_sound_is_said() {
    let ctx = JobCtx::quiet(Device::flex(), 3);
    let one = [SpeechClip { speaker: "1".to_owned(), clip: vowel(0.5, 100.0, 1) }];
    let none = fit_codec(&ctx, &[], &small(false, 1), None).unwrap_err().to_string();
    let short = fit_codec(&ctx, &one, &small(false, 1), None).unwrap_err().to_string();
    for message in [none, short] {
        assert!(message.contains("too few to fit 8 components"), "{message}");
    }
}

#[test]
fn patches_hold_eight_frames_of_eighty_bands() {
    let analysis = Analysis::new(1_024);
    let clip = vowel(0.5, 120.0, 1);
    assert_eq!(Analysis::n_latents(clip.samples.len()), 7);
    assert_eq!(analysis.patches(&clip.samples).len(), 7 * PATCH);
    assert_eq!(analysis.targets(&clip.samples).len(), 7 * FRAMES_PER_LATENT * 513);
    // A tone of 1 kHz lands in the band whose center is nearest: mel(1000) = 1000, bands every 34.67 mel from 31.7.
    let tone: Vec<f32> = (0..8_000).map(|i| (2.0 * std::f32::consts::PI * 1_000.0 * i as f32 / 16_000.0).sin()).collect();
    let patches = analysis.patches(&tone);
    let frame = &patches[2 * PATCH..2 * PATCH + 80];
    let loudest = frame.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|p| p.0);
    assert_eq!(loudest, Some(27));
}

#[test]
fn a_changed_latent_reaches_no_further_than_said() {
    let codec = DemoCodec::embedded().unwrap();
    let latents = codec.encode(&vowel(3.2, 120.0, 1)).unwrap();
    let config = &codec.header().config;
    let expanded = |latents: &Latents| {
        let mut magnitudes = codec.magnitudes(latents).unwrap();
        expand(&mut magnitudes, config.network.n_bins, config.expansion);
        magnitudes
    };
    let at = 18;
    let mut changed = latents.clone();
    changed.values[at * codec.dim()..(at + 1) * codec.dim()].iter_mut().for_each(|z| *z = 1.0 - *z);
    let (a, b) = (expanded(&latents), expanded(&changed));
    let per_latent = a.len() / latents.n_frames();
    // Sums of the level are kept from the start on, so far away they agree but for their last digits.
    let differs = |t: usize| (t * per_latent..(t + 1) * per_latent).any(|i| (a[i] - b[i]).abs() > 1e-4 * a[i].abs() + 1e-9);
    let [before, after] = codec.reach();
    let touched: Vec<usize> = (0..latents.n_frames()).filter(|t| differs(*t)).collect();
    assert!(touched.iter().all(|t| (at - before..=at + after).contains(t)), "{touched:?}, said {before} before and {after} after {at}");
    assert!(touched.contains(&(at - 1)) && touched.contains(&(at + 2)), "{touched:?}");
}

#[test]
fn a_stretch_decoded_in_place_leaves_the_rest_alone_and_fits_in() {
    let codec = DemoCodec::embedded().unwrap();
    let truth = codec.encode(&vowel(4.0, 120.0, 1)).unwrap();
    let around = codec.decode(&truth, &Cancel::default()).unwrap();
    let other = codec.encode(&vowel(4.0, 170.0, 2)).unwrap();
    let changed = 24..28;
    let mut spliced = truth.clone();
    let values = changed.start * truth.dim..changed.end * truth.dim;
    spliced.values[values.clone()].copy_from_slice(&other.values[values]);
    let placed = codec.decode_between(&spliced, changed.clone(), &around, &Cancel::default()).unwrap();
    let [before, after] = codec.reach();
    let (from, to) = ((changed.start - before) * HOP_SAMPLES, (changed.end + after) * HOP_SAMPLES);
    assert_eq!(bits(&placed.samples[..from]), bits(&around.samples[..from]));
    assert_eq!(bits(&placed.samples[to..]), bits(&around.samples[to..]));
    assert_ne!(placed.samples[from..to], around.samples[from..to]);
    // As near to the wanted magnitudes as decoding all of it, in the whole stretch and at both of its seams.
    let config = &codec.header().config;
    let mut wanted = codec.magnitudes(&spliced).unwrap();
    expand(&mut wanted, config.network.n_bins, config.expansion);
    let whole = codec.decode(&spliced, &Cancel::default()).unwrap();
    let distance = |clip: &AudioClip, latents: Range<usize>| {
        let found = codec.analysis.synthesis.magnitudes(&clip.samples, FIRST_SAMPLE, wanted.len() / config.network.n_bins);
        let bins = latents.start * FRAMES_PER_LATENT * config.network.n_bins..latents.end * FRAMES_PER_LATENT * config.network.n_bins;
        let square = |x: f32| f64::from(x).powi(2);
        let error: f64 = bins.clone().map(|i| square(found[i] - wanted[i])).sum();
        (error / bins.map(|i| square(wanted[i])).sum::<f64>()).sqrt()
    };
    let (from, to) = (changed.start - before, changed.end + after);
    for (place, stretch) in [("stretch", from..to), ("first seam", from - 1..from + 1), ("second seam", to - 1..to + 1)] {
        let (in_place, of_whole) = (distance(&placed, stretch.clone()), distance(&whole, stretch));
        assert!(in_place < 1.25 * of_whole + 0.02, "{place}: {in_place:.3}, decoding all of it {of_whole:.3}");
    }
    // Nothing changed, nothing touched.
    assert_eq!(bits(&codec.decode_between(&truth, 3..3, &around, &Cancel::default()).unwrap().samples), bits(&around.samples));
}

#[test]
fn decoding_stops_when_asked() {
    let codec = DemoCodec::embedded().unwrap();
    let latents = codec.encode(&vowel(1.0, 120.0, 1)).unwrap();
    let around = codec.decode(&latents, &Cancel::default()).unwrap();
    let stop = Cancel::default();
    stop.cancel();
    assert!(matches!(codec.decode(&latents, &stop), Err(CodecError::Cancelled(_))));
    assert!(matches!(codec.decode_between(&latents, 3..6, &around, &stop), Err(CodecError::Cancelled(_))));
}

#[test]
fn as_sound_arrives_the_latents_are_those_of_the_whole() {
    let codec = std::sync::Arc::new(DemoCodec::embedded().unwrap());
    // Longer than two of the pieces that are encoded at once, and ending within a latent.
    let second = vowel(1.0, 140.0, 3).samples;
    let samples: Vec<f32> = second.iter().cycle().take(45 * 16_000 + 333).copied().collect();
    let streamed = |cuts: &[usize]| {
        let (mut encoding, mut frames, mut rest) = (Encoding::new(std::sync::Arc::clone(&codec)), Vec::new(), &samples[..]);
        for &cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            frames.extend(encoding.push(piece).unwrap());
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        frames.extend(encoding.finish().unwrap());
        frames
    };
    let whole = codec.encode(&AudioClip { samples: samples.clone(), sample_rate_hz: SAMPLE_RATE_HZ }).unwrap();
    let frames = streamed(&[1_000_000]);
    assert_eq!(frames.len(), whole.values.len());
    let off = frames.iter().zip(&whole.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 2e-5, "off by {off}");
    assert_eq!(bits(&streamed(&[1, 70_000, 0, 1_280, 333])), bits(&frames), "however it is cut");

    let one = Encoding::new(std::sync::Arc::clone(&codec));
    assert!(one.finish().unwrap_err().to_string().contains("no samples"));
    let mut bad = Encoding::new(codec);
    bad.push(&[0.0; 7]).unwrap();
    assert_eq!(bad.push(&[0.1, f32::NAN]).unwrap_err().to_string(), "sample 8 is no number; the sound cannot be encoded");
}
