//! Mimi, EnCodec and CALM's VAE at full size, random weights: ours against their reference packages, on the same sound, in one go and
//! in steps of 80 ms.
//!
//! `DRIFTSCOPE_PYTHON=/path/to/python cargo bench --profile dev --bench codecs` names a Python that has transformers and pocket-tts (and
//! moshi, for Mimi in steps); it also makes the weights. `DRIFTSCOPE_CODECS` names a folder in which they are kept from one run to the
//! next; where they are, Driftscope alone is measured without Python. `DRIFTSCOPE_CANDLE` names the program that `tests/candle` builds.
//! With `DRIFTSCOPE_DEVICE=gpu` (or `cuda`) wholes are coded there; steps stay on the processor.
//! Latents and sound are compared too: a fast wrong answer is not a result. `DRIFTSCOPE_SECONDS` is the length of the sound. Names of
//! codecs as arguments (`-- calm`) leave out the others.
#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use driftscope_core::audio::AudioClip;
use driftscope_core::codec::{Codec, CodecError, CodecKind, CodecOptions};
use driftscope_core::engine::{DeviceChoice, open_device};
use driftscope_core::job::JobCtx;
use driftscope_numerics::linear::{Accum, MatMut, MatRef, multiply_f32};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

const SAMPLE_RATE_HZ: u32 = 24_000;
/// 80 ms.
const STEP_SAMPLES: usize = 1_920;
/// The machine's other guests make single runs scatter by a tenth; the fastest of seven is the program's own.
const REPEATS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let python = std::env::var_os("DRIFTSCOPE_PYTHON").map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let folder = std::env::var_os("DRIFTSCOPE_CODECS").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let are_there = folder.join("calm/reference.safetensors").exists();
    match &python {
        Some(python) if !folder.join("calm/config.json").exists() => {
            reference(python, &["make", &folder.display().to_string()])?;
        }
        None if !are_there => {
            println!("not measured: set DRIFTSCOPE_PYTHON to a Python that has torch, transformers and pocket-tts");
            return Ok(());
        }
        _ => {}
    }
    let seconds = std::env::var("DRIFTSCOPE_SECONDS").ok().map_or(Ok(10.0), |text| text.parse::<f64>())?;
    let clip = sound(seconds);
    let bytes: Vec<u8> = bytemuck::cast_slice(&clip.samples).to_vec();
    let view = TensorView::new(Dtype::F32, vec![clip.samples.len()], &bytes)?;
    safetensors::serialize_to_file([("samples", view)], None, &folder.join("audio.safetensors"))?;

    println!("{seconds} s of sound at 24 kHz, full-size random weights, best of {REPEATS}; ratio: how many times as fast Driftscope is");
    println!("matrix products on this machine: {:.0} GFLOP/s in f32", peak() / 1e9);
    let threads = std::thread::available_parallelism()?.to_string();
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let kinds = [CodecKind::Mimi, CodecKind::Encodec, CodecKind::Calm].map(CodecKind::name);
    let names: Vec<&str> = kinds.into_iter().filter(|kind| asked.is_empty() || asked.iter().any(|name| name == kind)).collect();
    let theirs: serde_json::Value = match &python {
        Some(python) => {
            let place = folder.display().to_string();
            serde_json::from_str(&reference(python, &[&["time", &place, &threads], &names[..]].concat())?)?
        }
        None => serde_json::Value::Null,
    };
    let candle = match std::env::var_os("DRIFTSCOPE_CANDLE") {
        Some(program) if names.contains(&"mimi") => serde_json::from_slice(&output(Command::new(program).arg(&folder))?)?,
        _ => serde_json::Value::Null,
    };
    let device = match std::env::var("DRIFTSCOPE_DEVICE").as_deref() {
        Ok("gpu") => Some(open_device(DeviceChoice::Gpu)?),
        Ok("cuda") => Some(open_device(DeviceChoice::Cuda)?),
        _ => None,
    };
    if let Some(device) = &device {
        println!("wholes on {}", device.description);
    }
    for (kind, peers) in [
        (CodecKind::Mimi, vec![("transformers", &theirs["mimi"]), ("moshi", &theirs["moshi"]), ("candle", &candle)]),
        (CodecKind::Encodec, vec![("transformers", &theirs["encodec"])]),
        (CodecKind::Calm, vec![("pocket-tts", &theirs["calm"])]),
    ] {
        if !names.contains(&kind.name()) {
            continue;
        }
        let place = folder.join(kind.name());
        let codec = Codec::open(kind, &place.join("model.safetensors"), &CodecOptions::default())?;
        let codec = device.as_ref().map_or_else(|| codec.clone(), |device| codec.on(&JobCtx::on(device, 0)));
        let ours = measure(&codec, &clip, &place.join("reference.safetensors"))?;
        for (what, key, mine) in &ours {
            print!("{kind:<8} {what:<22} {:8.1} ms", mine * 1e3);
            if let Some(flops) = peers[0].1[format!("{key}_flops")].as_f64() {
                print!(" {:4.0} GFLOP/s", flops / mine / 1e9);
            }
            for (name, peer) in &peers {
                if let Some(other) = peer[key].as_f64() {
                    print!("   {name} {:8.1} ms: {:5.2}", other * 1e3, other / mine);
                }
            }
            println!();
        }
    }
    Ok(())
}

/// Seconds of the four ways, checked against the reference's latents and sound.
fn measure(codec: &Codec, clip: &AudioClip, reference: &Path) -> Result<[(&'static str, &'static str, f64); 4], Box<dyn Error>> {
    let (encode, latents) = best(|| codec.encode(clip))?;
    let (decode, sound) = best(|| codec.decode(&latents))?;
    let (encode_steps, frames) = best(|| {
        let mut stream = codec.encoder()?;
        let mut frames = Vec::with_capacity(latents.values.len());
        for step in clip.samples.chunks(STEP_SAMPLES) {
            frames.extend(stream.push(step)?);
        }
        frames.extend(stream.finish()?);
        Ok(frames)
    })?;
    let per_step = codec.dim() * (STEP_SAMPLES / codec.hop_samples());
    let (decode_steps, samples) = best(|| {
        let mut stream = codec.decoder();
        let mut samples = Vec::with_capacity(sound.samples.len());
        for step in latents.values.chunks(per_step) {
            samples.extend(stream.push(step)?);
        }
        samples.extend(stream.finish()?);
        Ok(samples)
    })?;
    let bytes = std::fs::read(reference)?;
    let expected = SafeTensors::deserialize(&bytes)?;
    let theirs = |name: &str| -> Result<Vec<f32>, Box<dyn Error>> { Ok(bytemuck::pod_collect_to_vec(expected.tensor(name)?.data())) };
    println!(
        "{:<8} differs from the reference by {:.1e} in latents, {:.1e} in sound (of its RMS); in steps by {:.1e} and {:.1e}",
        codec.kind(),
        difference(&latents.values, &theirs("latents")?),
        difference(&sound.samples, &theirs("audio")?),
        difference(&frames, &latents.values),
        difference(&samples, &sound.samples),
    );
    Ok([
        ("encode", "encode", encode),
        ("decode", "decode", decode),
        ("encode, 80 ms a step", "encode_steps", encode_steps),
        ("decode, 80 ms a step", "decode_steps", decode_steps),
    ])
}

/// Largest difference over the RMS of what is expected; infinite where lengths differ.
fn difference(ours: &[f32], expected: &[f32]) -> f64 {
    if ours.len() != expected.len() {
        return f64::INFINITY;
    }
    let rms = (expected.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / expected.len() as f64).sqrt();
    ours.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max) / rms
}

fn best<T>(mut work: impl FnMut() -> Result<T, CodecError>) -> Result<(f64, T), Box<dyn Error>> {
    let mut result = work()?;
    let mut fastest = f64::INFINITY;
    for _ in 0..REPEATS {
        let begin = Instant::now();
        result = work()?;
        fastest = fastest.min(begin.elapsed().as_secs_f64());
    }
    Ok((fastest, result))
}

/// Floating point operations a second of a large matrix product on all threads: what nothing here can exceed.
fn peak() -> f64 {
    let n = 2_048;
    let (a, b) = (vec![0.5_f32; n * n], vec![0.25_f32; n * n]);
    let mut out = vec![0.0_f32; n * n];
    let mut fastest = f64::INFINITY;
    for _ in 0..=REPEATS {
        let begin = Instant::now();
        let [left, right] = [&a, &b].map(|m| MatRef::from_row_major_slice(m, n, n));
        multiply_f32(MatMut::from_row_major_slice_mut(&mut out, n, n), Accum::Replace, left, right, 1.0);
        fastest = fastest.min(begin.elapsed().as_secs_f64());
    }
    2.0 * (n as f64).powi(3) / fastest
}

/// A tone that swells, and noise: every layer has something to do.
fn sound(seconds: f64) -> AudioClip {
    let mut rng = StdRng::seed_from_u64(1);
    let n = (seconds * f64::from(SAMPLE_RATE_HZ)) as usize / STEP_SAMPLES * STEP_SAMPLES;
    let samples = (0..n).map(|i| {
        let t = i as f32 / SAMPLE_RATE_HZ as f32;
        0.3 * (t * 1_382.3).sin() * (t * 10.7).sin() + rng.random_range(-0.1..0.1)
    });
    AudioClip { samples: samples.collect(), sample_rate_hz: SAMPLE_RATE_HZ }
}

fn reference(python: &Path, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/codecs.py");
    Ok(String::from_utf8(output(Command::new(python).arg(script).args(arguments))?)?)
}

fn output(command: &mut Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let output = command.output()?;
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned().into()) }
}
