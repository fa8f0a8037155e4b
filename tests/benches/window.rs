//! What the window costs: from a moved slider to new curves, and its own work in a frame, on the embedded demo and with 100,000 points.
//!
//! `./x bench window`. Without a display: nothing is presented, so these are the times of computing, laying out and tessellating alone.
#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use driftscope::window::command::{Command, Commands};
use driftscope::window::drawing::Drawings;
use driftscope::window::panels::{About, window_ui};
use driftscope::window::state::{Effect, State};
use driftscope::window::theme;
use driftscope::window::worker::{Rolled, Worker};
use driftscope_core::engine::{DeviceChoice, open_device};
use driftscope_core::job::JobCtx;
use eframe::egui;

/// Takes in what the worker makes until `done`.
fn serve(state: &mut State, worker: &mut Worker, done: impl Fn(&State) -> bool) {
    while !done(state) {
        let delivery = worker.wait(Duration::from_mins(1)).unwrap();
        for effect in state.receive(delivery) {
            if effect == Effect::Compute {
                worker.compute(state.wish());
            }
        }
    }
}

fn quantile(times: &mut [f64], q: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * q).round() as usize]
}

/// Milliseconds of the window's own work in each of `n` frames.
fn frames(state: &State, n: usize) -> Vec<f64> {
    let ctx = egui::Context::default();
    theme::install(&ctx);
    let (mut drawings, mut commands, mut layout) = (Drawings::default(), Commands::default(), state.layout.clone());
    let about = About { device: "CPU", ..About::default() };
    let screen = egui::Rect::from_min_size(egui::Pos2::ZERO, egui::vec2(1280.0, 800.0));
    let frame = |i: usize| {
        let pointer = egui::Event::PointerMoved(egui::pos2(300.0 + (i % 700) as f32, 500.0));
        let input = egui::RawInput { screen_rect: Some(screen), time: Some(i as f64 / 60.0), events: vec![pointer], ..Default::default() };
        let began = Instant::now();
        let mut output = ctx.run_ui(input, |ui| window_ui(ui, state, &about, &mut layout, &mut drawings, &mut commands));
        let meshes = ctx.tessellate(output.shapes, output.pixels_per_point);
        std::hint::black_box(meshes.len());
        output.textures_delta.clear();
        commands.take();
        began.elapsed().as_secs_f64() * 1e3
    };
    (0..n).map(frame).skip(10).collect()
}

fn main() {
    let ctx = JobCtx::quiet(open_device(DeviceChoice::Cpu).unwrap().device, 42);
    let mut worker = Worker::start(ctx, Box::new(|job| driftscope::demo::material(&job.device)), || {}).unwrap();
    let mut state = State::default();
    state.output.rate_hz = 48_000;
    let started = Instant::now();
    serve(&mut state, &mut worker, State::is_current);
    println!("start to first curves: {:.2} s", started.elapsed().as_secs_f64());

    serve(&mut state, &mut worker, |s| s.view.sources().into_iter().all(|x| s.sounds.contains_key(&x)));
    let mut times = Vec::new();
    for i in 0..40 {
        // As fast as a slider is pulled: the sound of the one before is still being made.
        std::thread::sleep(Duration::from_millis(60));
        state.apply(Command::SetAlpha(0.5 + 0.01 * (i as f32)));
        let began = Instant::now();
        worker.compute(state.wish());
        serve(&mut state, &mut worker, State::is_current);
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    println!("slider to curves: median {:.1} ms, 95 % {:.1} ms", quantile(&mut times, 0.5), quantile(&mut times, 0.95));

    std::thread::sleep(Duration::from_secs(3));
    let mut own = frames(&state, 300);
    println!("own work a frame: median {:.2} ms, 99 % {:.2} ms", quantile(&mut own, 0.5), quantile(&mut own, 0.99));

    let rolled = state.rolled.take().unwrap();
    let mut long = Arc::try_unwrap(rolled).unwrap_or_else(|shared| Rolled::clone(&shared));
    for curve in long.plots.iter_mut().flat_map(|plot| &mut plot.curves) {
        let n = 100_000 / 40;
        curve.values = (0..n).map(|i| curve.values[i % curve.values.len()]).collect();
        curve.bands = vec![None; n];
        curve.n = vec![1; n];
        curve.n_nonfinite = vec![0; n];
    }
    let points: usize = long.plots.iter().flat_map(|p| &p.curves).map(|c| c.values.len()).sum();
    state.rolled = Some(Arc::new(long));
    let mut own = frames(&state, 300);
    println!("own work a frame with {points} points: median {:.2} ms, 99 % {:.2} ms", quantile(&mut own, 0.5), quantile(&mut own, 0.99));
}
