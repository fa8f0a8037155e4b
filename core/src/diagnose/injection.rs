//! The injection diagnostic: how each mode departs from truth, step by step.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::bootstrap::Bootstrap;
use super::{Band, References, Summary};
use crate::context::Corpus;
use crate::job::JobCtx;
use crate::predict::{Baselines, Predictor, PredictorInfo};
use crate::rollout::{Rollout, RolloutConfig, RolloutError, Schedule, Segment, rollout};

/// How the diagnostic runs.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InjectionConfig {
    /// How rollouts advance.
    pub rollout: RolloutConfig,
    /// Bootstrap resamples (0: no bands).
    pub n_resamples: usize,
}

impl Default for InjectionConfig {
    fn default() -> Self {
        Self { rollout: RolloutConfig::default(), n_resamples: 1000 }
    }
}

/// One step of one mode, over all segments.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct StepReport {
    /// 1-based; 0 stands for all steps together.
    pub step: usize,
    /// Cosine of E\[Δ\] with the true Δ.
    pub cos: Summary,
    /// ‖E\[Δ\]‖ / ‖Δ‖.
    pub mag_ratio: Summary,
    /// ‖Δ̂ advanced by‖ / ‖Δ‖.
    pub advance_ratio: Summary,
    /// −ln p(Δ), density over Δ, nats.
    pub nll: Summary,
    /// The shared baseline's.
    pub nll_baseline: Summary,
    /// `nll − nll_baseline`, paired.
    pub dnll: Summary,
    /// The peer's factored NLL (equal to `nll` but for vMF×LogNormal).
    pub nll_factored: Summary,
    /// The peer's factored baseline.
    pub nll_baseline_factored: Summary,
    /// The peer's factored ΔNLL.
    pub dnll_factored: Summary,
    /// State error before the step, raw (the peer's).
    pub state_err: Summary,
    /// State error after the step / median ‖Δ‖.
    pub state_err_after: Summary,
    /// Bands by speaker of the means, by metric name ("cos", "dnll", "mag_ratio", "state_err_after").
    pub bands: BTreeMap<String, Option<Band>>,
}

/// One mode.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ModeReport {
    /// JSON key of the mode.
    pub name: String,
    /// All steps together.
    pub overall: StepReport,
    /// One entry a step.
    pub per_step: Vec<StepReport>,
}

/// The whole diagnostic.
#[derive(Clone, Debug)]
pub struct InjectionReport {
    /// What was rolled.
    pub predictor: PredictorInfo,
    /// How.
    pub config: InjectionConfig,
    /// One a schedule, in the order given.
    pub modes: Vec<ModeReport>,
    /// The lines to read them against.
    pub references: References,
    /// The raw outcome behind the means.
    pub rollouts: Vec<Rollout>,
    /// Distinct utterances used.
    pub n_utterances: usize,
}

/// Runs the schedules and reads them against `references`.
#[expect(clippy::too_many_arguments, reason = "context, data, config: each is another thing")]
pub fn inject(
    ctx: &JobCtx,
    corpus: &Corpus,
    predictor: &Predictor,
    baselines: &Baselines,
    segments: &[Segment],
    schedules: &[Schedule],
    references: References,
    config: &InjectionConfig,
) -> Result<InjectionReport, RolloutError> {
    let rollouts = rollout(ctx, corpus, predictor, baselines, segments, schedules, &config.rollout)?;
    let speakers: Vec<&str> = segments.iter().map(|s| corpus.utterances[s.utterance].speaker.as_str()).collect();
    let bootstrap = Bootstrap::new(&speakers, config.n_resamples, ctx.seed);
    let reader = Reader { unit: references.median_delta_norm, speakers, bootstrap };
    let modes = rollouts.par_iter().map(|r| reader.mode(r)).collect();
    let n_utterances = segments.iter().map(|s| s.utterance).collect::<BTreeSet<_>>().len();
    Ok(InjectionReport { predictor: predictor.info.clone(), config: config.clone(), modes, references, rollouts, n_utterances })
}

/// What turns raw outcomes into reports.
struct Reader<'a> {
    unit: f64,
    /// Of each segment.
    speakers: Vec<&'a str>,
    bootstrap: Bootstrap,
}

impl Reader<'_> {
    fn mode(&self, rollout: &Rollout) -> ModeReport {
        let per_step = (1..=rollout.n_steps).map(|step| self.report(rollout, step, |i| i % rollout.n_steps == step - 1)).collect();
        ModeReport { name: rollout.schedule.name.clone(), overall: self.report(rollout, 0, |_| true), per_step }
    }

    /// Summaries over the rows (index into `[n_segments × n_steps]`) that `wanted` picks.
    fn report(&self, rollout: &Rollout, step: usize, wanted: impl Fn(usize) -> bool) -> StepReport {
        let rows: Vec<usize> = (0..rollout.nll.len()).filter(|&i| wanted(i)).collect();
        let speakers: Vec<&str> = rows.iter().map(|i| self.speakers[i / rollout.n_steps]).collect();
        let pick = |column: &[f32]| rows.iter().map(|&i| f64::from(column[i])).collect::<Vec<f64>>();
        let pick_difference = |a: &[f32], b: &[f32]| rows.iter().map(|&i| f64::from(a[i]) - f64::from(b[i])).collect::<Vec<f64>>();
        let (cos, mag_ratio) = (pick(&rollout.cos), pick(&rollout.mag_ratio));
        let dnll = pick_difference(&rollout.nll, &rollout.nll_baseline);
        let state_err_after: Vec<f64> = pick(&rollout.state_err_after).iter().map(|e| e / self.unit).collect();
        let band = |values: &[f64]| self.bootstrap.band(values, &speakers);
        let bands = [("cos", &cos), ("dnll", &dnll), ("mag_ratio", &mag_ratio), ("state_err_after", &state_err_after)];
        StepReport {
            step,
            bands: bands.map(|(name, values)| (name.to_owned(), band(values))).into(),
            cos: Summary::of(cos),
            mag_ratio: Summary::of(mag_ratio),
            advance_ratio: Summary::of(pick(&rollout.advance_ratio)),
            nll: Summary::of(pick(&rollout.nll)),
            nll_baseline: Summary::of(pick(&rollout.nll_baseline)),
            dnll: Summary::of(dnll),
            nll_factored: Summary::of(pick(&rollout.nll_factored)),
            nll_baseline_factored: Summary::of(pick(&rollout.nll_baseline_factored)),
            dnll_factored: Summary::of(pick_difference(&rollout.nll_factored, &rollout.nll_baseline_factored)),
            state_err: Summary::of(pick(&rollout.state_err_before)),
            state_err_after: Summary::of(state_err_after),
        }
    }
}
