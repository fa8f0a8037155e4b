//! Whole rollouts on every adapter there is, a microsecond count for each step, against reading the weights once a step and nothing
//! else, at the bandwidth that a copy on the same device reaches.
//!
//! `cargo bench --profile dev --bench live_rollout`. The network is the peer's at its full size (D 512, W 8, hidden 1024, 8 components).
#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::error::Error;
use std::time::Instant;

use driftscope_core::engine::compute::{Activation, Batch, Bound, From, Gpu, Head, Layer, LivePath, MixtureHead, Network, Order, Rule, To};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const DIM: usize = 512;
const WINDOW: usize = 8;
const HIDDEN: usize = 1024;
const COMPONENTS: usize = 8;
const STEPS: usize = 16;
/// A few starts and modes as in the window, and the batches of an injection; software does the first ones only.
const ROWS: [usize; 5] = [1, 5, 16, 64, 512];
const REPEATS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let network = network(&mut StdRng::seed_from_u64(1));
    let megabytes = network.n_products() as f64 * 4e-6;
    println!(
        "D {DIM}, W {WINDOW}, hidden {HIDDEN}, {COMPONENTS} components: {megabytes:.1} MB of weights; {STEPS} steps in one submission"
    );
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12));
    if adapters.is_empty() {
        println!("no graphics adapter was found");
    }
    for adapter in adapters {
        let descriptor = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
        let gigabytes = copy_gigabytes_per_second(&device, &queue, (megabytes * 1e6) as u64)?;
        let floor = megabytes / gigabytes * 1e3;
        let info = adapter.get_info();
        println!("{} ({:?}, {}): copies at {gigabytes:.1} GB/s, weights read in {floor:.0} µs", info.name, info.backend, info.driver_info);
        let path = LivePath::new(&Gpu::new(device, queue), network.clone()).ok_or("the device has no room for this network")?;
        for n_rows in ROWS {
            let is_software = info.device_type == wgpu::DeviceType::Cpu;
            if is_software && n_rows > 5 {
                continue;
            }
            let batch = batch(n_rows);
            path.run(&batch)?;
            let mut least = f64::INFINITY;
            for _ in 0..if is_software { 1 } else { REPEATS } {
                let begin = Instant::now();
                path.run(&batch)?;
                least = least.min(begin.elapsed().as_secs_f64() * 1e6 / STEPS as f64);
            }
            println!("  {n_rows:3} rows: {least:8.0} µs a step, {:.2} times reading the weights", least / floor);
        }
    }
    Ok(())
}

/// Bytes read and written in a second by copies of `bytes`.
fn copy_gigabytes_per_second(device: &wgpu::Device, queue: &wgpu::Queue, bytes: u64) -> Result<f64, Box<dyn Error>> {
    let size = bytes.next_multiple_of(4);
    let buffer = || {
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let (from, to) = (buffer(), buffer());
    let mut least = f64::INFINITY;
    for _ in 0..REPEATS {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        (0..STEPS).for_each(|_| encoder.copy_buffer_to_buffer(&from, 0, &to, 0, size));
        let commands = encoder.finish();
        let begin = Instant::now();
        queue.submit([commands]);
        device.poll(wgpu::PollType::wait_indefinitely())?;
        least = least.min(begin.elapsed().as_secs_f64());
    }
    Ok(2.0 * size as f64 * STEPS as f64 / least * 1e-9)
}

/// With PyTorch's default initialization.
fn network(rng: &mut StdRng) -> Network {
    let mut layer = |n_in: usize, n_out: usize, activation, from, to| {
        let reach = 1.0 / (n_in as f32).sqrt();
        let mut uniform = |n: usize| (0..n).map(|_| rng.random_range(-reach..reach)).collect::<Vec<f32>>();
        Layer { n_in, weights: uniform(n_in * n_out), bias: uniform(n_out), activation, from, to }
    };
    Network {
        dim: DIM,
        window: WINDOW,
        frame_mean: vec![0.0; DIM],
        frame_inverse_std: vec![1.0; DIM],
        layers: vec![
            layer(WINDOW * DIM, HIDDEN, Activation::Gelu, From::Window, To::Hidden),
            layer(HIDDEN, HIDDEN, Activation::Gelu, From::Hidden, To::Hidden),
            layer(HIDDEN, COMPONENTS * (2 * DIM + 1), Activation::Identity, From::Hidden, To::Heads(0)),
        ],
        head: Head::Mixture(MixtureHead {
            n_components: COMPONENTS,
            log_sigma: Bound::Hard(-7.0, 2.0),
            delta_std: vec![1.0; DIM],
            log_delta_std: vec![0.0; DIM],
        }),
    }
}

/// One start in `n_rows` free rollouts.
fn batch(n_rows: usize) -> Batch {
    let length = WINDOW + STEPS;
    let order = Order { base: Order::OWN, noise: Order::NONE, painted: Order::NONE, nudge: Order::NONE, draw: 0 };
    Batch {
        n_segments: 1,
        n_schedules: n_rows,
        n_steps: STEPS,
        horizon: 1,
        truth: (0..length * DIM).map(|i| (i as f32 * 0.37).sin()).collect(),
        orders: vec![order; n_rows * STEPS],
        additions: Vec::new(),
        draws: Vec::new(),
        rule: Rule::Median,
        alpha: 1.0,
        temperature: 1.0,
        is_drawn: false,
    }
}
