//! What a rollout left on the device that draws is drawn from there, and looks like a copy of it (here on the software adapter).

use driftscope::window::gpu::Pulse;
use driftscope_core::context::{Corpus, Pairs, Slice};
use driftscope_core::engine::compute::Gpu;
use driftscope_core::engine::display::latents::{self, Frames, Shown};
use driftscope_core::engine::display::trajectory::{self, Orbit, Path};
use driftscope_core::engine::display::{Image, Source, project};
use driftscope_core::engine::{DeviceChoice, DevicePlan, Resident, adapters};
use driftscope_core::job::JobCtx;
use driftscope_core::predict::{Baselines, Predictor, PredictorKind};
use driftscope_core::represent::Pca;
use driftscope_core::rollout::{Rollout, RolloutConfig, Schedule, Segment, rollout};

use crate::{live, shaders};

const DIM: usize = 12;
const STEPS: usize = 24;
const SIZE: [usize; 2] = [240, 180];

/// The GPU, on which states stay.
fn ctx() -> JobCtx {
    let ctx = live::gpu();
    JobCtx { gpu: ctx.gpu.as_ref().map(Gpu::drawn), ..ctx }
}

fn run(ctx: &JobCtx, corpus: &Corpus, predictor: &Predictor, starts: &[usize], schedules: &[Schedule]) -> Vec<Rollout> {
    let segments: Vec<Segment> = starts.iter().map(|&t0| Segment { utterance: 1, t0 }).collect();
    let baselines = Baselines::fit(&Pairs::cut(corpus, &[0, 2, 4], predictor.info.window, 1, Slice::All));
    let config = RolloutConfig { n_steps: schedules[0].actions.len(), ..RolloutConfig::default() };
    rollout(ctx, corpus, predictor, &baselines, &segments, schedules, &config).unwrap()
}

/// What is there, as bits.
fn read(values: &Resident) -> Vec<u32> {
    let (device, queue) = shaders::gpu();
    let size = 4 * values.len() as u64;
    let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
    let copy = device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(values.buffer(), 4 * u64::from(values.first()), &copy, 0, size);
    queue.submit([encoder.finish()]);
    copy.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    bytemuck::pod_collect_to_vec(&copy.get_mapped_range(..).unwrap())
}

fn bits(values: &[f32]) -> &[u32] {
    bytemuck::cast_slice(values)
}

fn noise(n: usize, seed: f32) -> Vec<f32> {
    (0..n).map(|i| ((i as f32 + seed) * 12.9898).sin() * 3.0).collect()
}

/// Mean and three directions of the utterances, `[4, dim]`.
fn axes(corpus: &Corpus) -> Vec<f32> {
    let pca = Pca::fit(corpus.utterances.iter().flat_map(|u| u.latents.values.chunks_exact(corpus.dim)), corpus.dim, 3);
    [pca.mean, pca.components].concat()
}

/// The path of `frames`, and the picture of them after the truth and off it.
fn pictures(corpus: &Corpus, frames: &Source, start: usize) -> [Image; 3] {
    let (device, queue) = shaders::gpu();
    let [width, height] = SIZE;
    let size_px = SIZE.map(|n| n as f32);
    let (axes, rolled) = (Resident::upload(device, &axes(corpus)), frames.on(device));

    let n = frames.host.len() / corpus.dim;
    let points: Vec<[f32; 4]> = (0..=n).map(|i| [0.0, 0.0, 0.0, i as f32 / n as f32]).collect();
    let points = project::Pipeline::new(device).points((device, queue), &points, 1, &rolled, &axes);
    let path = Path { points, color_low: [0.0, 0.4, 0.7, 0.5], color_high: [0.8, 0.3, 0.0, 1.0], width_px: 2.0 };
    let orbit = Orbit { yaw: 0.5, pitch: 0.4, center: [0.0; 3], radius: 4.0 };
    let prepared = trajectory::Pipeline::new(device, shaders::FORMAT).prepare(device, &[path], &orbit, size_px);
    let path = shaders::drawn(width, height, |pass| prepared.paint(pass));

    let truth = Resident::upload(device, &corpus.utterances[1].latents.values);
    let scaling = Resident::upload(device, &scaling());
    let frames = Frames { truth, rolled, scaling };
    let pipeline = latents::Pipeline::new(device, shaders::FORMAT);
    let [rollout, difference] = [Shown::Rollout, Shown::Difference].map(|shown| {
        let prepared = pipeline.prepare(device, &frames, &view(shown, start, start + n), size_px);
        shaders::drawn(width, height, |pass| prepared.paint(pass))
    });
    [path, rollout, difference]
}

fn scaling() -> Vec<f32> {
    [vec![0.1; DIM], vec![0.9; DIM]].concat()
}

fn view(shown: Shown, start: usize, n_frames: usize) -> latents::View {
    let colors = std::array::from_fn(|i| [i as u8, 90, 255 - i as u8, 255]);
    latents::View { shown, start, n_frames, frames: 10.3..n_frames as f32 - 2.6, most: 3.0, colors }
}

#[test]
fn frames_are_projected_as_on_the_cpu() {
    let (device, queue) = shaders::gpu();
    let pipeline = project::Pipeline::new(device);
    for (dim, n_frames) in [(3, 1), (64, 40), (768, 7)] {
        let axes: Vec<f32> = noise(4 * dim, 0.5).iter().map(|x| x / (dim as f32).sqrt()).collect();
        let mut frames = noise((n_frames + 2) * dim, 7.0);
        frames[2 * dim] = f32::NAN;
        let mut expected: Vec<[f32; 4]> = (0..=n_frames).map(|i| [1.0, 2.0, 3.0, i as f32]).collect();
        let all = Resident::upload(device, &frames);
        let some = all.part(2 * dim..(n_frames + 2) * dim);
        let placed = pipeline.points((device, queue), &expected, 1, &some, &Resident::upload(device, &axes));
        project::project(&mut expected[1..], &frames[2 * dim..], &axes);
        for (got, want) in read(&placed).into_iter().map(f32::from_bits).zip(expected.into_flattened()) {
            let is_same = got.is_nan() && want.is_nan();
            assert!(is_same || (got - want).abs() < 1e-4, "D = {dim}: {got} for {want}");
        }
    }
}

#[test]
fn latents_look_like_those_of_the_cpu() {
    let (device, _) = shaders::gpu();
    let (truth, mut rolled) = (noise(40 * DIM, 1.0), noise(20 * DIM, 2.0));
    rolled[5 * DIM + 3] = f32::NAN;
    rolled[6 * DIM + 4] = f32::INFINITY;
    let scaling = scaling();
    let host = Frames { truth: truth.as_slice(), rolled: &rolled, scaling: &scaling };
    let [truth, rolled, scaling] = [host.truth, host.rolled, host.scaling].map(|values| Resident::upload(device, values));
    let pipeline = latents::Pipeline::new(device, shaders::FORMAT);
    let frames = Frames { truth, rolled, scaling };
    for (shown, size) in [(Shown::Truth, [333, 97]), (Shown::Rollout, [20, 5]), (Shown::Difference, [700, 12])] {
        let view = view(shown, 20, 40);
        let prepared = pipeline.prepare(device, &frames, &view, size.map(|n| n as f32));
        let image = shaders::drawn(size[0], size[1], |pass| prepared.paint(pass));
        let (apart, _) = shaders::difference(&image, &latents::draw(&host, &view, size[0], size[1]));
        // A pixel's middle may fall on a cell's edge, and then rounding decides.
        assert!(apart < 0.005, "{:.3} % of the channels differ in {shown:?}", 100.0 * apart);
        assert!(image.pixels.iter().all(|p| p[3] == 1.0));
    }
}

#[test]
fn a_rollout_leaves_its_states_where_it_was_computed() {
    let corpus = live::corpus(DIM);
    let predictor = live::fitted(&corpus, PredictorKind::Linear, 1);
    let schedules = [Schedule::free(STEPS), Schedule::teacher(STEPS)];
    let drawn = run(&ctx(), &corpus, &predictor, &[13, 40], &schedules);
    for rollout in &drawn {
        assert_eq!(read(rollout.resident.as_ref().unwrap()), bits(&rollout.states), "{}", rollout.schedule.name);
        for segment in 0..2 {
            let frames = rollout.frames(segment);
            let on_device = frames.on(shaders::gpu().0);
            assert_eq!(on_device.buffer(), rollout.resident.as_ref().unwrap().buffer(), "nothing is copied");
            assert_eq!(read(&on_device), bits(frames.host));
        }
    }
    // Those that nobody draws, of a CPU, and of more than one block.
    let many = vec![20; 300];
    for (ctx, starts) in [(live::gpu(), [13].as_slice()), (live::cpu(), &[13]), (ctx(), &many)] {
        let rollouts = run(&ctx, &corpus, &predictor, starts, &[Schedule::free(2)]);
        assert!(rollouts.iter().all(|r| r.resident.is_none() && r.states.len() == starts.len() * 2 * DIM));
    }
}

#[test]
fn the_engines_buffer_and_a_copy_are_one_picture_also_while_the_next_rollout_runs() {
    let corpus = live::corpus(DIM);
    let predictor = live::fitted(&corpus, PredictorKind::Linear, 1);
    let roll = |start: usize| run(&ctx(), &corpus, &predictor, &[13, start], &[Schedule::free(STEPS)]).remove(0);
    let rollout = roll(30);
    let shared = pictures(&corpus, &rollout.frames(1), 30);
    for image in &shared {
        assert!(image.pixels.iter().filter(|p| p[3] > 0.5).count() > 100, "something is drawn");
    }
    assert_eq!(pictures(&corpus, &rollout.frames(1).host.into(), 30), shared);
    assert_ne!(pictures(&corpus, &rollout.frames(0), 13), shared);
    std::thread::scope(|scope| {
        // The same predictor, and so the same buffers to compute in.
        let next = scope.spawn(|| (20..40).for_each(|start| assert_eq!(roll(start).n_steps, STEPS)));
        while !next.is_finished() {
            assert_eq!(pictures(&corpus, &rollout.frames(1), 30), shared);
        }
    });
    assert_eq!(read(rollout.resident.as_ref().unwrap()), bits(&rollout.states));
}

#[test]
fn the_engine_computes_on_the_device_of_a_window() {
    let setup = shaders::setup();
    let opened = DevicePlan::of(DeviceChoice::Gpu).open_on(setup.clone()).unwrap();
    // With a real GPU beside it nobody computes in software.
    let is_shared = adapters()[0].contains("software");
    assert_eq!(opened.gpu.unwrap().device == setup.device, is_shared);
    let sum: f32 = burn::tensor::Tensor::<1>::from_floats([1.0, 2.0, 4.0], &opened.device).sum().into_scalar();
    assert_eq!(sum, 7.0);
    assert_eq!(opened.notice.is_some(), is_shared);
    for choice in [DeviceChoice::Cpu, DeviceChoice::Cuda] {
        assert!(!DevicePlan::of(choice).is_shareable());
    }
    assert!(DevicePlan::of(DeviceChoice::Cpu).open_on(setup.clone()).unwrap().gpu.is_none());
}

#[test]
fn a_lost_device_is_noticed_before_it_is_drawn_on() {
    let adapter = &shaders::setup().adapter;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    let pulse = Pulse::of(&device, &queue);
    assert!(pulse.is_there() && pulse.is_there());
    device.destroy();
    assert!(!pulse.is_there());
}
