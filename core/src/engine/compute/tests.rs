//! Each kernel, and the path of all of them, against the CPU twins.

use std::sync::OnceLock;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Beta, Distribution, StandardNormal};

use super::kernel::{Kernel, Kernels};
use super::product::Shape;
use super::*;

/// One device for all tests here: Vulkan loaders do not like instances that come and go on several threads.
fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
        let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
        // The same numbers everywhere: software before hardware.
        adapters.sort_by_key(|adapter| adapter.get_info().device_type != wgpu::DeviceType::Cpu);
        let adapter = adapters.first().expect("a graphics adapter is needed: on Debian, apt install mesa-vulkan-drivers");
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
        Gpu::new(device, queue)
    })
}

/// What `kernel` makes of `buffers`, uniforms first where it has any; all of them as they are afterwards.
fn computed(kernel: impl Fn(&Kernels) -> &Kernel, step: &Step, uniform: Option<&[u8]>, buffers: &[&[u8]], n: [usize; 3]) -> Vec<Vec<f32>> {
    let gpu = gpu();
    let steps = gpu.filled(bytemuck::bytes_of(step), wgpu::BufferUsages::UNIFORM);
    let uniform = uniform.map(|bytes| gpu.filled(bytes, wgpu::BufferUsages::UNIFORM));
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let n_bytes: Vec<usize> = buffers.iter().map(|bytes| bytes.len()).collect();
    let buffers: Vec<wgpu::Buffer> = buffers.iter().map(|bytes| gpu.filled(bytes, usage)).collect();
    let bound: Vec<&wgpu::Buffer> = uniform.iter().chain(&buffers).collect();
    let dispatch = kernel(gpu.kernels()).dispatch(gpu, &steps, &bound, n);
    let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    dispatch.encode(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()), 0);
    let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
    let read: Vec<wgpu::Buffer> = buffers.iter().map(|buffer| gpu.zeros(buffer.size() as usize / 4, usage)).collect();
    for (from, to) in buffers.iter().zip(&read) {
        encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
    }
    gpu.queue.submit([encoder.finish()]);
    read.iter().for_each(|buffer| buffer.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap()));
    gpu.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let values =
        |(buffer, n_bytes): (&wgpu::Buffer, usize)| bytemuck::pod_collect_to_vec(&buffer.get_mapped_range(..n_bytes as u64).unwrap());
    read.iter().zip(n_bytes).map(values).collect()
}

#[track_caller]
fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let is_same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
        assert!(is_same || (got - want).abs() <= tolerance * want.abs().max(1.0), "{what}[{i}]: {got} for {want}");
    }
}

fn uniform(rng: &mut StdRng, n: usize, reach: f32) -> Vec<f32> {
    (0..n).map(|_| rng.random_range(-reach..reach)).collect()
}

fn layer(rng: &mut StdRng, [n_in, n_out]: [usize; 2], activation: Activation, from: From, to: To) -> Layer {
    let reach = 1.0 / (n_in as f32).sqrt();
    Layer { n_in, weights: uniform(rng, n_in * n_out, reach), bias: uniform(rng, n_out, reach), activation, from, to }
}

fn mixture_head(rng: &mut StdRng, dim: usize, n_components: usize, log_sigma: Bound) -> Head {
    let delta_std: Vec<f32> = (0..dim).map(|_| rng.random_range(0.3..0.9)).collect();
    let log_delta_std = delta_std.iter().map(|s| s.ln()).collect();
    Head::Mixture(MixtureHead { n_components, log_sigma, delta_std, log_delta_std })
}

fn vmf_head(log_kappa: Bound) -> Head {
    Head::VonMisesFisher(VonMisesFisherHead {
        log_kappa,
        mu_logm: Bound::Soft(0.0, 8.0),
        log_sigma_logm: Bound::Hard(-5.0, 0.7),
        log_magnitude: (0.4, 0.3),
        table: (0..368).map(|i| [i as f32 * 0.1, 0.08, 0.03, -0.01]).collect(),
        table_low: -10.0,
        table_steps: 16.0,
        table_slope: 0.05,
    })
}

/// Two hidden layers, and outputs about where training starts.
fn network(rng: &mut StdRng, [dim, window, hidden]: [usize; 3], head: Head) -> Network {
    let mut outputs = layer(rng, [hidden, head.n_columns(dim)], Activation::Identity, From::Hidden, To::Heads(0));
    match &head {
        Head::Mixture(MixtureHead { n_components: n, .. }) => outputs.bias[n * dim..2 * n * dim].fill(-1.0),
        Head::VonMisesFisher(_) => outputs.bias[dim..].copy_from_slice(&[3.0, 0.0, -0.5]),
    }
    let layers = vec![
        layer(rng, [dim * window, hidden], Activation::Gelu, From::Window, To::Hidden),
        layer(rng, [hidden, hidden], Activation::Gelu, From::Hidden, To::Hidden),
        outputs,
    ];
    let frame_inverse_std = (0..dim).map(|_| rng.random_range(0.5..1.5)).collect();
    Network { dim, window, frame_mean: uniform(rng, dim, 0.5), frame_inverse_std, layers, head }
}

/// Random walks, and orders of every kind.
fn batch(rng: &mut StdRng, network: &Network, [n_segments, n_schedules, n_steps, horizon]: [usize; 4], rule: Rule) -> Batch {
    let (dim, length) = (network.dim, network.window + horizon + n_steps - 1);
    let mut truth: Vec<f32> = Vec::new();
    for i in 0..n_segments * length * dim {
        let normal: f32 = StandardNormal.sample(rng);
        truth.push(if i / dim % length == 0 { normal } else { 0.8 * truth[i - dim] + normal });
    }
    let order = |i: u32| Order {
        base: i % 7 % 3,
        noise: if i.is_multiple_of(3) { i % 4 * n_segments as u32 } else { Order::NONE },
        painted: if i % 5 == 1 { 0 } else { Order::NONE },
        nudge: if i % 4 == 3 { 2 } else { Order::NONE },
        draw: i * n_segments as u32,
    };
    let n_orders = n_schedules * n_steps;
    let beta = Beta::new((dim as f32 - 1.0) / 2.0, (dim as f32 - 1.0) / 2.0).unwrap();
    let mut draws: Vec<f32> = Vec::new();
    for _ in 0..if rule == Rule::Sample { n_orders * n_segments } else { 0 } {
        let n_normals = match network.head {
            Head::Mixture(_) => {
                draws.push(rng.random());
                dim
            }
            Head::VonMisesFisher(_) => {
                (0..PROPOSALS).for_each(|_| draws.extend([beta.sample(rng), rng.random::<f32>().ln()]));
                1 + dim
            }
        };
        draws.extend(StandardNormal.sample_iter(&mut *rng).take(n_normals).map(|z: f32| z));
    }
    let additions = uniform(rng, 4 * n_segments.max(3) * dim, 0.3);
    let orders = (0..n_orders as u32).map(order).collect();
    Batch {
        n_segments,
        n_schedules,
        n_steps,
        horizon,
        truth,
        orders,
        additions,
        draws,
        rule,
        alpha: 0.9,
        temperature: 0.7,
        is_drawn: false,
    }
}

fn one_row() -> Step {
    Step { step: 0, n_steps: 1, n_segments: 1, n_rows: 1, dim: 1, length: 1, first: 0, rule: 0, alpha: 1.0, temperature: 1.0 }
}

/// Step 2 of a batch.
fn second_step(network: &Network, batch: &Batch) -> Step {
    batch.step(network, 1)
}

#[test]
fn product_and_activate() {
    let mut rng = StdRng::seed_from_u64(1);
    // One row, some, more than `few` takes; columns that are no multiple of anything; inputs in several parts.
    for (n_rows, n_in, n_out) in [(1, 5, 1), (5, 700, 70), (19, 129, 130), (33, 40, 67), (150, 600, 9)] {
        for (from, to) in [(From::Window, To::Hidden), (From::Hidden, To::Heads(3))] {
            let layer = layer(&mut rng, [n_in, n_out], Activation::Gelu, from, to);
            let step = Step { step: 2, n_rows, dim: n_in as u32, length: 4, ..one_row() };
            let (hidden, columns) = (n_in.max(n_out), n_out + 4);
            let shape = Shape::of(&layer, &step, hidden, columns);
            let inputs = uniform(&mut rng, n_rows as usize * (4 * n_in).max(hidden), 2.0);
            let weights = product::padded(&layer.weights, n_out);
            let mut parts = vec![f32::NAN; shape.n_part_values()];
            let shape_bytes = bytemuck::bytes_of(&shape);
            let buffers = [&inputs, &weights, &parts].map(|values| bytemuck::cast_slice(values));
            let got = if shape.is_few() {
                computed(|kernels| &kernels.product_of_few, &step, Some(shape_bytes), &buffers, shape.workgroups())
            } else {
                computed(|kernels| &kernels.product_of_many, &step, Some(shape_bytes), &buffers, shape.workgroups())
            };
            product::product(&step, &shape, &inputs, &weights, &mut parts);
            assert_close(&format!("product of {n_rows} rows, {n_in} × {n_out}"), &got[2], &parts, 1e-5);

            let mut outputs = vec![7.0; n_rows as usize * hidden.max(columns)];
            let buffers = [&parts, &layer.bias, &outputs].map(|values| bytemuck::cast_slice(values));
            let workgroups = [n_out.div_ceil(256), n_rows as usize, 1];
            let got = computed(|kernels| &kernels.activate, &step, Some(shape_bytes), &buffers, workgroups);
            activate::activate(&shape, &parts, &layer.bias, &mut outputs);
            assert_close(&format!("activate {n_rows} rows of {n_out}"), &got[2], &outputs, 2e-6);
        }
    }
}

#[test]
fn gelu_is_the_exact_one_over_its_whole_range() {
    let sums: Vec<f32> = (-1500..=1500).map(|i| i as f32 * 0.01).chain([-1e30, 1e30, f32::NAN, f32::INFINITY]).collect();
    let n = sums.len();
    let layer =
        Layer { n_in: 1, weights: vec![0.0; n], bias: vec![0.0; n], activation: Activation::Gelu, from: From::Window, to: To::Hidden };
    let step = one_row();
    let shape = Shape::of(&layer, &step, n, n);
    let (parts, outputs) = (product::padded(&sums, n), vec![0.0; n]);
    let buffers = [&parts, &layer.bias, &outputs].map(|values| bytemuck::cast_slice(values));
    let got = computed(|kernels| &kernels.activate, &step, Some(bytemuck::bytes_of(&shape)), &buffers, [n.div_ceil(256), 1, 1]);
    let want: Vec<f32> = sums.iter().map(|&x| driftscope_numerics::gelu::gelu(x)).collect();
    assert_close("gelu", &got[2], &want, 1e-6);
}

#[test]
fn heads() {
    let mut rng = StdRng::seed_from_u64(2);
    for (dim, head) in [
        (19, mixture_head(&mut StdRng::seed_from_u64(1), 19, 3, Bound::Soft(-2.5, 4.5))),
        (300, mixture_head(&mut StdRng::seed_from_u64(1), 300, 11, Bound::Hard(-1.0, 0.5))),
        (3, mixture_head(&mut StdRng::seed_from_u64(1), 3, MOST_COMPONENTS, Bound::Hard(-1.0, 0.5))),
        (3, vmf_head(Bound::Hard(-2.0, 12.0))),
        (300, vmf_head(Bound::Soft(5.0, 7.0))),
    ] {
        for rule in [Rule::Mean, Rule::Median, Rule::Mode, Rule::Sample] {
            let network = network(&mut rng, [dim, 2, 1], head.clone());
            let batch = batch(&mut rng, &network, [3, 2, 3, 2], rule);
            let (step, n_rows) = (second_step(&network, &batch), batch.n_rows());
            let mut outputs = uniform(&mut rng, n_rows * head.n_columns(dim), 2.0);
            // What is no number stays in its row.
            outputs[0] = f32::NAN;
            let mut readings = vec![0.0; n_rows * (2 * dim + 2)];
            let bytes = |values: &Vec<f32>| -> Vec<u8> { bytemuck::cast_slice(values).to_vec() };
            let orders: Vec<u8> = bytemuck::cast_slice(&batch.orders).to_vec();
            let (uniforms, unit) = match &head {
                Head::Mixture(head) => {
                    mixture::mixture(&step, head, &outputs, &batch.truth, &batch.orders, &batch.draws, &mut readings);
                    let units = [head.delta_std.as_slice(), &head.log_delta_std].concat();
                    (bytemuck::bytes_of(&mixture::Uniforms::of(head)).to_vec(), units)
                }
                Head::VonMisesFisher(head) => {
                    von_mises_fisher::von_mises_fisher(&step, head, &outputs, &batch.truth, &batch.orders, &batch.draws, &mut readings);
                    (bytemuck::bytes_of(&von_mises_fisher::Uniforms::of(head)).to_vec(), head.table.as_flattened().to_vec())
                }
            };
            let empty = vec![0.0; readings.len()];
            let buffers = [bytes(&outputs), bytes(&unit), bytes(&batch.truth), orders, bytes(&batch.draws), bytes(&empty)];
            let buffers: Vec<&[u8]> = buffers.iter().map(Vec::as_slice).collect();
            let got = match &head {
                Head::Mixture(_) => computed(|kernels| &kernels.mixture, &step, Some(&uniforms), &buffers, [n_rows, 1, 1]),
                Head::VonMisesFisher(_) => computed(|kernels| &kernels.von_mises_fisher, &step, Some(&uniforms), &buffers, [n_rows, 1, 1]),
            };
            assert!(readings[2 * dim].is_nan() && readings[2 * dim + 2..].iter().all(|x| x.is_finite()));
            assert_close(&format!("D = {dim}, {rule:?}"), &got[5], &readings, 2e-5);
        }
    }
}

#[test]
fn start_and_advance() {
    let mut rng = StdRng::seed_from_u64(3);
    for dim in [5, 300] {
        let head = vmf_head(Bound::Hard(-2.0, 12.0));
        let network = network(&mut rng, [dim, 3, 1], head);
        let batch = batch(&mut rng, &network, [3, 4, 6, 2], Rule::Mean);
        let (step, n_rows) = (second_step(&network, &batch), batch.n_rows());
        let scaling = [network.frame_mean.as_slice(), &network.frame_inverse_std].concat();
        let n_frames = n_rows * step.length as usize * dim;
        let (mut states, mut inputs) = (vec![0.0; n_frames], vec![0.0; n_frames]);
        let buffers = [&batch.truth, &scaling, &states, &inputs].map(|values| bytemuck::cast_slice(values));
        let got = computed(|kernels| &kernels.start, &step, None, &buffers, [((step.first as usize + 1) * dim).div_ceil(256), n_rows, 1]);
        start::start(&step, &batch.truth, &scaling, &mut states, &mut inputs);
        assert_close("states at the start", &got[2], &states, 0.0);
        assert_close("inputs at the start", &got[3], &inputs, 1e-6);

        states = uniform(&mut rng, n_frames, 2.0);
        states[dim * (step.first as usize + 1)] = f32::NAN;
        let readings = uniform(&mut rng, n_rows * (2 * dim + 2), 1.0);
        let mut columns = vec![0.0; n_rows * batch.n_steps * COLUMNS];
        let orders = bytemuck::cast_slice(&batch.orders);
        let [truth, scaled, read] = [&batch.truth, &scaling, &readings].map(|values| bytemuck::cast_slice(values));
        let [additions, before, fed, empty] = [&batch.additions, &states, &inputs, &columns].map(|values| bytemuck::cast_slice(values));
        let buffers = [truth, scaled, read, orders, additions, before, fed, empty];
        let got = computed(|kernels| &kernels.advance, &step, None, &buffers, [n_rows, 1, 1]);
        let Batch { truth, orders, additions, .. } = &batch;
        let given = advance::Given { truth, scaling: &scaling, readings: &readings, orders, additions };
        advance::advance(&step, &given, &mut states, &mut inputs, &mut columns);
        for (what, got, want) in [("states", &got[5], &states), ("inputs", &got[6], &inputs), ("columns", &got[7], &columns)] {
            assert_close(what, got, want, 2e-6);
        }
    }
}

#[test]
fn the_path_is_its_twins_and_the_same_bytes_again() {
    let mut rng = StdRng::seed_from_u64(4);
    for (sizes, n_components) in [([19, 2, 33], 3), ([64, 4, 130], 8)] {
        let dim = sizes[0];
        for head in [mixture_head(&mut rng, dim, n_components, Bound::Soft(-2.5, 4.5)), vmf_head(Bound::Soft(5.0, 7.0))] {
            let network = network(&mut rng, sizes, head);
            let path = LivePath::new(gpu(), network.clone()).unwrap();
            for (rule, form) in [(Rule::Median, [1, 5, 16, 1]), (Rule::Sample, [3, 2, 16, 3]), (Rule::Mode, [20, 2, 4, 2])] {
                let batch = batch(&mut rng, &network, form, rule);
                assert!(path.fits(batch.n_rows(), batch.n_steps, batch.horizon));
                let (got, want) = (path.run(&batch).unwrap(), twin::run(&network, &batch));
                assert_close("columns", &got.columns, &want.columns, 1e-4);
                assert_close("states", &got.states, &want.states, 1e-4);
                assert_eq!(path.run(&batch).unwrap(), got);
            }
        }
    }
}

#[test]
fn a_long_rollout_in_several_submissions_is_the_same() {
    let mut rng = StdRng::seed_from_u64(7);
    let network = network(&mut rng, [19, 2, 33], vmf_head(Bound::Soft(5.0, 7.0)));
    let mut path = LivePath::new(gpu(), network.clone()).unwrap();
    let batch = batch(&mut rng, &network, [3, 2, 16, 1], Rule::Median);
    let whole = path.run(&batch).unwrap();
    for steps_together in [1, 5, 15] {
        path.most_products = steps_together * network.n_products() * batch.n_rows();
        assert_eq!(path.run(&batch).unwrap(), whole, "{steps_together} steps a submission");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut rng = StdRng::seed_from_u64(5);
    let many = mixture_head(&mut rng, 2, MOST_COMPONENTS + 1, Bound::Hard(-1.0, 1.0));
    assert!(LivePath::new(gpu(), network(&mut rng, [2, 1, 4], many)).is_none());
    let head = vmf_head(Bound::Hard(-2.0, 12.0));
    let path = LivePath::new(gpu(), network(&mut rng, [64, 1, 4], head)).unwrap();
    assert!(path.fits(1000, 16, 1) && !path.fits(70_000, 16, 1) && !path.fits(60_000, 1000, 1));
}

#[test]
fn a_lost_device_is_one_sentence() {
    let mut rng = StdRng::seed_from_u64(6);
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12));
    let (device, queue) = pollster::block_on(adapters[0].request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    let network = network(&mut rng, [4, 1, 4], vmf_head(Bound::Hard(-2.0, 12.0)));
    let gpu = Gpu::new(device.clone(), queue);
    let path = LivePath::new(&gpu, network.clone()).unwrap();
    let batch = batch(&mut rng, &network, [1, 1, 4, 1], Rule::Mean);
    assert!(path.run(&batch).is_ok());
    device.destroy();
    // With buffers that are there, with new ones, and for another network.
    for _ in 0..2 {
        let error = path.run(&batch).unwrap_err().to_string();
        assert!(error.starts_with("the graphics device gave up") && !error.contains('\n'), "{error}");
    }
    assert!(LivePath::new(&gpu, network).is_none());
}

#[test]
fn a_driver_that_does_not_answer_in_time_counts_as_lost() {
    let mut rng = StdRng::seed_from_u64(8);
    let network = network(&mut rng, [64, 4, 130], vmf_head(Bound::Soft(5.0, 7.0)));
    let mut path = LivePath::new(gpu(), network.clone()).unwrap();
    let batch = batch(&mut rng, &network, [20, 2, 16, 1], Rule::Median);
    path.patience = std::time::Duration::from_nanos(1);
    assert!(matches!(path.run(&batch), Err(GpuError::Lost(_))));
    path.patience = std::time::Duration::from_mins(1);
    assert!(path.run(&batch).is_ok(), "what it was doing then is not waited for by the next one");
}
