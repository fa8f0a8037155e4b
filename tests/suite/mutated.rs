//! Files of every format with bytes changed, cut, moved or mixed: each is opened or refused in one sentence, and nothing panics.
//!
//! Some hundred seeded cases a format; `DRIFTSCOPE_MUTATE_SECONDS=N` goes on for N seconds on each.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use driftscope::window::memory::{self, Found, Memory};
use driftscope_core::audio::{self, AudioClip};
use driftscope_core::codec::{Codec, CodecKind, CodecOptions};
use driftscope_core::context::Corpus;
use driftscope_core::figure::{FigureSpec, Guide, Panel, Provenance, Stroke, read_provenance, write_with_view};
use driftscope_core::latents::{Split, Store, StoreWriter, Utterance, ZarrVersion};
use driftscope_core::predict::Predictor;
use driftscope_core::run::Registry;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::{cli, shared};

/// Cases of a format in an ordinary run.
const N_CASES: u64 = 250;

/// No file of a few kilobytes may keep anybody waiting for this long.
const LONGEST: Duration = Duration::from_secs(30);

/// Calls `check` with one changed copy of `whole` after another; parts of `other` are mixed in. A panic names its seed and keeps the bytes.
fn mutate(format: &str, whole: &[u8], other: &[u8], check: impl Fn(&[u8])) {
    let seconds = std::env::var("DRIFTSCOPE_MUTATE_SECONDS").ok().and_then(|s| s.parse().ok()).map(Duration::from_secs);
    let began = Instant::now();
    for seed in 0.. {
        if seed >= N_CASES && seconds.is_none_or(|seconds| began.elapsed() > seconds) {
            break;
        }
        let bytes = mutated(whole, other, &mut StdRng::seed_from_u64(seed));
        let started = Instant::now();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&bytes))) {
            let kept = std::env::temp_dir().join(format!("driftscope-{}-{seed}.mutant", format.replace(' ', "-")));
            let _ = fs::write(&kept, &bytes);
            let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|&s| s.to_owned()));
            panic!("{format}, seed {seed}, kept as {}: {}", kept.display(), text.unwrap_or_default());
        }
        assert!(started.elapsed() < LONGEST, "{format}, seed {seed}: took {:?}", started.elapsed());
    }
}

/// One to four changes; half of them near the beginning, where headers are.
fn mutated(whole: &[u8], other: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let n = bytes.len();
        let reach = if rng.random() { n.min(96) } else { n };
        let at = if reach == 0 { 0 } else { rng.random_range(0..reach) };
        let length = rng.random_range(0..=(n - at).min(64));
        match rng.random_range(0..7) {
            0 if at < n => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < n => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'-', b'9', b'{'][rng.random_range(0..8)],
            2 if at + 4 <= n => {
                let value = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x7fc0_0000][rng.random_range(0..6)];
                bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
            }
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..at + length)),
            5 => {
                let copied = bytes[at..at + length].to_vec();
                let to = rng.random_range(0..=n);
                bytes.splice(to..to, copied);
            }
            _ => {
                let from = rng.random_range(0..=other.len());
                let piece = &other[from..(from + rng.random_range(0..200)).min(other.len())];
                bytes.splice(at..at + length.min(piece.len()), piece.iter().copied());
            }
        }
    }
    bytes
}

/// A refusal that a person can use.
#[track_caller]
fn is_a_sentence(error: &impl std::fmt::Display) {
    let sentence = error.to_string();
    assert!(!sentence.is_empty() && sentence.len() < 2_000, "{sentence:?}");
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    entries.into_iter().flat_map(|p| if p.is_dir() { files_below(&p) } else { vec![p] }).collect()
}

/// Two utterances of two speakers with index and split.
fn small_store(folder: &Path, version: ZarrVersion) -> PathBuf {
    let path = folder.join("latents.zarr");
    let mut writer = StoreWriter::create(&path, version, 5, 12.5, None).unwrap();
    let mut ids = Vec::new();
    for speaker in ["7", "8"] {
        let id = format!("{speaker}-1");
        let values = (0..40 * 5).map(|i| (i as f32 * 0.7).sin()).collect();
        let latents = driftscope_core::latents::Latents { values, dim: 5, frame_rate_hz: 12.5 };
        let utterance = Utterance { id: id.clone(), speaker: speaker.into(), n_frames: 40, duration_sec: 3.2, audio_path: None };
        writer.write(&utterance, &latents, &[0.5; 40]).unwrap();
        ids.push((id, speaker.to_owned()));
    }
    writer.finish().unwrap();
    let speakers = ids.iter().map(|(_, speaker)| speaker.clone()).collect();
    Split::seeded(&speakers, 0.5, 1).unwrap().write(&folder.join("splits"), &ids, 1).unwrap();
    path
}

/// Each file of a store in turn: metadata, attributes, chunks, the Parquet index, the lists of speakers.
#[test]
fn stores() {
    for version in [ZarrVersion::V2, ZarrVersion::V3] {
        let folder = tempfile::tempdir().unwrap();
        let path = small_store(folder.path(), version);
        // The second utterance's files are those of the first.
        for file in files_below(folder.path()).into_iter().filter(|f| !f.to_string_lossy().contains("8-1")) {
            let whole = fs::read(&file).unwrap();
            let name = format!("{version:?} {}", file.file_name().unwrap().to_string_lossy());
            mutate(&name, &whole, br#"{"shape":[1e9,null],"chunks":[0,-1],"node_type":"group"}"#, |bytes| {
                fs::write(&file, bytes).unwrap();
                match Store::open(&path) {
                    Ok(store) => {
                        let _ = store.index_hash();
                        for utterance in store.utterances() {
                            let _ = store.energy(&utterance.id).map_err(|e| is_a_sentence(&e));
                            let _ = store.read(&utterance.id).map_err(|e| is_a_sentence(&e));
                        }
                        let _ = Corpus::read(&store).map_err(|e| is_a_sentence(&e));
                    }
                    Err(error) => is_a_sentence(&error),
                }
                let _ = StoreWriter::create(&path, version, 5, 12.5, None).map(|mut writer| writer.existing_among(&["7-1", "8-1"]));
            });
            // What a writer that was let in has changed besides is put back.
            fs::write(&file, &whole).unwrap();
        }
    }
}

fn sound(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sounds").join(name)).unwrap()
}

#[test]
fn sounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tone.wav");
    let samples = (0..4_000).map(|i| (i as f32 * 0.1).sin());
    audio::write_wav(&path, &AudioClip { samples: samples.collect(), sample_rate_hz: 16_000 }).unwrap();
    let wav = fs::read(&path).unwrap();
    let files = [("a.wav", wav), ("a.flac", sound("tone.flac")), ("a.mp3", sound("tone.mp3")), ("a.ogg", sound("tone.ogg"))];
    for (index, (name, whole)) in files.iter().enumerate() {
        let (_, other) = &files[(index + 1) % files.len()];
        mutate(name, whole, other, |bytes| match audio::read_bytes(bytes, name) {
            Ok(clip) => {
                assert!(clip.samples.iter().all(|s| s.is_finite()) && clip.sample_rate_hz > 0);
                // As long at the other rate as it is: one claimed to last for days is not made that long.
                if clip.duration_sec() < 60.0 {
                    let _ = audio::resample(&clip, 24_000).map_err(|e| is_a_sentence(&e));
                }
            }
            Err(error) => is_a_sentence(&error),
        });
    }
}

fn ridge(folder: &Path) -> Vec<u8> {
    let store = small_store(folder, ZarrVersion::V3);
    let out = folder.join("linear.safetensors");
    let fit = ["fit", "linear", "--store", store.to_str().unwrap(), "--out", out.to_str().unwrap(), "--set", "window=3", "--quiet"];
    let got = cli::driftscope(folder, &fit);
    assert_eq!(got.code, 0, "{}", got.err);
    fs::read(out).unwrap()
}

#[test]
fn checkpoints() {
    let device = driftscope_core::engine::Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let mut files = vec![("linear.safetensors".to_owned(), ridge(folder.path()))];
    for name in ["mdn_k1_final.safetensors", "mdn_k1_final.pt", "vmf_k1_final.safetensors", "vmf_k1_final.pt"] {
        if let Some(path) = shared::path(&format!("fixtures/peer/checkpoints/{name}")) {
            files.push((name.to_owned(), fs::read(path).unwrap()));
        }
    }
    for (name, whole) in &files {
        let path = folder.path().join(name);
        mutate(name, whole, &files[0].1, |bytes| {
            fs::write(&path, bytes).unwrap();
            if let Err(error) = Predictor::load(&path, &device) {
                is_a_sentence(&error);
            }
        });
    }
}

#[test]
fn codec_weights() {
    let folder = tempfile::tempdir().unwrap();
    let embedded = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../assets/codec/demo-codec.safetensors");
    let mut files = vec![(CodecKind::Demo, fs::read(embedded).unwrap(), None)];
    for (kind, name) in [(CodecKind::Mimi, "mimi-small"), (CodecKind::Encodec, "encodec-small"), (CodecKind::Calm, "calm_vae-small")] {
        if let Some(fixture) = shared::path(&format!("fixtures/codecs/{name}")) {
            files.push((kind, fs::read(fixture.join("model.safetensors")).unwrap(), Some(fixture.join("config.json"))));
        }
    }
    for (kind, whole, config) in &files {
        let path = folder.path().join("model.safetensors");
        let beside = folder.path().join("config.json");
        if let Some(config) = config {
            fs::copy(config, &beside).unwrap();
        }
        let open = || Codec::open(*kind, &path, &CodecOptions::default()).map_err(|e| is_a_sentence(&e));
        mutate(&format!("{kind} weights"), whole, &files[0].1, |bytes| {
            fs::write(&path, bytes).unwrap();
            let _ = open();
        });
        fs::write(&path, whole).unwrap();
        if let Some(config) = config {
            mutate(&format!("{kind} config"), &fs::read(config).unwrap(), br#"{"hidden_size":1e99,"x":[-1,0]}"#, |bytes| {
                fs::write(&beside, bytes).unwrap();
                let _ = open();
            });
        }
    }
}

#[test]
fn settings() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("fit.toml"), folder.path().join("out.safetensors"));
    let whole = b"window = 8\nhorizon = 4\n\n[mdn]\nhidden_dim = 256\ncomponents = 8\n[fit]\nlearning_rate = 1e-3\nbatch = 64\n";
    mutate("settings", whole, b"= [[a]]\n\"\"\" 1979-05-27 {x={}} inf", |bytes| {
        fs::write(&file, bytes).unwrap();
        let args = ["fit", "mdn", "--store", "/nowhere.zarr", "--out", out.to_str().unwrap(), "--config", file.to_str().unwrap()];
        let got = cli::driftscope(folder.path(), &args);
        assert!([1, 2].contains(&got.code) && !got.err.is_empty(), "{}", got.err);
    });
}

#[test]
fn schedules() {
    let folder = tempfile::tempdir().unwrap();
    for whole in ["paint:ootonf", "after:3+7", "B_periodic"] {
        mutate(whole, whole.as_bytes(), b"99999999999999999999+0+-1:A,\xc3\xa4", |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let schedule = format!("--schedule={text}");
            let args = ["rollout", "--store", "/nowhere.zarr", "--predictor", "p", "--utterance", "u", "--start", "9", &schedule];
            let got = cli::driftscope(folder.path(), &args);
            assert!([1, 2].contains(&got.code) && !got.err.is_empty(), "{}", got.err);
        });
    }
}

#[test]
fn sessions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demo.json");
    let (mut memory, session) = (Memory::default(), crate::window::toy_session());
    memory.carried.utterance = session.corpus.utterances[1].id.clone();
    memory.layout = Some(driftscope::window::layout::first());
    memory.write(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    mutate("session", &whole, br#"{"version":1,"tiles":{"1":null},"position_sec":1e999,"store":18446744073709551615}"#, |bytes| {
        fs::write(&path, bytes).unwrap();
        match memory::read(&path) {
            Found::Memory(memory) => drop(memory.carried.placed(std::slice::from_ref(&session))),
            Found::Unusable(sentence) => is_a_sentence(&sentence),
            Found::Nothing => panic!("the file is there"),
        }
        for kept in files_below(folder.path()).iter().filter(|f| f.to_string_lossy().contains("kept")) {
            fs::remove_file(kept).unwrap();
        }
    });
}

#[test]
fn figures() {
    let folder = tempfile::tempdir().unwrap();
    let guide = Guide { name: "one".into(), color: [0; 3], stroke: Stroke::Solid, y: 1.0 };
    let provenance = Provenance { store: "s".into(), seed: 7, ..Provenance::default() };
    let spec = FigureSpec { panels: vec![Panel { guides: vec![guide], ..Panel::default() }], provenance, ..FigureSpec::default() };
    let paths = write_with_view(&spec, &serde_json::json!({ "α": [1, 2.5] }), folder.path()).unwrap();
    let files: Vec<Vec<u8>> = paths[..3].iter().map(|p| fs::read(p).unwrap()).collect();
    for (index, whole) in files.iter().enumerate() {
        let path = folder.path().join("figure");
        mutate(&paths[index].extension().unwrap().to_string_lossy(), whole, &files[(index + 1) % 3], |bytes| {
            fs::write(&path, bytes).unwrap();
            if let Err(error) = read_provenance(&path) {
                is_a_sentence(&error);
            }
        });
    }
}

#[test]
fn registries() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("x.safetensors");
    let got = cli::driftscope(folder.path(), &["fit", "linear", "--store", "/nowhere.zarr", "--out", out.to_str().unwrap()]);
    assert_eq!(got.code, 1);
    let runs = folder.path().join("runs");
    let manifest = runs.join("manifest.jsonl");
    let whole = fs::read(&manifest).unwrap();
    mutate("manifest", &whole, b"{\"run_id\":7}\n\n[]\n\xff", |bytes| {
        fs::write(&manifest, bytes).unwrap();
        match Registry::at(&runs).list() {
            Ok((_, problems)) => problems.iter().for_each(|problem| is_a_sentence(problem)),
            Err(error) => is_a_sentence(&error),
        }
    });
}
