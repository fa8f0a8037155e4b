//! Predictors: a distribution over the next Δ given a window of frames.
//!
//! One forward pass gives a [`Prediction`], from which likelihood, mean, median, mode and samples follow, or directly the
//! [`Reading`] of it that a rollout needs. A predictor is one
//! variant of [`Predictor`] and one file; the baselines that ΔNLL is taken against are in `baseline`.

mod backprop;
mod baseline;
mod checkpoint;
mod cpu;
mod linear;
mod live;
mod mdn;
mod mixture_loss;
mod network;
mod prediction;
mod training;
mod vmf_lognormal;
pub mod von_mises_fisher;
mod weights;

pub(crate) use baseline::BaselineSums;
pub use baseline::{Baselines, GaussianBaseline, LogMagnitudeBaseline};
pub use checkpoint::{CheckpointError, Provenance};
pub(crate) use cpu::{Advance, Answers, Rows};
pub use linear::Ridge;
pub use prediction::{MagnitudeRule, Prediction, Reading};
pub use training::{PredictorConfig, PredictorKind, fit_predictor};

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::engine::{HostTensor, is_cpu};
use crate::job::JobCtx;
use cpu::Matrices;
use live::LiveSlot;
use weights::Precision;

/// Any predictor that can be loaded.
#[derive(Clone, Debug)]
pub struct Predictor {
    /// What it is and how it was made.
    pub info: PredictorInfo,
    /// The network or closed form.
    model: Model,
    /// How it is written.
    precision: Precision,
    /// Itself on a GPU.
    live: LiveSlot,
    /// Itself on the CPU, where `model` lies elsewhere: for work that is too small for a GPU, and for when that is lost.
    spare: Option<Arc<Predictor>>,
}

/// What a predictor is and how it was made; shown in the window and written into results.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PredictorInfo {
    /// "mdn", "vmf", "linear", "persistence", "climatology".
    pub kind: String,
    /// Frames in its window, W.
    pub window: usize,
    /// Horizon k it was trained for.
    pub horizon: usize,
    /// Dimensions of a frame.
    pub dim: usize,
    /// True for checkpoints of the peer project: raw inputs and hard clamps, kept as they are.
    pub peer: bool,
    /// blake3 of the checkpoint file, hex (empty for closed forms).
    pub hash: String,
    /// Where it came from.
    pub provenance: Provenance,
}

/// A [`PredictorInfo::kind`] as people write it.
pub fn family(kind: &str) -> &str {
    match kind {
        "mdn" => "MDN",
        "vmf" => "vMF×LogNormal",
        other => other,
    }
}

/// The closed set of predictor families.
#[derive(Clone, Debug)]
enum Model {
    Persistence,
    Climatology { mean: Vec<f32> },
    Linear(Box<linear::LinearGaussian>),
    Mdn(Box<mdn::Mdn>),
    VmfLogNormal(Box<vmf_lognormal::VmfLogNormal>),
}

impl Predictor {
    /// Reads a checkpoint: ours (`.safetensors`), or the peer's (`.safetensors`, `.pt`).
    pub fn load(path: &Path, device: &Device) -> Result<Self, CheckpointError> {
        checkpoint::load(path, device)
    }

    /// Reads one of our checkpoints from memory (the embedded ones).
    pub fn from_bytes(bytes: &[u8], name: &str, device: &Device) -> Result<Self, CheckpointError> {
        checkpoint::from_bytes(bytes, name, device)
    }

    /// Writes our checkpoint, beside and renamed.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        checkpoint::save(self, path)
    }

    /// Δ̂ = 0: the state stays.
    pub fn persistence(dim: usize, window: usize) -> Self {
        Self::closed_form("persistence", dim, window, 1, Model::Persistence)
    }

    /// Δ̂ = mean − x[t−1]: the state jumps to the mean frame of the training side.
    pub fn climatology(mean: Vec<f32>, window: usize) -> Self {
        Self::closed_form("climatology", mean.len(), window, 1, Model::Climatology { mean })
    }

    /// A fitted ridge as a predictor (Gaussian with the residual's per-dimension variance).
    pub fn linear(ridge: Ridge, window: usize, horizon: usize, dim: usize, device: &Device) -> Self {
        let on = |ridge, device: &Device| {
            let model = Model::Linear(Box::new(linear::LinearGaussian::new(ridge, window, device)));
            Self::closed_form("linear", dim, window, horizon, model)
        };
        let spare = (!is_cpu(device)).then(|| Arc::new(on(ridge.clone(), &Device::flex())));
        Self { spare, ..on(ridge, device) }
    }

    fn closed_form(kind: &str, dim: usize, window: usize, horizon: usize, model: Model) -> Self {
        let provenance = Provenance { version: env!("CARGO_PKG_VERSION").into(), ..Provenance::default() };
        let info = PredictorInfo { kind: kind.into(), window, horizon, dim, peer: false, hash: String::new(), provenance };
        Self { info, model, precision: Precision::Single, live: LiveSlot::default(), spare: None }
    }

    /// Itself where tensors of `device` are.
    fn on(&self, device: &Device) -> &Self {
        self.spare.as_deref().filter(|_| is_cpu(device)).unwrap_or(self)
    }

    /// Has the device tune what `n_rows` rows at a time will need, if it tunes; see [`JobCtx::tune`].
    pub fn tune(&self, ctx: &JobCtx, n_rows: usize) {
        ctx.surviving(|ctx| {
            ctx.tune(|| {
                let zeros = |width: usize| Tensor::zeros([n_rows, width], &ctx.device);
                let mut rng = StdRng::seed_from_u64(0);
                self.read(zeros(self.info.window * self.info.dim), &zeros(self.info.dim), MagnitudeRule::Mean, 1.0, &mut rng)
                    .nll
                    .into_data()
            });
        });
    }

    /// What [`Self::predict`] of `windows` says about `deltas [batch, dim]` and where it advances to, computed where the windows are.
    /// `temperature` scales the spread of samples only.
    pub fn read(&self, windows: Tensor<2>, deltas: &Tensor<2>, rule: MagnitudeRule, temperature: f32, rng: &mut StdRng) -> Reading {
        let device = windows.device();
        if !is_cpu(&device) {
            return Reading::of(&self.predict(windows), deltas, rule, temperature, rng);
        }
        let [n, dim] = deltas.dims();
        let draws = if rule == MagnitudeRule::Sample { self.draw(n, rng) } else { Vec::new() };
        let matrices = [HostTensor::take(windows), HostTensor::take(deltas.clone())];
        let rows = Matrices { windows: matrices[0].values(), deltas: matrices[1].values(), draws: &draws, n };
        let mut answers = Answers::default();
        self.answer(&rows, n, Advance { rule, temperature }, &mut answers);
        let vector = |values: Vec<f32>| Tensor::<1>::from_data(TensorData::new(values, [n]), &device);
        let matrix = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [n, dim]), &device);
        let Answers { nll, nll_factored, mean, advance } = answers;
        Reading { nll: vector(nll), nll_factored: vector(nll_factored), mean: matrix(mean), advance: matrix(advance) }
    }

    /// The same on the CPU for `n` rows that lie somewhere in memory, into memory that is there already.
    pub(crate) fn answer(&self, rows: &impl Rows, n: usize, advance: Advance, answers: &mut Answers) {
        let here = self.spare.as_deref().unwrap_or(self);
        let packed = match &here.model {
            Model::Persistence => return answers.set_points(n, self.info.dim, |_, mean| mean.fill(0.0)),
            Model::Climatology { mean } => {
                return answers.set_points(n, self.info.dim, |row, point| {
                    let window = rows.window(row);
                    let last = &window[window.len() - mean.len()..];
                    point.iter_mut().zip(mean).zip(last).for_each(|((out, mean), last)| *out = mean - last);
                });
            }
            Model::Linear(linear) => &linear.packed,
            Model::Mdn(mdn) => &mdn.packed,
            Model::VmfLogNormal(vmf) => &vmf.packed,
        };
        packed.as_ref().expect("networks on the CPU are packed").answer(rows, n, advance, answers);
    }

    /// Values that a row has in the widest tensor of a forward pass.
    pub(crate) fn widest_row(&self) -> usize {
        let widest = match &self.model {
            Model::Mdn(mdn) => mdn.widest_row(),
            _ => 0,
        };
        widest.max(self.info.window * self.info.dim)
    }

    /// The distribution over Δ for each row of raw (unnormalized) windows of `info.window` frames of `info.dim` values.
    pub fn predict(&self, windows: Tensor<2>) -> Prediction {
        // windows: [batch, window * dim]
        match &self.on(&windows.device()).model {
            Model::Persistence => Prediction::Point { mean: Tensor::zeros([windows.dims()[0], self.info.dim], &windows.device()) },
            Model::Climatology { mean } => {
                let mean = Tensor::<2>::from_data(TensorData::new(mean.clone(), [1, self.info.dim]), &windows.device());
                let last = windows.narrow(1, (self.info.window - 1) * self.info.dim, self.info.dim);
                Prediction::Point { mean: mean - last }
            }
            Model::Linear(linear) => linear.predict(windows),
            Model::Mdn(mdn) => mdn.predict(windows),
            Model::VmfLogNormal(vmf) => vmf.predict(windows),
        }
    }
}
