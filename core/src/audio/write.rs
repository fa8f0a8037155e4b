//! Clips to files: plain mono WAV.
//!
//! 24-bit PCM behind the oldest header (format tag 1) is what every reader takes; its steps lie 138 dB below full scale, so levels stay
//! true, and what was read from 16 or 24 bits is written as it was. It holds nothing beyond full scale, though, and a rollout that
//! drifts may go there: such a clip is written as 32-bit float (tag 3), to the bit, because clipping would hide what happened.

use std::io::{self, Write};
use std::path::Path;

use super::{AudioClip, AudioError};
use crate::disk;

/// One step of 24-bit PCM is the inverse of this.
const FULL_SCALE_24: f32 = 8_388_608.0;

/// Writes mono WAV, beside and renamed: 24-bit PCM, or 32-bit float where a sample lies beyond ±1 or is no number.
pub fn write_wav(path: &Path, clip: &AudioClip) -> Result<(), AudioError> {
    disk::write_beside(path, |file| file.write_all(&wav_bytes(clip)?)).map_err(|source| AudioError::Io { path: path.into(), source })
}

/// The file, in memory: `fmt `, for floats `fact`, and `data`. (The WAV writers at hand write 24 bits only as `WAVE_FORMAT_EXTENSIBLE`, which
/// Python's `wave` and others refuse.)
pub fn wav_bytes(clip: &AudioClip) -> io::Result<Vec<u8>> {
    let is_pcm = clip.samples.iter().all(|sample| sample.abs() <= 1.0);
    let (format_tag, sample_bytes) = if is_pcm { (1_u16, 3_u16) } else { (3, 4) };
    let n_data_bytes = clip.samples.len() * usize::from(sample_bytes);
    // Room for every header, so that no length in the file overflows.
    if u32::try_from(n_data_bytes + 128).is_err() {
        return Err(io::Error::other(format!("{} samples are more than a WAV file can hold (4 GiB)", clip.samples.len())));
    }
    let mut format = Vec::new();
    format.extend(format_tag.to_le_bytes());
    format.extend(1_u16.to_le_bytes());
    format.extend(clip.sample_rate_hz.to_le_bytes());
    format.extend(clip.sample_rate_hz.saturating_mul(u32::from(sample_bytes)).to_le_bytes());
    format.extend(sample_bytes.to_le_bytes());
    format.extend((8 * sample_bytes).to_le_bytes());

    let mut chunks = b"WAVE".to_vec();
    let mut data = Vec::with_capacity(n_data_bytes);
    if is_pcm {
        append_chunk(&mut chunks, *b"fmt ", &format);
        data.extend(clip.samples.iter().flat_map(|&sample| pcm24(sample)));
    } else {
        // Formats other than PCM say how long their extension is (not at all), and how many samples there are.
        format.extend(0_u16.to_le_bytes());
        append_chunk(&mut chunks, *b"fmt ", &format);
        append_chunk(&mut chunks, *b"fact", &(clip.samples.len() as u32).to_le_bytes());
        data.extend(clip.samples.iter().flat_map(|sample| sample.to_le_bytes()));
    }
    append_chunk(&mut chunks, *b"data", &data);
    let mut file = Vec::with_capacity(chunks.len() + 8);
    append_chunk(&mut file, *b"RIFF", &chunks);
    Ok(file)
}

/// RIFF: name, length, content, and a zero that makes the length even.
fn append_chunk(file: &mut Vec<u8>, name: [u8; 4], content: &[u8]) {
    file.extend(name);
    file.extend((content.len() as u32).to_le_bytes());
    file.extend(content);
    if !content.len().is_multiple_of(2) {
        file.push(0);
    }
}

fn pcm24(sample: f32) -> [u8; 3] {
    // +1 itself is one step more than there is.
    let step = (sample * FULL_SCALE_24).round().min(FULL_SCALE_24 - 1.0) as i32;
    let [low, middle, high, _] = step.to_le_bytes();
    [low, middle, high]
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    fn clip(samples: &[f32]) -> AudioClip {
        AudioClip { samples: samples.to_vec(), sample_rate_hz: 24_000 }
    }

    fn written(clip: &AudioClip) -> (Vec<u8>, AudioClip) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new folder/a.wav");
        write_wav(&path, clip).unwrap();
        (std::fs::read(&path).unwrap(), read(&path).unwrap())
    }

    #[test]
    fn within_full_scale_the_header_is_the_plainest() {
        let (bytes, back) = written(&clip(&[0.5, -1.0, 1.0]));
        let expected: &[&[u8]] = &[
            b"RIFF",
            &[46, 0, 0, 0],
            b"WAVE",
            b"fmt ",
            &[16, 0, 0, 0],
            &[1, 0],
            &[1, 0],
            &24_000_u32.to_le_bytes(),
            &72_000_u32.to_le_bytes(),
            &[3, 0],
            &[24, 0],
            b"data",
            &[9, 0, 0, 0],
            &[0, 0, 0x40],
            &[0, 0, 0x80],
            &[0xff, 0xff, 0x7f],
            &[0],
        ];
        assert_eq!(bytes, expected.concat());
        assert_eq!(back, clip(&[0.5, -1.0, 1.0 - 1.0 / FULL_SCALE_24]));
    }

    #[test]
    fn beyond_full_scale_it_is_float_to_the_bit() {
        let loud = clip(&[0.1, -1.5, f32::MIN_POSITIVE]);
        let (bytes, back) = written(&loud);
        let expected: &[&[u8]] = &[
            b"RIFF",
            &[62, 0, 0, 0],
            b"WAVE",
            b"fmt ",
            &[18, 0, 0, 0],
            &[3, 0],
            &[1, 0],
            &24_000_u32.to_le_bytes(),
            &96_000_u32.to_le_bytes(),
            &[4, 0],
            &[32, 0],
            &[0, 0],
            b"fact",
            &[4, 0, 0, 0],
            &[3, 0, 0, 0],
            b"data",
            &[12, 0, 0, 0],
            &0.1_f32.to_le_bytes(),
            &(-1.5_f32).to_le_bytes(),
            &f32::MIN_POSITIVE.to_le_bytes(),
        ];
        assert_eq!(bytes, expected.concat());
        assert_eq!(back, loud);
    }

    #[test]
    fn what_had_24_bits_comes_back_to_the_bit() {
        let exact = clip(&[-8_388_608_i32, -8_388_607, -1, 0, 1, 256, 8_388_607].map(|step| step as f32 / FULL_SCALE_24));
        assert_eq!(written(&exact).1, exact);
        let fine = clip(&[0.123_456_79, -0.000_012_345]);
        for (got, wanted) in written(&fine).1.samples.iter().zip(&fine.samples) {
            assert!((got - wanted).abs() <= 0.5 / FULL_SCALE_24, "{got}, not {wanted}");
        }
    }

    #[test]
    fn another_reader_takes_both() {
        for (samples, format) in [([0.25, -0.5], hound::SampleFormat::Int), ([0.25, -2.0], hound::SampleFormat::Float)] {
            let reader = hound::WavReader::new(io::Cursor::new(wav_bytes(&clip(&samples)).unwrap())).unwrap();
            assert_eq!((reader.spec().sample_format, reader.len()), (format, 2));
        }
    }
}
