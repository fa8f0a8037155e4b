//! One training loop for whatever can be trained.
//!
//! A [`Task`] brings its module, its loss and its batches; the loop brings AdamW, gradient clipping, the learning-rate schedule,
//! progress, cancel, checkpoints and exact resume. It knows nothing of predictors or codecs.

mod checkpoint;
mod config;
mod optimizer;
mod task;

use std::path::{Path, PathBuf};

use burn::module::Module;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::engine::host_scalar;
use crate::job::{Cancelled, JobCtx};

pub use config::FitConfig;
pub use task::{ParamGroup, Task, backpropagated};

/// Steps between two looks at the loss (each look waits for the device).
const REPORT_EVERY: u64 = 20;

/// A fitted module.
#[derive(Debug)]
pub struct Fitted<M> {
    /// The module, without autodiff.
    pub module: M,
    /// `(step, loss)`, as seen every few steps of this run.
    pub losses: Vec<(u64, f32)>,
}

/// Why a fit ended without a module.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// Stopped by the user; the checkpoint, where one was asked for, holds the state.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The loss left the numbers.
    #[error("{task}: the loss became {loss} at step {step}; a lower learning rate may help")]
    Diverged {
        /// What was being fitted.
        task: String,
        /// Where it happened.
        step: u64,
        /// NaN or an infinity.
        loss: f32,
    },
    /// A checkpoint that cannot be read, written, or resumed.
    #[error("checkpoint {path} {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        reason: String,
    },
}

/// The random source of one step: a function of seed and step alone, so that a resumed fit draws what an unbroken one would.
fn step_rng(seed: u64, step: u64) -> StdRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&step.to_le_bytes());
    StdRng::from_seed(bytes)
}

/// Minimizes the task's loss, starting from `module`, or from `checkpoint` where that file exists.
///
/// The result is the same to the last bit whether the fit ran through or was stopped and resumed from its checkpoint any
/// number of times (same device kind, same machine).
pub fn fit<T: Task>(
    ctx: &JobCtx,
    task: &T,
    module: T::Module,
    config: &FitConfig,
    checkpoint: Option<&Path>,
) -> Result<Fitted<T::Module>, FitError> {
    let name = task.name();
    let header = |step| checkpoint::Header { task: name.clone(), step, seed: ctx.seed, config: config.clone() };
    let mut module = module.to_device(&ctx.device).train();
    let mut optimizer = optimizer::AdamW::new(&module, |path, rank| task.group(path, rank), &ctx.device);
    let mut step = 0;
    if let Some(path) = checkpoint.filter(|p| p.exists()) {
        (module, step) = checkpoint::load(path, &header(0), module, &mut optimizer, &ctx.device)?;
    }
    let save = |step, module: &T::Module, optimizer: &optimizer::AdamW| match checkpoint {
        Some(path) => checkpoint::save(path, &header(step), module, optimizer),
        None => Ok(()),
    };
    let device = ctx.device.clone().autodiff();
    ctx.tune(|| {
        let mut rng = step_rng(ctx.seed, step);
        let (loss, gradients) = task.gradients(&module, task.batch(&mut rng, &device), &mut rng);
        drop(gradients);
        host_scalar(loss)
    });
    let mut losses = Vec::new();
    while step < config.steps {
        if let Err(stopped) = ctx.cancel.check() {
            save(step, &module, &optimizer)?;
            return Err(stopped.into());
        }
        let mut rng = step_rng(ctx.seed, step);
        let batch = task.batch(&mut rng, &device);
        let (loss, gradients) = task.gradients(&module, batch, &mut rng);
        let norm;
        (module, norm) = optimizer.step(module, gradients, config, step);
        if step.is_multiple_of(REPORT_EVERY) || step + 1 == config.steps || !norm.is_finite() {
            let loss = host_scalar(loss);
            if !loss.is_finite() || !norm.is_finite() {
                return Err(FitError::Diverged { task: name, step, loss });
            }
            losses.push((step, loss));
            ctx.progress.report(format!("fit {name}"), step + 1, Some(config.steps), format!("loss {loss:.4}"));
        }
        step += 1;
        if step.is_multiple_of(config.checkpoint_every.max(1)) || step == config.steps {
            save(step, &module, &optimizer)?;
        }
    }
    Ok(Fitted { module: module.valid(), losses })
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::tensor::{Device, Tensor, TensorData};
    use rand::RngExt;

    use super::*;
    use crate::job::Progress;

    /// y = 2 x₀ − 3 x₁ + ½, without noise.
    struct Line;

    #[derive(Module, Debug)]
    struct Affine {
        weight: Param<Tensor<2>>,
        bias: Param<Tensor<1>>,
    }

    impl Task for Line {
        type Module = Affine;
        type Batch = (Tensor<2>, Tensor<2>);

        fn name(&self) -> String {
            "line".to_owned()
        }

        fn batch(&self, rng: &mut StdRng, device: &Device) -> Self::Batch {
            let x: Vec<f32> = (0..64).map(|_| rng.random_range(-1.0..1.0)).collect();
            let y: Vec<f32> = x.chunks_exact(2).map(|x| 2.0 * x[0] - 3.0 * x[1] + 0.5).collect();
            let tensor = |v: Vec<f32>, d| Tensor::from_data(TensorData::new(v, [32, d]), device);
            (tensor(x, 2), tensor(y, 1))
        }

        fn loss(&self, module: &Affine, (x, y): Self::Batch, _rng: &mut StdRng) -> Tensor<1> {
            (x.matmul(module.weight.val()) + module.bias.val().unsqueeze() - y).square().mean()
        }
    }

    fn start() -> Affine {
        let device = Device::flex();
        Affine { weight: Param::from_data([[0.1_f32], [0.2]], &device), bias: Param::from_data([0.0_f32], &device) }
    }

    fn config(steps: u64) -> FitConfig {
        FitConfig { steps, learning_rate: 0.05, warmup_steps: 10, weight_decay: 0.0, checkpoint_every: 7, ..FitConfig::default() }
    }

    fn numbers(module: &Affine) -> Vec<f32> {
        let mut all: Vec<f32> = module.weight.val().into_data().try_into_vec().unwrap();
        all.extend(module.bias.val().into_data().try_into_vec::<f32>().unwrap());
        all
    }

    #[test]
    fn a_regression_with_a_known_answer_is_found() {
        let ctx = JobCtx::quiet(Device::flex(), 1);
        let fitted = fit(&ctx, &Line, start(), &config(1_000), None).unwrap();
        for (got, expected) in numbers(&fitted.module).iter().zip([2.0, -3.0, 0.5]) {
            assert!((got - expected).abs() < 1e-3, "{got} for {expected}");
        }
        assert!(fitted.losses[0].1 > 1.0 && fitted.losses.last().unwrap().1 < 1e-5);
    }

    #[test]
    fn stopped_and_resumed_equals_unbroken_to_the_bit() {
        let ctx = JobCtx::quiet(Device::flex(), 5);
        let whole = fit(&ctx, &Line, start(), &config(60), None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("line.fit");
        let mut stops = 0;
        let resumed = loop {
            let mut ctx = JobCtx::quiet(Device::flex(), 5);
            let cancel = ctx.cancel.clone();
            ctx.progress = Progress::new(move |event| {
                if event.done > 20 * stops {
                    cancel.cancel();
                }
            });
            match fit(&ctx, &Line, start(), &config(60), Some(&path)) {
                Err(FitError::Cancelled(_)) => stops += 1,
                other => break other.unwrap(),
            }
        };
        assert!(stops >= 2, "the fit was stopped {stops} times");
        assert_eq!(numbers(&whole.module), numbers(&resumed.module));
        let other = fit(&JobCtx::quiet(Device::flex(), 6), &Line, start(), &config(60), None).unwrap();
        assert_ne!(numbers(&whole.module), numbers(&other.module), "the seed matters");
    }

    #[test]
    fn bad_checkpoints_are_refused_in_one_sentence() {
        let ctx = JobCtx::quiet(Device::flex(), 5);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("line.fit");
        fit(&ctx, &Line, start(), &config(3), Some(&path)).unwrap();
        let refused = fit(&ctx, &Line, start(), &config(4), Some(&path)).unwrap_err().to_string();
        assert!(refused.contains("belongs to another fit"), "{refused}");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let truncated = fit(&ctx, &Line, start(), &config(3), Some(&path)).unwrap_err().to_string();
        assert!(truncated.contains("no whole checkpoint"), "{truncated}");
    }

    #[test]
    fn divergence_is_an_error() {
        let ctx = JobCtx::quiet(Device::flex(), 5);
        let mut module = start();
        module.bias = Param::from_data([f32::NAN], &Device::flex());
        assert!(matches!(fit(&ctx, &Line, module, &config(3), None), Err(FitError::Diverged { step: 0, .. })));
    }
}
