//! What a live rollout costs, so that paths can be compared.

use std::time::Instant;

use super::{RolloutConfig, RolloutError, Schedule, SegmentConfig, rollout, sample_segments};
use crate::context::Corpus;
use crate::job::JobCtx;
use crate::predict::{Baselines, Predictor};

/// Rollouts whose shortest time counts, after one that compiles and uploads.
const REPEATS: usize = 3;

/// Milliseconds for what the window rolls while a slider moves: one start, modes A to D and a painted one, 16 steps.
pub fn live_milliseconds(ctx: &JobCtx, corpus: &Corpus, predictor: &Predictor, baselines: &Baselines) -> Result<f64, RolloutError> {
    let config = RolloutConfig::default();
    let one = SegmentConfig { n_utterances: 1, segments_per_utterance: 1, ..SegmentConfig::default() };
    let start = sample_segments(corpus, predictor.info.window, predictor.info.horizon, config.n_steps, &one, ctx.seed)?;
    let mut schedules = Schedule::standard(config.n_steps);
    schedules.push(Schedule::inject_after("painted", &[6, 11], config.n_steps));
    let mut least = f64::INFINITY;
    for _ in 0..=REPEATS {
        let begin = Instant::now();
        rollout(ctx, corpus, predictor, baselines, &start, &schedules, &config)?;
        least = least.min(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(least)
}
