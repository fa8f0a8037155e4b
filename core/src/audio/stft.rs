//! Short-time Fourier analysis and synthesis, mel filterbanks, and phase by Griffin-Lim.
//!
//! Frame `f` covers the samples from `first_sample + f × hop` on; samples outside the sound are zero. There is no hidden
//! centering or reflection: the caller says where the first frame lies, which is what lets a causal codec say it exactly.

use std::sync::Arc;

use driftscope_numerics::fourier::{Complex, ComplexToReal, RealToComplex, plan_forward, plan_inverse};
use rayon::prelude::*;

use super::phase;
use crate::job::{Cancel, Cancelled};

/// Window energy below which synthesis fades instead of dividing (a full overlap of Hann windows at a quarter hop gives 1.5).
const MIN_ENERGY: f32 = 0.02;

/// A fixed transform: periodic Hann window, hop and FFT length.
#[derive(Clone)]
pub struct Stft {
    window: Vec<f32>,
    hop: usize,
    n_fft: usize,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

impl std::fmt::Debug for Stft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stft {{ window: {}, hop: {}, n_fft: {} }}", self.window.len(), self.hop, self.n_fft)
    }
}

/// How [`Stft::griffin_lim`] searches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GriffinLim {
    /// Rounds of synthesis and analysis.
    pub iterations: usize,
    /// Momentum of the fast variant (Perraudin, Balazs, Søndergaard 2013); 0 is the plain algorithm of 1984.
    pub momentum: f32,
}

impl Stft {
    /// `window_samples` ≤ `n_fft`; shorter windows are zero-padded. `hop_samples` must divide `window_samples`.
    pub fn new(window_samples: usize, hop_samples: usize, n_fft: usize) -> Self {
        assert!(window_samples <= n_fft && window_samples.is_multiple_of(hop_samples), "window fits the FFT and is whole hops");
        let window = (0..window_samples)
            .map(|i| 0.5 - 0.5 * (2.0 * std::f64::consts::PI * i as f64 / window_samples as f64).cos())
            .map(|w| w as f32)
            .collect();
        Self { window, hop: hop_samples, n_fft, forward: plan_forward(n_fft), inverse: plan_inverse(n_fft) }
    }

    /// Frequency bins of a frame, `n_fft / 2 + 1`.
    pub fn n_bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Complex spectra `[n_frames, n_bins]`; frame 0 begins at `first_sample` (which may be negative).
    pub fn analyze(&self, samples: &[f32], first_sample: isize, n_frames: usize) -> Vec<Complex<f32>> {
        let aligned = self.aligned(samples, first_sample, n_frames);
        let mut spectra = vec![Complex::default(); n_frames * self.n_bins()];
        spectra.par_chunks_mut(self.n_bins()).enumerate().for_each_init(
            || self.forward.make_scratch_vec(),
            |scratch, (f, spectrum)| self.analyze_frame(&aligned[f * self.hop..], spectrum, scratch),
        );
        spectra
    }

    /// Magnitudes `[n_frames, n_bins]` of [`Stft::analyze`].
    pub fn magnitudes(&self, samples: &[f32], first_sample: isize, n_frames: usize) -> Vec<f32> {
        self.analyze(samples, first_sample, n_frames).iter().map(|c| c.norm()).collect()
    }

    /// Overlap-add with the least-squares window (Griffin, Lim 1984): `n_samples` from sample 0 on.
    pub fn synthesize(&self, spectra: &[Complex<f32>], first_sample: isize, n_samples: usize) -> Vec<f32> {
        let mut work = Workspace::new(self, spectra.len() / self.n_bins());
        self.overlap_add(spectra, &mut work);
        let at = |i: usize| usize::try_from(i as isize - first_sample).ok().and_then(|j| work.signal.get(j)).copied();
        (0..n_samples).map(|i| at(i).unwrap_or(0.0)).collect()
    }

    /// Sound whose short-time magnitudes come near `magnitudes` `[n_frames, n_bins]`: `n_samples` from sample 0 on.
    /// It sees the whole of the magnitudes at once, so a late frame may change early samples.
    pub fn griffin_lim(
        &self,
        magnitudes: &[f32],
        first_sample: isize,
        n_samples: usize,
        config: GriffinLim,
        stop: &Cancel,
    ) -> Result<Vec<f32>, Cancelled> {
        let n_bins = self.n_bins();
        let mut spectra = phase::spectra(magnitudes, n_bins, self.hop, self.window.len());
        let mut previous = vec![Complex::<f32>::default(); spectra.len()];
        let mut work = Workspace::new(self, magnitudes.len() / n_bins);
        for _ in 0..config.iterations {
            stop.check()?;
            self.overlap_add(&spectra, &mut work);
            self.project(&work.signal, magnitudes, config.momentum, &mut spectra, &mut previous);
        }
        Ok(self.synthesize(&spectra, first_sample, n_samples))
    }

    /// The same for a stretch inside a sound that is already there: only `free` (samples) of `sound` changes, and the phases found fit
    /// what is copied before and after it. `magnitudes` are of the frames that touch `free`, the first of which begins at `first_sample`.
    /// The search starts from the phases of what was there.
    pub fn griffin_lim_between(
        &self,
        magnitudes: &[f32],
        first_sample: isize,
        sound: &mut [f32],
        free: std::ops::Range<usize>,
        config: GriffinLim,
        stop: &Cancel,
    ) -> Result<(), Cancelled> {
        let n_frames = magnitudes.len() / self.n_bins();
        let around = self.aligned(sound, first_sample, n_frames);
        // Where `free` lies in the stretch that the frames cover.
        let place = |sample: usize| (sample as isize - first_sample).clamp(0, around.len() as isize) as usize;
        let (from, to) = (place(free.start), place(free.end));
        let mut work = Workspace::new(self, n_frames);
        work.signal.copy_from_slice(&around);
        let mut spectra = vec![Complex::<f32>::default(); magnitudes.len()];
        let mut previous = self.analyze(sound, first_sample, n_frames);
        for _ in 0..config.iterations {
            stop.check()?;
            self.project(&work.signal, magnitudes, config.momentum, &mut spectra, &mut previous);
            self.overlap_add(&spectra, &mut work);
            work.signal[..from].copy_from_slice(&around[..from]);
            work.signal[to..].copy_from_slice(&around[to..]);
        }
        sound[free.start..free.start + (to - from)].copy_from_slice(&work.signal[from..to]);
        Ok(())
    }

    /// The spectra of `signal` (frame `f` from `f × hop` on), ahead by the momentum, at the wanted magnitudes; `previous` are the
    /// spectra of the round before.
    fn project(&self, signal: &[f32], magnitudes: &[f32], momentum: f32, spectra: &mut [Complex<f32>], previous: &mut [Complex<f32>]) {
        let n_bins = self.n_bins();
        let frames = spectra.par_chunks_mut(n_bins).zip(previous.par_chunks_mut(n_bins)).zip(magnitudes.par_chunks(n_bins));
        frames.enumerate().for_each_init(
            || self.forward.make_scratch_vec(),
            |scratch, (f, ((spectrum, previous), magnitude))| {
                self.analyze_frame(&signal[f * self.hop..], spectrum, scratch);
                for ((c, before), m) in spectrum.iter_mut().zip(previous).zip(magnitude) {
                    let ahead = *c + (*c - *before) * momentum;
                    *before = *c;
                    let norm = ahead.norm_sqr().sqrt().max(1e-12);
                    *c = ahead * (m / norm);
                }
            },
        );
    }

    /// The sound laid out so that frame `f` starts at `f × hop`.
    fn aligned(&self, samples: &[f32], first_sample: isize, n_frames: usize) -> Vec<f32> {
        let mut aligned = vec![0.0; self.span(n_frames)];
        let shift = usize::try_from(-first_sample).unwrap_or(0);
        let skip = usize::try_from(first_sample).unwrap_or(0).min(samples.len());
        if shift < aligned.len() {
            let n = (samples.len() - skip).min(aligned.len() - shift);
            aligned[shift..shift + n].copy_from_slice(&samples[skip..skip + n]);
        }
        aligned
    }

    fn span(&self, n_frames: usize) -> usize {
        if n_frames == 0 { 0 } else { (n_frames - 1) * self.hop + self.window.len() }
    }

    fn analyze_frame(&self, samples: &[f32], spectrum: &mut [Complex<f32>], scratch: &mut [Complex<f32>]) {
        let mut frame = [0_f32; 4096];
        let frame = &mut frame[..self.n_fft];
        for ((x, s), w) in frame.iter_mut().zip(samples).zip(&self.window) {
            *x = s * w;
        }
        self.forward.process_with_scratch(frame, spectrum, scratch).expect("buffers were made by the plan");
    }

    /// Fills `work.signal` from spectra.
    fn overlap_add(&self, spectra: &[Complex<f32>], work: &mut Workspace) {
        let (n_bins, win, scale) = (self.n_bins(), self.window.len(), 1.0 / self.n_fft as f32);
        work.frames.par_chunks_mut(win).zip(spectra.par_chunks(n_bins)).for_each_init(
            || (self.inverse.make_scratch_vec(), vec![Complex::default(); n_bins], vec![0_f32; self.n_fft]),
            |(scratch, spectrum, time), (frame, source)| {
                spectrum.copy_from_slice(source);
                // A real signal has no imaginary part at 0 and at Nyquist; whatever an estimate has there is dropped.
                spectrum[0].im = 0.0;
                spectrum[n_bins - 1].im = 0.0;
                self.inverse.process_with_scratch(spectrum, time, scratch).expect("buffers were made by the plan");
                for ((x, t), w) in frame.iter_mut().zip(time.iter()).zip(&self.window) {
                    *x = t * w * scale;
                }
            },
        );
        let (frames, hop) = (&work.frames, self.hop);
        let (n_frames, overlap) = (frames.len() / win, win / hop);
        work.signal.par_chunks_mut(hop).zip(work.energy.par_chunks(hop)).enumerate().for_each(|(block, (out, energy))| {
            out.fill(0.0);
            for f in (block + 1).saturating_sub(overlap)..=block.min(n_frames - 1) {
                let from = f * win + (block - f) * hop;
                out.iter_mut().zip(&frames[from..from + hop]).for_each(|(o, x)| *o += x);
            }
            out.iter_mut().zip(energy).for_each(|(o, e)| *o /= e);
        });
    }
}

/// Buffers of repeated synthesis.
struct Workspace {
    frames: Vec<f32>,
    signal: Vec<f32>,
    energy: Vec<f32>,
}

impl Workspace {
    fn new(stft: &Stft, n_frames: usize) -> Self {
        let win = stft.window.len();
        let mut energy = vec![0_f32; stft.span(n_frames)];
        for f in 0..n_frames {
            for (e, w) in energy[f * stft.hop..].iter_mut().zip(&stft.window) {
                *e += w * w;
            }
        }
        energy.iter_mut().for_each(|e| *e = e.max(MIN_ENERGY));
        Self { frames: vec![0.0; n_frames * win], signal: vec![0.0; energy.len()], energy }
    }
}

/// [`mel_triangles`], each scaled to sum to 1: `[n_mels, n_fft/2 + 1]`.
pub fn mel_filterbank(n_mels: usize, n_fft: usize, sample_rate_hz: u32, low_hz: f64, high_hz: f64) -> Vec<f32> {
    let mut bank = mel_triangles(n_mels, n_fft, sample_rate_hz, low_hz, high_hz);
    for row in bank.chunks_exact_mut(n_fft / 2 + 1) {
        let sum: f64 = row.iter().map(|&w| f64::from(w)).sum();
        if sum > 0.0 {
            row.iter_mut().for_each(|w| *w = (f64::from(*w) / sum) as f32);
        }
    }
    bank
}

/// Triangles of height 1 on the HTK mel scale (2595·log10(1 + f/700)): `[n_mels, n_fft/2 + 1]`.
pub fn mel_triangles(n_mels: usize, n_fft: usize, sample_rate_hz: u32, low_hz: f64, high_hz: f64) -> Vec<f32> {
    let mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
    let hz = |mel: f64| 700.0 * (10_f64.powf(mel / 2595.0) - 1.0);
    let (low, high) = (mel(low_hz), mel(high_hz));
    let edge = |i: usize| hz(low + (high - low) * i as f64 / (n_mels + 1) as f64);
    let bin_hz = |k: usize| k as f64 * f64::from(sample_rate_hz) / n_fft as f64;
    let mut bank = Vec::with_capacity(n_mels * (n_fft / 2 + 1));
    for m in 0..n_mels {
        let (left, center, right) = (edge(m), edge(m + 1), edge(m + 2));
        bank.extend(
            (0..=n_fft / 2).map(bin_hz).map(|f| ((f - left) / (center - left)).min((right - f) / (right - center)).max(0.0) as f32),
        );
    }
    bank
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn chirp(n: usize) -> Vec<f32> {
        (0..n).map(|i| i as f32 / 16_000.0).map(|t| 0.5 * (2.0 * std::f32::consts::PI * (200.0 + 900.0 * t) * t).sin()).collect()
    }

    #[test]
    fn synthesis_undoes_analysis_inside() {
        for (win, hop, n_fft, first) in [(640, 160, 1024, -480), (640, 160, 640, -320), (512, 128, 512, 0)] {
            let stft = Stft::new(win, hop, n_fft);
            let x = chirp(8_000);
            let n_frames = 60;
            let back = stft.synthesize(&stft.analyze(&x, first, n_frames), first, x.len());
            let worst = (640..6_800).map(|i| (x[i] - back[i]).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "window {win}: {worst}");
        }
    }

    #[test]
    fn a_frame_covers_its_samples_and_no_others() {
        let stft = Stft::new(640, 160, 1024);
        let x = chirp(4_000);
        let before = stft.magnitudes(&x, -480, 20);
        let mut changed = x.clone();
        changed[1_280] += 1.0;
        let after = stft.magnitudes(&changed, -480, 20);
        let touched: Vec<usize> = (0..20).filter(|f| before[f * 513..(f + 1) * 513] != after[f * 513..(f + 1) * 513]).collect();
        // Frame f covers -480 + 160 f .. 160 + 160 f; the Hann window is zero at its first sample.
        assert_eq!(touched, vec![8, 9, 10]);
    }

    #[test]
    fn mel_bands_sum_to_one_and_climb() {
        let bank = mel_filterbank(80, 1024, 16_000, 20.0, 8_000.0);
        let mut last_peak = 0;
        for (m, row) in bank.chunks_exact(513).enumerate() {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "band {m}");
            let peak = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |p| p.0);
            assert!(peak >= last_peak, "band {m}");
            last_peak = peak;
        }
        // The center of the middle band by the HTK formula, computed by hand: mel 1436 = 1803 Hz = bin 115.4.
        let middle: f32 = bank[40 * 513..41 * 513].iter().enumerate().map(|(k, w)| k as f32 * w).sum();
        assert!((middle - 117.0).abs() < 3.0, "{middle}");
    }

    #[test]
    fn griffin_lim_is_deterministic_and_improves() {
        let stft = Stft::new(640, 160, 640);
        // Of noise hardly a phase can be guessed.
        let mut rng = StdRng::seed_from_u64(3);
        let x: Vec<f32> = (0..16_000).map(|_| rng.random_range(-0.5..0.5)).collect();
        let target = stft.magnitudes(&x, -320, 100);
        let error = |iterations| {
            let y = stft.griffin_lim(&target, -320, 16_000, GriffinLim { iterations, momentum: 0.99 }, &Cancel::default()).unwrap();
            let got = stft.magnitudes(&y, -320, 100);
            got.iter().zip(&target).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / target.iter().map(|b| b * b).sum::<f32>()
        };
        assert_eq!(error(4).to_bits(), error(4).to_bits());
        let (few, many) = (error(2), error(32));
        assert!(many < 0.5 * few, "{few} -> {many}");
    }
}
