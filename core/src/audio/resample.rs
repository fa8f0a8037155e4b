//! From one sample rate to another, at once or as sound arrives.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _};

use super::{AudioClip, AudioError};

/// Block of the resampler in samples of the lower rate: its anti-aliasing filter is that long.
const BLOCK: usize = 1024;

/// No recording is faster; a damaged header can claim any rate, and the filter's memory grows with it.
const HIGHEST_RATE_HZ: u32 = 1_000_000;

/// Converts to `sample_rate_hz` (band-limited, no delay, `ceil(n · to / from)` samples); the same rate returns an unchanged copy.
pub fn resample(clip: &AudioClip, sample_rate_hz: u32) -> Result<AudioClip, AudioError> {
    if clip.sample_rate_hz == sample_rate_hz {
        return Ok(clip.clone());
    }
    let mut resampler = Resampler::new(clip.sample_rate_hz, sample_rate_hz)?;
    let mut samples = Vec::with_capacity(resampler.n_after(clip.samples.len() as u64) as usize);
    resampler.push(&clip.samples, &mut samples);
    resampler.finish(&mut samples);
    Ok(AudioClip { samples, sample_rate_hz })
}

/// [`resample`] as sound arrives: however it is cut, the same samples come out. Holds no more than a block.
#[derive(Debug)]
pub struct Resampler {
    from_hz: u32,
    to_hz: u32,
    /// `None` where both rates are the same.
    fft: Option<Fft<f32>>,
    /// Input that fills no block yet.
    pending: Vec<f32>,
    /// Output of one block.
    block: Vec<f32>,
    n_pushed: u64,
    n_given: u64,
    /// Samples of the filter's delay that are still to be dropped.
    n_to_drop: usize,
}

impl Resampler {
    /// Refuses rates of 0 and beyond a million.
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, AudioError> {
        let unsuitable = || AudioError::Rate { from: from_hz, to: to_hz };
        let mut new = Self { from_hz, to_hz, fft: None, pending: Vec::new(), block: Vec::new(), n_pushed: 0, n_given: 0, n_to_drop: 0 };
        if from_hz == to_hz {
            return Ok(new);
        }
        if [from_hz, to_hz].iter().any(|rate| !(1..=HIGHEST_RATE_HZ).contains(rate)) {
            return Err(unsuitable());
        }
        let (from, to) = (from_hz as usize, to_hz as usize);
        // The filter is centered between two samples when its block is odd, which shifts the sound by half a sample: so an even
        // multiple of the shortest block that both rates share.
        let shortest = from / greatest_common_divisor(from, to);
        let block = 2 * shortest * (BLOCK * from / to.min(from)).div_ceil(2 * shortest);
        let fft = Fft::<f32>::new_custom(from, to, block, 1, 1, rubato::WindowFunction::BlackmanHarris2, FixedSync::Input)
            .map_err(|_| unsuitable())?;
        new.block = vec![0.0; fft.output_frames_max()];
        new.n_to_drop = fft.output_delay();
        new.fft = Some(fft);
        Ok(new)
    }

    /// More samples; what can be given for them is appended to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.n_pushed += samples.len() as u64;
        let Some(block) = self.fft.as_ref().map(Fft::input_frames_next) else {
            out.extend_from_slice(samples);
            return;
        };
        self.pending.extend_from_slice(samples);
        let mut pending = std::mem::take(&mut self.pending);
        let mut blocks = pending.chunks_exact(block);
        blocks.by_ref().for_each(|samples| self.convert(samples, out));
        let n_left = blocks.remainder().len();
        pending.drain(..pending.len() - n_left);
        self.pending = pending;
    }

    /// The samples that are left.
    pub fn finish(mut self, out: &mut Vec<f32>) {
        let n_in_all = self.n_after(self.n_pushed);
        let mut rest = std::mem::take(&mut self.pending);
        while self.fft.is_some() && self.n_given < n_in_all {
            self.convert(&rest, out);
            rest.clear();
        }
        // The last block reaches beyond the end.
        out.truncate(out.len() - self.n_given.saturating_sub(n_in_all) as usize);
    }

    /// Samples that come out for `n` that go in: `ceil(n · to / from)`.
    fn n_after(&self, n: u64) -> u64 {
        if self.fft.is_none() { n } else { (u128::from(n) * u128::from(self.to_hz)).div_ceil(u128::from(self.from_hz)) as u64 }
    }

    /// One block, filled up with zeros where it is short.
    fn convert(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        let Some(fft) = &mut self.fft else { return };
        let n_block = self.block.len();
        let indexing = Indexing { partial_len: Some(samples.len()), ..Indexing::new() };
        let input = InterleavedSlice::new(samples, 1, samples.len()).expect("one channel of that many samples");
        let mut output = InterleavedSlice::new_mut(&mut self.block, 1, n_block).expect("one channel of that many samples");
        let (_, n_out) = fft.process_into_buffer(&input, &mut output, Some(&indexing)).expect("the buffers are of the lengths it names");
        let n_dropped = self.n_to_drop.min(n_out);
        self.n_to_drop -= n_dropped;
        out.extend_from_slice(&self.block[n_dropped..n_out]);
        self.n_given += (n_out - n_dropped) as u64;
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn sine(frequency_hz: f64, sample_rate_hz: u32, n: usize) -> AudioClip {
        let samples = (0..n).map(|i| (0.5 * (TAU * frequency_hz * i as f64 / f64::from(sample_rate_hz)).sin()) as f32).collect();
        AudioClip { samples, sample_rate_hz }
    }

    #[test]
    fn a_sine_survives_in_time_and_size() {
        for (from, to) in [(16_000, 24_000), (24_000, 16_000), (44_100, 16_000), (8_000, 48_000), (22_050, 16_000)] {
            let converted = resample(&sine(440.0, from, from as usize), to).unwrap();
            assert_eq!((converted.samples.len(), converted.sample_rate_hz), (to as usize, to));
            let expected = sine(440.0, to, to as usize);
            let inner = to as usize / 8..to as usize * 7 / 8;
            let error = inner.map(|i| (converted.samples[i] - expected.samples[i]).abs()).fold(0.0, f32::max);
            assert!(error < 1e-3, "{from} Hz to {to} Hz: off by {error}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_removed() {
        let converted = resample(&sine(11_000.0, 24_000, 24_000), 16_000).unwrap();
        let loudest = converted.samples[2_000..14_000].iter().fold(0_f32, |m, s| m.max(s.abs()));
        assert!(loudest < 1e-3, "an 11 kHz tone leaves {loudest} at 16 kHz");
    }

    #[test]
    fn odd_lengths_and_rates() {
        let one = AudioClip { samples: vec![0.5], sample_rate_hz: 16_000 };
        assert_eq!(resample(&one, 16_000).unwrap(), one);
        assert_eq!(resample(&one, 48_000).unwrap().samples.len(), 3);
        let empty = AudioClip { samples: vec![], sample_rate_hz: 16_000 };
        assert_eq!(resample(&empty, 8_000).unwrap().samples.len(), 0);
        assert_eq!(resample(&one, 0).unwrap_err().to_string(), "cannot resample from 16000 Hz to 0 Hz");
        let absurd = AudioClip { samples: vec![0.5], sample_rate_hz: u32::MAX };
        assert_eq!(resample(&absurd, 16_000).unwrap_err().to_string(), "cannot resample from 4294967295 Hz to 16000 Hz");
    }

    /// The library's own conversion of a whole sound is the reference; the pieces are of lengths that fit no block.
    #[test]
    fn in_pieces_it_is_the_same_to_the_bit() {
        for (from, to, n) in
            [(44_100, 24_000, 30_001), (16_000, 24_000, 5), (24_000, 16_000, 7_777), (8_000, 44_100, 4_096), (16_000, 16_000, 99)]
        {
            let clip = sine(440.0, from, n);
            let whole = resample(&clip, to).unwrap();
            let mut resampler = Resampler::new(from, to).unwrap();
            let (mut pieces, mut rest) = (Vec::new(), &clip.samples[..]);
            for length in [1, 1_000, 0, 17, 2_048, 313].into_iter().cycle() {
                let (piece, after) = rest.split_at(rest.len().min(length));
                resampler.push(piece, &mut pieces);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            resampler.finish(&mut pieces);
            assert_eq!(pieces, whole.samples, "{from} Hz to {to} Hz");
            if from != to {
                let fresh = Resampler::new(from, to).unwrap();
                let mut fft = fresh.fft.unwrap();
                let input = InterleavedSlice::new(&clip.samples, 1, n).unwrap();
                assert_eq!(fft.process_all(&input, n, None).unwrap().take_data(), whole.samples, "{from} Hz to {to} Hz");
            }
        }
    }
}
