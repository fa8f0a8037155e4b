//! Per-dimension standardization.

/// Mean and standard deviation of each dimension, fitted on training frames.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Normalizer {
    /// `[dim]`
    pub mean: Vec<f32>,
    /// `[dim]`, floored at 1e-4 so that a constant dimension stays finite.
    pub std: Vec<f32>,
}

impl Normalizer {
    /// Fits on rows of `dim` values (population statistics, summed in f64).
    pub fn fit<'a>(rows: impl Iterator<Item = &'a [f32]>, dim: usize) -> Self {
        let mut sums = FrameSums::new(dim);
        rows.for_each(|row| sums.add(row));
        sums.normalizer()
    }
}

/// Sums over frames as they come by.
#[derive(Clone, Debug)]
pub(crate) struct FrameSums {
    n: u64,
    sum: Vec<f64>,
    sum_sq: Vec<f64>,
}

impl FrameSums {
    pub(crate) fn new(dim: usize) -> Self {
        Self { n: 0, sum: vec![0.0; dim], sum_sq: vec![0.0; dim] }
    }

    /// Adds a frame, `[dim]`.
    pub(crate) fn add(&mut self, frame: &[f32]) {
        self.n += 1;
        for ((sum, sum_sq), x) in self.sum.iter_mut().zip(&mut self.sum_sq).zip(frame) {
            *sum += f64::from(*x);
            *sum_sq += f64::from(*x).powi(2);
        }
    }

    /// Population statistics of the frames.
    pub(crate) fn normalizer(&self) -> Normalizer {
        let n = self.n.max(1) as f64;
        let mean: Vec<f64> = self.sum.iter().map(|s| s / n).collect();
        let std = self.sum_sq.iter().zip(&mean).map(|(s, m)| ((s / n - m * m).max(0.0).sqrt().max(1e-4)) as f32).collect();
        Normalizer { mean: mean.iter().map(|&m| m as f32).collect(), std }
    }
}
