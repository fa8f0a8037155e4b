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

impl Summary {
    /// Summarizes `values`; quantiles interpolate linearly between order statistics.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut n_nonfinite = 0;
        let values = values.into_iter();
        let mut finite: Vec<f64> = Vec::with_capacity(values.size_hint().0);
        for value in values {
            if value.is_finite() {
                finite.push(value);
            } else {
                n_nonfinite += 1;
            }
        }
        let n = finite.len();
        if n == 0 {
            return Self { n_nonfinite, ..Self::default() };
        }
        let total = mean(&finite);
        finite.sort_unstable_by(f64::total_cmp);
        let cut = n / 20;
        Self {
            n,
            n_nonfinite,
            mean: Some(total),
            median: Some(quantile(&finite, 0.5)),
            trimmed_mean: Some(mean(&finite[cut..n - cut])),
            q05: Some(quantile(&finite, 0.05)),
            q95: Some(quantile(&finite, 0.95)),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Quantile of sorted values, linear between neighbors.
pub(super) fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    below + position.fract() * (above - below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_finite_values_are_counted_and_left_out() {
        let s = Summary::of([1.0, f64::NAN, 3.0, f64::INFINITY, 2.0]);
        assert_eq!((s.n, s.n_nonfinite, s.mean, s.median), (3, 2, Some(2.0), Some(2.0)));
        let none = Summary::of([f64::NAN]);
        assert_eq!((none.n, none.n_nonfinite, none.mean, none.q95), (0, 1, None, None));
    }

    #[test]
    fn tails_do_not_move_the_robust_numbers() {
        let mut values: Vec<f64> = (1..=100).map(f64::from).collect();
        values[99] = 1e12;
        let s = Summary::of(values);
        assert_eq!((s.median, s.trimmed_mean), (Some(50.5), Some(50.5)));
        assert!((s.q05.unwrap() - 5.95).abs() < 1e-9 && (s.q95.unwrap() - 95.05).abs() < 1e-9, "{s:?}");
        assert!(s.mean.unwrap() > 1e9);
    }
}
