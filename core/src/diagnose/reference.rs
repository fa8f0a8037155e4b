//! Reference lines: null, chance, skyline, direct ridge, persistence, climatology, √2·σ.

use burn::tensor::{Tensor, TensorData};

use super::DiagnoseError;
use super::frames::{Frames, Reader, Time};
use super::horizons::{HorizonRidge, Scorer, fit_horizons};
use crate::context::{Corpus, Side, Source, first_target};
use crate::engine::host_values;
use crate::job::JobCtx;
use crate::predict::Predictor;
use crate::represent::Normalizer;
use crate::rollout::{Segment, median_delta_norm};

/// Rows of the shuffled evaluation side that the null's cosine is averaged over, at most: its standard error is then below .002.
const NULL_ROWS: usize = 4096;

/// How reference lines are computed.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReferenceConfig {
    /// Ridge penalty of the null and of the direct ridge.
    pub lambda: f64,
    /// Frames in the window.
    pub window: usize,
    /// Horizon of the predictor that is rolled: at step s the freshest truth in its window is `max(s, horizon)` frames old.
    pub horizon: usize,
}

impl Default for ReferenceConfig {
    fn default() -> Self {
        Self { lambda: 100.0, window: 8, horizon: 1 }
    }
}

/// Lines that every rollout curve is drawn with. Vectors are per step, `[n_steps]`, at horizon `h = max(step, horizon)`; a
/// teacher-forced curve (always at the predictor's own horizon) is read against the first entry.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct References {
    /// Cosine of a ridge refitted and tested on frames shuffled within each utterance.
    pub null_cos: Vec<f64>,
    /// SD of the cosine of random directions, 1/√D.
    pub chance_cos_sd: f64,
    /// Cosine of a predictor trained directly for horizon h, where one was given.
    pub skyline_cos: Vec<Option<f64>>,
    /// Which predictors those are: `(horizon, kind)`.
    pub skyline: Vec<(usize, String)>,
    /// Cosine of a ridge of Δ\[t\] fitted directly for horizon h on this store's training side.
    pub ridge_cos: Vec<f64>,
    /// State error / median ‖Δ‖ of a ridge of x\[t\] fitted directly for horizon h, likewise.
    pub ridge_state_err: Vec<f64>,
    /// State error / median ‖Δ‖ of standing still at x\[t0−1\].
    pub persistence_state_err: Vec<f64>,
    /// State error / median ‖Δ‖ of the training mean.
    pub climatology_state_err: f64,
    /// State error / median ‖Δ‖ of two independent draws, √2·σ with σ² the training frames' variance summed over dimensions.
    pub sqrt2_sigma_state_err: f64,
    /// Median ‖Δ‖ of the training side, raw units: divides every state error shown.
    pub median_delta_norm: f64,
}

/// Computes the lines at the given segments; `direct` are predictors trained for single horizons, the skyline at
/// those.
pub fn references(
    ctx: &JobCtx,
    corpus: &Corpus,
    segments: &[Segment],
    n_steps: usize,
    direct: &[Predictor],
    config: &ReferenceConfig,
) -> Result<References, DiagnoseError> {
    check(corpus, segments, n_steps, direct, config)?;
    let last = n_steps.max(config.horizon);
    let horizons: Vec<usize> = (config.horizon..=last).collect();
    let train = corpus.side(Side::Train).flat_map(|u| u.latents.values.chunks_exact(corpus.dim));
    let normalizer = Normalizer::fit(train, corpus.dim);
    let unit = median_delta_norm(corpus);

    let truth = Reader { ctx, source: corpus.into(), normalizer: &normalizer, time: Time::True };
    let ridges = training_ridges(truth, "reference ridges", config.window, &horizons, config.lambda)?;
    let null = null_cosines(Reader { time: Time::Shuffled { seed: ctx.seed }, ..truth }, &horizons, config)?;
    let at_step = |step: usize| step.max(config.horizon) - config.horizon;
    let rows = |step: usize| segments.iter().map(|s| (s.utterance, s.t0 + step - 1)).collect::<Vec<_>>();
    let mut scorers: Vec<Scorer> = (1..=n_steps).map(|step| Scorer::new(&ridges[at_step(step)], &normalizer)).collect();
    truth.pass("reference ridges", &used_utterances(segments), |frames| {
        for (step, scorer) in (1..).zip(&mut scorers) {
            let targets = segments.iter().filter(|s| s.utterance == frames.index).map(|s| s.t0 + step - 1);
            scorer.add(frames, &targets.collect::<Vec<_>>());
        }
        Ok(())
    })?;
    let scores: Vec<_> = scorers.into_iter().map(Scorer::score).collect();

    direct.iter().for_each(|predictor| predictor.tune(ctx, segments.len()));
    let mut skyline_cos = vec![None; n_steps];
    let mut skyline: Vec<(usize, String)> = Vec::new();
    for step in 1..=n_steps {
        let h = step.max(config.horizon);
        if let Some(predictor) = direct.iter().find(|p| p.info.horizon == h) {
            ctx.cancel.check()?;
            skyline_cos[step - 1] = ctx.surviving(|ctx| direct_cosine(ctx, corpus, predictor, &rows(step)));
            skyline.push((h, predictor.info.kind.clone()));
        }
    }
    let mean = &normalizer.mean;
    let variance: f64 = normalizer.std.iter().map(|&s| f64::from(s).powi(2)).sum();
    let frame = |utterance: usize, t: usize| corpus.utterances[utterance].latents.frame(t);
    let over_segments = |error: &dyn Fn(&Segment) -> f64| segments.iter().map(error).sum::<f64>() / segments.len() as f64 / unit;
    let climatology = |step: usize| over_segments(&|s| distance(frame(s.utterance, s.t0 + step - 1), mean));
    let persistence = |step: usize| over_segments(&|s| distance(frame(s.utterance, s.t0 + step - 1), frame(s.utterance, s.t0 - 1)));
    Ok(References {
        null_cos: (1..=n_steps).map(|step| null[at_step(step)]).collect(),
        chance_cos_sd: 1.0 / (corpus.dim as f64).sqrt(),
        skyline_cos,
        skyline,
        ridge_cos: scores.iter().map(|s| s.cos).collect(),
        ridge_state_err: scores.iter().map(|s| s.state_err / unit).collect(),
        persistence_state_err: (1..=n_steps).map(persistence).collect(),
        climatology_state_err: (1..=n_steps).map(climatology).sum::<f64>() / n_steps as f64,
        sqrt2_sigma_state_err: (2.0 * variance).sqrt() / unit,
        median_delta_norm: unit,
    })
}

/// Ridges at `horizons` (ascending) fitted on the training side.
pub(super) fn training_ridges(
    reader: Reader,
    stage: &str,
    window: usize,
    horizons: &[usize],
    lambda: f64,
) -> Result<Vec<HorizonRidge>, DiagnoseError> {
    check_training(reader.source, window, horizons.last().copied().unwrap_or(0))?;
    fit_horizons(reader, stage, &reader.source.side(Side::Train), window, horizons, lambda)
}

/// An error where no training utterance holds a row of horizon `last`.
pub(super) fn check_training(source: Source, window: usize, last: usize) -> Result<(), DiagnoseError> {
    if source.outlines().any(|u| u.side == Side::Train && u.n_frames >= window + last) {
        return Ok(());
    }
    Err(DiagnoseError::Input(format!(
        "no training utterance holds a window of {window} and a target {last} frames later; reference lines need one with {} frames",
        window + last
    )))
}

/// Cosine at each horizon of ridges that know only shuffled frames, on shuffled evaluation frames.
fn null_cosines(shuffled: Reader, horizons: &[usize], config: &ReferenceConfig) -> Result<Vec<f64>, DiagnoseError> {
    let ridges = training_ridges(shuffled, "null ridges", config.window, horizons, config.lambda)?;
    let eval = shuffled.source.side(Side::Eval);
    let n_rows = |first: usize| eval.iter().map(|&u| shuffled.source.outline(u).n_frames.saturating_sub(first)).sum::<usize>();
    // Rows are counted through the whole side, of which every so many is taken.
    let mut scorers: Vec<(Scorer, usize, usize, usize)> = Vec::with_capacity(ridges.len());
    for ridge in &ridges {
        let first = first_target(config.window, ridge.horizon);
        scorers.push((Scorer::new(ridge, shuffled.normalizer), first, n_rows(first).div_ceil(NULL_ROWS).max(1), 0));
    }
    shuffled.pass("null ridges", &eval, |frames: &Frames| {
        for (scorer, first, every, n_seen) in &mut scorers {
            let n_rows = frames.n().saturating_sub(*first);
            let rows = (0..n_rows).filter(|row| (*n_seen + row).is_multiple_of(*every));
            scorer.add(frames, &rows.map(|row| *first + row).collect::<Vec<_>>());
            *n_seen += n_rows;
        }
        Ok(())
    })?;
    Ok(scorers.into_iter().map(|(scorer, ..)| scorer.score().cos).collect())
}

fn used_utterances(segments: &[Segment]) -> Vec<usize> {
    let mut used: Vec<usize> = segments.iter().map(|s| s.utterance).collect();
    used.sort_unstable();
    used.dedup();
    used
}

/// Mean cosine of a predictor's E[Δ] at rows (utterance, t) from true windows that end at `t − horizon`; none without a finite one.
fn direct_cosine(ctx: &JobCtx, corpus: &Corpus, predictor: &Predictor, rows: &[(usize, usize)]) -> Option<f64> {
    let (dim, window) = (corpus.dim, predictor.info.window);
    let mut contexts = Vec::with_capacity(rows.len() * window * dim);
    for &(utterance, t) in rows {
        let first = t + 1 - predictor.info.horizon - window;
        contexts.extend_from_slice(&corpus.utterances[utterance].latents.values[first * dim..(first + window) * dim]);
    }
    let windows = Tensor::from_data(TensorData::new(contexts, [rows.len(), window * dim]), &ctx.device);
    let means = host_values(predictor.predict(windows).mean());
    let cosines = rows.iter().zip(means.chunks_exact(dim)).map(|(&(utterance, t), mean)| {
        let delta = corpus.utterances[utterance].latents.delta(t);
        let dot: f64 = mean.iter().zip(&delta).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        dot / (norm(mean).max(1e-8) * norm(&delta).max(1e-8))
    });
    let finite: Vec<f64> = cosines.filter(|c| c.is_finite()).collect();
    (!finite.is_empty()).then(|| finite.iter().sum::<f64>() / finite.len() as f64)
}

fn norm(v: &[f32]) -> f64 {
    v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
}

fn check(
    corpus: &Corpus,
    segments: &[Segment],
    n_steps: usize,
    direct: &[Predictor],
    config: &ReferenceConfig,
) -> Result<(), DiagnoseError> {
    let bad = |message: String| Err(DiagnoseError::Input(message));
    if segments.is_empty() || n_steps == 0 || config.window == 0 || config.horizon == 0 {
        return bad("reference lines need at least one start, one step, a window of one frame and a horizon of one".into());
    }
    if let Some(p) = direct.iter().find(|p| p.info.dim != corpus.dim) {
        let info = &p.info;
        return bad(format!(
            "the direct {} predictor of horizon {} was made for D = {}, these latents have D = {}",
            info.kind, info.horizon, info.dim, corpus.dim
        ));
    }
    let window = direct.iter().map(|p| p.info.window).max().unwrap_or(0).max(config.window);
    let first = first_target(window, config.horizon);
    for s in segments {
        let utterance = &corpus.utterances[s.utterance];
        let n_frames = utterance.latents.n_frames();
        if s.t0 < first || s.t0 + n_steps > n_frames {
            return bad(format!(
                "utterance {} ({n_frames} frames): start t0 = {} leaves no room for a window of {window} before and {n_steps} steps after; it must be at least {first} and at most {}",
                utterance.id,
                s.t0,
                n_frames.saturating_sub(n_steps)
            ));
        }
    }
    Ok(())
}
