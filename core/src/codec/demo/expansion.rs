//! Spectral expansion: what a narrow bottleneck blurs is sharpened by one power, at unchanged loudness.

/// Frames on either side over which the level is kept, a quarter of a second each.
pub(super) const REACH: usize = 25;

/// Raises magnitudes `[n_frames, n_bins]` to `power`, then restores the energy of each half second. Over a whole utterance the
/// gain would depend on how much of it is decoded; over single frames, contrast in time would be lost.
pub(super) fn expand(magnitudes: &mut [f32], n_bins: usize, power: f32) {
    let before = running_energy(magnitudes, n_bins);
    magnitudes.iter_mut().for_each(|m| *m = m.powf(power));
    let after = running_energy(magnitudes, n_bins);
    let n_frames = magnitudes.len() / n_bins;
    for (f, frame) in magnitudes.chunks_exact_mut(n_bins).enumerate() {
        let (from, to) = (f.saturating_sub(REACH), (f + REACH + 1).min(n_frames));
        let gain = ((before[to] - before[from]) / (after[to] - after[from]).max(1e-30)).sqrt() as f32;
        frame.iter_mut().for_each(|m| *m *= gain);
    }
}

/// Energy of the frames before each, `[n_frames + 1]`.
fn running_energy(magnitudes: &[f32], n_bins: usize) -> Vec<f64> {
    let mut sums = vec![0.0];
    for frame in magnitudes.chunks_exact(n_bins) {
        let energy: f64 = frame.iter().map(|&m| f64::from(m).powi(2)).sum();
        sums.push(sums[sums.len() - 1] + energy);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_grows_and_level_stays() {
        let frame = [0.1_f32, 1.0, 0.2, 0.4];
        let mut expanded = frame.repeat(80);
        expand(&mut expanded, 4, 1.2);
        let last = &expanded[79 * 4..];
        let energy = |v: &[f32]| v.iter().map(|m| m * m).sum::<f32>();
        assert!((energy(last) / energy(&frame) - 1.0).abs() < 1e-4);
        // (0.1 / 1.0)^1.2 = 0.0631
        assert!((last[0] / last[1] - 0.063_1).abs() < 1e-4, "{}", last[0] / last[1]);
        let mut same = frame.repeat(3);
        expand(&mut same, 4, 1.0);
        assert!(same.iter().zip(frame.iter().cycle()).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
