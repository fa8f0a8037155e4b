//! Training steps of a full-size MDN against PyTorch on the same machine, in the same run.
//!
//! `DRIFTSCOPE_PYTHON=/path/to/python cargo bench --profile dev --bench mdn_training` names a Python that has torch; without it
//! only our own time is measured, and that is said. A step is: draw and copy out the windows, forward, loss, backward, clip, AdamW.
//! `DRIFTSCOPE_DEVICE=gpu` (or auto, cuda) trains there, PyTorch through CUDA.
#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

mod device;

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use driftscope_core::context::{Corpus, CorpusUtterance, Side};
use driftscope_core::engine::OpenDevice;
use driftscope_core::job::{JobCtx, Progress};
use driftscope_core::latents::Latents;
use driftscope_core::predict::{PredictorConfig, PredictorKind, fit_predictor};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const DIM: usize = 512;
const FRAMES: usize = 2000;
/// Steps between two reports of the fit loop.
const STEPS_PER_BLOCK: u64 = 20;
const BLOCKS: u64 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let config = PredictorConfig {
        kind: PredictorKind::Mdn,
        window: 8,
        n_components: 8,
        hidden_dim: 1024,
        batch: 256,
        max_steps: STEPS_PER_BLOCK * BLOCKS + 1,
        ..PredictorConfig::default()
    };
    let threads = std::thread::available_parallelism()?.to_string();
    let (opened, torch) = device::open()?;
    println!("mdn training step, D {DIM}, W 8, hidden 1024, 8 components, batch 256, {threads} threads, on {}", opened.description);
    let ours = milliseconds_per_step(&opened, &config)?;
    println!("driftscope  {ours:8.1} ms (best of {BLOCKS} blocks of {STEPS_PER_BLOCK} steps)");
    let Some(python) = std::env::var_os("DRIFTSCOPE_PYTHON") else {
        println!("not compared: set DRIFTSCOPE_PYTHON to a Python that has torch");
        return Ok(());
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/mdn_training.py");
    let output = Command::new(python).arg(script).args([threads.as_str(), torch]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let theirs: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    println!("PyTorch     {theirs:8.1} ms: ratio {:.2} (PyTorch's time over ours)", theirs / ours);
    // Once more, since another program on the machine hurts whoever runs beside it.
    let again = milliseconds_per_step(&opened, &config)?;
    println!("driftscope  {again:8.1} ms, again");
    Ok(())
}

/// From the times at which the fit loop reports.
fn milliseconds_per_step(opened: &OpenDevice, config: &PredictorConfig) -> Result<f64, Box<dyn Error>> {
    let mut rng = StdRng::seed_from_u64(1);
    let values = (0..FRAMES * DIM).map(|_| rng.random_range(-1.0..1.0)).collect();
    let utterance = CorpusUtterance {
        id: "noise".into(),
        speaker: "1".into(),
        latents: Latents { values, dim: DIM, frame_rate_hz: 12.5 },
        energy: None,
        side: Side::Train,
    };
    let corpus = Corpus { utterances: vec![utterance], dim: DIM, frame_rate_hz: 12.5, source: "noise".into(), codec: None };
    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&reports);
    let mut ctx = JobCtx::on(opened, 1);
    ctx.progress = Progress::new(move |event| {
        if let Ok(mut reports) = sink.lock() {
            reports.push((event.done, Instant::now()));
        }
    });
    fit_predictor(&ctx, &corpus, config, None)?;
    let reports = reports.lock().map_err(|_| "the progress sink failed")?;
    let blocks = reports.windows(2).filter(|pair| pair[1].0 > pair[0].0);
    let times = blocks.map(|pair| (pair[1].1 - pair[0].1).as_secs_f64() * 1e3 / (pair[1].0 - pair[0].0) as f64);
    times.reduce(f64::min).ok_or_else(|| "the fit loop reported less than twice".into())
}
