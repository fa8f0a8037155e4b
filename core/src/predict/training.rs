//! What the fit loop needs to know to train a predictor: its loss and its batches.
//!
//! Only utterances on the training side are read, for statistics, batches and closed forms alike. The windows of a batch are
//! standardized while they are copied out of the corpus; nothing the size of the corpus is made.

use std::path::Path;

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::backprop::loss_and_gradients;
use super::linear::{Rows, fit_rows};
use super::live::LiveSlot;
use super::mdn::{Mdn, MdnNet};
use super::network::{NetworkShape, Scaling};
use super::prediction::{direction_nll, magnitude_nll, split_polar};
use super::vmf_lognormal::{BOUNDS, VmfLogNormal, VmfNet};
use super::von_mises_fisher::{Formula, LogNormalizer};
use super::weights::Precision;
use super::{CheckpointError, Model, Predictor, PredictorInfo, Provenance, checkpoint};
use crate::context::{Corpus, Side, Slice, target_frames};
use crate::engine::is_cpu;
use crate::fit::{FitConfig, FitError, Fitted, Task, backpropagated, fit};
use crate::job::JobCtx;
use crate::represent::Normalizer;

/// Which family to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PredictorKind {
    /// Mixture density network.
    #[default]
    Mdn,
    /// vMF × LogNormal.
    Vmf,
    /// Ridge in closed form.
    Linear,
}

/// How to fit a predictor.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PredictorConfig {
    /// Family.
    pub kind: PredictorKind,
    /// Frames in the window, W.
    pub window: usize,
    /// Horizon k.
    pub horizon: usize,
    /// Mixture components (mdn).
    pub n_components: usize,
    /// Hidden width.
    pub hidden_dim: usize,
    /// Hidden layers, as the peer counts them.
    pub n_hidden_layers: usize,
    /// Ridge penalty (linear).
    pub lambda: f64,
    /// Batch rows.
    pub batch: usize,
    /// Optimizer steps.
    pub max_steps: u64,
    /// Learning rate.
    pub learning_rate: f64,
    /// AdamW weight decay.
    pub weight_decay: f64,
    /// Gradient-norm clip.
    pub clip_norm: f32,
    /// Store weights as f16.
    pub half_precision: bool,
}

impl Default for PredictorConfig {
    fn default() -> Self {
        Self {
            kind: PredictorKind::Mdn,
            window: 8,
            horizon: 1,
            n_components: 8,
            hidden_dim: 1024,
            n_hidden_layers: 2,
            lambda: 100.0,
            batch: 256,
            max_steps: 25_000,
            learning_rate: 1e-3,
            weight_decay: 1e-4,
            clip_norm: 1.0,
            half_precision: false,
        }
    }
}

/// Fits a predictor on the training side of `corpus`; `checkpoint` keeps the state for exact resume, also on the CPU where the device is
/// lost.
pub fn fit_predictor(
    ctx: &JobCtx,
    corpus: &Corpus,
    config: &PredictorConfig,
    checkpoint: Option<&Path>,
) -> Result<Predictor, CheckpointError> {
    config.check()?;
    ctx.surviving(|ctx| fit_there(ctx, corpus, config, checkpoint))
}

fn fit_there(ctx: &JobCtx, corpus: &Corpus, config: &PredictorConfig, checkpoint: Option<&Path>) -> Result<Predictor, CheckpointError> {
    let train = Training::new(corpus, config)?;
    let (n_in, dim) = (config.window * corpus.dim, corpus.dim);
    let shape = NetworkShape { n_components: config.n_components, hidden_dim: config.hidden_dim, n_hidden_layers: config.n_hidden_layers };
    let mut rng = StdRng::seed_from_u64(ctx.seed);
    let model = match config.kind {
        PredictorKind::Linear => {
            let ridge = fit_rows(ctx, &train, config.lambda)?;
            Predictor::linear(ridge, config.window, config.horizon, dim, &ctx.device).model
        }
        PredictorKind::Mdn => {
            let start = MdnNet::init(&mut rng, n_in, dim, shape, &ctx.device);
            let task = MdnTask { offset: train.scaling.delta_std.iter().map(|s| f64::from(*s).ln()).sum(), train: &train };
            let fitted = run(ctx, &task, start, config, checkpoint)?;
            Model::Mdn(Box::new(Mdn::scaled(fitted.module, train.scaling, config.window, &ctx.device)))
        }
        PredictorKind::Vmf => {
            let start = VmfNet::init(&mut rng, n_in, dim, shape, &ctx.device);
            let normalizer = LogNormalizer::new(dim, Formula::Exact, &ctx.device.clone().autodiff());
            let fitted = run(ctx, &VmfTask { train: &train, normalizer }, start, config, checkpoint)?;
            Model::VmfLogNormal(Box::new(VmfLogNormal::scaled(fitted.module, train.scaling, config.window, &ctx.device)))
        }
    };
    let provenance = Provenance {
        store_hash: corpus.source.clone(),
        codec: corpus.codec.clone(),
        train_speakers: corpus.side(Side::Train).map(|u| u.speaker.clone()).collect(),
        seed: ctx.seed,
        steps: if config.kind == PredictorKind::Linear { 0 } else { config.max_steps },
        version: env!("CARGO_PKG_VERSION").into(),
        config: serde_json::to_value(config).map_err(|e| CheckpointError::Fit(e.to_string()))?,
    };
    let (kind, window, horizon) = (config.kind.name().to_owned(), config.window, config.horizon);
    let info = PredictorInfo { kind, window, horizon, dim, peer: false, hash: String::new(), provenance };
    let precision = if config.half_precision { Precision::Half } else { Precision::Single };
    // Through the file's bytes, so that what is used now is what will be loaded later: the same rounding, the same hash.
    let bytes = checkpoint::to_bytes(&Predictor { info, model, precision, live: LiveSlot::default(), spare: None })
        .map_err(CheckpointError::Fit)?;
    let fitted = checkpoint::from_bytes(&bytes, "the fitted predictor", &ctx.device)?;
    Ok(Predictor { precision, ..fitted })
}

fn run<T: Task>(
    ctx: &JobCtx,
    task: &T,
    start: T::Module,
    config: &PredictorConfig,
    checkpoint: Option<&Path>,
) -> Result<Fitted<T::Module>, CheckpointError> {
    let loop_config = FitConfig {
        steps: config.max_steps,
        learning_rate: config.learning_rate,
        warmup_steps: (config.max_steps / 20).min(200),
        weight_decay: config.weight_decay,
        clip_norm: config.clip_norm.into(),
        ..FitConfig::default()
    };
    fit(ctx, task, start, &loop_config, checkpoint).map_err(|e| match e {
        FitError::Cancelled(cancelled) => cancelled.into(),
        FitError::Checkpoint { path, reason } => CheckpointError::Bad { path, reason },
        FitError::Diverged { .. } => CheckpointError::Fit(e.to_string()),
    })
}

impl PredictorKind {
    /// As in [`PredictorInfo::kind`].
    fn name(self) -> &'static str {
        match self {
            Self::Mdn => "mdn",
            Self::Vmf => "vmf",
            Self::Linear => "linear",
        }
    }
}

impl PredictorConfig {
    fn check(&self) -> Result<(), CheckpointError> {
        let counts = [
            ("window", self.window),
            ("horizon", self.horizon),
            ("n_components", self.n_components),
            ("hidden_dim", self.hidden_dim),
            ("batch", self.batch),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(CheckpointError::Fit(format!("{name} is 0; it must be at least 1")));
        }
        let rates = [
            ("learning_rate", self.learning_rate),
            ("weight_decay", self.weight_decay),
            ("clip_norm", self.clip_norm.into()),
            ("lambda", self.lambda),
        ];
        match rates.iter().find(|(_, rate)| !(rate.is_finite() && *rate >= 0.0)) {
            Some((name, rate)) => Err(CheckpointError::Fit(format!("{name} is {rate}; it must be a number of at least 0"))),
            None => Ok(()),
        }
    }
}

/// The training side of a corpus, seen through a predictor's window.
struct Training<'a> {
    corpus: &'a Corpus,
    config: &'a PredictorConfig,
    /// Utterance and target frame of every row.
    rows: Vec<(usize, usize)>,
    scaling: Scaling,
    inverse_std: Vec<f32>,
}

impl<'a> Training<'a> {
    fn new(corpus: &'a Corpus, config: &'a PredictorConfig) -> Result<Self, CheckpointError> {
        let train: Vec<usize> = (0..corpus.utterances.len()).filter(|&u| corpus.utterances[u].side == Side::Train).collect();
        let rows = target_frames(corpus, &train, config.window, config.horizon, Slice::All);
        if rows.is_empty() {
            return Err(CheckpointError::Fit(format!(
                "nothing to fit on: none of the {} training utterances is longer than window {} + horizon {} − 1 frames",
                train.len(),
                config.window,
                config.horizon
            )));
        }
        let dim = corpus.dim;
        let frames = Normalizer::fit(train.iter().flat_map(|&u| corpus.utterances[u].latents.values.chunks_exact(dim)), dim);
        let deltas: Vec<Vec<f32>> = rows.iter().map(|&(u, t)| corpus.utterances[u].latents.delta(t)).collect();
        let log_norms: Vec<f32> = deltas.iter().map(|d| d.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-8).ln()).collect();
        let delta_std = Normalizer::fit(deltas.iter().map(Vec::as_slice), dim).std;
        let log_magnitude = Normalizer::fit(log_norms.chunks_exact(1), 1);
        let inverse_std = frames.std.iter().map(|s| 1.0 / s).collect();
        let log_magnitude = (log_magnitude.mean[0].into(), log_magnitude.std[0].into());
        let scaling = Scaling { frame_mean: frames.mean, frame_std: frames.std, delta_std, log_magnitude };
        Ok(Self { corpus, config, rows, scaling, inverse_std })
    }

    fn name(&self) -> String {
        format!("{} k={}", self.config.kind.name(), self.config.horizon)
    }

    /// A batch of rows drawn with replacement: standardized windows `[batch, window × dim]` and Δ in units of `unit`, `[batch, dim]`.
    fn draw(&self, rng: &mut StdRng, unit: Option<&[f32]>, device: &Device) -> (Tensor<2>, Tensor<2>) {
        let (n, dim) = (self.config.batch, self.corpus.dim);
        let n_in = self.config.window * dim;
        let mut inputs = Vec::with_capacity(n * n_in);
        let mut deltas = Vec::with_capacity(n * dim);
        for _ in 0..n {
            let (u, t) = self.rows[rng.random_range(0..self.rows.len())];
            let latents = &self.corpus.utterances[u].latents;
            let end = (t + 1 - self.config.horizon) * dim;
            for frame in latents.values[end - n_in..end].chunks_exact(dim) {
                let statistics = self.scaling.frame_mean.iter().zip(&self.inverse_std);
                inputs.extend(frame.iter().zip(statistics).map(|(x, (mean, inverse))| (x - mean) * inverse));
            }
            let delta = latents.frame(t).iter().zip(latents.frame(t - 1)).map(|(now, before)| now - before);
            match unit {
                Some(unit) => deltas.extend(delta.zip(unit).map(|(d, unit)| d / unit)),
                None => deltas.extend(delta),
            }
        }
        let tensor = |values, width| Tensor::from_data(TensorData::new(values, [n, width]), device);
        (tensor(inputs, n_in), tensor(deltas, dim))
    }
}

impl Rows for Training<'_> {
    fn sizes(&self) -> (usize, usize, usize, usize) {
        (self.rows.len(), self.corpus.dim, self.config.window * self.corpus.dim, self.corpus.dim)
    }

    fn read(&self, row: usize, context: &mut [f32], target: &mut [f32]) {
        let (u, t) = self.rows[row];
        let latents = &self.corpus.utterances[u].latents;
        let end = (t + 1 - self.config.horizon) * self.corpus.dim;
        context.copy_from_slice(&latents.values[end - context.len()..end]);
        target.copy_from_slice(&latents.delta(t));
    }
}

struct MdnTask<'a> {
    train: &'a Training<'a>,
    /// Σ ln of the Δ standard deviations: brings the loss to nats over raw Δ.
    offset: f64,
}

impl Task for MdnTask<'_> {
    type Module = MdnNet;
    type Batch = (Tensor<2>, Tensor<2>);

    fn name(&self) -> String {
        self.train.name()
    }

    fn batch(&self, rng: &mut StdRng, device: &Device) -> Self::Batch {
        self.train.draw(rng, Some(&self.train.scaling.delta_std), device)
    }

    fn loss(&self, net: &MdnNet, (inputs, deltas): Self::Batch, _: &mut StdRng) -> Tensor<1> {
        net.loss(inputs, deltas) + self.offset
    }

    fn gradients(&self, net: &MdnNet, (inputs, deltas): Self::Batch, rng: &mut StdRng) -> (Tensor<1>, Gradients) {
        if !is_cpu(&inputs.device()) {
            return backpropagated(self.loss(net, (inputs, deltas), rng));
        }
        let (loss, gradients) = loss_and_gradients(net, inputs, deltas);
        (loss + self.offset, gradients)
    }
}

struct VmfTask<'a> {
    train: &'a Training<'a>,
    normalizer: LogNormalizer,
}

impl Task for VmfTask<'_> {
    type Module = VmfNet;
    type Batch = (Tensor<2>, Tensor<2>);

    fn name(&self) -> String {
        self.train.name()
    }

    fn batch(&self, rng: &mut StdRng, device: &Device) -> Self::Batch {
        self.train.draw(rng, None, device)
    }

    fn loss(&self, net: &VmfNet, (inputs, deltas): Self::Batch, _: &mut StdRng) -> Tensor<1> {
        let (mean, std) = self.train.scaling.log_magnitude;
        let out = net.forward(inputs, &BOUNDS);
        let (unit, log_norm) = split_polar(&deltas);
        let jacobian = log_norm.clone().squeeze_dim::<1>(1) * (self.normalizer.dim as f64 - 1.0);
        let direction = direction_nll(&out.direction, &out.log_kappa, &self.normalizer, unit);
        let magnitude = magnitude_nll(&(out.mu_logm * std + mean), &(out.log_sigma_logm + std.ln()), log_norm);
        (direction + magnitude + jacobian).mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{CorpusUtterance, Pairs};
    use crate::job::Progress;
    use crate::latents::Latents;
    use crate::predict::{Baselines, Prediction};
    use burn::module::Module as _;
    use rand_distr::{Distribution, StandardNormal};

    const DIM: usize = 4;

    /// x[t] = −0.6·x[t−1] + noise about an offset that differs by dimension, six speakers of which two are eval.
    fn corpus() -> Corpus {
        let mut rng = StdRng::seed_from_u64(11);
        let utterances = (0..6).map(|speaker| {
            let mut x = [0.0_f32; DIM];
            let values = (0..120).flat_map(|_| {
                x.iter_mut().for_each(|v| {
                    let noise: f32 = StandardNormal.sample(&mut rng);
                    *v = noise - 0.6 * *v;
                });
                std::array::from_fn::<f32, DIM, _>(|d| 5.0 * d as f32 + (d as f32 + 0.5) * x[d])
            });
            CorpusUtterance {
                id: format!("u{speaker}"),
                speaker: speaker.to_string(),
                latents: Latents { values: values.collect(), dim: DIM, frame_rate_hz: 12.5 },
                energy: None,
                side: if speaker % 3 == 0 { Side::Eval } else { Side::Train },
            }
        });
        Corpus { utterances: utterances.collect(), dim: DIM, frame_rate_hz: 12.5, source: "toy".into(), codec: None }
    }

    fn config(kind: PredictorKind, max_steps: u64) -> PredictorConfig {
        PredictorConfig {
            kind,
            window: 3,
            n_components: 2,
            hidden_dim: 16,
            batch: 32,
            max_steps,
            learning_rate: 5e-3,
            lambda: 1.0,
            ..PredictorConfig::default()
        }
    }

    fn quiet() -> JobCtx {
        JobCtx::quiet(Device::flex(), 3)
    }

    fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        crate::engine::host_values(tensor)
    }

    fn eval_pairs(corpus: &Corpus) -> (Tensor<2>, Tensor<2>, Pairs) {
        let pairs = Pairs::cut(corpus, &[0, 3], 3, 1, Slice::All);
        let rows = |v: &[f32], w| Tensor::from_data(TensorData::new(v.to_vec(), [pairs.len(), w]), &Device::flex());
        (rows(&pairs.contexts, 3 * DIM), rows(&pairs.deltas, DIM), pairs)
    }

    #[test]
    fn every_kind_beats_the_baseline_and_survives_its_file() {
        let corpus = corpus();
        let (windows, deltas, pairs) = eval_pairs(&corpus);
        let baselines = Baselines::fit(&Pairs::cut(&corpus, &[1, 2, 4, 5], 3, 1, Slice::All));
        let baseline = pairs.deltas.chunks_exact(DIM).map(|d| baselines.gaussian_nll(d)).sum::<f64>() / pairs.len() as f64;
        for kind in [PredictorKind::Mdn, PredictorKind::Vmf, PredictorKind::Linear] {
            for half_precision in [false, true] {
                let config = PredictorConfig { half_precision, ..config(kind, 300) };
                let fitted = fit_predictor(&quiet(), &corpus, &config, None).unwrap();
                let nll = host(fitted.predict(windows.clone()).nll(&deltas).mean())[0];
                // Var Δ is 5 of the noise's 1: the truth lies ½ ln 5 a dimension below, 3.2 in all. A vMF pays for its round shape.
                let allowed = if kind == PredictorKind::Vmf { -0.5 } else { -2.0 };
                assert!(f64::from(nll) < baseline + allowed, "{kind:?}: {nll} against {baseline}");
                let file = tempfile::NamedTempFile::new().unwrap();
                fitted.save(file.path()).unwrap();
                let loaded = Predictor::load(file.path(), &Device::flex()).unwrap();
                assert_eq!(loaded.info, fitted.info);
                assert_eq!(host(loaded.predict(windows.clone()).mean()), host(fitted.predict(windows.clone()).mean()));
            }
        }
    }

    #[test]
    fn eval_utterances_cannot_change_a_fit() {
        let clean = corpus();
        let mut poisoned = clean.clone();
        poisoned.utterances.iter_mut().filter(|u| u.side == Side::Eval).for_each(|u| u.latents.values.fill(f32::NAN));
        let mut touched = clean.clone();
        touched.utterances[1].latents.values[30] += 1.0;
        for kind in [PredictorKind::Mdn, PredictorKind::Vmf, PredictorKind::Linear] {
            let [a, b, c] =
                [&clean, &poisoned, &touched].map(|corpus| fit_predictor(&quiet(), corpus, &config(kind, 5), None).unwrap().info.hash);
            assert_eq!(a, b, "{kind:?} has seen the evaluation side");
            assert_ne!(a, c, "{kind:?} has not seen the training side");
        }
    }

    #[test]
    fn stopped_and_resumed_is_the_same_predictor() {
        let (corpus, config, folder) = (corpus(), config(PredictorKind::Mdn, 45), tempfile::tempdir().unwrap());
        let whole = fit_predictor(&quiet(), &corpus, &config, None).unwrap();
        let path = folder.path().join("state");
        let mut ctx = quiet();
        let cancel = ctx.cancel.clone();
        ctx.progress = Progress::new(move |_| cancel.cancel());
        assert!(matches!(fit_predictor(&ctx, &corpus, &config, Some(&path)), Err(CheckpointError::Cancelled(_))));
        let resumed = fit_predictor(&quiet(), &corpus, &config, Some(&path)).unwrap();
        assert_eq!(whole.info.hash, resumed.info.hash);
    }

    #[test]
    fn networks_start_where_their_biases_say() {
        let device = Device::flex();
        let mut rng = StdRng::seed_from_u64(1);
        let shape = NetworkShape { n_components: 2, hidden_dim: 8, n_hidden_layers: 2 };
        let scaling = Scaling { frame_mean: vec![0.0; 64], frame_std: vec![1.0; 64], delta_std: vec![2.0; 64], log_magnitude: (1.5, 0.5) };
        let windows = Tensor::zeros([1, 128], &device);
        let mdn = Mdn::scaled(MdnNet::init(&mut rng, 128, 64, shape, &device), scaling.clone(), 2, &device);
        let Prediction::Mixture { log_sigmas, .. } = mdn.predict(windows.clone()) else { panic!("an MDN gives a mixture") };
        assert!((host(log_sigmas.mean())[0] - (2.0_f32.ln() - 1.0)).abs() < 0.05);
        let vmf = VmfLogNormal::scaled(VmfNet::init(&mut rng, 128, 64, shape, &device), scaling, 2, &device);
        let Prediction::VmfLogNormal { log_kappa, log_sigma, log_magnitude, .. } = vmf.predict(windows) else { panic!("not a vMF") };
        for (got, want) in [(log_kappa, 3.0), (log_sigma, -0.5 + 0.5_f32.ln()), (log_magnitude, 1.5)] {
            assert!((host(got)[0] - want).abs() < 0.35, "{want}");
        }
    }

    #[test]
    fn configs_and_corpora_that_cannot_be_fitted_say_why() {
        let corpus = corpus();
        for (config, says) in [
            (PredictorConfig { batch: 0, ..config(PredictorKind::Mdn, 1) }, "batch is 0"),
            (PredictorConfig { learning_rate: f64::NAN, ..config(PredictorKind::Mdn, 1) }, "learning_rate is NaN"),
            (PredictorConfig { window: 500, ..config(PredictorKind::Linear, 1) }, "nothing to fit on"),
        ] {
            let message = fit_predictor(&quiet(), &corpus, &config, None).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }

    /// All parameters of a predictor, in order.
    fn parameters(predictor: &Predictor) -> Vec<f32> {
        struct Flat(Vec<f32>);
        impl burn::module::ModuleVisitor for Flat {
            fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
                self.0.extend(host(param.val()));
            }
        }
        let mut flat = Flat(Vec::new());
        match &predictor.model {
            Model::Mdn(mdn) => mdn.net.visit(&mut flat),
            Model::VmfLogNormal(vmf) => vmf.net.visit(&mut flat),
            _ => {}
        }
        flat.0
    }

    #[test]
    fn steps_on_a_gpu_are_those_on_the_cpu() {
        let (corpus, gpu) = (corpus(), Device::wgpu(burn::tensor::DeviceKind::DefaultDevice));
        for kind in [PredictorKind::Mdn, PredictorKind::Vmf] {
            let fitted = |device: &Device| {
                let ctx = JobCtx::quiet(device.clone(), 3);
                parameters(&fit_predictor(&ctx, &corpus, &config(kind, 5), None).unwrap())
            };
            let (got, want) = (fitted(&gpu), fitted(&Device::flex()));
            let apart = got.iter().zip(&want).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(got.len() == want.len() && !got.is_empty() && apart < 5e-4, "{kind:?}: {apart}");
        }
    }
}
