//! What the path is given and what it gives, in plain arrays.

use crate::engine::Resident;

/// A network and the head that reads its outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Dimensions of a frame.
    pub dim: usize,
    /// Frames of a window.
    pub window: usize,
    /// Mean of frames, `[dim]`, and 1/σ, `[dim]`: inputs are `(x − mean) · inverse_std`.
    pub frame_mean: Vec<f32>,
    /// See `frame_mean`.
    pub frame_inverse_std: Vec<f32>,
    /// In the order in which they are computed.
    pub layers: Vec<Layer>,
    /// What the outputs mean.
    pub head: Head,
}

impl Network {
    /// What a step costs depends on: dimensions, window, and inputs and outputs of each layer.
    pub fn shape(&self) -> String {
        let layers: Vec<String> = self.layers.iter().map(|layer| format!("{}-{}", layer.n_in, layer.bias.len())).collect();
        format!("{}x{} {}", self.dim, self.window, layers.join(" "))
    }

    /// The sizes of a batch.
    pub(super) fn step(&self, n_segments: usize, n_schedules: usize, n_steps: usize, horizon: usize) -> super::Step {
        let first = self.window + horizon - 2;
        super::Step {
            step: 0,
            n_steps: n_steps as u32,
            n_segments: n_segments as u32,
            n_rows: (n_segments * n_schedules) as u32,
            dim: self.dim as u32,
            length: (first + 1 + n_steps) as u32,
            first: first as u32,
            rule: Rule::Mean as u32,
            alpha: 1.0,
            temperature: 1.0,
        }
    }

    /// Columns of the widest layer that later ones read.
    pub(super) fn hidden_width(&self) -> usize {
        self.layers.iter().filter(|layer| layer.to == To::Hidden).map(|layer| layer.bias.len()).max().unwrap_or(0)
    }

    /// Multiplications for one row and step.
    pub fn n_products(&self) -> usize {
        self.layers.iter().map(|layer| layer.n_in * layer.bias.len()).sum()
    }
}

/// `activation(inputs · weights + bias)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Inputs of a row.
    pub n_in: usize,
    /// `[n_in, n_out]`, row-major.
    pub weights: Vec<f32>,
    /// `[n_out]`
    pub bias: Vec<f32>,
    /// What is done with the product.
    pub activation: Activation,
    /// What it reads.
    pub from: From,
    /// What it writes.
    pub to: To,
}

impl Layer {
    /// Layers that read the same, given by weights and bias, side by side as one without activation.
    ///
    /// # Panics
    /// If a layer's weights are not `n_in` rows.
    pub fn side_by_side(n_in: usize, layers: &[(Vec<f32>, Vec<f32>)], from: From, to: To) -> Self {
        let bias = layers.iter().flat_map(|(_, bias)| bias.iter().copied()).collect();
        let rows = |input: usize| layers.iter().flat_map(move |(weights, bias)| &weights[input * bias.len()..(input + 1) * bias.len()]);
        Self { n_in, weights: (0..n_in).flat_map(rows).copied().collect(), bias, activation: Activation::Identity, from, to }
    }
}

/// What is done with a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// Exact GELU.
    Gelu,
}

/// What a layer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The window, `[window × dim]`.
    Window,
    /// What the last layer that wrote [`To::Hidden`] gave.
    Hidden,
}

/// What a layer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Inputs of later layers.
    Hidden,
    /// The head's outputs from this column on.
    Heads(usize),
}

/// What a network's outputs mean. Outputs that no layer writes are 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Head {
    /// A mixture of diagonal Gaussians.
    Mixture(MixtureHead),
    /// Direction ~ vMF, magnitude ~ LogNormal.
    VonMisesFisher(VonMisesFisherHead),
}

/// Columns: means `[n_components, dim]`, ln σ `[n_components, dim]`, logits `[n_components]`.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureHead {
    /// At most [`MOST_COMPONENTS`](super::MOST_COMPONENTS).
    pub n_components: usize,
    /// Of ln σ.
    pub log_sigma: Bound,
    /// Unit of the outputs, `[dim]`.
    pub delta_std: Vec<f32>,
    /// Its logarithm, `[dim]`.
    pub log_delta_std: Vec<f32>,
}

/// Columns: direction `[dim]`, ln κ, μ and ln σ of ln‖Δ‖.
#[derive(Clone, Debug, PartialEq)]
pub struct VonMisesFisherHead {
    /// Of ln κ.
    pub log_kappa: Bound,
    /// Of μ.
    pub mu_logm: Bound,
    /// Of ln σ.
    pub log_sigma_logm: Bound,
    /// Mean and standard deviation of ln‖Δ‖: the unit of the outputs.
    pub log_magnitude: (f32, f32),
    /// ln C_D(κ) + κ over ln κ: cubic coefficients of each cell, constant term first.
    pub table: Vec<[f32; 4]>,
    /// ln κ where the table begins.
    pub table_low: f32,
    /// Its cells in a unit of ln κ.
    pub table_steps: f32,
    /// Slope beyond its end, for each cell.
    pub table_slope: f32,
}

/// An interval that an output is kept in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Low and high.
    Hard(f32, f32),
    /// `mid + half·u/√(1+u²)`, u = (x − mid)/half: middle and half the width.
    Soft(f32, f32),
}

impl Bound {
    /// The bounded value.
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Hard(low, high) => {
                let above = if x < low { low } else { x };
                if above > high { high } else { above }
            }
            Self::Soft(mid, half) => {
                let u = (x - mid) / half;
                u / (u * u + 1.0).sqrt() * half + mid
            }
        }
    }

    /// As the shaders have it.
    pub(super) fn parts(self) -> (u32, [f32; 2]) {
        match self {
            Self::Hard(low, high) => (0, [low, high]),
            Self::Soft(mid, half) => (1, [mid, half]),
        }
    }
}

impl Head {
    /// Columns of the outputs.
    pub fn n_columns(&self, dim: usize) -> usize {
        match self {
            Self::Mixture(MixtureHead { n_components, .. }) => n_components * (2 * dim + 1),
            Self::VonMisesFisher(_) => dim + 3,
        }
    }

    /// Random numbers that a sample is made of; see the kernels for what they are.
    pub fn draw_width(&self, dim: usize) -> usize {
        match self {
            Self::Mixture(_) => 1 + dim,
            Self::VonMisesFisher(_) => 2 * super::PROPOSALS + 1 + dim,
        }
    }
}

/// Which point of the distribution the state advances by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Mean.
    Mean = 0,
    /// Median; of a mixture, the mean.
    Median = 1,
    /// Mode; of a mixture, the heaviest component's mean.
    Mode = 2,
    /// A draw.
    Sample = 3,
}

/// What becomes of a state after one step of one schedule.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Order {
    /// [`Order::OWN`], [`Order::TRUTH`] or [`Order::BEFORE`].
    pub base: u32,
    /// Row of [`Batch::additions`] that is added to the predictor's own state, of the first segment.
    pub noise: u32,
    /// Row that is added afterwards, of the first segment.
    pub painted: u32,
    /// Row that is added afterwards, the same for all segments.
    pub nudge: u32,
    /// Row of [`Batch::draws`], of the first segment.
    pub draw: u32,
}

impl Order {
    /// The predictor's own state goes on.
    pub const OWN: u32 = 0;
    /// The true one does.
    pub const TRUTH: u32 = 1;
    /// The one before the step does.
    pub const BEFORE: u32 = 2;
    /// No addition.
    pub const NONE: u32 = u32::MAX;
}

/// All that is known of rollouts before their first step; a row is a segment in a schedule, schedules outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Starts.
    pub n_segments: usize,
    /// Schedules.
    pub n_schedules: usize,
    /// Steps.
    pub n_steps: usize,
    /// Steps from a window's end to what it predicts.
    pub horizon: usize,
    /// True frames from the first window's first on, `[n_segments, window + horizon + n_steps − 1, dim]`.
    pub truth: Vec<f32>,
    /// `[n_schedules, n_steps]`
    pub orders: Vec<Order>,
    /// `[_, dim]`
    pub additions: Vec<f32>,
    /// `[_, draw_width]`; empty but for [`Rule::Sample`].
    pub draws: Vec<f32>,
    /// How the state advances.
    pub rule: Rule,
    /// Factor on the predicted Δ.
    pub alpha: f32,
    /// Spread of samples.
    pub temperature: f32,
    /// The states also stay on the device, to be drawn from there.
    pub is_drawn: bool,
}

impl Batch {
    /// Rows.
    pub fn n_rows(&self) -> usize {
        self.n_segments * self.n_schedules
    }

    /// Values of the states after each step.
    pub(super) fn n_state_values(&self, dim: usize) -> usize {
        self.n_rows() * self.n_steps * dim
    }

    /// What the kernels are told at `step` (from 0).
    pub(super) fn step(&self, network: &Network, step: usize) -> super::Step {
        let sizes = network.step(self.n_segments, self.n_schedules, self.n_steps, self.horizon);
        super::Step { step: step as u32, rule: self.rule as u32, alpha: self.alpha, temperature: self.temperature, ..sizes }
    }
}

/// What came out, rows as in the [`Batch`].
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// −ln p, factored −ln p, E\[Δ\]·Δ, ‖E\[Δ\]‖, ‖advance‖, error before, error after, 0: `[n_rows, n_steps, COLUMNS]`
    pub columns: Vec<f32>,
    /// State after each step, `[n_rows, n_steps, dim]`
    pub states: Vec<f32>,
    /// The same on the device, where the batch is drawn.
    pub resident: Option<Resident>,
}
