//! Toy systems whose diagnostics are known in closed form go through the same code as real latents, and bad input is refused.
//!
//! In D dimensions the mean cosine of two Gaussian vectors whose components correlate by r is `r·(1 − (1 − r²)/2D)` up to 1/D²,
//! and the mean norm of N(0, v·I) is `√(v·D)·(1 − 1/4D)`.

use std::collections::BTreeMap;

use burn::tensor::Device;
use driftscope_core::context::{Corpus, Side};
use driftscope_core::diagnose::toy::{Toy, VMF_WALK_LOG_SIGMA, toy_corpus};
use driftscope_core::diagnose::{InjectionConfig, InjectionReport, ReferenceConfig, Summary, inject, references};
use driftscope_core::job::JobCtx;
use driftscope_core::predict::{Baselines, GaussianBaseline, LogMagnitudeBaseline, Predictor, Ridge, von_mises_fisher};
use driftscope_core::rollout::{
    Nudge, RolloutConfig, RolloutError, Schedule, Segment, SegmentConfig, StepAction, median_delta_norm, read_starts, rollout,
    sample_segments,
};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

const DIM: usize = 16;
const WINDOW: usize = 2;
const STEPS: usize = 8;

fn ctx() -> JobCtx {
    JobCtx::quiet(Device::flex(), 7)
}

fn cosine_of(r: f64) -> f64 {
    r * (1.0 - (1.0 - r * r) / (2.0 * DIM as f64))
}

fn norm_of(variance: f64) -> f64 {
    (variance * DIM as f64).sqrt() * (1.0 - 0.25 / DIM as f64)
}

fn mean(summary: &Summary) -> f64 {
    assert_eq!(summary.n_nonfinite, 0);
    summary.mean.unwrap()
}

fn close(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found}, in closed form {expected} ± {tolerance}");
}

/// Δ̂ = coefficient · x[t−1], Gaussian with the given variance: the best predictor of x[t] = (1 + coefficient)·x[t−1] + noise.
fn of_last_frame(coefficient: f32, variance: f32, dim: usize) -> Predictor {
    let mut weights = vec![0.0; WINDOW * dim * dim];
    (0..dim).for_each(|d| weights[((WINDOW - 1) * dim + d) * dim + d] = coefficient);
    let ridge = Ridge {
        input_mean: vec![0.0; dim],
        input_std: vec![1.0; dim],
        weights,
        bias: vec![0.0; dim],
        residual_variance: vec![variance; dim],
    };
    Predictor::linear(ridge, WINDOW, 1, dim, &Device::flex())
}

/// Baselines of Δ ~ N(0, variance).
fn baselines(variance: f32) -> Baselines {
    Baselines {
        gaussian: GaussianBaseline { mean: vec![0.0; DIM], variance: vec![variance; DIM] },
        log_magnitude: LogMagnitudeBaseline { mean: 0.0, variance: 1.0, dim: DIM },
    }
}

/// Modes A and D from 400 starts in 25 unseen utterances.
fn report(toy: Toy, n_frames: usize, predictor: &Predictor, baselines: &Baselines) -> InjectionReport {
    let ctx = ctx();
    let corpus = toy_corpus(toy, 50, n_frames, DIM, 3);
    let config = SegmentConfig { n_utterances: 25, segments_per_utterance: 16, ..SegmentConfig::default() };
    let segments = sample_segments(&corpus, WINDOW, 1, STEPS, &config, 1).unwrap();
    assert_eq!(segments.len(), 400);
    let config = ReferenceConfig { lambda: 1.0, window: WINDOW, horizon: 1 };
    let references = references(&ctx, &corpus, &segments, STEPS, &[], &config).unwrap();
    let schedules = [Schedule::teacher(STEPS), Schedule::free(STEPS)];
    let config = InjectionConfig { rollout: RolloutConfig { n_steps: STEPS, ..RolloutConfig::default() }, n_resamples: 50 };
    inject(&ctx, &corpus, predictor, baselines, &segments, &schedules, references, &config).unwrap()
}

/// x[t] = ε: the best Δ̂ is −x[t−1], and Δ = ε − x[t−1] correlates with it by 1/√2. Shuffled in time white noise is itself, so the
/// null is the same number: the cosine proves nothing. Rolled freely the state goes to 0 at once and stays (cosine 0, error the
/// climatology's). Likelihood: variance 1 against the baseline's 2, ΔNLL = D·½·ln ½.
#[test]
fn white_noise_scores_as_high_as_its_null() {
    let report = report(Toy::WhiteNoise, 600, &of_last_frame(-1.0, 1.0, DIM), &baselines(2.0));
    let expected = cosine_of(0.5_f64.sqrt());
    let [teacher, free] = &report.modes[..] else { panic!("two modes") };
    close("cosine", mean(&teacher.overall.cos), expected, 0.01);
    close("null", report.references.null_cos[0], expected, 0.015);
    close("null beyond the window", report.references.null_cos[3], 0.0, 0.02);
    close("ΔNLL", mean(&teacher.overall.dnll), DIM as f64 * 0.5 * 0.5_f64.ln(), 0.25);
    for (index, step) in free.per_step.iter().enumerate() {
        close("free cosine", mean(&step.cos), if index == 0 { expected } else { 0.0 }, 0.025);
        close("free error", mean(&step.state_err_after), report.references.climatology_state_err, 0.02);
    }
    close("√2·σ", report.references.sqrt2_sigma_state_err * report.references.median_delta_norm, (2.0 * DIM as f64).sqrt(), 0.1);
}

/// x[t] = a·x[t−1] + ε with unit variance: Δ̂ = (a−1)·x[t−1] correlates with Δ by √((1−a)/2), far below the null, which is white
/// noise's 1/√2 (utterances are much longer than 1/(1−a) frames, so that shuffling leaves nothing but the marginal). Rolled
/// freely Δ̂ at step s is (a−1)·a^{s−1}·x[t0−1], correlation a^{s−1}·√((1−a)/2): exactly what a predictor trained for horizon s
/// can know, so rollout and direct ridge coincide: no exposure bias. Error after s steps: variance 1 − a^{2s}; standing still:
/// 2(1 − a^s). ΔNLL = D·½·ln((1+a)/2).
#[test]
fn a_stable_process_loses_its_cosine_to_the_information_limit_only() {
    let a = 0.9_f64;
    let report = report(Toy::StableAr1 { a: 0.9 }, 600, &of_last_frame(-0.1, 0.19, DIM), &baselines(0.2));
    let [teacher, free] = &report.modes[..] else { panic!("two modes") };
    let r = ((1.0 - a) / 2.0).sqrt();
    close("cosine", mean(&teacher.overall.cos), cosine_of(r), 0.02);
    close("null", report.references.null_cos[0], cosine_of(0.5_f64.sqrt()), 0.02);
    close("ΔNLL", mean(&teacher.overall.dnll), DIM as f64 * 0.5 * f64::midpoint(1.0, a).ln(), 0.1);
    let unit = report.references.median_delta_norm;
    close("median ‖Δ‖", unit, (0.2 * DIM as f64 * (1.0 - 2.0 / (9.0 * DIM as f64)).powi(3)).sqrt(), 0.03);
    for (index, step) in free.per_step.iter().enumerate() {
        let s = index as i32 + 1;
        let expected = cosine_of(a.powi(s - 1) * r);
        close(&format!("free cosine at step {s}"), mean(&step.cos), expected, 0.04);
        close(&format!("direct ridge at step {s}"), report.references.ridge_cos[index], expected, 0.05);
        let error = norm_of(1.0 - a.powi(2 * s));
        close(&format!("free error after step {s}"), mean(&step.state_err_after) * unit, error, 0.04 * error);
        let still = norm_of(2.0 * (1.0 - a.powi(s)));
        close(&format!("persistence at step {s}"), report.references.persistence_state_err[index] * unit, still, 0.05 * still);
    }
}

/// x[t] = a·x[t−1] + ε, a > 1, unit noise: even the true dynamics diverge, the error after s free steps has variance
/// (a^{2s} − 1)/(a² − 1); teacher-forced it stays that of one step.
#[test]
fn an_unstable_process_diverges_at_its_own_rate() {
    let a = 1.1_f64;
    let report = report(Toy::Unstable { a: 1.1 }, 100, &of_last_frame(0.1, 1.0, DIM), &baselines(1.0));
    let unit = report.references.median_delta_norm;
    let [teacher, free] = &report.modes[..] else { panic!("two modes") };
    for (index, (forced, rolled)) in teacher.per_step.iter().zip(&free.per_step).enumerate() {
        let s = index as i32 + 1;
        let error = norm_of((a.powi(2 * s) - 1.0) / (a * a - 1.0));
        close(&format!("free error after step {s}"), mean(&rolled.state_err_after) * unit, error, 0.05 * error);
        close(&format!("forced error after step {s}"), mean(&forced.state_err_after) * unit, norm_of(1.0), 0.05 * norm_of(1.0));
    }
}

/// A vMF × LogNormal predictor that says the same whatever it sees, in the peer's checkpoint layout: all weights are 0.
fn constant_vmf(kappa: f32, log_sigma: f32) -> Predictor {
    let mut axis = vec![0.0; DIM];
    axis[0] = 1.0;
    let heads: [(&str, Vec<f32>); 4] =
        [("mu_dir", axis), ("log_kappa", vec![kappa.ln()]), ("mu_logm", vec![0.0]), ("log_sigma_logm", vec![log_sigma])];
    let mut arrays: BTreeMap<String, (Vec<usize>, Vec<f32>)> = BTreeMap::new();
    for (head, bias) in heads {
        arrays.insert(format!("{head}.0.weight"), (vec![1, WINDOW * DIM], vec![0.0; WINDOW * DIM]));
        arrays.insert(format!("{head}.0.bias"), (vec![1], vec![0.0]));
        arrays.insert(format!("{head}.2.weight"), (vec![bias.len(), 1], vec![0.0; bias.len()]));
        arrays.insert(format!("{head}.2.bias"), (vec![bias.len()], bias));
    }
    let kwargs = serde_json::json!({
        "input_dim": WINDOW * DIM, "output_dim": DIM, "hidden_dim": 1, "n_hidden_layers": 2, "dropout": 0.0,
        "min_log_kappa": -2.0, "max_log_kappa": 12.0, "min_log_sigma_logm": -5.0, "max_log_sigma_logm": 2.0
    });
    let metadata = [
        ("model_type", "vmf".to_owned()),
        ("horizon_k", "1".to_owned()),
        ("window_size", WINDOW.to_string()),
        ("step", "0".to_owned()),
        ("input_dim", (WINDOW * DIM).to_string()),
        ("output_dim", DIM.to_string()),
        ("model_kwargs", kwargs.to_string()),
    ];
    let views = arrays
        .iter()
        .map(|(name, (shape, values))| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values)).unwrap()));
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
    let bytes = safetensors::serialize(views, Some(metadata)).unwrap();
    let file = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Predictor::load(file.path(), &Device::flex()).unwrap()
}

/// Δ = m·d, d ~ vMF(axis, κ), ln m ~ N(0, σ²), predicted by just that: E cos = A_D(κ). The mean's magnitude ratio is
/// E[e^{σ²/2}/m] = e^{σ²}, the median's E[1/m] = e^{σ²/2}. The likelihood is the entropy: −ln C_D(κ) − κ·A_D(κ) for the
/// direction and ½ + ½·ln 2πσ² for ln m; the Jacobian (D−1)·ln m averages to 0.
#[test]
fn a_vmf_walk_is_as_predictable_as_its_concentration() {
    let kappa = 50.0;
    let report = report(Toy::VmfWalk { kappa: 50.0 }, 600, &constant_vmf(50.0, VMF_WALK_LOG_SIGMA.ln() as f32), &baselines(1.0));
    let resultant = von_mises_fisher::mean_resultant_length(DIM, kappa);
    let s2 = VMF_WALK_LOG_SIGMA.powi(2);
    let entropy = -von_mises_fisher::log_normalizer(DIM, kappa) - kappa * resultant + 0.5 * (1.0 + (2.0 * std::f64::consts::PI * s2).ln());
    for mode in &report.modes {
        close("cosine", mean(&mode.overall.cos), resultant, 0.006);
        close("mean's magnitude ratio", mean(&mode.overall.mag_ratio), s2.exp(), 0.02);
        close("median's magnitude ratio", mean(&mode.overall.advance_ratio), (s2 / 2.0).exp(), 0.02);
        close("factored NLL", mean(&mode.overall.nll_factored), entropy, 0.25);
        close("NLL", mean(&mode.overall.nll), entropy, 0.4);
    }
}

/// Schedules and segments that run together give what each gives alone.
#[test]
fn a_batch_is_its_parts() {
    let (ctx, corpus) = (ctx(), toy_corpus(Toy::StableAr1 { a: 0.8 }, 6, 60, 3, 2));
    let predictor = of_last_frame(-0.3, 0.5, 3);
    let baselines = Baselines { gaussian: GaussianBaseline { mean: vec![0.0; 3], variance: vec![1.0; 3] }, ..baselines(1.0) };
    let config = RolloutConfig { alpha: 0.5, ..RolloutConfig::default() };
    let mut schedules = Schedule::standard(16);
    schedules.push(Schedule::inject_after("painted", &[1, 2, 9], 16));
    schedules.push(Schedule::inject_after("painted too", &[1, 2, 3], 16));
    let segments = [(1, 2), (3, 40), (5, 11)].map(|(utterance, t0)| Segment { utterance, t0 });
    let together = rollout(&ctx, &corpus, &predictor, &baselines, &segments, &schedules, &config).unwrap();
    for (schedule, batch) in schedules.iter().zip(&together) {
        for (row, &segment) in segments.iter().enumerate() {
            let alone = rollout(&ctx, &corpus, &predictor, &baselines, &[segment], std::slice::from_ref(schedule), &config).unwrap();
            let part = row * 16..(row + 1) * 16;
            let name = &schedule.name;
            let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart(&batch.states[row * 48..(row + 1) * 48], &alone[0].states) < 1e-5, "{name}: states");
            assert!(apart(&batch.nll[part.clone()], &alone[0].nll) < 1e-4, "{name}: nll");
            assert!(apart(&batch.state_err_before[part], &alone[0].state_err_before) < 1e-5, "{name}: error");
        }
    }
    // After an injection the state is the truth, and α halves every advance.
    let (utterance, t0) = (segments[1].utterance, segments[1].t0);
    assert_eq!(together[1].state(1, 4), corpus.utterances[utterance].latents.frame(t0 + 3));
    let before = corpus.utterances[utterance].latents.frame(t0 - 1);
    assert!(together[3].state(1, 1).iter().zip(before).all(|(after, before)| (after - before * 0.85).abs() < 1e-5));
}

/// A predictor without a density has no likelihood: every value is counted, none is averaged, and the JSON stays valid.
#[test]
fn what_is_no_number_is_counted_and_never_averaged() {
    let report = report(Toy::WhiteNoise, 600, &Predictor::persistence(DIM, WINDOW), &baselines(2.0));
    let nll = &report.modes[0].per_step[0].nll;
    assert_eq!((nll.n, nll.n_nonfinite, nll.mean), (0, 400, None));
    let json = report.to_json();
    let step = &json["modes"]["A_teacher"]["per_step"][0];
    assert!(step["nll"].is_null() && step["n_nonfinite"]["nll"] == 400 && step["state_err"] == 0.0, "{step}");
    let back: serde_json::Value = serde_json::from_str(&json.to_string()).unwrap();
    assert_eq!(back["modes"]["D_rollout"]["n"], 400 * STEPS);
}

#[test]
fn bad_input_is_refused_in_one_sentence() {
    let (ctx, corpus) = (ctx(), toy_corpus(Toy::WhiteNoise, 4, 20, 3, 1));
    let run = |predictor: &Predictor, segment, n_steps| {
        let config = RolloutConfig { n_steps, ..RolloutConfig::default() };
        rollout(&ctx, &corpus, predictor, &baselines(1.0), &[segment], &[Schedule::free(n_steps)], &config).unwrap_err().to_string()
    };
    let fits = of_last_frame(-1.0, 1.0, 3);
    let at = |t0| Segment { utterance: 1, t0 };
    let cases = [
        (run(&of_last_frame(-1.0, 1.0, 5), at(2), 4), vec!["D = 5", "D = 3"]),
        (run(&fits, at(1), 4), vec!["toy-001", "t0 = 1", "between 2 and 16"]),
        (run(&fits, at(17), 4), vec!["toy-001", "t0 = 17", "between 2 and 16"]),
        (run(&fits, at(2), 19), vec!["toy-001", "20 frames", "need 21"]),
        (run(&fits, at(2), 0), vec!["0 steps"]),
        (
            sample_segments(&corpus, WINDOW, 1, 30, &SegmentConfig::default(), 0).unwrap_err().to_string(),
            vec!["32 frames", "toy-", "has 20"],
        ),
        (
            sample_segments(&without_eval(&corpus), WINDOW, 1, 4, &SegmentConfig::default(), 0).unwrap_err().to_string(),
            vec!["evaluation side"],
        ),
        (starts_error(&corpus, r#"[{"utterance_id": "nobody", "t0": [3]}]"#), vec!["nobody"]),
        (starts_error(&corpus, r#"[{"utterance_id": "toy-001", "t0": [20]}]"#), vec!["t0 = 20", "toy-001", "0 to 19"]),
        (starts_error(&corpus, "no list"), vec!["utterance_id", "t0"]),
        (starts_error(&corpus, "[]"), vec!["no start"]),
    ];
    for (message, parts) in cases {
        assert!(parts.iter().all(|part| message.contains(part)), "{message:?} should name {parts:?}");
        assert!(!message.contains('\n'), "{message:?} is one sentence");
    }
    ctx.cancel.cancel();
    let stopped = rollout(&ctx, &corpus, &fits, &baselines(1.0), &[at(2)], &[Schedule::free(16)], &RolloutConfig::default());
    assert!(matches!(stopped, Err(RolloutError::Cancelled(_))));
}

fn without_eval(corpus: &Corpus) -> Corpus {
    let mut corpus = corpus.clone();
    corpus.utterances.retain(|u| u.side == Side::Train);
    corpus
}

fn starts_error(corpus: &Corpus, text: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    read_starts(file.path(), corpus).unwrap_err().to_string()
}

/// A linear rollout is x[t] = (1 + c)·x[t−1]: whatever is painted or pushed can be followed by hand.
#[test]
fn painted_steps_and_pushes_do_what_they_say() {
    let (ctx, c) = (ctx(), -0.25_f32);
    let corpus = toy_corpus(Toy::StableAr1 { a: 0.9 }, 8, 60, DIM, 3);
    let predictor = of_last_frame(c, 1.0, DIM);
    let start = [Segment { utterance: 1, t0: 20 }];
    let config = RolloutConfig { n_steps: 5, ..RolloutConfig::default() };
    use StepAction::{Freeze, Noise, Own, Truth};
    let push: Vec<f32> = (0..DIM).map(|d| d as f32 * 0.1).collect();
    let pushed = Schedule { nudges: vec![Nudge { step: 2, by: push.clone() }], ..Schedule::free(5) };
    let frozen = Schedule::of("frozen", vec![Own, Freeze, Own, Truth, Own]);
    let noisy = Schedule::of("noisy", vec![Own, Noise, Noise, Own, Freeze]);
    let plans = [Schedule::free(5), pushed, frozen, noisy.clone()];
    let rolled = rollout(&ctx, &corpus, &predictor, &baselines(1.0), &start, &plans, &config).unwrap();
    let grown = |x: &[f32]| x.iter().map(|x| x * (1.0 + c)).collect::<Vec<f32>>();
    let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let truth = &corpus.utterances[1].latents;
    let [free, pushed, frozen, noisy_rolled] = &rolled[..] else { panic!("four plans") };
    assert!(same(free.state(0, 1), &grown(truth.frame(19))) && same(free.state(0, 2), &grown(free.state(0, 1))));
    let expected: Vec<f32> = free.state(0, 2).iter().zip(&push).map(|(x, by)| x + by).collect();
    assert!(same(pushed.state(0, 1), free.state(0, 1)) && same(pushed.state(0, 2), &expected));
    assert!(same(pushed.state(0, 3), &grown(&expected)), "the rollout goes on from where it was pushed");
    assert_eq!(frozen.state(0, 2), frozen.state(0, 1));
    assert!(same(frozen.state(0, 3), &grown(frozen.state(0, 1))) && same(frozen.state(0, 4), truth.frame(23)));
    assert_eq!(noisy_rolled.state(0, 5), noisy_rolled.state(0, 4));
    let step =
        |step: usize| -> Vec<f32> { noisy_rolled.state(0, step).iter().zip(noisy_rolled.state(0, step - 1)).map(|(a, b)| a - b).collect() };
    let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let unit = median_delta_norm(&corpus);
    for n in [2, 3] {
        let length = norm(&step(n)) / unit;
        assert!((0.5..1.6).contains(&length), "as long as a true step: {length}");
    }
    assert!(!same(&step(2), &step(3)));
    // Painting one step leaves the noise of another as it was; the same seed gives the same bytes.
    let fewer = Schedule::of("fewer", vec![Own, Own, Noise, Own, Own]);
    let again = rollout(&ctx, &corpus, &predictor, &baselines(1.0), &start, &[noisy, fewer], &config).unwrap();
    assert_eq!(again[0].states, noisy_rolled.states);
    let one: Vec<f32> = again[1].state(0, 3).iter().zip(again[1].state(0, 2)).map(|(a, b)| a - b).collect();
    assert!(same(&one, &step(3)));
}

#[test]
fn a_push_that_does_not_fit_is_refused() {
    let corpus = toy_corpus(Toy::StableAr1 { a: 0.9 }, 8, 60, DIM, 3);
    let config = RolloutConfig { n_steps: 4, ..RolloutConfig::default() };
    for (nudge, expected) in
        [(Nudge { step: 9, by: vec![0.0; DIM] }, "step from 1 to 4"), (Nudge { step: 1, by: vec![0.0; 3] }, "needs 16 values")]
    {
        let plan = Schedule { nudges: vec![nudge], ..Schedule::free(4) };
        let start = [Segment { utterance: 1, t0: 20 }];
        let predictor = of_last_frame(0.1, 1.0, DIM);
        let error = rollout(&ctx(), &corpus, &predictor, &baselines(1.0), &start, &[plan], &config).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
