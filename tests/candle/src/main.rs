//! Usage: candle-mimi FOLDER. Reads FOLDER/audio.safetensors and FOLDER/mimi/model.safetensors and prints one JSON object: seconds to
//! encode in one go (before the quantizer), to decode eight codebooks in one go, and both in steps of 80 ms.
//!
//! candle decodes from codes only; reading eight codebooks costs next to nothing beside the decoder.

use std::time::Instant;

use candle_core::{DType, Device, Result, StreamTensor};
use candle_transformers::models::mimi::{Config, Model};

const FRAME: usize = 1920;
const CODEBOOKS: usize = 8;
const REPEATS: usize = 7;

fn best(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let mut fastest = f64::INFINITY;
    for _ in 0..REPEATS {
        let begin = Instant::now();
        work()?;
        fastest = fastest.min(begin.elapsed().as_secs_f64());
    }
    Ok(fastest)
}

fn main() -> Result<()> {
    let folder = std::path::PathBuf::from(std::env::args().nth(1).expect("usage: candle-mimi FOLDER"));
    let device = Device::Cpu;
    let weights = candle_core::safetensors::load(folder.join("mimi/model.safetensors"), &device)?;
    let vb = candle_nn::VarBuilder::from_tensors(weights, DType::F32, &device);
    let mut model = Model::new(Config::v0_1(Some(CODEBOOKS)), vb)?;
    let audio = candle_core::safetensors::load(folder.join("audio.safetensors"), &device)?["samples"].reshape((1, 1, ()))?;
    let samples = audio.dim(2)?;

    let encode = best(|| model.encode_pre_quantize(&audio).map(drop))?;
    let codes = model.encode(&audio)?;
    let decode = best(|| model.decode(&codes).map(drop))?;
    let encode_steps = best(|| {
        model.reset_state();
        for at in (0..samples).step_by(FRAME) {
            model.encode_step(&StreamTensor::from(audio.narrow(2, at, FRAME.min(samples - at))?))?;
        }
        Ok(())
    })?;
    let decode_steps = best(|| {
        model.reset_state();
        for frame in 0..codes.dim(2)? {
            model.decode_step(&StreamTensor::from(codes.narrow(2, frame, 1)?))?;
        }
        Ok(())
    })?;
    println!(r#"{{"encode": {encode}, "decode": {decode}, "encode_steps": {encode_steps}, "decode_steps": {decode_steps}}}"#);
    Ok(())
}
