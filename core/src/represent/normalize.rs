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
        let (mut n, mut sum, mut sum_sq) = (0_u64, vec![0_f64; dim], vec![0_f64; dim]);
        for row in rows {
            n += 1;
            for d in 0..dim {
                sum[d] += f64::from(row[d]);
                sum_sq[d] += f64::from(row[d]).powi(2);
            }
        }
        let n = n.max(1) as f64;
        let mean: Vec<f64> = sum.iter().map(|s| s / n).collect();
        let std = sum_sq.iter().zip(&mean).map(|(s, m)| ((s / n - m * m).max(0.0).sqrt().max(1e-4)) as f32).collect();
        Self { mean: mean.iter().map(|&m| m as f32).collect(), std }
    }
}
