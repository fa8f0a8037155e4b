//! Injection at the peer's full size: ours against PyTorch done the peer's way and fully batched, same weights, same latents.
//!
//! `DRIFTSCOPE_PYTHON=/path/to/python cargo bench --profile dev --bench injection` names a Python that has torch; without it only
//! our own time is measured, and that is said. Means of every mode are compared too: a fast wrong answer is not a result.
//! `DRIFTSCOPE_DEVICE=gpu` (or auto, cuda) runs it there, PyTorch through CUDA, its live rollout as a CUDA graph.
#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

mod device;

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use driftscope_core::context::{Corpus, CorpusUtterance, Pairs, Side, Slice};
use driftscope_core::job::JobCtx;
use driftscope_core::latents::Latents;
use driftscope_core::predict::{Baselines, MagnitudeRule, Predictor};
use driftscope_core::rollout::{Rollout, RolloutConfig, Schedule, Segment, SegmentConfig, rollout, sample_segments};
use driftscope_numerics::elementwise::sum_of_squares;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

const DIM: usize = 512;
const WINDOW: usize = 8;
const HIDDEN: usize = 1024;
const COMPONENTS: usize = 8;
const UTTERANCES: usize = 16;
const SEGMENTS: usize = 8;
const STEPS: usize = 16;
const FRAMES: usize = 200;
const REPEATS: usize = 3;

type Arrays = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut rng = StdRng::seed_from_u64(1);
    let corpus = random_corpus(&mut rng);
    write(&folder.path().join("model.safetensors"), &random_mdn(&mut rng), Some(mdn_metadata()))?;
    let (opened, torch) = device::open()?;
    let ctx = JobCtx::on(&opened, 1);
    let predictor = Predictor::load(&folder.path().join("model.safetensors"), &ctx.device)?;
    let config = SegmentConfig { n_utterances: UTTERANCES, segments_per_utterance: SEGMENTS, max_frames: FRAMES };
    let mut segments = sample_segments(&corpus, WINDOW, 1, STEPS, &config, 1)?;
    segments.sort_unstable();
    let baselines = Baselines::fit(&Pairs::cut(&corpus, &[UTTERANCES], WINDOW, 1, Slice::All));

    let schedules = Schedule::standard(STEPS);
    let run = || rollout(&ctx, &corpus, &predictor, &baselines, &segments, &schedules, &RolloutConfig::default());
    run()?;
    let mut seconds = f64::INFINITY;
    let mut outcome = Vec::new();
    for _ in 0..REPEATS {
        let begin = Instant::now();
        outcome = run()?;
        seconds = seconds.min(begin.elapsed().as_secs_f64());
    }
    println!(
        "injection, D {DIM}, W {WINDOW}, hidden {HIDDEN}, {COMPONENTS} components, {UTTERANCES} utterances × {SEGMENTS} segments × 4 modes × {STEPS} steps"
    );
    println!("on {}", opened.description);
    println!("driftscope        {seconds:8.3} s (best of {REPEATS})");
    let reading = reading(&ctx, &predictor);
    let live = live(&segments[..1], |segments, schedules| {
        rollout(&ctx, &corpus, &predictor, &baselines, segments, schedules, &RolloutConfig::default()).map(|_| ())
    })?;
    let Some(python) = std::env::var_os("DRIFTSCOPE_PYTHON") else {
        println!("not compared: set DRIFTSCOPE_PYTHON to a Python that has torch");
        return Ok(());
    };
    write(&folder.path().join("data.safetensors"), &data(&corpus, &segments, &baselines), None)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/injection_peer_way.py");
    let threads = std::thread::available_parallelism()?.to_string();
    let output = Command::new(python).arg(script).arg(folder.path()).args([threads.as_str(), torch]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let theirs: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    for (what, key, ours) in [("live rollout", "live", live), ("batch of 2,048", "reading", reading)] {
        let other = theirs[key]["milliseconds"].as_f64().ok_or("no milliseconds in the Python program's answer")?;
        println!("PyTorch, {what}: {other:.2} ms, ours {ours:.2} ms: ratio {:.2}", other / ours);
    }
    for (label, key) in [("PyTorch, peer's way", "peer_way"), ("PyTorch, batched", "batched")] {
        let other = theirs[key]["seconds"].as_f64().ok_or("no seconds in the Python program's answer")?;
        println!(
            "{label:<20}{other:6.3} s: ratio {:6.2}, means differ by at most {:.1e}",
            other / seconds,
            difference(&outcome, &theirs[key]["modes"])
        );
    }
    Ok(())
}

/// One start in five modes, as the window rolls it while a slider moves, against reading the weights once a step and nothing else.
fn live<E>(start: &[Segment], run: impl Fn(&[Segment], &[Schedule]) -> Result<(), E>) -> Result<f64, E> {
    let mut schedules = Schedule::standard(STEPS);
    schedules.push(Schedule::inject_after("painted", &[6, 11], STEPS));
    let best = |work: &dyn Fn() -> Result<(), E>| -> Result<f64, E> {
        let mut least = f64::INFINITY;
        for _ in 0..10 * REPEATS {
            let begin = Instant::now();
            work()?;
            least = least.min(begin.elapsed().as_secs_f64() * 1e3);
        }
        Ok(least)
    };
    let rolled = best(&|| run(start, &schedules))?;
    let weights = vec![1.0_f32; HIDDEN * (WINDOW * DIM + HIDDEN + COMPONENTS * (2 * DIM + 1))];
    let part = weights.len().div_ceil(8 * rayon::current_num_threads());
    let read = best(&|| {
        for _ in 0..STEPS {
            black_box(weights.par_chunks(part).map(sum_of_squares).sum::<f64>());
        }
        Ok(())
    })?;
    let megabytes = weights.len() as f64 * 4e-6;
    println!(
        "live, 1 start × 5 modes × {STEPS} steps: {rolled:.1} ms; reading {megabytes:.1} MB of weights once a step {:.1} ms ({:.1} GB/s): {:.2} times that",
        read,
        megabytes * STEPS as f64 / read,
        rolled / read
    );
    Ok(rolled)
}

/// Milliseconds for likelihood and mean of 2,048 windows, from and to the host.
fn reading(ctx: &JobCtx, predictor: &Predictor) -> f64 {
    const ROWS: usize = 2048;
    let mut rng = StdRng::seed_from_u64(2);
    let mut noise = |n: usize| (0..n).map(|_| StandardNormal.sample(&mut rng)).collect::<Vec<f32>>();
    let (windows, deltas) = (noise(ROWS * WINDOW * DIM), noise(ROWS * DIM));
    let mut least = f64::INFINITY;
    for _ in 0..=REPEATS {
        let begin = Instant::now();
        let tensor = |values: &[f32], width: usize| Tensor::<2>::from_data(TensorData::new(values.to_vec(), [ROWS, width]), &ctx.device);
        let (windows, deltas) = (tensor(&windows, WINDOW * DIM), tensor(&deltas, DIM));
        let reading = predictor.read(windows, &deltas, MagnitudeRule::Mean, 1.0, &mut StdRng::seed_from_u64(3));
        black_box((reading.nll.into_data(), reading.mean.into_data()));
        least = least.min(begin.elapsed().as_secs_f64() * 1e3);
    }
    println!("likelihood and mean of {ROWS} windows: {least:.1} ms");
    least
}

/// Random walks of `UTTERANCES` evaluation utterances and one training utterance for the baseline.
fn random_corpus(rng: &mut StdRng) -> Corpus {
    let utterances = (0..=UTTERANCES)
        .map(|i| {
            let mut state = vec![0.0_f32; DIM];
            let mut values = Vec::with_capacity(FRAMES * DIM);
            for _ in 0..FRAMES {
                for x in &mut state {
                    let normal: f32 = StandardNormal.sample(rng);
                    *x = 0.8 * *x + normal;
                }
                values.extend_from_slice(&state);
            }
            let side = if i == UTTERANCES { Side::Train } else { Side::Eval };
            CorpusUtterance {
                id: format!("random-{i:02}"),
                speaker: i.to_string(),
                latents: Latents { values, dim: DIM, frame_rate_hz: 12.5 },
                energy: None,
                side,
            }
        })
        .collect();
    Corpus { utterances, dim: DIM, frame_rate_hz: 12.5, source: "random walks".into(), codec: None }
}

/// An MDN with PyTorch's default initialization, in the peer's layout.
fn random_mdn(rng: &mut StdRng) -> Arrays {
    let mut arrays = Arrays::new();
    let outputs = COMPONENTS * DIM;
    let layers = [
        ("backbone.0", WINDOW * DIM, HIDDEN),
        ("backbone.2", HIDDEN, HIDDEN),
        ("pi_head", HIDDEN, COMPONENTS),
        ("mu_head", HIDDEN, outputs),
        ("log_sigma_head", HIDDEN, outputs),
    ];
    for (name, inputs, outputs) in layers {
        let bound = 1.0 / (inputs as f32).sqrt();
        let mut uniform = |n: usize| (0..n).map(|_| rng.random_range(-bound..bound)).collect::<Vec<f32>>();
        let (weight, mut bias) = (uniform(inputs * outputs), uniform(outputs));
        if name == "log_sigma_head" {
            bias.fill(-1.0);
        }
        arrays.insert(format!("{name}.weight"), floats(&weight, &[outputs, inputs]));
        arrays.insert(format!("{name}.bias"), floats(&bias, &[outputs]));
    }
    arrays
}

fn mdn_metadata() -> std::collections::HashMap<String, String> {
    let kwargs = serde_json::json!({
        "input_dim": WINDOW * DIM, "output_dim": DIM, "n_components": COMPONENTS, "hidden_dim": HIDDEN,
        "n_hidden_layers": 2, "dropout": 0.0, "min_log_sigma": -7.0, "max_log_sigma": 2.0
    });
    [("model_type", "mdn"), ("horizon_k", "1"), ("window_size", "8"), ("step", "0")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into_iter()
        .chain([
            ("model_kwargs".to_owned(), kwargs.to_string()),
            ("input_dim".to_owned(), (WINDOW * DIM).to_string()),
            ("output_dim".to_owned(), DIM.to_string()),
        ])
        .collect()
}

/// What the Python program needs besides the weights.
fn data(corpus: &Corpus, segments: &[Segment], baselines: &Baselines) -> Arrays {
    let eval: Vec<f32> = corpus.side(Side::Eval).flat_map(|u| u.latents.values.clone()).collect();
    let starts: Vec<u8> = segments.iter().flat_map(|s| (s.t0 as i64).to_le_bytes()).collect();
    [
        ("x", floats(&eval, &[UTTERANCES, FRAMES, DIM])),
        ("starts", (Dtype::I64, vec![UTTERANCES, SEGMENTS], starts)),
        ("baseline_mean", floats(&baselines.gaussian.mean, &[DIM])),
        ("baseline_variance", floats(&baselines.gaussian.variance, &[DIM])),
    ]
    .map(|(name, array)| (name.to_owned(), array))
    .into()
}

fn floats(values: &[f32], shape: &[usize]) -> (Dtype, Vec<usize>, Vec<u8>) {
    (Dtype::F32, shape.to_vec(), bytemuck::cast_slice(values).to_vec())
}

fn write(path: &Path, arrays: &Arrays, metadata: Option<std::collections::HashMap<String, String>>) -> Result<(), Box<dyn Error>> {
    let views = arrays.iter().map(|(name, (dtype, shape, bytes))| Ok((name.clone(), TensorView::new(*dtype, shape.clone(), bytes)?)));
    let views: Vec<(String, TensorView)> = views.collect::<Result<_, safetensors::SafeTensorError>>()?;
    Ok(safetensors::serialize_to_file(views, metadata, path)?)
}

/// Largest relative difference of a mode's means from the other program's.
fn difference(ours: &[Rollout], theirs: &serde_json::Value) -> f64 {
    let mean = |column: &[f32]| column.iter().map(|&v| f64::from(v)).sum::<f64>() / column.len() as f64;
    let mut largest = 0.0_f64;
    for rollout in ours {
        let columns = [
            ("nll", &rollout.nll),
            ("nll_baseline", &rollout.nll_baseline),
            ("cos", &rollout.cos),
            ("mag_ratio", &rollout.mag_ratio),
            ("state_err", &rollout.state_err_before),
        ];
        for (name, column) in columns {
            let other = theirs[&rollout.schedule.name][name].as_f64().unwrap_or(f64::NAN);
            let apart = (mean(column) - other).abs() / other.abs().max(1.0);
            largest = if apart.is_nan() { f64::NAN } else { largest.max(apart) };
        }
    }
    largest
}
