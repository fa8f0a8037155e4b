//! What is measured of sounds, against the packages that the field uses.

use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};

use driftscope_core::audio::{self, AudioClip};
use driftscope_core::perceive::{self, Measure, PerceiveError};
use serde_json::Value;

use crate::shared;

/// 4 s of an embedded voice.
fn voice(stem: &str) -> AudioClip {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../assets/demo/voices").join(&stem[..4]);
    let mut clip = audio::read(&folder.join(format!("{stem}.flac"))).unwrap();
    clip.samples.truncate(4 * clip.sample_rate_hz as usize);
    clip
}

/// The degradations of `python/perceived.py`, which says what they are.
fn degraded(clip: &AudioClip, name: &str) -> AudioClip {
    let x: Vec<f64> = clip.samples.iter().map(|&v| f64::from(v)).collect();
    let rate = clip.sample_rate_hz as usize;
    let peak = x.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let y = match name {
        "noise 20 dB" => noisy(&x, 20.0),
        "noise 10 dB" => noisy(&x, 10.0),
        "noise 0 dB" => noisy(&x, 0.0),
        "lowpass" => lowpass(&lowpass(&x, 0.8), 0.8),
        "clipping" => x.iter().map(|v| v.clamp(-0.1 * peak, 0.1 * peak)).collect(),
        "delay 5 ms" => shifted(&x, rate / 200),
        "gain -12 dB" => x.iter().map(|v| 0.25 * v).collect(),
        "echo" => x.iter().zip(shifted(&x, rate / 8)).map(|(a, b)| a + 0.6 * b).collect(),
        "dropouts" => x.iter().enumerate().map(|(i, v)| if i * 1000 % (320 * rate) >= 280 * rate { 0.0 } else { *v }).collect(),
        "half 6 ms late" => late(&x, rate * 6 / 1000),
        "3 % faster" => played(&x, 1.03),
        other => panic!("{other} is no degradation"),
    };
    AudioClip { samples: y.into_iter().map(|v| v as f32).collect(), ..*clip }
}

fn noisy(x: &[f64], snr_db: f64) -> Vec<f64> {
    let mut state = 1_u32;
    let noise: Vec<f64> = (0..x.len())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state) / 2_f64.powi(32) - 0.5
        })
        .collect();
    let power = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
    let gain = (power(x) / power(&noise) / 10_f64.powf(snr_db / 10.0)).sqrt();
    x.iter().zip(noise).map(|(x, n)| x + gain * n).collect()
}

fn lowpass(x: &[f64], keep: f64) -> Vec<f64> {
    let mut last = 0.0;
    x.iter()
        .map(|v| {
            last = (1.0 - keep) * v + keep * last;
            last
        })
        .collect()
}

fn shifted(x: &[f64], n: usize) -> Vec<f64> {
    std::iter::repeat_n(0.0, n).chain(x[..x.len() - n].iter().copied()).collect()
}

fn late(x: &[f64], n: usize) -> Vec<f64> {
    let half = x.len() / 2;
    x[..half].iter().copied().chain(std::iter::repeat_n(0.0, n)).chain(x[half..x.len() - n].iter().copied()).collect()
}

fn played(x: &[f64], speed: f64) -> Vec<f64> {
    let at = |i: usize| x.get(i).copied().unwrap_or(0.0);
    (0..x.len())
        .map(|i| {
            let time = i as f64 * speed;
            let (whole, part) = (time.floor() as usize, time - time.floor());
            at(whole) * (1.0 - part) + at(whole + 1) * part
        })
        .collect()
}

/// How far a measure may be from its package. pYIN decides between paths that are equally likely, which rounding settles; the two programs
/// for loudness do not gate the same blocks where a block lies at a gate.
fn tolerance(measure: Measure) -> f64 {
    match measure {
        Measure::PesqWideBand | Measure::PesqNarrowBand => 0.02,
        Measure::Stoi | Measure::Estoi | Measure::MelDistance | Measure::Mcd | Measure::SiSdr => 1e-4,
        Measure::MultiResolutionStft => 1e-3,
        Measure::F0Error | Measure::VoicingError => 0.5,
        Measure::LoudnessDifference => 0.2,
    }
}

#[test]
fn measures_are_those_of_the_packages() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/perceived.json");
    let rows: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(rows.len() >= 40);
    let mut off = Vec::new();
    for row in &rows {
        let reference = voice(row["voice"].as_str().unwrap());
        let name = row["degradation"].as_str().unwrap();
        let scores = perceive::scores(&reference, &degraded(&reference, name)).unwrap();
        for measure in Measure::ALL {
            let (found, wanted) = (scores.value(measure), row[measure.key()].as_f64());
            let near = match (found, wanted) {
                (Some(found), Some(wanted)) => (found - wanted).abs() <= tolerance(measure),
                (None, Some(_)) if name == "3 % faster" => [Measure::PesqWideBand, Measure::PesqNarrowBand].contains(&measure),
                // At a gain alone nothing is distorted but by the rounding of samples.
                (found, _) => measure == Measure::SiSdr && name.starts_with("gain") && found.is_none_or(|db| db > 120.0),
            };
            if !near {
                off.push(format!("{} {name}: {} is {found:?}, not {wanted:?}", row["voice"], measure.name()));
            }
        }
    }
    assert!(off.is_empty(), "{}", off.join("\n"));
}

#[test]
fn intelligibility_and_quality_are_the_peers() {
    let Some(folder) = shared::path("fixtures/peer/audio_metrics") else { return };
    let expected: Value = serde_json::from_slice(&fs::read(folder.join("metrics.json")).unwrap()).unwrap();
    for row in expected["results"].as_array().unwrap() {
        let clip = |name: &str| audio::read(&folder.join(row[name].as_str().unwrap())).unwrap();
        let stoi = perceive::measure(Measure::Stoi, &clip("ref"), &clip("file")).unwrap();
        assert!((stoi.value - row["stoi"].as_f64().unwrap()).abs() < 1e-4, "{}: {}", row["file"], stoi.value);
        let pesq = perceive::measure(Measure::PesqWideBand, &clip("ref"), &clip("file")).unwrap();
        assert!((pesq.value - row["pesq_wb"].as_f64().unwrap()).abs() < 0.02, "{}: {}", row["file"], pesq.value);
    }
}

#[test]
fn a_perfect_copy_is_perfect_at_any_rate_and_length() {
    let reference = voice("9001-01");
    let mut copy = audio::resample(&reference, 48_000).unwrap();
    copy.samples.extend(vec![0.5; 4_800]);
    let scores = perceive::scores(&reference, &copy).unwrap();
    assert!((scores.compared_sec - 4.0).abs() < 1e-9 && scores.left_out_sec[0] == 0.0 && (scores.left_out_sec[1] - 0.1).abs() < 1e-3);
    let value = |measure| scores.value(measure).unwrap();
    assert!(value(Measure::Stoi) > 0.9999 && value(Measure::Estoi) > 0.999);
    assert!(value(Measure::MelDistance) < 0.05 && value(Measure::Mcd) < 0.5 && value(Measure::SiSdr) > 30.0);
    assert!(value(Measure::F0Error) < 5.0 && value(Measure::VoicingError) < 2.0 && value(Measure::LoudnessDifference).abs() < 0.05);

    let same = perceive::scores(&reference, &reference).unwrap();
    assert!((same.value(Measure::Stoi).unwrap() - 1.0).abs() < 1e-6);
    for zero in [Measure::MelDistance, Measure::MultiResolutionStft, Measure::Mcd, Measure::F0Error, Measure::LoudnessDifference] {
        assert_eq!(same.value(zero), Some(0.0), "{}", zero.name());
    }
    assert_eq!(same.value(Measure::SiSdr), None);
    let json = same.to_json();
    assert_eq!(json["measures"]["si_sdr_db"]["reason"], "SI-SDR is inf: the degraded sound is the reference at some gain");
    assert!(json["measures"]["si_sdr_db"]["value"].is_null() && json["measures"]["stoi"]["n"].as_u64().unwrap() > 100);
}

#[test]
fn what_cannot_be_measured_has_a_reason() {
    let tone = |sec: f64, hz: f64, gain: f64| {
        let sample = |i: usize| (gain * (TAU * hz * i as f64 / 16_000.0).sin()) as f32;
        AudioClip { samples: (0..(16_000.0 * sec) as usize).map(sample).collect(), sample_rate_hz: 16_000 }
    };
    let reason = |measure, reference: &AudioClip, degraded: &AudioClip| match perceive::measure(measure, reference, degraded) {
        Ok(score) => panic!("{}: {score:?}", measure.name()),
        Err(error) => error.to_string(),
    };
    let (sound, silence, short) = (tone(2.0, 200.0, 0.5), tone(2.0, 200.0, 0.0), tone(0.05, 200.0, 0.5));
    for measure in [Measure::Stoi, Measure::Estoi, Measure::PesqWideBand, Measure::MultiResolutionStft, Measure::Mcd, Measure::SiSdr] {
        assert_eq!(reason(measure, &silence, &sound), "the reference sound: is silent", "{}", measure.name());
        assert_eq!(reason(measure, &sound, &silence), "the degraded sound: is silent", "{}", measure.name());
    }
    assert_eq!(
        reason(Measure::F0Error, &sound, &silence),
        "F0 error needs a voice in the reference and in the degraded sound, and finds none"
    );
    assert_eq!(reason(Measure::LoudnessDifference, &sound, &silence), "loudness needs 0.4 s above -70 LUFS in both sounds");
    assert_eq!(reason(Measure::Stoi, &sound, &short), "STOI needs 0.41 s that are not silent, and finds 0.03 s");
    assert_eq!(reason(Measure::MultiResolutionStft, &short, &sound), "MR-STFT needs 0.13 s that are not silent, and finds 0.05 s");
    assert_eq!(reason(Measure::Mcd, &short, &sound), "MCD needs 0.06 s that are not silent, and finds 0.05 s");
    assert_eq!(reason(Measure::PesqNarrowBand, &sound, &short), "PESQ-NB needs 0.25 s that are not silent, and finds 0.05 s");
    let slow = AudioClip { sample_rate_hz: 1_000, ..sound.clone() };
    assert_eq!(reason(Measure::F0Error, &slow, &slow), "F0 error needs a sample rate of at least 2000 Hz, not 1000 Hz");
    assert_eq!(reason(Measure::PesqWideBand, &slow, &slow), "PESQ-WB needs a sample rate of at least 16000 Hz, not 1000 Hz");
    let voice = voice("9005-01");
    let refused = reason(Measure::PesqWideBand, &voice, &degraded(&voice, "3 % faster"));
    assert!(refused.starts_with("PESQ-WB compares sounds at one delay, but that of the degraded sound varies by "), "{refused}");
    let nothing = AudioClip { samples: vec![], sample_rate_hz: 16_000 };
    assert!(matches!(perceive::measure(Measure::Stoi, &sound, &nothing), Err(PerceiveError::Audio(_))));

    // A pure tone has a pitch that is known: 200 Hz against 212 Hz is 1200·log2(1.06) = 100.9 cents.
    let error = perceive::measure(Measure::F0Error, &sound, &tone(2.0, 212.0, 0.5)).unwrap();
    assert!((error.value - 100.9).abs() < 5.0 && error.n > 150, "{error:?}");
}
