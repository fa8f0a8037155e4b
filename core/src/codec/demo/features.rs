//! What the codec sees of sound: compressed mel patches, one for each latent, and the compressed magnitudes it aims at.
//!
//! Frame `j` of patch `t` is a Hann window over the 640 samples that end with sample `1280 t + 160 (j + 1)`, so that a patch holds
//! nothing after its own 80 ms. Values are magnitudes to the power 1/3: near the best exponent measured for this codec (0.3),
//! and undone by two multiplications. An offset of the recording is taken away first, by a causal filter.

use crate::audio::stft::{Stft, mel_filterbank};

/// Rate of the sound that the codec takes and gives.
pub(super) const SAMPLE_RATE_HZ: u32 = 16_000;
/// Samples per latent.
pub(super) const HOP_SAMPLES: usize = 1_280;
/// Short-time frames per latent.
pub(super) const FRAMES_PER_LATENT: usize = 8;
/// Mel bands.
pub(super) const N_MELS: usize = 80;
/// Values of a patch.
pub(super) const PATCH: usize = FRAMES_PER_LATENT * N_MELS;
/// Samples of the analysis window, 40 ms: the longest lever on quality that was measured.
pub(super) const WINDOW_SAMPLES: usize = 640;
/// Samples between short-time frames.
pub(super) const FRAME_HOP_SAMPLES: usize = 160;
/// First sample of frame 0.
pub(super) const FIRST_SAMPLE: isize = FRAME_HOP_SAMPLES as isize - WINDOW_SAMPLES as isize;

/// Corner of the filter that takes away an offset: below any voice.
const OFFSET_CORNER_HZ: f32 = 30.0;

/// Zero-padded, so that the lowest mel bands have bins of their own.
const MEL_N_FFT: usize = 1_024;

/// The transforms, planned once.
#[derive(Clone, Debug)]
pub(super) struct Analysis {
    mel_stft: Stft,
    /// For each band: first bin and weights.
    bands: Vec<(usize, Vec<f32>)>,
    /// The transform that synthesis runs through.
    pub(super) synthesis: Stft,
}

impl Analysis {
    /// `n_fft` of the synthesis.
    pub(super) fn new(n_fft: usize) -> Self {
        let mel_stft = Stft::new(WINDOW_SAMPLES, FRAME_HOP_SAMPLES, MEL_N_FFT);
        let bank = mel_filterbank(N_MELS, MEL_N_FFT, SAMPLE_RATE_HZ, 20.0, 8_000.0);
        let bands = bank
            .chunks_exact(mel_stft.n_bins())
            .map(|row| {
                let first = row.iter().position(|&w| w > 0.0).unwrap_or(0);
                let end = row.iter().rposition(|&w| w > 0.0).map_or(first, |last| last + 1);
                (first, row[first..end].to_vec())
            })
            .collect();
        Self { mel_stft, bands, synthesis: Stft::new(WINDOW_SAMPLES, FRAME_HOP_SAMPLES, n_fft) }
    }

    /// Latents that `n_samples` make.
    pub(super) fn n_latents(n_samples: usize) -> usize {
        n_samples.div_ceil(HOP_SAMPLES)
    }

    /// Mel magnitudes to the power 1/3, `[n_latents, 8, 80]`, unscaled.
    pub(super) fn patches(&self, samples: &[f32]) -> Vec<f32> {
        self.patches_of_filtered(&without_offset(samples), FIRST_SAMPLE, Self::n_latents(samples.len()))
    }

    /// The same from samples without their offset, the window of the first frame beginning at `first_sample`.
    pub(super) fn patches_of_filtered(&self, samples: &[f32], first_sample: isize, n_latents: usize) -> Vec<f32> {
        let n_frames = n_latents * FRAMES_PER_LATENT;
        let magnitudes = self.mel_stft.magnitudes(samples, first_sample, n_frames);
        let mut patches = Vec::with_capacity(n_frames * N_MELS);
        for frame in magnitudes.chunks_exact(self.mel_stft.n_bins()) {
            patches.extend(self.bands.iter().map(|(first, weights)| {
                let band: f32 = weights.iter().zip(&frame[*first..]).map(|(w, m)| w * m).sum();
                band.cbrt()
            }));
        }
        patches
    }

    /// Magnitudes to the power 1/3 in the synthesis transform, `[8 · n_latents, n_bins]`, unscaled.
    pub(super) fn targets(&self, samples: &[f32]) -> Vec<f32> {
        let n_frames = Self::n_latents(samples.len()) * FRAMES_PER_LATENT;
        let mut magnitudes = self.synthesis.magnitudes(&without_offset(samples), FIRST_SAMPLE, n_frames);
        magnitudes.iter_mut().for_each(|m| *m = m.cbrt());
        magnitudes
    }
}

/// One pole and a zero at 0 Hz, as if the first sample had always been there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OffsetFilter {
    before: Option<f32>,
    out: f32,
}

impl OffsetFilter {
    pub(super) fn next(&mut self, x: f32) -> f32 {
        let keep = (-2.0 * std::f32::consts::PI * OFFSET_CORNER_HZ / SAMPLE_RATE_HZ as f32).exp();
        self.out = keep * self.out + x - self.before.unwrap_or(x);
        self.before = Some(x);
        self.out
    }
}

fn without_offset(samples: &[f32]) -> Vec<f32> {
    let mut filter = OffsetFilter::default();
    samples.iter().map(|&x| filter.next(x)).collect()
}
