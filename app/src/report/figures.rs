//! The showcase's figures as specs: the same numbers go to the page, to SVG, PNG, PDF and CSV.

use driftscope_core::figure::palette::{BLUE, REDDISH_PURPLE, VERMILLION};
use driftscope_core::figure::{FigureSpec, Path, Provenance, Width, horizons, trajectory};
use driftscope_core::predict::PredictorInfo;

use crate::demo::Demo;
use crate::showcase::{Showcase, Voice, family};
use crate::window::caption;
use crate::window::curves::{Line, definitions, plots};

/// `injection-KIND` for each predictor, `horizons`, and `trajectory-ID` for each voice.
pub fn figures(showcase: &Showcase, demo: &Demo, seed: u64) -> Vec<FigureSpec> {
    let made = |checkpoint: String, definitions: Vec<String>| Provenance {
        store: demo.corpus.source.clone(),
        checkpoint,
        codec: demo.codec.tag().weights_hash,
        seed,
        version: env!("CARGO_PKG_VERSION").into(),
        definitions,
    };
    let mut specs: Vec<FigureSpec> =
        showcase.injections.iter().map(|(info, report)| injection(info, report, made(info.hash.clone(), metric_definitions()))).collect();
    let hashes = demo.predictors.iter().map(|p| p.info.hash.as_str()).collect::<Vec<_>>().join(" ");
    specs.push(horizons("horizons", &showcase.evaluation, made(hashes, horizon_definitions())));
    specs.extend(showcase.voices.iter().map(|v| voice(v, showcase, demo, made(String::new(), vec![]))));
    specs
}

/// The four per-step plots of one predictor's modes A-D.
pub fn injection(info: &PredictorInfo, report: &driftscope_core::diagnose::InjectionReport, provenance: Provenance) -> FigureSpec {
    let n_segments = report.rollouts.first().map_or(0, |r| r.segments.len());
    FigureSpec {
        name: format!("injection-{}", info.kind),
        width: Width::DoubleColumn,
        row_height_mm: 55.0,
        columns: 2,
        font_size_pt: 8.0,
        line_width_pt: 1.0,
        panels: plots(report, None).iter().map(|p| p.panel(|_| true)).collect(),
        caption: format!(
            "Injection modes of the {} predictor (k = {}) from {n_segments} starts of {} utterances. {}. Settings: {}; seed {}. {}. Gray: references.",
            family(&info.kind),
            info.horizon,
            report.n_utterances,
            caption::modes(report),
            caption::advance(&report.config.rollout),
            provenance.seed,
            caption::bands(),
        ),
        provenance,
    }
}

/// Definition cards of the per-step metrics, and of the modes and references that they are shown of.
pub fn metric_definitions() -> Vec<String> {
    definitions(Line::LEGEND.into_iter().filter(|line| *line != Line::Live))
}

fn horizon_definitions() -> Vec<String> {
    [
        "Horizon k: the window ends k frames before the target; the target stays the one-step Δ[t] = x[t] − x[t−1].",
        "Null: the same kind of predictor (a ridge) refitted and tested on frames shuffled in time within each utterance.",
        "State R²: 1 − Σ‖x̂[t] − x[t]‖² / Σ‖x[t] − mean‖² of the frame that window and predicted change lead to, over the evaluation side. \
         Of a predictor it exists at k = 1 only: further away its Δ does not continue the last frame that it sees. The ridge is fitted on \
         the frame itself, at every k.",
        "Log-magnitude R²: 1 − MSE / variance of ln‖E[Δ]‖ against ln‖Δ‖, as the audioEngram scripts compute it. E[Δ] of a density that knows \
         little is short, and its logarithm far too low: hence values far below 0.",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn voice(voice: &Voice, showcase: &Showcase, demo: &Demo, provenance: Provenance) -> FigureSpec {
    let frame_sec = 1.0 / demo.corpus.frame_rate_hz;
    let colors = [VERMILLION, BLUE, REDDISH_PURPLE];
    let paths: Vec<Path<'_>> = voice
        .rollouts
        .iter()
        .zip(colors)
        .map(|((info, rolled), color)| Path {
            name: family(&info.kind),
            color,
            frames: &rolled.states[..rolled.n_steps * rolled.dim],
            start_sec: voice.t0 as f64 * frame_sec,
        })
        .collect();
    let name = format!("trajectory-{}", voice.utterance_id);
    trajectory(&name, &showcase.pca, &voice.truth.values, frame_sec, &paths, provenance)
}
