//! Power spectra of frames, as each measure cuts and windows them.

use driftscope_numerics::fourier::{Complex, plan_forward};
use rayon::prelude::*;

/// Power in the bins of every frame that lies wholly in `samples`, `[n_frames, n_fft / 2 + 1]`: frame `f` begins at `f × hop_samples`, is
/// as long as `window` and is padded with zeros to `n_fft`.
pub(super) fn power_spectra(samples: &[f32], window: &[f32], hop_samples: usize, n_fft: usize) -> Vec<f32> {
    let n_frames = n_frames(samples.len(), window.len(), hop_samples);
    let n_bins = n_fft / 2 + 1;
    let plan = plan_forward(n_fft);
    let mut power = vec![0.0; n_frames * n_bins];
    power.par_chunks_mut(n_bins).enumerate().for_each_init(
        || (vec![0_f32; n_fft], vec![Complex::default(); n_bins], plan.make_scratch_vec()),
        |(time, spectrum, scratch), (f, out)| {
            let frame = &samples[f * hop_samples..][..window.len()];
            time.fill(0.0);
            time.iter_mut().zip(frame).zip(window).for_each(|((t, x), w)| *t = x * w);
            plan.process_with_scratch(time, spectrum, scratch).expect("buffers were made by the plan");
            out.iter_mut().zip(spectrum.iter()).for_each(|(o, c)| *o = c.norm_sqr());
        },
    );
    power
}

/// Frames that lie wholly in a sound.
pub(super) fn n_frames(n_samples: usize, window_samples: usize, hop_samples: usize) -> usize {
    n_samples.checked_sub(window_samples).map_or(0, |rest| 1 + rest / hop_samples)
}

/// Periodic Hann window.
pub(super) fn hann(n: usize) -> Vec<f32> {
    (0..n).map(|i| (0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / n as f64).cos()) as f32).collect()
}

/// `samples` with `margin` more on both sides, mirrored without repeating the ends.
pub(super) fn mirrored(samples: &[f32], margin: usize) -> Vec<f32> {
    let margin = margin as isize;
    (-margin..samples.len() as isize + margin).map(|i| samples[mirror(i, samples.len())]).collect()
}

/// Position `i` of an endless sound that runs back and forth over `n` samples without repeating its ends.
fn mirror(i: isize, n: usize) -> usize {
    let last = n as isize - 1;
    if last == 0 {
        return 0;
    }
    let folded = i.rem_euclid(2 * last);
    folded.min(2 * last - folded) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_mirrored_without_repeating_them() {
        assert_eq!(mirrored(&[0.0, 1.0, 2.0, 3.0], 4), [2.0, 3.0, 2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 1.0, 0.0, 1.0]);
        assert_eq!(mirrored(&[5.0], 2), [5.0; 5]);
    }

    #[test]
    fn a_frame_has_the_power_of_its_samples() {
        let samples: Vec<f32> = (0..40).map(|i| (i * i % 7) as f32 - 3.0).collect();
        let power = power_spectra(&samples, &[1.0; 16], 8, 32);
        assert_eq!(power.len(), 4 * 17);
        for (f, bins) in power.chunks(17).enumerate() {
            let energy: f32 = samples[f * 8..][..16].iter().map(|x| x * x).sum();
            let parseval = (2.0 * bins.iter().sum::<f32>() - bins[0] - bins[16]) / 32.0;
            assert!((parseval - energy).abs() < 1e-3, "frame {f}: {parseval}, not {energy}");
        }
        assert_eq!((n_frames(15, 16, 8), n_frames(16, 16, 8), n_frames(24, 16, 8)), (0, 1, 2));
    }
}
