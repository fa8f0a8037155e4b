//! A network on a device: weights that stay, buffers that are used again, and one submission for a whole rollout.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use wgpu::BufferUsages;

use super::kernel::{Dispatch, Gpu, GpuError, STEP_BYTES};
use super::network::{Batch, From, Head, Network, Outcome, To};
use super::product::{Shape, padded};
use super::{COLUMNS, MOST_COMPONENTS, Step, mixture, von_mises_fisher};
use crate::engine::{Resident, resident};

/// Multiplications in one submission: a fraction of a second on a small GPU, whose driver gives up on longer ones.
const MOST_PRODUCTS: usize = 1 << 39;
/// The slowest adapter takes a few seconds for the largest batch.
const PATIENCE: Duration = Duration::from_mins(1);
/// Workgroups along one side of a dispatch.
const MOST_WORKGROUPS: usize = 65_535;

/// A network whose weights are on a device.
#[derive(Debug)]
pub struct LivePath {
    gpu: Gpu,
    network: Network,
    /// Weights and bias of each layer.
    layers: Vec<[wgpu::Buffer; 2]>,
    /// The head's uniforms, and its unit or table.
    head: [wgpu::Buffer; 2],
    scaling: wgpu::Buffer,
    /// Multiplications in one submission.
    pub(super) most_products: usize,
    /// How long a rollout may take before the driver counts as hanging.
    pub(super) patience: Duration,
    /// Of the last batch, for the next one of its form.
    idle: Mutex<Option<Workspace>>,
}

impl LivePath {
    /// Uploads `network`; `None` where the device has no room for it.
    pub fn new(gpu: &Gpu, network: Network) -> Option<Self> {
        let layer_values = network.layers.iter().map(|layer| layer.n_in * layer.bias.len().next_multiple_of(4)).max()?;
        let components = if let Head::Mixture(head) = &network.head { head.n_components } else { 1 };
        if !gpu.holds(layer_values) || components > MOST_COMPONENTS {
            return None;
        }
        let uploaded = gpu.guarded(|| {
            let read = |values: &[f32]| gpu.filled(bytemuck::cast_slice(values), BufferUsages::STORAGE);
            let uniform = |bytes: &[u8]| gpu.filled(bytes, BufferUsages::UNIFORM);
            let layers = network.layers.iter().map(|layer| [read(&padded(&layer.weights, layer.bias.len())), read(&layer.bias)]);
            let head = match &network.head {
                Head::Mixture(head) => {
                    let units = [head.delta_std.as_slice(), &head.log_delta_std].concat();
                    [uniform(bytemuck::bytes_of(&mixture::Uniforms::of(head))), read(&units)]
                }
                Head::VonMisesFisher(head) => {
                    [uniform(bytemuck::bytes_of(&von_mises_fisher::Uniforms::of(head))), read(head.table.as_flattened())]
                }
            };
            (layers.collect(), head, read(&[network.frame_mean.as_slice(), &network.frame_inverse_std].concat()))
        });
        let (layers, head, scaling) = uploaded.ok()?;
        Some(Self {
            gpu: gpu.clone(),
            network,
            layers,
            head,
            scaling,
            most_products: MOST_PRODUCTS,
            patience: PATIENCE,
            idle: Mutex::default(),
        })
    }

    /// What is computed.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Whether the device has room for that many rows.
    pub fn fits(&self, n_rows: usize, n_steps: usize, horizon: usize) -> bool {
        let dim = self.network.dim;
        let sizes = Step { n_rows: n_rows as u32, ..self.network.step(1, 1, n_steps, horizon) };
        // Noise, painted steps and draws are no more than these.
        let frames = n_rows * 3 * sizes.length as usize * dim;
        let draws = n_rows * n_steps * self.network.head.draw_width(dim);
        let parts = self.shapes(&sizes).iter().map(Shape::n_part_values).max().unwrap_or(0);
        let outputs = n_rows * self.network.head.n_columns(dim).max(self.network.hidden_width());
        n_rows <= MOST_WORKGROUPS && self.gpu.holds(frames.max(draws).max(parts).max(outputs))
    }

    /// Whether the weights are on the device of `gpu`.
    pub fn is_on(&self, gpu: &Gpu) -> bool {
        self.gpu.device == gpu.device
    }

    /// Runs every row of `batch` through all steps and waits for the results.
    pub fn run(&self, batch: &Batch) -> Result<Outcome, GpuError> {
        let wanted = Form::of(batch);
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.take()).filter(|idle| idle.form == wanted);
        let workspace = idle.map_or_else(|| Workspace::new(self, batch), Ok)?;
        let resident = self.gpu.guarded(|| {
            let states = batch.is_drawn.then(|| self.gpu.zeros(batch.n_state_values(self.network.dim), resident::USAGE));
            workspace.fill(self, batch);
            self.submit(&workspace, batch, states.as_ref());
            states.map(|buffer| Resident::new(&self.gpu.device, buffer, batch.n_state_values(self.network.dim)))
        })?;
        let outcome = Outcome { resident, ..workspace.read(self, batch)? };
        if let Ok(mut idle) = self.idle.lock() {
            *idle = Some(workspace);
        }
        Ok(outcome)
    }

    /// Everything in one submission, unless it would keep the device from all else for too long. States are also copied to `drawn`: the
    /// workspace's own are written to by the next batch.
    fn submit(&self, workspace: &Workspace, batch: &Batch, drawn: Option<&wgpu::Buffer>) {
        let together = (self.most_products / (self.network.n_products() * batch.n_rows()).max(1)).max(1);
        let n_steps = batch.n_steps;
        for first in (0..n_steps).step_by(together) {
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("rollout") });
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                if first == 0 {
                    workspace.start.encode(&mut pass, 0);
                }
                for step in first..n_steps.min(first + together) {
                    workspace.steps.iter().for_each(|dispatch| dispatch.encode(&mut pass, step));
                }
            }
            if first + together >= n_steps {
                workspace.collect(&mut encoder, &self.network, batch, drawn);
            }
            self.gpu.queue.submit([encoder.finish()]);
        }
    }
}

/// What a workspace depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    n_segments: usize,
    n_schedules: usize,
    n_steps: usize,
    horizon: usize,
    n_additions: usize,
    n_draws: usize,
}

impl Form {
    fn of(batch: &Batch) -> Self {
        let Batch { n_segments, n_schedules, n_steps, horizon, .. } = *batch;
        Self { n_segments, n_schedules, n_steps, horizon, n_additions: batch.additions.len(), n_draws: batch.draws.len() }
    }
}

/// Buffers for batches of one form, and the dispatches that use them.
#[derive(Debug)]
struct Workspace {
    form: Form,
    uniforms: wgpu::Buffer,
    truth: wgpu::Buffer,
    orders: wgpu::Buffer,
    additions: wgpu::Buffer,
    draws: wgpu::Buffer,
    states: wgpu::Buffer,
    columns: wgpu::Buffer,
    /// What is read back: columns, then states.
    results: wgpu::Buffer,
    start: Dispatch,
    /// Of every step.
    steps: Vec<Dispatch>,
}

impl Workspace {
    fn new(path: &LivePath, batch: &Batch) -> Result<Self, GpuError> {
        let LivePath { gpu, network, .. } = path;
        let (sizes, dim, n_rows) = (batch.step(network, 0), network.dim, batch.n_rows());
        let shapes: Vec<Shape> = path.shapes(&sizes);
        let n_parts = shapes.iter().map(Shape::n_part_values).max().unwrap_or(0);
        let n_columns = network.head.n_columns(dim);
        let n_frames = n_rows * sizes.length as usize * dim;
        gpu.guarded(|| {
            let written = |n: usize| gpu.zeros(n, BufferUsages::STORAGE | BufferUsages::COPY_DST);
            let computed = |n: usize| gpu.zeros(n, BufferUsages::STORAGE | BufferUsages::COPY_SRC);
            let uniforms = gpu.zeros(batch.n_steps * STEP_BYTES / 4, BufferUsages::UNIFORM | BufferUsages::COPY_DST);
            let truth = written(batch.truth.len());
            let orders = written(bytemuck::cast_slice::<_, u32>(&batch.orders).len());
            let (additions, draws) = (written(batch.additions.len()), written(batch.draws.len()));
            let (states, inputs) = (computed(n_frames), computed(n_frames));
            let hidden = [0, 1].map(|_| computed(n_rows * network.hidden_width()));
            let (heads, parts) = (computed(n_rows * n_columns), computed(n_parts));
            let readings = computed(n_rows * (2 * dim + 2));
            let columns = computed(n_rows * batch.n_steps * COLUMNS);
            let n_results = n_rows * batch.n_steps * (COLUMNS + dim);
            let results = gpu.zeros(n_results, BufferUsages::COPY_DST | BufferUsages::MAP_READ);

            let kernels = gpu.kernels();
            let first_values = (sizes.first as usize + 1) * dim;
            let buffers = [&truth, &path.scaling, &states, &inputs];
            let start = kernels.start.dispatch(gpu, &uniforms, &buffers, [first_values.div_ceil(256), n_rows, 1]);
            let mut steps = Vec::new();
            let [mut newest, mut oldest] = hidden.each_ref();
            for ((layer, [weights, bias]), shape) in network.layers.iter().zip(&path.layers).zip(&shapes) {
                let uniform = gpu.filled(bytemuck::bytes_of(shape), BufferUsages::UNIFORM);
                let from = if layer.from == From::Window { &inputs } else { newest };
                let product = if shape.is_few() { &kernels.product_of_few } else { &kernels.product_of_many };
                steps.push(product.dispatch(gpu, &uniforms, &[&uniform, from, weights, &parts], shape.workgroups()));
                let is_hidden = layer.to == To::Hidden;
                let buffers = [&uniform, &parts, bias, if is_hidden { oldest } else { &heads }];
                steps.push(kernels.activate.dispatch(gpu, &uniforms, &buffers, [layer.bias.len().div_ceil(256), n_rows, 1]));
                if is_hidden {
                    std::mem::swap(&mut newest, &mut oldest);
                }
            }
            let head = match &network.head {
                Head::Mixture(_) => &kernels.mixture,
                Head::VonMisesFisher(_) => &kernels.von_mises_fisher,
            };
            let buffers = [&path.head[0], &heads, &path.head[1], &truth, &orders, &draws, &readings];
            steps.push(head.dispatch(gpu, &uniforms, &buffers, [n_rows, 1, 1]));
            let buffers = [&truth, &path.scaling, &readings, &orders, &additions, &states, &inputs, &columns];
            steps.push(kernels.advance.dispatch(gpu, &uniforms, &buffers, [n_rows, 1, 1]));
            Self { form: Form::of(batch), uniforms, truth, orders, additions, draws, states, columns, results, start, steps }
        })
    }

    /// Uploads what is known before the first step.
    fn fill(&self, path: &LivePath, batch: &Batch) {
        let mut uniforms = vec![0_u8; batch.n_steps * STEP_BYTES];
        for (step, bytes) in uniforms.chunks_exact_mut(STEP_BYTES).enumerate() {
            bytes[..size_of::<Step>()].copy_from_slice(bytemuck::bytes_of(&batch.step(&path.network, step)));
        }
        for (buffer, bytes) in [
            (&self.uniforms, uniforms.as_slice()),
            (&self.truth, bytemuck::cast_slice(&batch.truth)),
            (&self.orders, bytemuck::cast_slice(&batch.orders)),
            (&self.additions, bytemuck::cast_slice(&batch.additions)),
            (&self.draws, bytemuck::cast_slice(&batch.draws)),
        ] {
            path.gpu.queue.write_buffer(buffer, 0, bytes);
        }
    }

    /// Copies columns and the states after each step to where they can be read, and drawn.
    fn collect(&self, encoder: &mut wgpu::CommandEncoder, network: &Network, batch: &Batch, drawn: Option<&wgpu::Buffer>) {
        let row_bytes = (4 * batch.n_steps * network.dim) as u64;
        let columns_bytes = (4 * batch.n_rows() * batch.n_steps * COLUMNS) as u64;
        encoder.copy_buffer_to_buffer(&self.columns, 0, &self.results, 0, columns_bytes);
        let frames_bytes = 4 * u64::from(batch.step(network, 0).length) * network.dim as u64;
        for row in 0..batch.n_rows() as u64 {
            // A trajectory ends with them.
            let from = (row + 1) * frames_bytes - row_bytes;
            encoder.copy_buffer_to_buffer(&self.states, from, &self.results, columns_bytes + row * row_bytes, row_bytes);
            if let Some(drawn) = drawn {
                encoder.copy_buffer_to_buffer(&self.states, from, drawn, row * row_bytes, row_bytes);
            }
        }
    }

    /// Waits for the device.
    fn read(&self, path: &LivePath, batch: &Batch) -> Result<Outcome, GpuError> {
        let (told, mapped) = mpsc::channel();
        self.results.map_async(wgpu::MapMode::Read, .., move |result| {
            // Nobody waits any more only if polling has failed, which is what is reported then.
            let _ = told.send(result);
        });
        let patience = wgpu::PollType::Wait { submission_index: None, timeout: Some(path.patience) };
        path.gpu.device.poll(patience).map_err(GpuError::lost)?;
        mapped.recv().map_err(GpuError::lost)?.map_err(GpuError::lost)?;
        let n_columns = batch.n_rows() * batch.n_steps * COLUMNS;
        let outcome = {
            let bytes = self.results.get_mapped_range(..).map_err(GpuError::lost)?;
            let (columns, states) = bytes.split_at(4 * n_columns);
            let states = &states[..4 * batch.n_state_values(path.network.dim)];
            Outcome { columns: bytemuck::pod_collect_to_vec(columns), states: bytemuck::pod_collect_to_vec(states), resident: None }
        };
        self.results.unmap();
        Ok(outcome)
    }
}

impl LivePath {
    fn shapes(&self, sizes: &Step) -> Vec<Shape> {
        let (hidden, columns) = (self.network.hidden_width(), self.network.head.n_columns(self.network.dim));
        self.network.layers.iter().map(|layer| Shape::of(layer, sizes, hidden, columns)).collect()
    }
}
