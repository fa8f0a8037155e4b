//! A sample of numbers in few numbers; NaN and Inf are counted and never averaged.

/// Robust summary of one metric.
#[derive(Clone, Debug, PartialEq, Default, serde::Serialize)]
pub struct Summary {
    /// Finite values.
    pub n: usize,
    /// NaN or infinite values, left out of everything below.
    pub n_nonfinite: usize,
    /// Mean of the finite values; `None` if there are none (likewise below).
    pub mean: Option<f64>,
    /// Median.
    pub median: Option<f64>,
    /// Mean without the lowest and highest 5 %.
    pub trimmed_mean: Option<f64>,
    /// 5 % quantile.
    pub q05: Option<f64>,
    /// 95 % quantile.
    pub q95: Option<f64>,
}
