//! One utterance's latents.

/// Latents of one utterance, `x[n_frames, dim]` row-major.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Latents {
    /// Values, frame after frame.
    pub values: Vec<f32>,
    /// Dimensions of one frame.
    pub dim: usize,
    /// Frames per second.
    pub frame_rate_hz: f64,
}

impl Latents {
    /// Number of frames.
    pub fn n_frames(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Frame `t`, `[dim]`.
    pub fn frame(&self, t: usize) -> &[f32] {
        &self.values[t * self.dim..(t + 1) * self.dim]
    }

    /// `Δ[t] = x[t] − x[t−1]`, `[dim]`; `t ≥ 1`.
    pub fn delta(&self, t: usize) -> Vec<f32> {
        self.frame(t).iter().zip(self.frame(t - 1)).map(|(now, before)| now - before).collect()
    }
}
