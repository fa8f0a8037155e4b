//! Sound as others wrote it: real recordings, the peer's mel spectra, resamplers and distances.

use std::fs;

use driftscope_core::audio::{self, AudioClip};
use driftscope_core::latents::scan_audio;
use driftscope_core::perceive;
use safetensors::SafeTensors;

use crate::shared;

fn tensor(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    file.tensor(name).unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn distances_are_the_peers() {
    let Some(folder) = shared::path("fixtures/peer/audio_metrics") else { return };
    let expected: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("metrics.json")).unwrap()).unwrap();
    for row in expected["results"].as_array().unwrap() {
        let clip = |name: &str| audio::read(&folder.join(row[name].as_str().unwrap())).unwrap();
        let (reference, degraded) = (clip("ref"), clip("file"));
        let distance = perceive::mel_distance(&reference, &degraded).unwrap();
        let wanted = row["mel_l1_sr16000_80"].as_f64().unwrap();
        assert!((distance - wanted).abs() < 1e-4, "{}: {distance}, not {wanted}", row["file"]);
        let l1 = reference.samples.iter().zip(&degraded.samples).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>();
        let l1 = l1 / reference.samples.len() as f64;
        assert!((l1 - row["l1"].as_f64().unwrap()).abs() < 1e-8, "{}: L1 {l1}", row["file"]);
    }
}

#[test]
fn mel_power_and_resampling_are_the_peers() {
    let Some(path) = shared::path("fixtures/peer/audio_metrics/dsp.safetensors") else { return };
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let clip = AudioClip { samples: tensor(&file, "wave16k"), sample_rate_hz: 16_000 };
    let (mel, wanted) = (perceive::mel_power(&clip.samples, 16_000), tensor(&file, "mel_power"));
    let transposed: Vec<f32> = (0..80 * 32).map(|i| mel[i % 32 * 80 + i / 32]).collect();
    let largest = wanted.iter().copied().fold(0.0, f32::max);
    let error = largest_difference(&transposed, &wanted);
    assert!(error < 1e-4 * largest, "{error} of {largest}");

    // The peer's resampler has a short filter that lets some of the top band through: compare where speech is, not to the bit.
    let ours = audio::resample(&clip, 24_000).unwrap().samples;
    let wanted = tensor(&file, "resample_16k_to_24k");
    let power = |x: &[f32]| x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    let difference: Vec<f32> = ours.iter().zip(&wanted).map(|(a, b)| a - b).collect();
    let ratio_db = 10.0 * (power(&wanted) / power(&difference)).log10();
    assert!(ours.len() == wanted.len() && ratio_db > 30.0, "{ratio_db} dB");
}

#[test]
fn a_librispeech_folder_is_scanned_and_read() {
    let Some(folder) = shared::path("data/librispeech-mini") else { return };
    let files = scan_audio(&folder).unwrap();
    let manifest = fs::read_to_string(folder.join("manifest.tsv")).unwrap();
    let mut lines = manifest.lines();
    let header: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let column = |name: &str| header.iter().position(|h| *h == name).unwrap();
    let (id, speaker, n_samples) = (column("utterance_id"), column("speaker_id"), column("n_samples"));
    let mut wanted: Vec<Vec<&str>> = lines.map(|l| l.split('\t').collect()).collect();
    wanted.sort_by_key(|row| row[id]);
    let found: Vec<_> = files.iter().map(|f| (f.utterance_id.as_str(), f.speaker.as_str())).collect();
    assert_eq!(found, wanted.iter().map(|row| (row[id], row[speaker])).collect::<Vec<_>>());
    for (file, row) in files.iter().zip(&wanted).step_by(50) {
        let clip = audio::read(&file.path).unwrap();
        assert_eq!((clip.samples.len(), clip.sample_rate_hz), (row[n_samples].parse().unwrap(), 16_000), "{}", file.utterance_id);
        assert!(clip.samples.iter().all(|s| s.abs() <= 1.0) && clip.samples.iter().any(|s| s.abs() > 0.01));
    }
}

#[test]
fn a_flac_that_ends_early_is_refused() {
    let Some(folder) = shared::path("data/librispeech-mini") else { return };
    let path = &scan_audio(&folder).unwrap()[0].path;
    let whole = fs::read(path).unwrap();
    assert_eq!(audio::read_bytes(&whole, "a.flac").unwrap(), audio::read(path).unwrap());
    for kept in [whole.len() - 1, whole.len() / 2, 2_000, 60, 10] {
        let message = audio::read_bytes(&whole[..kept], "cut.flac").unwrap_err().to_string();
        assert!(message.starts_with("cut.flac: not readable as WAV, FLAC, MP3 or Ogg Vorbis ("), "{kept} bytes: {message}");
    }
}

/// Half a second of 440 Hz at amplitude 0.5, 16 kHz (`sounds/make.py`); the FLAC is stereo with half of it on the right.
#[test]
fn every_format_gives_the_tone() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sounds");
    for (name, gain, n_samples, tolerance) in
        [("tone.flac", 0.75, 8_000..=8_000, 5e-5), ("tone.ogg", 1.0, 8_000..=8_000, 0.05), ("tone.mp3", 1.0, 8_000..=9_500, 0.05)]
    {
        let clip = audio::read(&folder.join(name)).unwrap();
        assert_eq!(clip.sample_rate_hz, 16_000);
        assert!(n_samples.contains(&clip.samples.len()), "{name}: {} samples", clip.samples.len());
        let tone = |i: usize| (gain * 0.5 * (std::f64::consts::TAU * 440.0 * i as f64 / 16_000.0).sin()) as f32;
        let error = (1_000..7_000).map(|i| (clip.samples[i] - tone(i)).abs()).fold(0.0, f32::max);
        assert!(error < tolerance, "{name}: off by {error}");
        let whole = fs::read(folder.join(name)).unwrap();
        for kept in [0, 3, whole.len() / 2, whole.len() - 1] {
            // Ogg and MP3 do not say how long they should be: a shorter tone is what they hold. Never a panic, never an empty clip.
            if let Ok(cut) = audio::read_bytes(&whole[..kept], name) {
                assert!(name != "tone.flac" && !cut.samples.is_empty(), "{name} cut at {kept}");
            }
        }
    }
}
