//! Rollouts, injection and evaluation against the peer's recorded results and against the known numbers of real latents.

use std::path::Path;

use burn::tensor::Device;
use driftscope_core::context::{Corpus, CorpusUtterance, Pairs, Side, Slice};
use driftscope_core::diagnose::{EvaluateConfig, InjectionConfig, InjectionReport, ReferenceConfig, evaluate, inject, references};
use driftscope_core::job::JobCtx;
use driftscope_core::latents::{Latents, Store};
use driftscope_core::predict::{Baselines, GaussianBaseline, LogMagnitudeBaseline, MagnitudeRule, Predictor, Ridge};
use driftscope_core::represent::Normalizer;
use driftscope_core::rollout::synthetic::{Accumulation, SyntheticMode, overwrite, synthesize};
use driftscope_core::rollout::{RolloutConfig, Schedule, Segment, read_starts, rollout};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::shared;

fn ctx() -> JobCtx {
    JobCtx::quiet(Device::flex(), 42)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn floats(file: &SafeTensors, name: &str) -> Vec<f32> {
    file.tensor(name).unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn read_corpus(store: &Path) -> Corpus {
    let (corpus, problems) = Corpus::read(&Store::open(store).unwrap()).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    corpus
}

/// The peer's fitted baselines of a horizon.
fn peer_baselines(peer: &Path, horizon: usize) -> Baselines {
    let bytes = std::fs::read(peer.join("phase1/baseline_diag.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let factored = json(&peer.join("phase1/baseline_factorized.json"));
    let gaussian =
        GaussianBaseline { mean: floats(&file, &format!("mean_k{horizon}")), variance: floats(&file, &format!("var_k{horizon}")) };
    let log_magnitude = LogMagnitudeBaseline { mean: number(&factored["logm_mean"]), variance: number(&factored["logm_var"]), dim: 64 };
    Baselines { gaussian, log_magnitude }
}

/// Our injection with the recorded starts of one of the peer's models.
fn injected(peer: &Path, corpus: &Corpus, model: &str, recorded: &Value) -> InjectionReport {
    let ctx = ctx();
    let predictor = Predictor::load(&peer.join(format!("checkpoints/{model}_final.safetensors")), &ctx.device).unwrap();
    let starts = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(starts.path(), recorded["segments"].to_string()).unwrap();
    let segments = read_starts(starts.path(), corpus).unwrap();
    assert_eq!(segments.len(), 128);
    let config = ReferenceConfig { horizon: predictor.info.horizon, ..ReferenceConfig::default() };
    let references = references(&ctx, corpus, &segments, 16, &[], &config).unwrap();
    let baselines = peer_baselines(peer, predictor.info.horizon);
    inject(&ctx, corpus, &predictor, &baselines, &segments, &Schedule::standard(16), references, &InjectionConfig::default()).unwrap()
}

/// Tolerances of `fixtures/peer/README.md`: absolute for what stays small, relative where a vMF rollout diverges.
fn agrees(name: &str, ours: f64, theirs: f64, is_diverging: bool) -> bool {
    let difference = (ours - theirs).abs();
    let relative = difference / theirs.abs().max(1e-12);
    match (name, is_diverging) {
        ("mag_ratio", false) => relative <= 1e-5,
        // Where it explodes, its mean is a few segments'.
        ("mag_ratio", true) => relative <= 0.1,
        ("cos", false) => difference <= 1e-5,
        ("cos", true) => difference <= 1e-3,
        (_, false) => difference <= 1e-4,
        // The peer's own run in f64 differs from the recorded one in f32 by up to 8e-4 there (`float64_crosscheck.json`): any other
        // order of sums may do so too, and lie on the other side.
        (_, true) => relative <= 2e-3,
    }
}

#[test]
fn injection_agrees_with_the_peer_at_every_step() {
    let Some(peer) = shared::path("fixtures/peer") else { return };
    let corpus = read_corpus(&peer.join("store"));
    let recorded = json(&peer.join("phase1/injection_diag.json"));
    for model in ["mdn_k1", "mdn_k4", "vmf_k1"] {
        let report = injected(&peer, &corpus, model, &recorded[model]).to_json();
        let theirs = &recorded[model]["result"];
        for name in ["n_utterances", "horizon_k", "window_size", "k_steps"] {
            assert_eq!(report[name], theirs[name], "{model} {name}");
        }
        for (mode, expected) in theirs["modes"].as_object().unwrap() {
            let found = &report["modes"][mode];
            assert_eq!(found["n"], expected["n"]);
            for (step, (found, expected)) in
                found["per_step"].as_array().unwrap().iter().zip(expected["per_step"].as_array().unwrap()).enumerate()
            {
                assert_eq!((&found["step"], &found["n"]), (&expected["step"], &expected["n"]));
                let is_vmf = model == "vmf_k1";
                for name in ["nll", "nll_baseline", "dnll", "cos", "mag_ratio", "state_err"] {
                    // The peer's likelihood of vMF × LogNormal is the factored one.
                    let key = if is_vmf && name.contains("nll") { format!("{name}_factored") } else { name.to_owned() };
                    let (ours, theirs) = (number(&found[&key]), number(&expected[name]));
                    let is_diverging = is_vmf && mode != "A_teacher" && step >= 4;
                    assert!(agrees(name, ours, theirs, is_diverging), "{model} {mode} step {} {name}: {ours}, the peer {theirs}", step + 1);
                }
            }
        }
        assert!(!report.to_string().contains("NaN"));
    }
}

#[test]
fn evaluation_agrees_with_the_peer_on_every_slice() {
    let Some(peer) = shared::path("fixtures/peer") else { return };
    let corpus = read_corpus(&peer.join("store"));
    let ctx = ctx();
    let load = |model: &str| Predictor::load(&peer.join(format!("checkpoints/{model}_final.safetensors")), &ctx.device).unwrap();
    let models = [load("mdn_k1"), load("mdn_k4"), load("vmf_k1")];
    // The peer cut every horizon's rows at the largest lag, 4: t ≥ W − 1 + 4.
    let evaluated = |slice| {
        evaluate(&ctx, &corpus, &models, &EvaluateConfig { slice, first_frame: 11, ..EvaluateConfig::default() }).unwrap().to_json()
    };
    let check = |ours: &Value, theirs: &Value, what: &str| {
        let is_vmf = what.contains("vmf");
        assert_eq!(ours["n"], theirs["n"], "{what} n");
        for name in ["nll", "nll_baseline", "dnll", "direction_cosine", "logmag_mse", "logmag_r2"] {
            let key = if is_vmf && name.contains("nll") { format!("{name}_factored") } else { name.to_owned() };
            let (ours, theirs) = (number(&ours[&key]), number(&theirs[name]));
            let tolerance = if name == "logmag_r2" { 1e-4 + 1e-5 * theirs.abs() } else { 1e-4 };
            assert!((ours - theirs).abs() <= tolerance, "{what} {name}: {ours}, the peer {theirs}");
        }
    };
    let all = evaluated(Slice::All);
    let metrics = json(&peer.join("phase1/metrics.json"));
    for (ours, theirs) in all.as_array().unwrap().iter().zip(metrics.as_array().unwrap()) {
        assert_eq!(
            (&ours["horizon_k"], &ours["model_type"], &ours["slice_name"]),
            (&theirs["horizon_k"], &theirs["model_type"], &theirs["slice_name"])
        );
        for side in ["train", "eval"] {
            check(&ours[side], &theirs[side], &format!("{} k={} {side}", ours["model_type"], ours["horizon_k"]));
        }
    }
    let slices = &json(&peer.join("phase1/eval_slices.json"))["results"];
    for (slice, name) in [(Slice::HighEnergy, "high_energy"), (Slice::UtteranceMedial, "utterance_medial")] {
        let found = evaluated(slice);
        check(&found[0]["eval"], &slices[format!("mdn_k1_{name}")], &format!("mdn {name}"));
        check(&found[2]["eval"], &slices[format!("vmf_k1_{name}")], &format!("vmf {name}"));
    }
}

#[test]
fn the_free_running_gap_agrees_with_the_peer() {
    let Some(peer) = shared::path("fixtures/peer") else { return };
    let corpus = read_corpus(&peer.join("store"));
    let recorded = json(&peer.join("phase1/rollout_gap.json"));
    let ctx = ctx();
    for model in ["mdn_k1", "mdn_k4"] {
        let predictor = Predictor::load(&peer.join(format!("checkpoints/{model}_final.safetensors")), &ctx.device).unwrap();
        let baselines = peer_baselines(&peer, predictor.info.horizon);
        let t0 = 7 + predictor.info.horizon;
        let n_frames = recorded[model]["max_frames_per_utt"].as_u64().unwrap() as usize;
        let (mut sums, mut n) = ([0.0; 4], 0.0);
        for id in recorded[model]["utterances"].as_array().unwrap() {
            let utterance = corpus.utterances.iter().position(|u| u.id == id.as_str().unwrap()).unwrap();
            let n_steps = n_frames.min(corpus.utterances[utterance].latents.n_frames()) - t0;
            let schedules = [Schedule::teacher(n_steps), Schedule::free(n_steps)];
            let config = RolloutConfig { n_steps, ..RolloutConfig::default() };
            let rolled = rollout(&ctx, &corpus, &predictor, &baselines, &[Segment { utterance, t0 }], &schedules, &config).unwrap();
            let total = |column: &[f32]| column.iter().map(|&v| f64::from(v)).sum::<f64>();
            let columns = [&rolled[0].nll, &rolled[0].cos, &rolled[1].nll, &rolled[1].cos];
            sums.iter_mut().zip(columns).for_each(|(sum, column)| *sum += total(column));
            n += n_steps as f64;
        }
        let result = &recorded[model]["result"];
        let expected = ["teacher_forced", "rollout_context"].map(|context| [&result[context]["nll"], &result[context]["direction_cosine"]]);
        for (sum, expected) in sums.iter().zip(expected.as_flattened()) {
            assert!((sum / n - number(expected)).abs() < 1e-4, "{model}: {}, the peer {expected}", sum / n);
        }
    }
}

#[test]
fn synthetic_modes_and_splices_equal_the_peers() {
    let Some(peer) = shared::path("fixtures/peer") else { return };
    for name in ["utt0", "utt1"] {
        let bytes = std::fs::read(peer.join(format!("synthetic_modes/{name}.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let truth = Latents { values: floats(&file, "input"), dim: 64, frame_rate_hz: 12.5 };
        let modes = [
            ("GT", SyntheticMode::GroundTruth),
            ("A_stationary", SyntheticMode::Stationary),
            ("B_slow_a0.25", SyntheticMode::Slow { alpha: 0.25 }),
            ("B_slow_a0.50", SyntheticMode::Slow { alpha: 0.5 }),
            ("B_slow_a0.75", SyntheticMode::Slow { alpha: 0.75 }),
            ("C_wrong_dir", SyntheticMode::WrongDirection),
        ];
        for (key, mode) in modes {
            let mut normals = floats(&file, "random_raw_normals").into_iter();
            let ours = synthesize(&truth, mode, Accumulation::Accumulated, &mut || normals.next().unwrap());
            let largest = largest_difference(&ours.values, &floats(&file, &format!("mode.{key}")));
            assert!(largest <= 1e-4, "{name} {key}: differs by {largest}");
        }
    }
    let bytes = std::fs::read(peer.join("synthetic_modes/exp7_splice_mdn_k1.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let corpus = read_corpus(&peer.join("store"));
    let ctx = ctx();
    let predictor = Predictor::load(&peer.join("checkpoints/mdn_k1_final.safetensors"), &ctx.device).unwrap();
    let utterance = corpus.utterances.iter().position(|u| u.id == "367-130732-0004").unwrap();
    let truth = &corpus.utterances[utterance].latents;
    let start = truth.n_frames() / 3 + 8;
    // The recorded input had its frames from the start on overwritten by the longest splice.
    assert_eq!(truth.values[..start * 64], floats(&file, "input")[..start * 64]);
    for n_steps in [1, 4, 16] {
        let config = RolloutConfig { n_steps, rule: MagnitudeRule::Mean, ..RolloutConfig::default() };
        let rolled = rollout(
            &ctx,
            &corpus,
            &predictor,
            &peer_baselines(&peer, 1),
            &[Segment { utterance, t0: start }],
            &[Schedule::free(n_steps)],
            &config,
        )
        .unwrap();
        let largest =
            largest_difference(&overwrite(truth, &rolled[0].states, start).values, &floats(&file, &format!("spliced_k{n_steps}")));
        assert!(largest <= 1e-4, "{n_steps} steps: differs by {largest}");
    }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The corpus with every dimension standardized over the training side: the space in which the known numbers were taken.
fn standardized(corpus: &Corpus) -> Corpus {
    let normalizer = Normalizer::fit(corpus.side(Side::Train).flat_map(|u| u.latents.values.chunks_exact(corpus.dim)), corpus.dim);
    let standardize = |u: &CorpusUtterance| {
        let values =
            u.latents.values.iter().enumerate().map(|(i, x)| (x - normalizer.mean[i % corpus.dim]) / normalizer.std[i % corpus.dim]);
        CorpusUtterance { latents: Latents { values: values.collect(), ..u.latents.clone() }, ..u.clone() }
    };
    Corpus { utterances: corpus.utterances.iter().map(standardize).collect(), ..corpus.clone() }
}

/// A ridge of the next Δ, fitted on the training side.
fn ridge_predictor(ctx: &JobCtx, corpus: &Corpus) -> Predictor {
    let train: Vec<usize> = (0..corpus.utterances.len()).filter(|&i| corpus.utterances[i].side == Side::Train).collect();
    let pairs = Pairs::cut(corpus, &train, 8, 1, Slice::All);
    let ridge = Ridge::fit(ctx, &pairs.contexts, &pairs.deltas, pairs.len(), corpus.dim, 100.0).unwrap();
    Predictor::linear(ridge, 8, 1, corpus.dim, &ctx.device)
}

#[test]
fn real_latents_give_their_known_numbers() {
    let Some(store) = shared::path("data/lyra-latents/latents.v3.zarr") else { return };
    let ctx = ctx();
    let corpus = standardized(&read_corpus(&store));
    let close = |what: &str, found: f64, expected: f64| assert!((found - expected).abs() <= 0.003, "{what}: {found}, known {expected}");
    // Only the first is a predictor of its horizon; the others ask for the reference ridges of theirs.
    let ridge = ridge_predictor(&ctx, &corpus);
    let predictors = [1, 2, 4, 8].map(|horizon| {
        let mut at = ridge.clone();
        at.info.horizon = horizon;
        at
    });
    let evaluation = evaluate(&ctx, &corpus, &predictors, &EvaluateConfig::default()).unwrap();
    let known = [(0.611, 0.648, 0.303), (0.129, -0.001, 0.172), (0.056, -0.002, 0.067), (0.024, -0.001, 0.025)];
    for (report, (cos, null, r2)) in evaluation.horizons.iter().zip(known) {
        let k = report.horizon;
        if k == 1 {
            close("the predictor's cosine", report.eval.cos.mean.unwrap(), cos);
        }
        close(&format!("ridge k={k}"), report.ridge_cos, cos);
        // Beyond k = 1 the null is noise about 0, and every shuffle draws another.
        let tolerance = if k == 1 { 0.003 } else { 0.006 };
        assert!((report.null_cos - null).abs() <= tolerance, "null k={k}: {}, known {null}", report.null_cos);
        close(&format!("R² k={k}"), report.ridge_state_r2, r2);
    }
    let mut segments = Vec::new();
    for (utterance, u) in corpus.utterances.iter().enumerate().filter(|(_, u)| u.side == Side::Eval) {
        segments.extend((8..=u.latents.n_frames().saturating_sub(16)).step_by(7).map(|t0| Segment { utterance, t0 }));
    }
    assert!(segments.len().abs_diff(2386) < 20, "{} starts", segments.len());
    let references = references(&ctx, &corpus, &segments, 16, &[], &ReferenceConfig::default()).unwrap();
    let baselines = Baselines::fit(&Pairs::cut(&corpus, &[0], 8, 1, Slice::All));
    let config = InjectionConfig { rollout: RolloutConfig { rule: MagnitudeRule::Mean, ..RolloutConfig::default() }, n_resamples: 100 };
    let report = inject(&ctx, &corpus, &ridge, &baselines, &segments, &[Schedule::free(16)], references, &config).unwrap();
    let steps = &report.modes[0].per_step;
    for (step, cos) in [(1, 0.609), (2, 0.133), (3, 0.084), (4, 0.061), (8, 0.026), (16, 0.023)] {
        close(&format!("free rollout, cosine at step {step}"), steps[step - 1].cos.mean.unwrap(), cos);
        let direct = report.references.ridge_cos[step - 1];
        assert!((direct - cos).abs() < 0.015, "the rollout reaches what a direct predictor reaches at step {step}: {direct}, rolled {cos}");
    }
    let per_dimension = report.references.median_delta_norm / 8.0;
    for (step, error) in [(1, 0.730), (2, 0.803), (4, 0.857), (8, 0.886), (16, 0.904)] {
        close(&format!("state error after step {step}"), steps[step - 1].state_err_after.mean.unwrap() * per_dimension, error);
    }
}
