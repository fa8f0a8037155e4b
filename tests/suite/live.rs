//! Rollouts on the GPU (here the software adapter) against those on the CPU: every family, rule, schedule and setting.

use std::sync::{Arc, Mutex};

use burn::tensor::Device;
use driftscope_core::context::{Corpus, Pairs, Slice};
use driftscope_core::diagnose::toy::{Toy, toy_corpus};
use driftscope_core::diagnose::{EvaluateConfig, evaluate};
use driftscope_core::engine::compute::{Crossovers, Gpu, Pace};
use driftscope_core::engine::{DeviceChoice, Health, OpenDevice};
use driftscope_core::job::{Cancel, JobCtx, Progress};
use driftscope_core::predict::{Baselines, CheckpointError, MagnitudeRule, Predictor, PredictorConfig, PredictorKind, fit_predictor};
use driftscope_core::rollout::{Nudge, Rollout, RolloutConfig, Schedule, Segment, StepAction, rollout};

use crate::allocation::allocations_of;
use crate::{shaders, shared};

const STEPS: usize = 16;

pub(crate) fn cpu() -> JobCtx {
    JobCtx::quiet(Device::flex(), 11)
}

pub(crate) fn gpu() -> JobCtx {
    let (device, queue) = shaders::gpu();
    JobCtx { gpu: Some(Gpu::new(device.clone(), queue.clone())), ..cpu() }
}

pub(crate) fn corpus(dim: usize) -> Corpus {
    toy_corpus(Toy::StableAr1 { a: 0.9 }, 6, 80, dim, 5)
}

/// A, B, C, D, painted ones and one that is pushed by hand.
fn schedules(dim: usize) -> Vec<Schedule> {
    use StepAction::{Freeze, Noise, Own, Truth};
    let mut schedules = Schedule::standard(STEPS);
    let painted = [Own, Noise, Noise, Own, Freeze, Own, Truth, Noise].repeat(STEPS / 8);
    schedules.push(Schedule::of("painted", painted));
    schedules.push(Schedule::of("late", [vec![Own; STEPS - 1], vec![Freeze]].concat()));
    let push = |step: usize, by: f32| Nudge { step, by: (0..dim).map(|d| by * (d as f32).sin()).collect() };
    schedules.push(Schedule { nudges: vec![push(3, 0.5), push(STEPS, 2.0)], ..Schedule::one_shot(STEPS) });
    schedules
}

fn run(ctx: &JobCtx, corpus: &Corpus, predictor: &Predictor, config: &RolloutConfig) -> Vec<Rollout> {
    let info = &predictor.info;
    let segments = [(1, 13), (3, 40), (5, 64)].map(|(utterance, t0)| Segment { utterance, t0 });
    let baselines = Baselines::fit(&Pairs::cut(corpus, &[0, 2, 4], info.window, info.horizon, Slice::All));
    rollout(ctx, corpus, predictor, &baselines, &segments, &schedules(corpus.dim), config).unwrap()
}

/// Largest difference, relative where numbers are above 1.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| if a.to_bits() == b.to_bits() { 0.0 } else { (a - b).abs() / b.abs().max(1.0) });
    differences.fold(0.0, |largest: f32, x| if x > largest || x.is_nan() { x } else { largest })
}

#[track_caller]
fn assert_same(what: &str, live: &[Rollout], reference: &[Rollout]) {
    assert_eq!(live.len(), reference.len());
    for (live, reference) in live.iter().zip(reference) {
        let columns = |r: &Rollout| {
            let likelihoods = [&r.nll, &r.nll_factored, &r.nll_baseline, &r.nll_baseline_factored];
            let others = [&r.cos, &r.mag_ratio, &r.advance_ratio, &r.state_err_before, &r.state_err_after];
            [likelihoods.map(Vec::as_slice).concat(), others.map(Vec::as_slice).concat(), r.states.clone()]
        };
        for (column, (got, want)) in
            ["likelihoods", "ratios and errors", "states"].iter().zip(columns(live).iter().zip(&columns(reference)))
        {
            let apart = apart(got, want);
            assert!(apart < 1e-4, "{what}, {}: {column} differ by {apart}", live.schedule.name);
        }
        assert_eq!((&live.schedule, &live.segments), (&reference.schedule, &reference.segments));
    }
}

fn assert_equal_paths(corpus: &Corpus, predictor: &Predictor) {
    for rule in [MagnitudeRule::Mean, MagnitudeRule::Median, MagnitudeRule::Mode, MagnitudeRule::Sample] {
        let plain = RolloutConfig { n_steps: STEPS, rule, ..RolloutConfig::default() };
        let busy = RolloutConfig { alpha: 0.8, reanchor_every: Some(5), temperature: 0.6, noise_sigma: 0.3, ..plain.clone() };
        for config in [plain, busy] {
            let what = format!("{} at horizon {}, {config:?}", predictor.info.kind, predictor.info.horizon);
            assert_same(&what, &run(&gpu(), corpus, predictor, &config), &run(&cpu(), corpus, predictor, &config));
        }
    }
}

pub(crate) fn fitted(corpus: &Corpus, kind: PredictorKind, horizon: usize) -> Predictor {
    let config = PredictorConfig {
        kind,
        horizon,
        window: 3,
        n_components: 3,
        hidden_dim: 40,
        max_steps: 60,
        batch: 32,
        ..PredictorConfig::default()
    };
    fit_predictor(&cpu(), corpus, &config, None).unwrap()
}

#[test]
fn our_predictors_roll_on_the_gpu_as_on_the_cpu() {
    let corpus = corpus(12);
    for (kind, horizon) in [(PredictorKind::Mdn, 1), (PredictorKind::Mdn, 4), (PredictorKind::Vmf, 1), (PredictorKind::Linear, 2)] {
        assert_equal_paths(&corpus, &fitted(&corpus, kind, horizon));
    }
}

#[test]
fn the_peers_predictors_roll_on_the_gpu_as_on_the_cpu() {
    let corpus = corpus(64);
    for name in ["mdn_k1", "mdn_k4", "vmf_k1"] {
        let Some(path) = shared::path(&format!("fixtures/peer/checkpoints/{name}_final.safetensors")) else { return };
        assert_equal_paths(&corpus, &Predictor::load(&path, &Device::flex()).unwrap());
    }
}

/// A device of its own, to lose.
pub(crate) fn device_to_lose() -> (wgpu::Instance, wgpu::Adapter, wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12));
    let adapter = adapters.into_iter().next().unwrap();
    let descriptor = wgpu::DeviceDescriptor {
        required_features: adapter
            .features()
            .difference(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS | wgpu::Features::all_experimental_mask()),
        required_limits: adapter.limits(),
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    (instance, adapter, device, queue)
}

/// The same as burn's device, with its handle to destroy it by.
pub(crate) fn opened_to_lose() -> (OpenDevice, wgpu::Device) {
    let (instance, adapter, device, queue) = device_to_lose();
    let backend = adapter.get_info().backend;
    let setup = burn::tensor::wgpu::WgpuSetup { instance, adapter, device: device.clone(), queue, backend };
    let opened = OpenDevice {
        choice: DeviceChoice::Gpu,
        device: Device::wgpu_options().setup(setup).init().unwrap(),
        gpu: None,
        health: Health::default(),
        description: "to be lost".into(),
        notice: None,
    };
    (opened, device)
}

/// What a job says while it runs.
fn notes() -> (Arc<Mutex<Vec<String>>>, Progress) {
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Arc::clone(&notes);
    (notes, Progress::new(move |event| sink.lock().unwrap().push(event.note.into_owned())))
}

#[test]
fn a_rollout_goes_on_where_its_gpu_is_lost_and_says_so() {
    let corpus = corpus(12);
    let predictor = fitted(&corpus, PredictorKind::Vmf, 1);
    let config = RolloutConfig { rule: MagnitudeRule::Sample, ..RolloutConfig::default() };
    let reference = run(&cpu(), &corpus, &predictor, &config);
    let (_, _, device, queue) = device_to_lose();
    let (notes, progress) = notes();
    let ctx = JobCtx { gpu: Some(Gpu::new(device.clone(), queue)), progress, ..cpu() };
    assert_same("before", &run(&ctx, &corpus, &predictor, &config), &reference);
    assert!(notes.lock().unwrap().iter().all(String::is_empty) && ctx.health.lost().is_none());
    device.destroy();
    assert_eq!(run(&ctx, &corpus, &predictor, &config)[0].states, reference[0].states, "what goes on is the CPU's own path");
    assert!(notes.lock().unwrap().iter().any(|note| note.contains("the CPU computes instead")));
    let lost = ctx.health.lost().map(str::to_owned);
    assert!(lost.is_some() && ctx.answering_gpu().is_none());
    notes.lock().unwrap().clear();
    run(&ctx, &corpus, &predictor, &config);
    assert!(notes.lock().unwrap().iter().all(String::is_empty), "it is said once");
    assert_eq!(ctx.health.lost().map(str::to_owned), lost);
}

#[test]
fn a_fit_on_the_gpu_learns_what_one_on_the_cpu_learns() {
    let (instance, adapter, device, queue) = device_to_lose();
    let backend = adapter.get_info().backend;
    let setup = burn::tensor::wgpu::WgpuSetup { instance, adapter, device, queue, backend };
    let on_gpu = JobCtx { device: Device::wgpu_options().setup(setup).init().unwrap(), ..cpu() };
    let corpus = corpus(4);
    for kind in [PredictorKind::Mdn, PredictorKind::Vmf] {
        let config =
            PredictorConfig { kind, window: 2, n_components: 2, hidden_dim: 8, max_steps: 30, batch: 8, ..PredictorConfig::default() };
        let means = |ctx: &JobCtx| {
            let predictor = fit_predictor(ctx, &corpus, &config, None).unwrap();
            // Also a rollout through burn on that device, and on the CPU with the copy that is kept there.
            [ctx, &ctx.on_cpu()].map(|ctx| run(ctx, &corpus, &predictor, &RolloutConfig::default()))
        };
        let ([on_gpu, beside_it], [reference, _]) = (means(&on_gpu), means(&cpu()));
        assert_same("through burn", &on_gpu, &beside_it);
        for (got, want) in on_gpu.iter().zip(&reference) {
            let apart = apart(&got.cos, &want.cos);
            assert!(apart < 2e-3, "{kind:?}, {}: thirty steps of training part them by {apart}", got.schedule.name);
        }
    }
}

#[test]
fn what_burn_computes_step_by_step_is_what_the_cpu_computes_in_kept_memory() {
    let (instance, adapter, device, queue) = device_to_lose();
    let backend = adapter.get_info().backend;
    let setup = burn::tensor::wgpu::WgpuSetup { instance, adapter, device, queue, backend };
    let on_gpu = JobCtx { device: Device::wgpu_options().setup(setup).init().unwrap(), ..cpu() };
    let corpus = corpus(4);
    for (kind, horizon, rule) in [
        (PredictorKind::Mdn, 3, MagnitudeRule::Sample),
        (PredictorKind::Vmf, 1, MagnitudeRule::Mode),
        (PredictorKind::Linear, 2, MagnitudeRule::Median),
    ] {
        let config = PredictorConfig {
            kind,
            horizon,
            window: 2,
            n_components: 2,
            hidden_dim: 8,
            max_steps: 5,
            batch: 8,
            ..PredictorConfig::default()
        };
        let predictor = fit_predictor(&on_gpu, &corpus, &config, None).unwrap();
        let config = RolloutConfig { n_steps: STEPS, rule, alpha: 0.8, temperature: 0.6, noise_sigma: 0.3, ..RolloutConfig::default() };
        let [tensors, kept] = [&on_gpu, &cpu()].map(|ctx| run(ctx, &corpus, &predictor, &config));
        assert_same(&format!("{kind:?} {rule:?}"), &tensors, &kept);
    }
}

#[test]
fn a_longer_rollout_on_the_cpu_allocates_no_more_often() {
    let corpus = corpus(12);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for (kind, rule) in [(PredictorKind::Mdn, MagnitudeRule::Median), (PredictorKind::Vmf, MagnitudeRule::Mode)] {
        let predictor = fitted(&corpus, kind, 1);
        let baselines = Baselines::fit(&Pairs::cut(&corpus, &[0, 2, 4], 3, 1, Slice::All));
        let calls = |n_steps: usize| {
            let config = RolloutConfig { n_steps, rule, noise_sigma: 0.3, ..RolloutConfig::default() };
            let (segments, schedules) = ([Segment { utterance: 1, t0: 13 }], Schedule::standard(n_steps));
            let roll = || rollout(&cpu(), &corpus, &predictor, &baselines, &segments, &schedules, &config).unwrap();
            // On the pool's only thread, so that nothing escapes the count.
            pool.install(|| {
                roll();
                allocations_of(|| drop(roll()))
            })
        };
        let [short, long] = [8, 40].map(calls);
        assert!(short > 0 && short == long, "{kind:?}: {short} calls for 8 steps, {long} for 40");
    }
}

#[test]
fn a_rollout_that_is_faster_on_the_cpu_is_computed_there_wherever_the_jobs_tensors_are() {
    let (instance, adapter, device, queue) = device_to_lose();
    let backend = adapter.get_info().backend;
    let gpu = Gpu::new(device.clone(), queue.clone());
    let setup = burn::tensor::wgpu::WgpuSetup { instance, adapter, device, queue, backend };
    let tensors = JobCtx { device: Device::wgpu_options().setup(setup).init().unwrap(), ..cpu() };
    let corpus = corpus(4);
    let config = PredictorConfig { window: 2, n_components: 2, hidden_dim: 8, max_steps: 2, batch: 8, ..PredictorConfig::default() };
    let predictor = fit_predictor(&tensors, &corpus, &config, None).unwrap();
    let reference = run(&tensors.on_cpu(), &corpus, &predictor, &RolloutConfig::default());
    for (gpu_us, on_gpu) in [(9.0, false), (1.0, true)] {
        let crossovers = Crossovers::default();
        let shape = "4x2 8-8 8-8 8-18".to_owned();
        crossovers.keep(shape, vec![Pace { n_rows: 1, cpu_us: 5.0, gpu_us }]);
        let ctx = JobCtx { gpu: Some(gpu.clone().where_faster(crossovers)), ..tensors.clone() };
        let rolled = run(&ctx, &corpus, &predictor, &RolloutConfig::default());
        assert_eq!(rolled[0].on_gpu, on_gpu);
        let same_bytes = rolled.iter().zip(&reference).all(|(a, b)| (&a.states, &a.nll, &a.cos) == (&b.states, &b.nll, &b.cos));
        assert_eq!(same_bytes, !on_gpu, "the CPU's own path gives its own bytes, the GPU's does not");
    }
}

#[test]
fn an_evaluation_on_the_gpu_is_the_cpus_also_where_the_device_is_lost_on_the_way() {
    let (instance, adapter, device, queue) = device_to_lose();
    let backend = adapter.get_info().backend;
    let setup = burn::tensor::wgpu::WgpuSetup { instance, adapter, device: device.clone(), queue, backend };
    let on_gpu = JobCtx { device: Device::wgpu_options().setup(setup).init().unwrap(), ..cpu() };
    let corpus = corpus(4);
    let config = PredictorConfig { window: 2, n_components: 2, hidden_dim: 8, max_steps: 5, batch: 8, ..PredictorConfig::default() };
    let predictors = [fit_predictor(&on_gpu, &corpus, &config, None).unwrap()];
    let numbers = |ctx: &JobCtx| -> Vec<f32> {
        let evaluation = evaluate(ctx, &corpus, &predictors, &EvaluateConfig::default()).unwrap();
        let sides = evaluation.horizons.iter().flat_map(|h| [&h.train, &h.eval]);
        sides.flat_map(|side| [side.nll.mean, side.cos.mean, side.dnll.median].map(|x| x.unwrap() as f32)).collect()
    };
    let reference = numbers(&cpu());
    let whole = apart(&numbers(&on_gpu), &reference);
    assert!(whole < 1e-4 && on_gpu.health.lost().is_none(), "{whole}");
    let progress = Progress::new(move |event| {
        if event.stage.contains("training side") {
            device.destroy();
        }
    });
    let apart = apart(&numbers(&JobCtx { progress, ..on_gpu.clone() }), &reference);
    assert!(apart < 1e-4 && on_gpu.health.lost().is_some(), "{apart}");
}

#[test]
fn a_fit_goes_on_from_its_last_checkpoint_where_its_device_is_lost() {
    let (opened, device) = opened_to_lose();
    let folder = tempfile::tempdir().unwrap();
    let opened = opened.measuring_into(&folder.path().join("measured"));
    let corpus = corpus(4);
    let config = PredictorConfig { window: 2, n_components: 2, hidden_dim: 8, max_steps: 65, batch: 8, ..PredictorConfig::default() };
    let state = folder.path().join("mdn.state");
    let fit = |does: &'static (dyn Fn(&wgpu::Device, &Cancel) + Sync), at: u64| {
        let events: Arc<Mutex<Vec<(u64, String)>>> = Arc::default();
        let (sink, device, cancel) = (Arc::clone(&events), device.clone(), Cancel::default());
        let stop = cancel.clone();
        let progress = Progress::new(move |event| {
            sink.lock().unwrap().push((event.done, event.note.into_owned()));
            if event.done == at {
                does(&device, &stop);
            }
        });
        let ctx = JobCtx { progress, cancel, ..JobCtx::on(&opened, 11) };
        let fitted = fit_predictor(&ctx, &corpus, &config, Some(&state));
        let events = std::mem::take(&mut *events.lock().unwrap());
        (fitted, events)
    };
    let (stopped, _) = fit(&|_, stop| stop.cancel(), 21);
    assert!(matches!(stopped, Err(CheckpointError::Cancelled(_))) && state.exists());
    let (fitted, events) = fit(&|device, _| device.destroy(), 41);
    assert!(fitted.is_ok() && opened.health.lost().is_some());
    let lost = events.iter().position(|(_, note)| note.contains("the CPU computes instead")).unwrap();
    let steps: Vec<u64> = events[lost + 1..].iter().map(|(done, _)| *done).collect();
    assert_eq!(steps, [41, 61, 65], "it went on from step 21, not from the start: {events:?}");
    // What is fitted next does not ask for the device any more.
    let (again, events) = fit(&|_, _| {}, 0);
    assert!(again.is_ok() && events.iter().all(|(_, note)| note.contains("loss")), "{events:?}");
}
