//! Teacher-forced evaluation at several horizons, with nulls and robust tails.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::bootstrap::Bootstrap;
use super::horizons::{Frames, HorizonRidge, RidgeScore};
use super::reference::{side_indices, training_normalizer, training_ridges};
use super::shuffle::shuffled;
use super::{Band, Summary};
use crate::context::{Corpus, Pairs, Side, Slice, first_target};
use crate::job::JobCtx;
use crate::predict::{Baselines, MagnitudeRule, Predictor};
use crate::represent::Normalizer;
use crate::rollout::RolloutError;

/// Rows of one forward pass.
const BATCH_ROWS: usize = 2048;
/// Worst frames named.
const N_WORST: usize = 10;

/// How the evaluation runs.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Which frames count. The baseline is fitted on all training frames whatever the slice.
    pub slice: Slice,
    /// Ridge penalty of the nulls.
    pub lambda: f64,
    /// Bootstrap resamples.
    pub n_resamples: usize,
    /// First target frame, where the horizons' own (`W − 1 + k`) are earlier: set to that of the largest horizon, every horizon
    /// is scored on the same frames (the peer's tables are).
    pub first_frame: usize,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { slice: Slice::All, lambda: 100.0, n_resamples: 1000, first_frame: 0 }
    }
}

/// Metrics of one side at one horizon.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SideMetrics {
    /// −ln p(Δ), density over Δ.
    pub nll: Summary,
    /// Shared Gaussian baseline.
    pub nll_baseline: Summary,
    /// Paired difference.
    pub dnll: Summary,
    /// The peer's factored NLL (equal to `nll` but for vMF×LogNormal).
    pub nll_factored: Summary,
    /// The peer's factored baseline.
    pub nll_baseline_factored: Summary,
    /// The peer's factored ΔNLL.
    pub dnll_factored: Summary,
    /// Cosine of E\[Δ\].
    pub cos: Summary,
    /// The same with every dimension divided by its training SD, where no dimension rules.
    pub cos_standardized: Summary,
    /// Mean squared error of ln‖E\[Δ\]‖ against ln‖Δ‖.
    pub logmag_mse: Option<f64>,
    /// The peer's R² of ln‖E\[Δ\]‖, about these rows' own mean.
    pub logmag_r2: Option<f64>,
    /// R² of x̂\[t\] = x\[t−1\] + E\[Δ\] about these rows' own mean, pooled over dimensions; at horizons above 1 the window does not
    /// hold x\[t−1\], so there is none.
    pub state_r2: Option<f64>,
    /// Bands by speaker: "cos", "dnll".
    pub bands: BTreeMap<String, Option<Band>>,
    /// Highest NLL: (utterance id, frame, nats).
    pub worst: Vec<(String, usize, f64)>,
}

/// One horizon.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct HorizonReport {
    /// k.
    pub horizon: usize,
    /// Family.
    pub kind: String,
    /// Dimensions of a frame.
    pub dim: usize,
    /// Training side.
    pub train: SideMetrics,
    /// Evaluation side.
    pub eval: SideMetrics,
    /// Cosine of the shuffled-time null on the evaluation side, raw units.
    pub null_cos: f64,
    /// Cosine of an honest ridge on the evaluation side, raw units.
    pub ridge_cos: f64,
    /// R² of the state x\[t\] predicted by a ridge from the window that ends at t−k, raw units.
    pub ridge_state_r2: f64,
    /// The null in raw and standardized units.
    pub null: RidgeScore,
    /// The honest ridge in raw and standardized units.
    pub ridge: RidgeScore,
}

/// All horizons.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Evaluation {
    /// One a predictor.
    pub horizons: Vec<HorizonReport>,
    /// Frames that counted ("all", "high_energy", "utterance_medial").
    pub slice_name: String,
}

/// Evaluates each predictor at its own horizon on both sides.
pub fn evaluate(ctx: &JobCtx, corpus: &Corpus, predictors: &[Predictor], config: &EvaluateConfig) -> Result<Evaluation, RolloutError> {
    check(corpus, predictors)?;
    let normalizer = training_normalizer(corpus);
    let shuffled = shuffled(corpus, ctx.seed);
    let honest = RidgeByWindow::fit(ctx, corpus, &normalizer, predictors, config.lambda)?;
    let null = RidgeByWindow::fit(ctx, &shuffled, &normalizer, predictors, config.lambda)?;
    let mut horizons = Vec::with_capacity(predictors.len());
    for (done, predictor) in predictors.iter().enumerate() {
        ctx.progress.report(
            "evaluate",
            done as u64,
            Some(predictors.len() as u64),
            format!("{} k={}", predictor.info.kind, predictor.info.horizon),
        );
        let (window, horizon) = (predictor.info.window, predictor.info.horizon);
        let cut = |from: &Corpus, side, slice| cut_pairs(from, side, window, horizon, slice, config.first_frame);
        let baselines = Baselines::fit(&cut(corpus, Side::Train, Slice::All)?);
        let side = SideReader { corpus, baselines: &baselines, normalizer: &normalizer };
        let eval = cut(corpus, Side::Eval, config.slice)?;
        let null = null.score(window, horizon, &cut(&shuffled, Side::Eval, config.slice)?.origins);
        let ridge = honest.score(window, horizon, &eval.origins);
        horizons.push(HorizonReport {
            horizon,
            kind: predictor.info.kind.clone(),
            dim: corpus.dim,
            train: side.measure(ctx, predictor, &cut(corpus, Side::Train, config.slice)?, config)?,
            eval: side.measure(ctx, predictor, &eval, config)?,
            null_cos: null.cos,
            ridge_cos: ridge.cos,
            ridge_state_r2: ridge.state_r2,
            null,
            ridge,
        });
    }
    ctx.progress.report("evaluate", predictors.len() as u64, Some(predictors.len() as u64), "");
    Ok(Evaluation { horizons, slice_name: slice_name(config.slice).into() })
}

/// Ridges of one corpus for the windows and horizons of some predictors, and its evaluation frames to score them on.
struct RidgeByWindow<'a> {
    ridges: BTreeMap<usize, Vec<HorizonRidge>>,
    frames: Frames,
    normalizer: &'a Normalizer,
}

impl<'a> RidgeByWindow<'a> {
    fn fit(ctx: &JobCtx, corpus: &Corpus, normalizer: &'a Normalizer, predictors: &[Predictor], lambda: f64) -> Result<Self, RolloutError> {
        let mut wanted: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for predictor in predictors {
            wanted.entry(predictor.info.window).or_default().insert(predictor.info.horizon);
        }
        let mut ridges = BTreeMap::new();
        for (window, horizons) in wanted {
            let horizons: Vec<usize> = horizons.into_iter().collect();
            ridges.insert(window, training_ridges(ctx, corpus, normalizer, window, &horizons, lambda)?);
        }
        Ok(Self { ridges, frames: Frames::new(corpus, &side_indices(corpus, Side::Eval, 0), normalizer, 0), normalizer })
    }

    fn score(&self, window: usize, horizon: usize, rows: &[(usize, usize)]) -> RidgeScore {
        let ridge = self.ridges[&window].iter().find(|r| r.horizon == horizon).expect("fitted for every predictor just before");
        ridge.score(&self.frames, rows, self.normalizer)
    }
}

fn slice_name(slice: Slice) -> &'static str {
    match slice {
        Slice::All => "all",
        Slice::HighEnergy => "high_energy",
        Slice::UtteranceMedial => "utterance_medial",
    }
}

/// Pairs of one side from `first_frame` on; an error when there is none.
fn cut_pairs(corpus: &Corpus, side: Side, window: usize, horizon: usize, slice: Slice, first_frame: usize) -> Result<Pairs, RolloutError> {
    let mut pairs = Pairs::cut(corpus, &side_indices(corpus, side, 0), window, horizon, slice);
    if first_frame > first_target(window, horizon) {
        let kept: Vec<usize> = (0..pairs.len()).filter(|&row| pairs.origins[row].1 >= first_frame).collect();
        let rows =
            |values: &[f32], width: usize| kept.iter().flat_map(|&r| &values[r * width..(r + 1) * width]).copied().collect::<Vec<f32>>();
        pairs = Pairs {
            contexts: rows(&pairs.contexts, window * corpus.dim),
            deltas: rows(&pairs.deltas, corpus.dim),
            origins: kept.iter().map(|&r| pairs.origins[r]).collect(),
            ..pairs
        };
    }
    if pairs.is_empty() {
        let side = if side == Side::Train { "training" } else { "evaluation" };
        return Err(RolloutError::Input(format!(
            "the {side} side has no frame to score at horizon {horizon} (slice {}); it needs an utterance of at least {} frames",
            slice_name(slice),
            first_target(window, horizon).max(first_frame) + 1
        )));
    }
    Ok(pairs)
}

/// Per-row numbers of one side.
#[derive(Default)]
struct Rows {
    nll: Vec<f64>,
    nll_factored: Vec<f64>,
    baseline: Vec<f64>,
    baseline_factored: Vec<f64>,
    cos: Vec<f64>,
    cos_standardized: Vec<f64>,
    log_mean_norm: Vec<f64>,
    log_delta_norm: Vec<f64>,
    squared_error: f64,
}

/// What the numbers of a side are taken against.
struct SideReader<'a> {
    corpus: &'a Corpus,
    baselines: &'a Baselines,
    normalizer: &'a Normalizer,
}

impl SideReader<'_> {
    fn measure(&self, ctx: &JobCtx, predictor: &Predictor, pairs: &Pairs, config: &EvaluateConfig) -> Result<SideMetrics, RolloutError> {
        let rows = self.measure_rows(ctx, predictor, pairs)?;
        let utterance = |row: usize| &self.corpus.utterances[pairs.origins[row].0];
        let speakers: Vec<&str> = (0..pairs.len()).map(|row| utterance(row).speaker.as_str()).collect();
        let dnll = difference(&rows.nll, &rows.baseline);
        let bootstrap = Bootstrap::new(&speakers, config.n_resamples, ctx.seed);
        let band = |values: &[f64]| bootstrap.band(values, &speakers);
        let bands = [("cos", band(&rows.cos)), ("dnll", band(&dnll))].map(|(name, band)| (name.to_owned(), band)).into();
        let mut order: Vec<usize> = (0..rows.nll.len()).filter(|&i| rows.nll[i].is_finite()).collect();
        order.sort_by(|&a, &b| rows.nll[b].total_cmp(&rows.nll[a]));
        let worst = order.iter().take(N_WORST).map(|&i| (utterance(i).id.clone(), pairs.origins[i].1, rows.nll[i])).collect();
        let (logmag_mse, logmag_r2) = log_magnitude(&rows);
        Ok(SideMetrics {
            dnll_factored: Summary::of(difference(&rows.nll_factored, &rows.baseline_factored)),
            dnll: Summary::of(dnll),
            worst,
            bands,
            logmag_mse,
            logmag_r2,
            state_r2: if predictor.info.horizon == 1 { state_r2(self.corpus, pairs, rows.squared_error) } else { None },
            cos: Summary::of(rows.cos),
            cos_standardized: Summary::of(rows.cos_standardized),
            nll: Summary::of(rows.nll),
            nll_baseline: Summary::of(rows.baseline),
            nll_factored: Summary::of(rows.nll_factored),
            nll_baseline_factored: Summary::of(rows.baseline_factored),
        })
    }

    /// Runs the predictor over all pairs.
    fn measure_rows(&self, ctx: &JobCtx, predictor: &Predictor, pairs: &Pairs) -> Result<Rows, RolloutError> {
        let (dim, width) = (pairs.dim, pairs.window * pairs.dim);
        let is_factored = predictor.info.kind == "vmf";
        let mut rows = Rows::default();
        for (contexts, deltas) in pairs.contexts.chunks(BATCH_ROWS * width).zip(pairs.deltas.chunks(BATCH_ROWS * dim)) {
            ctx.cancel.check()?;
            let n = deltas.len() / dim;
            let tensor =
                |values: &[f32], columns: usize| Tensor::<2>::from_data(TensorData::new(values.to_vec(), [n, columns]), &ctx.device);
            // The mean is not drawn: nothing comes from the generator.
            let mut rng = StdRng::seed_from_u64(ctx.seed);
            let reading = predictor.read(tensor(contexts, width), &tensor(deltas, dim), MagnitudeRule::Mean, 1.0, &mut rng);
            let (nll, factored, means) = (read(reading.nll), read(reading.nll_factored), read(reading.mean));
            for (delta, mean) in deltas.chunks_exact(dim).zip(means.chunks_exact(dim)) {
                rows.add(delta, mean, self.normalizer);
                let baseline = self.baselines.gaussian_nll(delta);
                rows.baseline.push(baseline);
                rows.baseline_factored.push(if is_factored { self.baselines.factored_nll(delta) } else { baseline });
            }
            rows.nll.extend(nll.into_iter().map(f64::from));
            rows.nll_factored.extend(factored.into_iter().map(f64::from));
        }
        Ok(rows)
    }
}

impl Rows {
    fn add(&mut self, delta: &[f32], mean: &[f32], normalizer: &Normalizer) {
        let (mut raw, mut standardized) = (Product::default(), Product::default());
        for ((y, p), std) in delta.iter().zip(mean).zip(&normalizer.std) {
            let (y, p, std) = (f64::from(*y), f64::from(*p), f64::from(*std));
            raw.add(y, p);
            standardized.add(y / std, p / std);
            self.squared_error += (p - y).powi(2);
        }
        let (y, p) = raw.norms();
        self.cos.push(raw.cosine());
        self.cos_standardized.push(standardized.cosine());
        self.log_mean_norm.push(p.ln());
        self.log_delta_norm.push(y.ln());
    }
}

/// Sums of a scalar product.
#[derive(Default)]
struct Product {
    dot: f64,
    y2: f64,
    p2: f64,
}

impl Product {
    fn add(&mut self, y: f64, p: f64) {
        self.dot += y * p;
        self.y2 += y * y;
        self.p2 += p * p;
    }

    /// Both norms, floored at 1e-8; NaN stays NaN.
    fn norms(&self) -> (f64, f64) {
        let floored = |square: f64| if square.is_nan() { square } else { square.sqrt().max(1e-8) };
        (floored(self.y2), floored(self.p2))
    }

    fn cosine(&self) -> f64 {
        let (y, p) = self.norms();
        self.dot / (y * p)
    }
}

fn read<const R: usize>(tensor: Tensor<R>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("a device that computed these floats can hand them back")
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// MSE and R² of ln‖E[Δ]‖; `None` where not finite or where ‖Δ‖ does not vary.
fn log_magnitude(rows: &Rows) -> (Option<f64>, Option<f64>) {
    let n = rows.log_delta_norm.len() as f64;
    let mean = rows.log_delta_norm.iter().sum::<f64>() / n;
    let total: f64 = rows.log_delta_norm.iter().map(|y| (y - mean).powi(2)).sum();
    let residual: f64 = rows.log_mean_norm.iter().zip(&rows.log_delta_norm).map(|(p, y)| (p - y).powi(2)).sum();
    let finite = |v: f64| v.is_finite().then_some(v);
    (finite(residual / n), if total > 1e-12 { finite(1.0 - residual / total) } else { None })
}

/// R² of the state from the summed squared error.
fn state_r2(corpus: &Corpus, pairs: &Pairs, squared_error: f64) -> Option<f64> {
    let frames = || pairs.origins.iter().map(|&(u, t)| corpus.utterances[u].latents.frame(t));
    let spread = Normalizer::fit(frames(), corpus.dim);
    let total: f64 = spread.std.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() * pairs.len() as f64;
    let r2 = 1.0 - squared_error / total;
    r2.is_finite().then_some(r2)
}

fn check(corpus: &Corpus, predictors: &[Predictor]) -> Result<(), RolloutError> {
    if predictors.is_empty() {
        return Err(RolloutError::Input("no predictor to evaluate".into()));
    }
    match predictors.iter().find(|p| p.info.dim != corpus.dim) {
        None => Ok(()),
        Some(p) => Err(RolloutError::Input(format!(
            "the {} predictor of horizon {} was made for latents of D = {}, these have D = {}; choose a predictor fitted on them",
            p.info.kind, p.info.horizon, p.info.dim, corpus.dim
        ))),
    }
}
