//! Fundamental frequency by pYIN.
//!
//! Mauch, Dixon: pYIN, a Fundamental Frequency Estimator Using Probabilistic Threshold Distributions (2014), on top of de Cheveigné,
//! Kawahara: YIN (2002). Parameters are those of `librosa.pyin` 0.11, which it agrees with. The crate `pyin` ports the same, but brings
//! a third `ndarray`, `statrs` and a C interface with it.

use driftscope_numerics::fourier::{Complex, plan_forward, plan_inverse};
use rayon::prelude::*;

/// Sample rates below leave no room for the highest pitch.
pub(super) const LOWEST_RATE_HZ: u32 = 2_000;
/// What is looked for: speech.
const LOWEST_HZ: f64 = 65.0;
const HIGHEST_HZ: f64 = 500.0;
const FRAME_SEC: f64 = 0.064;
const HOP_SEC: f64 = 0.01;

const N_THRESHOLDS: usize = 100;
/// Exponent of the prior that favors short periods.
const BOLTZMANN: f64 = 2.0;
/// Of the thresholds below the deepest trough, the share that still counts for it.
const NO_TROUGH: f64 = 0.01;
const BINS_PER_OCTAVE: f64 = 120.0;
const OCTAVES_PER_SEC: f64 = 35.92;
/// Probability of a change between voiced and unvoiced from one frame to the next.
const SWITCH: f64 = 0.01;
/// Stands for a probability of zero.
const TINY: f64 = f64::MIN_POSITIVE;

/// Fundamental frequency in Hz every 10 ms, the first at sample 0 and each from the 64 ms around it; `None` where there is no voice.
/// The rate is at least [`LOWEST_RATE_HZ`].
pub(super) fn fundamental_hz(samples: &[f32], sample_rate_hz: u32) -> Vec<Option<f64>> {
    let grid = Grid::new(sample_rate_hz);
    let mut padded = vec![0.0; grid.frame / 2];
    padded.extend_from_slice(samples);
    padded.resize(padded.len() + grid.frame / 2, 0.0);
    let n_frames = 1 + (padded.len() - grid.frame) / grid.hop;
    let prior = threshold_prior();
    let observed: Vec<Vec<(usize, f64)>> = (0..n_frames)
        .into_par_iter()
        .map_init(
            || Difference::new(&grid),
            |difference, f| candidates(&difference.normalized(&padded[f * grid.hop..][..grid.frame]), &grid, &prior),
        )
        .collect();
    let path = most_likely(&observed, &grid);
    path.into_iter().map(|bin| bin.map(|bin| LOWEST_HZ * (bin as f64 / BINS_PER_OCTAVE).exp2())).collect()
}

/// Lengths in samples and the grid of pitches.
struct Grid {
    sample_rate_hz: f64,
    frame: usize,
    hop: usize,
    shortest_period: usize,
    longest_period: usize,
    n_bins: usize,
    /// Bins that pitch may move by from one frame to the next.
    reach: usize,
}

impl Grid {
    fn new(sample_rate_hz: u32) -> Self {
        let rate = f64::from(sample_rate_hz);
        let (frame, hop) = (2 * (rate * FRAME_SEC / 2.0).round() as usize, (rate * HOP_SEC).round() as usize);
        let semitones = (OCTAVES_PER_SEC * 12.0 * hop as f64 / rate).round() as usize;
        Self {
            sample_rate_hz: rate,
            frame,
            hop,
            shortest_period: (rate / HIGHEST_HZ).floor() as usize,
            longest_period: ((rate / LOWEST_HZ).ceil() as usize).min(frame - 1),
            n_bins: (BINS_PER_OCTAVE * (HIGHEST_HZ / LOWEST_HZ).log2()).floor() as usize + 1,
            reach: semitones * BINS_PER_OCTAVE as usize / 12 / 2,
        }
    }
}

/// YIN's difference function of a frame.
struct Difference<'g> {
    grid: &'g Grid,
    forward: std::sync::Arc<dyn driftscope_numerics::fourier::RealToComplex<f32>>,
    inverse: std::sync::Arc<dyn driftscope_numerics::fourier::ComplexToReal<f32>>,
    time: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
}

impl<'g> Difference<'g> {
    fn new(grid: &'g Grid) -> Self {
        let n_fft = (grid.frame + grid.longest_period + 1).next_power_of_two();
        let (time, spectrum) = (vec![0.0; n_fft], vec![Complex::default(); n_fft / 2 + 1]);
        Self { grid, forward: plan_forward(n_fft), inverse: plan_inverse(n_fft), time, spectrum }
    }

    /// The cumulative mean normalized difference at every period from the shortest to the longest: 0 where the frame repeats itself.
    fn normalized(&mut self, frame: &[f32]) -> Vec<f64> {
        let n_fft = self.time.len();
        self.time[..frame.len()].copy_from_slice(frame);
        self.time[frame.len()..].fill(0.0);
        self.forward.process(&mut self.time, &mut self.spectrum).expect("buffers were made by the plan");
        self.spectrum.iter_mut().for_each(|c| *c = Complex::new(c.norm_sqr(), 0.0));
        self.inverse.process(&mut self.spectrum, &mut self.time).expect("buffers were made by the plan");
        let autocorrelation = |k: usize| f64::from(self.time[k]) / n_fft as f64;
        let (mut head, mut sum) = (0.0, 0.0);
        let mut normalized = Vec::with_capacity(self.grid.longest_period - self.grid.shortest_period + 1);
        for period in 1..=self.grid.longest_period {
            head += f64::from(frame[period - 1]).powi(2);
            let difference = 2.0 * (autocorrelation(0) - autocorrelation(period)) - head;
            sum += difference;
            if period >= self.grid.shortest_period {
                normalized.push(difference / (sum / period as f64 + TINY));
            }
        }
        normalized
    }
}

/// Probability of each threshold 0.01, 0.02 … 1: the beta distribution with parameters 2 and 18, integrated over each hundredth.
fn threshold_prior() -> Vec<f64> {
    let cumulative = |x: f64| 1.0 - (1.0 - x).powi(19) - 19.0 * x * (1.0 - x).powi(18);
    (0..N_THRESHOLDS).map(|i| cumulative((i + 1) as f64 / N_THRESHOLDS as f64) - cumulative(i as f64 / N_THRESHOLDS as f64)).collect()
}

/// Pitch bins with their probabilities, given the normalized difference over periods.
fn candidates(difference: &[f64], grid: &Grid, prior: &[f64]) -> Vec<(usize, f64)> {
    let last = difference.len() - 1;
    let is_trough = |i: usize| (i == 0 || difference[i] < difference[i - 1]) && (i == last || difference[i] <= difference[i + 1]);
    let is_strict = |i: usize| i > 0 || difference[0] < difference[1];
    let troughs: Vec<usize> = (0..=last).filter(|&i| is_trough(i) && is_strict(i)).collect();
    let mut probabilities = vec![0.0; troughs.len()];
    for (i, weight) in prior.iter().enumerate() {
        let threshold = (i + 1) as f64 / N_THRESHOLDS as f64;
        let below: Vec<usize> = (0..troughs.len()).filter(|&t| difference[troughs[t]] < threshold).collect();
        let norm = (1.0 - (-BOLTZMANN).exp()) / (1.0 - (-BOLTZMANN * below.len() as f64).exp());
        for (place, &trough) in below.iter().enumerate() {
            probabilities[trough] += weight * norm * (-BOLTZMANN * place as f64).exp();
        }
    }
    if let Some(deepest) = (0..troughs.len()).reduce(|a, b| if difference[troughs[b]] < difference[troughs[a]] { b } else { a }) {
        let reached = |i: &usize| difference[troughs[deepest]] >= (i + 1) as f64 / N_THRESHOLDS as f64;
        probabilities[deepest] += NO_TROUGH * (0..N_THRESHOLDS).filter(reached).map(|i| prior[i]).sum::<f64>();
    }
    let mut bins: Vec<(usize, f64)> = Vec::new();
    for (&trough, probability) in troughs.iter().zip(probabilities).filter(|(_, p)| *p > 0.0) {
        let hz = grid.sample_rate_hz / ((grid.shortest_period + trough) as f64 + vertex(difference, trough));
        let bin = (BINS_PER_OCTAVE * (hz / LOWEST_HZ).log2()).round().max(0.0) as usize;
        // Of two troughs in one bin the longer period stays; what lies above the grid is dropped.
        bins.retain(|(other, _)| *other != bin);
        if bin < grid.n_bins {
            bins.push((bin, probability));
        }
    }
    bins
}

/// Where a parabola through a value and its neighbors has its lowest point, from the middle one; 0 where that is further than a step.
fn vertex(values: &[f64], i: usize) -> f64 {
    if i == 0 || i + 1 == values.len() {
        return 0.0;
    }
    let curvature = values[i + 1] + values[i - 1] - 2.0 * values[i];
    let slope = (values[i + 1] - values[i - 1]) / 2.0;
    if slope.abs() >= curvature.abs() { 0.0 } else { -slope / curvature }
}

/// The path of highest probability through pitches (`Some(bin)`) and silence (Viterbi). Pitch moves by a triangular distribution; a voice
/// that ends and begins again does so near the pitch at which it ended.
fn most_likely(observed: &[Vec<(usize, f64)>], grid: &Grid) -> Vec<Option<usize>> {
    let (n, reach) = (grid.n_bins, grid.reach as isize);
    let weight = |d: isize| 1.0 - d.unsigned_abs() as f64 / (reach + 1) as f64;
    let moves: Vec<f64> = (-reach..=reach).map(|d| weight(d).ln()).collect();
    let leaving: Vec<f64> =
        (0..n as isize).map(|i| (-reach..=reach).filter(|d| (0..n as isize).contains(&(i + d))).map(weight).sum::<f64>().ln()).collect();
    let (stay, switch) = ((1.0 - SWITCH).ln(), SWITCH.ln());
    // States 0..n are voiced, n..2n are not.
    let mut values = vec![0.0; 2 * n];
    let mut from: Vec<Vec<u16>> = Vec::with_capacity(observed.len());
    for (t, candidates) in observed.iter().enumerate() {
        let (emission, unvoiced) = emissions(candidates, n);
        if t > 0 {
            let mut pointers = vec![0_u16; 2 * n];
            let mut next = vec![0.0; 2 * n];
            let anywhere = argmax(&values);
            for side in 0..2 {
                // The better of staying on this side and coming from the other, for each bin.
                let arrivals: Vec<(f64, u16)> = (0..n)
                    .map(|i| {
                        let (voiced, silent) = if side == 0 { (stay, switch) } else { (switch, stay) };
                        let (a, b) = (values[i] + voiced - leaving[i], values[n + i] + silent - leaving[i]);
                        if b > a { (b, (n + i) as u16) } else { (a, i as u16) }
                    })
                    .collect();
                for to in 0..n {
                    let first = (to as isize - reach).max(0) as usize;
                    let last = (to + reach as usize).min(n - 1);
                    let mut best = (values[anywhere] + TINY.ln(), anywhere as u16);
                    let ways = &moves[(first as isize - to as isize + reach) as usize..];
                    for ((value, state), way) in arrivals[first..=last].iter().zip(ways) {
                        if value + way > best.0 {
                            best = (value + way, *state);
                        }
                    }
                    (next[side * n + to], pointers[side * n + to]) = best;
                }
            }
            values = next;
            from.push(pointers);
        }
        for i in 0..n {
            values[i] += emission[i];
            values[n + i] += unvoiced;
        }
    }
    let mut state = argmax(&values);
    let mut path = vec![state];
    for pointers in from.iter().rev() {
        state = pointers[state] as usize;
        path.push(state);
    }
    path.into_iter().rev().map(|state| (state < n).then_some(state)).collect()
}

/// ln of the probabilities of a frame: of each pitch, and of each silent state.
fn emissions(candidates: &[(usize, f64)], n_bins: usize) -> (Vec<f64>, f64) {
    let mut voiced = vec![TINY.ln(); n_bins];
    for &(bin, probability) in candidates {
        voiced[bin] = (probability + TINY).ln();
    }
    let total: f64 = candidates.iter().map(|(_, p)| p).sum();
    (voiced, ((1.0 - total.clamp(0.0, 1.0)) / n_bins as f64 + TINY).ln())
}

fn argmax(values: &[f64]) -> usize {
    (0..values.len()).reduce(|a, b| if values[b] > values[a] { b } else { a }).unwrap_or(0)
}
