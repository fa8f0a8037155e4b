//! Files to clips.
//!
//! Reading is strict: a file that ends early or cannot be decoded to its end is refused, because half an utterance with the name of
//! a whole one would spoil every number made from it.

use std::fs::File;
use std::io::{self, Cursor};
use std::path::Path;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as DecodeError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{FORMAT_ID_FLAC, FORMAT_ID_WAVE};
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::{AudioClip, AudioError};

/// Block of the resampler in samples of the lower rate: its anti-aliasing filter is that long.
const RESAMPLER_BLOCK: usize = 1024;

/// Reads WAV, FLAC, MP3 or Ogg Vorbis; channels are averaged.
pub fn read(path: &Path) -> Result<AudioClip, AudioError> {
    let file = File::open(path).map_err(|source| AudioError::Io { path: path.into(), source })?;
    decode(Box::new(file), path)
}

/// Reads a sound that is already in memory; `name` (with its extension) stands for the path in errors.
pub fn read_bytes(bytes: &[u8], name: &str) -> Result<AudioClip, AudioError> {
    decode(Box::new(Cursor::new(bytes)), Path::new(name))
}

/// Converts to `sample_rate_hz` (band-limited, no delay, `ceil(n · to / from)` samples); the same rate returns an unchanged copy.
pub fn resample(clip: &AudioClip, sample_rate_hz: u32) -> Result<AudioClip, AudioError> {
    if clip.sample_rate_hz == sample_rate_hz {
        return Ok(clip.clone());
    }
    let unsuitable = || AudioError::Rate { from: clip.sample_rate_hz, to: sample_rate_hz };
    if clip.samples.is_empty() {
        return Ok(AudioClip { samples: Vec::new(), sample_rate_hz });
    }
    let (from, to) = (clip.sample_rate_hz as usize, sample_rate_hz as usize);
    // The filter is centered between two samples when its block is odd, which shifts the sound by half a sample: so an even multiple
    // of the shortest block that both rates share.
    let shortest = from / greatest_common_divisor(from, to).max(1);
    let block = 2 * shortest * (RESAMPLER_BLOCK * from / to.clamp(1, from.max(1))).div_ceil(2 * shortest.max(1));
    let mut resampler = Fft::<f32>::new_custom(from, to, block, 1, 1, rubato::WindowFunction::BlackmanHarris2, FixedSync::Input)
        .map_err(|_| unsuitable())?;
    let input = InterleavedSlice::new(&clip.samples, 1, clip.samples.len()).map_err(|_| unsuitable())?;
    let output = resampler.process_all(&input, clip.samples.len(), None).map_err(|_| unsuitable())?;
    Ok(AudioClip { samples: output.take_data(), sample_rate_hz })
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn decode<'s>(source: Box<dyn MediaSource + 's>, path: &Path) -> Result<AudioClip, AudioError> {
    let refuse = |reason: String| AudioError::NotAudio { path: path.into(), reason };
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    let mut hint = Hint::new();
    if let Some(extension) = path.extension().and_then(|e| e.to_str()) {
        hint.with_extension(extension);
    }
    let mut format = symphonia::default::get_probe()
        .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|e| refuse(e.to_string()))?;
    let (track_id, n_expected, mut decoder) = {
        let track = format.default_track(TrackType::Audio).ok_or_else(|| refuse("no audio track".into()))?;
        let params = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or_else(|| refuse("unknown codec".into()))?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(params, &AudioDecoderOptions::default())
            .map_err(|e| refuse(e.to_string()))?;
        (track.id, track.num_frames, decoder)
    };
    // Other formats only estimate their length.
    let is_length_exact = [FORMAT_ID_WAVE, FORMAT_ID_FLAC].contains(&format.format_info().format);
    let clip = decode_track(format.as_mut(), track_id, decoder.as_mut()).map_err(refuse)?;
    if let Some(expected) = n_expected.filter(|&n| is_length_exact && (clip.samples.len() as u64) < n) {
        return Err(refuse(format!("ends after {} of {expected} samples", clip.samples.len())));
    }
    if clip.samples.is_empty() {
        return Err(AudioError::Empty { path: path.into() });
    }
    match clip.samples.iter().position(|s| !s.is_finite()) {
        Some(sample_idx) => Err(refuse(format!("sample {sample_idx} is not a finite number"))),
        None => Ok(clip),
    }
}

/// Decodes one track to its end, channels averaged; an error says after how many samples.
fn decode_track(format: &mut dyn FormatReader, track_id: u32, decoder: &mut dyn AudioDecoder) -> Result<AudioClip, String> {
    let mut clip = AudioClip::default();
    let mut interleaved: Vec<f32> = Vec::new();
    loop {
        let at = |e: &DecodeError| format!("after {} samples: {e}", clip.samples.len());
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // Some readers tell the end of the file this way; the caller compares the length with the announced one.
            Err(DecodeError::IoError(e)) if e.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(e) => return Err(at(&e)),
        };
        if packet.track_id != track_id {
            continue;
        }
        let buffer = decoder.decode(&packet).map_err(|e| at(&e))?;
        let n_channels = buffer.spec().channels().count().max(1);
        clip.sample_rate_hz = buffer.spec().rate();
        buffer.copy_to_vec_interleaved(&mut interleaved);
        clip.samples.extend(interleaved.chunks_exact(n_channels).map(|frame| frame.iter().sum::<f32>() / n_channels as f32));
    }
    Ok(clip)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn sine(frequency_hz: f64, sample_rate_hz: u32, n: usize) -> AudioClip {
        let samples = (0..n).map(|i| (0.5 * (TAU * frequency_hz * i as f64 / f64::from(sample_rate_hz)).sin()) as f32).collect();
        AudioClip { samples, sample_rate_hz }
    }

    fn wav(spec: hound::WavSpec, samples: &[i32]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        samples.iter().for_each(|&s| writer.write_sample(s).unwrap());
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    fn spec(channels: u16, sample_rate: u32, bits_per_sample: u16) -> hound::WavSpec {
        hound::WavSpec { channels, sample_rate, bits_per_sample, sample_format: hound::SampleFormat::Int }
    }

    #[test]
    fn eight_bit_stereo_is_averaged() {
        let clip = read_bytes(&wav(spec(2, 8_000, 8), &[64, -64, 64, 0, -128, -128]), "a.wav").unwrap();
        assert_eq!(clip, AudioClip { samples: vec![0.0, 0.25, -1.0], sample_rate_hz: 8_000 });
    }

    #[test]
    fn sixteen_bit_is_scaled_by_32768() {
        let clip = read_bytes(&wav(spec(1, 16_000, 16), &[-32_768, 16_384, 1]), "a.wav").unwrap();
        assert_eq!(clip.samples, [-1.0, 0.5, 1.0 / 32_768.0]);
    }

    #[test]
    fn bad_input_is_one_sentence() {
        let whole = wav(spec(1, 16_000, 16), &[100; 1000]);
        let cases: [(&[u8], &str, &str); 5] = [
            (b"once upon a time there was no sound here at all", "story.flac", "story.flac: not readable as WAV, FLAC"),
            (b"", "nothing.wav", "nothing.wav: not readable as WAV, FLAC"),
            (&wav(spec(1, 16_000, 16), &[]), "silent.wav", "silent.wav: holds no samples"),
            (&whole[..1000], "cut.wav", "cut.wav: not readable as WAV, FLAC, MP3 or Ogg Vorbis (ends after 478 of 1000 samples)"),
            (&whole[..20], "header.wav", "header.wav: not readable as WAV, FLAC"),
        ];
        for (bytes, name, expected) in cases {
            let message = read_bytes(bytes, name).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        let missing = read(Path::new("/no/such/sound.flac")).unwrap_err().to_string();
        assert!(missing.starts_with("/no/such/sound.flac: No such file"), "{missing}");
    }

    #[test]
    fn a_sine_survives_resampling_in_time_and_size() {
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
    }
}
