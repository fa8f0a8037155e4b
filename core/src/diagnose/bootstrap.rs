//! Bootstrap by speaker: utterances of one speaker are not independent draws.

/// A 95 % interval of a mean.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Band {
    /// 2.5 % quantile of the resampled means.
    pub low: f64,
    /// 97.5 % quantile.
    pub high: f64,
}

/// Resamples speakers with replacement (`n_resamples` times, seeded); `values[i]` belongs to `speakers[i]`; non-finite values are left out.
/// `None` with fewer than two speakers.
pub fn bootstrap_by_speaker(values: &[f64], speakers: &[&str], n_resamples: usize, seed: u64) -> Option<Band> {
    let _ = (values, speakers, n_resamples, seed);
    todo!()
}
