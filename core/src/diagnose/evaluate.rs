//! Teacher-forced evaluation at several horizons, with nulls and robust tails.
//!
//! Everything is computed in passes over the utterances, so a store may be larger than memory: the training side's statistics, the
//! ridges, their scores, and each predictor over each side.

use std::collections::{BTreeMap, BTreeSet};

use super::frames::{Reader, Time, pass};
use super::horizons::{RidgeScore, Scorer};
use super::reference::{check_training, training_ridges};
use super::rows::SideReader;
use super::{Band, DiagnoseError, Summary};
use crate::context::{Side, Slice, Source, Targets, first_target};
use crate::job::JobCtx;
use crate::predict::{BaselineSums, Baselines, Predictor};
use crate::represent::{FrameSums, Normalizer};

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

/// Evaluates each predictor at its own horizon on both sides of a corpus, in memory or stored.
pub fn evaluate<'a>(
    ctx: &JobCtx,
    corpus: impl Into<Source<'a>>,
    predictors: &[Predictor],
    config: &EvaluateConfig,
) -> Result<Evaluation, DiagnoseError> {
    let source = corpus.into();
    check(source, predictors, config)?;
    let training = Training::read(ctx, source, predictors, config)?;
    let truth = Reader { ctx, source, normalizer: &training.normalizer, time: Time::True };
    let ridges = ridge_scores(truth, "ridge", predictors, config)?;
    let nulls = ridge_scores(Reader { time: Time::Shuffled { seed: ctx.seed }, ..truth }, "null", predictors, config)?;
    let mut horizons = Vec::with_capacity(predictors.len());
    for predictor in predictors {
        let (window, horizon) = (predictor.info.window, predictor.info.horizon);
        let (ridge, null) = (ridges[&(window, horizon)], nulls[&(window, horizon)]);
        let first = first_frame(predictor, config);
        let targets = Targets::new(source, first, config.slice);
        let (baselines, normalizer) = (&training.baselines[&first], &training.normalizer);
        let mut side = SideReader::new(ctx, source, predictor, baselines, normalizer, targets);
        horizons.push(HorizonReport {
            horizon,
            kind: predictor.info.kind.clone(),
            dim: source.dim(),
            train: side.measure(Side::Train, config.n_resamples)?,
            eval: side.measure(Side::Eval, config.n_resamples)?,
            null_cos: null.cos,
            ridge_cos: ridge.cos,
            ridge_state_r2: ridge.state_r2,
            null,
            ridge,
        });
    }
    Ok(Evaluation { horizons, slice_name: slice_name(config.slice).into() })
}

/// First target frame of a predictor.
fn first_frame(predictor: &Predictor, config: &EvaluateConfig) -> usize {
    first_target(predictor.info.window, predictor.info.horizon).max(config.first_frame)
}

/// What is known of the training side.
struct Training {
    /// Over all frames.
    normalizer: Normalizer,
    /// By the first target frame.
    baselines: BTreeMap<usize, Baselines>,
}

impl Training {
    fn read(ctx: &JobCtx, source: Source, predictors: &[Predictor], config: &EvaluateConfig) -> Result<Self, DiagnoseError> {
        let mut frames = FrameSums::new(source.dim());
        let mut baselines: BTreeMap<usize, BaselineSums> =
            predictors.iter().map(|p| (first_frame(p, config), BaselineSums::new(source.dim()))).collect();
        let mut delta = Vec::with_capacity(source.dim());
        pass(ctx, source, "training statistics", &source.side(Side::Train), |_, latents| {
            (0..latents.n_frames()).for_each(|t| frames.add(latents.frame(t)));
            for (&first, sums) in &mut baselines {
                for t in first..latents.n_frames() {
                    delta.clear();
                    delta.extend(latents.frame(t).iter().zip(latents.frame(t - 1)).map(|(now, before)| now - before));
                    sums.add(&delta);
                }
            }
            Ok(())
        })?;
        let baselines = baselines.into_iter().map(|(first, sums)| (first, sums.baselines())).collect();
        Ok(Self { normalizer: frames.normalizer(), baselines })
    }
}

/// Scores on the evaluation side of ridges fitted on the training side, by window and horizon of the predictors.
fn ridge_scores(
    reader: Reader,
    stage: &str,
    predictors: &[Predictor],
    config: &EvaluateConfig,
) -> Result<BTreeMap<(usize, usize), RidgeScore>, DiagnoseError> {
    let mut scores = BTreeMap::new();
    for (window, horizons) in windows(predictors) {
        let horizons: Vec<usize> = horizons.into_iter().collect();
        let ridges = training_ridges(reader, stage, window, &horizons, config.lambda)?;
        let mut scorers: Vec<(Scorer, Targets)> = ridges
            .iter()
            .map(|ridge| {
                let first = first_target(window, ridge.horizon).max(config.first_frame);
                (Scorer::new(ridge, reader.normalizer), Targets::new(reader.source, first, config.slice))
            })
            .collect();
        reader.pass(&format!("{stage}, evaluation side"), &reader.source.side(Side::Eval), |frames| {
            for (scorer, targets) in &mut scorers {
                scorer.add(frames, &targets.of(reader.source.outline(frames.index), |t| frames.at(t)));
            }
            Ok(())
        })?;
        scores.extend(scorers.into_iter().zip(&horizons).map(|((scorer, _), &horizon)| ((window, horizon), scorer.score())));
    }
    Ok(scores)
}

/// Horizons of the predictors by their window.
fn windows(predictors: &[Predictor]) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut windows: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for predictor in predictors {
        windows.entry(predictor.info.window).or_default().insert(predictor.info.horizon);
    }
    windows
}

fn slice_name(slice: Slice) -> &'static str {
    match slice {
        Slice::All => "all",
        Slice::HighEnergy => "high_energy",
        Slice::UtteranceMedial => "utterance_medial",
    }
}

fn check(source: Source, predictors: &[Predictor], config: &EvaluateConfig) -> Result<(), DiagnoseError> {
    if predictors.is_empty() {
        return Err(DiagnoseError::Input("no predictor to evaluate".into()));
    }
    if let Some(p) = predictors.iter().find(|p| p.info.dim != source.dim()) {
        return Err(DiagnoseError::Input(format!(
            "the {} predictor of horizon {} was made for latents of D = {}, these have D = {}; choose a predictor fitted on them",
            p.info.kind,
            p.info.horizon,
            p.info.dim,
            source.dim()
        )));
    }
    for (window, horizons) in windows(predictors) {
        check_training(source, window, horizons.last().copied().unwrap_or(0))?;
    }
    for predictor in predictors {
        for (side, name, slice) in
            [(Side::Train, "training", Slice::All), (Side::Train, "training", config.slice), (Side::Eval, "evaluation", config.slice)]
        {
            let first = first_frame(predictor, config);
            let targets = Targets::new(source, first, slice);
            if !source.outlines().any(|u| u.side == side && !targets.of(u, |t| t).is_empty()) {
                return Err(DiagnoseError::Input(format!(
                    "the {name} side has no frame to score at horizon {} (slice {}); it needs an utterance of at least {} frames",
                    predictor.info.horizon,
                    slice_name(slice),
                    first + 1
                )));
            }
        }
    }
    Ok(())
}
