//! Files to clips, whole or piece by piece.
//!
//! Reading is strict: a file that ends early or cannot be decoded to its end is refused, because half an utterance with the name of
//! a whole one would spoil every number made from it.

use std::fs::File;
use std::io::{self, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as DecodeError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{FORMAT_ID_FLAC, FORMAT_ID_WAVE};
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::{AudioClip, AudioError};

/// Reads WAV, FLAC, MP3 or Ogg Vorbis; channels are averaged.
pub fn read(path: &Path) -> Result<AudioClip, AudioError> {
    whole(AudioReader::open(path)?)
}

/// Reads a sound that is already in memory; `name` (with its extension) stands for the path in errors.
pub fn read_bytes(bytes: &[u8], name: &str) -> Result<AudioClip, AudioError> {
    whole(AudioReader::new(Box::new(Cursor::new(bytes)), Path::new(name))?)
}

/// A sound file that is read piece by piece, channels averaged; memory does not grow with its length.
pub struct AudioReader<'s> {
    path: PathBuf,
    format: Box<dyn FormatReader + 's>,
    decoder: Box<dyn AudioDecoder>,
    track_id: u32,
    /// Length in samples, where the format knows it exactly.
    n_expected: Option<u64>,
    sample_rate_hz: u32,
    n_read: u64,
    /// Decoded on opening, to learn the rate.
    first: Vec<f32>,
    interleaved: Vec<f32>,
}

impl<'s> AudioReader<'s> {
    /// Opens WAV, FLAC, MP3 or Ogg Vorbis, and decodes its beginning.
    pub fn open(path: &Path) -> Result<Self, AudioError> {
        let file = File::open(path).map_err(|source| AudioError::Io { path: path.into(), source })?;
        if file.metadata().is_ok_and(|m| m.is_dir()) {
            return Err(AudioError::NotAudio { path: path.into(), reason: "it is a folder".into() });
        }
        Self::new(Box::new(file), path)
    }

    fn new(source: Box<dyn MediaSource + 's>, path: &Path) -> Result<Self, AudioError> {
        whatever_is_in_it(path, || Self::probe(source, path))
    }

    fn probe(source: Box<dyn MediaSource + 's>, path: &Path) -> Result<Self, AudioError> {
        let refuse = |reason: String| AudioError::NotAudio { path: path.into(), reason };
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        let mut hint = Hint::new();
        if let Some(extension) = path.extension().and_then(|e| e.to_str()) {
            hint.with_extension(extension);
        }
        let format = symphonia::default::get_probe()
            .probe(&hint, stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|_| refuse("it does not begin as WAV, FLAC, MP3 or Ogg Vorbis does".into()))?;
        let track = format.default_track(TrackType::Audio).ok_or_else(|| refuse("no audio track".into()))?;
        let params = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or_else(|| refuse("unknown codec".into()))?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(params, &AudioDecoderOptions::default())
            .map_err(|e| refuse(e.to_string()))?;
        // Other formats only estimate their length.
        let is_length_exact = [FORMAT_ID_WAVE, FORMAT_ID_FLAC].contains(&format.format_info().format);
        let (track_id, n_expected) = (track.id, track.num_frames.filter(|_| is_length_exact));
        let (first, interleaved) = (Vec::new(), Vec::new());
        let mut reader =
            Self { path: path.into(), format, decoder, track_id, n_expected, sample_rate_hz: 0, n_read: 0, first, interleaved };
        let mut first = Vec::new();
        while first.is_empty() && reader.packet(&mut first)? {}
        if first.is_empty() {
            return Err(AudioError::Empty { path: path.into() });
        }
        reader.first = first;
        Ok(reader)
    }

    /// Samples per second.
    pub fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    /// Appends the next samples (some thousand at most) to `out`; `false` when there are no more.
    pub fn read(&mut self, out: &mut Vec<f32>) -> Result<bool, AudioError> {
        if self.first.is_empty() {
            let path = self.path.clone();
            return whatever_is_in_it(&path, || self.packet(out));
        }
        out.append(&mut self.first);
        Ok(true)
    }

    /// Decodes a packet; at the end, what is missing is an error.
    fn packet(&mut self, out: &mut Vec<f32>) -> Result<bool, AudioError> {
        let n_before = self.n_read;
        let refuse = |reason: String| AudioError::NotAudio { path: self.path.clone(), reason };
        let at = |e: &DecodeError| refuse(format!("after {n_before} samples: {e}"));
        let packet = match self.format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return self.end(),
            // Some readers tell the end of the file this way; the length is compared with the announced one.
            Err(DecodeError::IoError(e)) if e.kind() == io::ErrorKind::UnexpectedEof => return self.end(),
            Err(e) => return Err(at(&e)),
        };
        if packet.track_id != self.track_id {
            return Ok(true);
        }
        let buffer = self.decoder.decode(&packet).map_err(|e| at(&e))?;
        let (n_channels, rate_hz) = (buffer.spec().channels().count().max(1), buffer.spec().rate());
        if rate_hz == 0 {
            return Err(refuse("its sample rate is 0".into()));
        }
        if ![0, rate_hz].contains(&self.sample_rate_hz) {
            return Err(refuse(format!("its sample rate changes from {} to {rate_hz} Hz after {n_before} samples", self.sample_rate_hz)));
        }
        self.sample_rate_hz = rate_hz;
        buffer.copy_to_vec_interleaved(&mut self.interleaved);
        let n_out = out.len();
        out.extend(self.interleaved.chunks_exact(n_channels).map(|frame| frame.iter().sum::<f32>() / n_channels as f32));
        if let Some(position) = out[n_out..].iter().position(|s| !s.is_finite()) {
            return Err(refuse(format!("sample {} is not a finite number", n_before + position as u64)));
        }
        self.n_read += (out.len() - n_out) as u64;
        Ok(true)
    }

    fn end(&self) -> Result<bool, AudioError> {
        match self.n_expected.filter(|&n| self.n_read < n) {
            None => Ok(false),
            Some(expected) => {
                let reason = format!("ends after {} of {expected} samples", self.n_read);
                Err(AudioError::NotAudio { path: self.path.clone(), reason })
            }
        }
    }
}

impl std::fmt::Debug for AudioReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioReader").field("path", &self.path).field("n_read", &self.n_read).finish_non_exhaustive()
    }
}

/// The decoders are not ours, and some damaged headers make them panic; what panicked is not used again.
fn whatever_is_in_it<T>(path: &Path, decode: impl FnOnce() -> Result<T, AudioError>) -> Result<T, AudioError> {
    let refused = || AudioError::NotAudio { path: path.into(), reason: "it is damaged in a way that its decoder does not expect".into() };
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(refused()))
}

fn whole(mut reader: AudioReader<'_>) -> Result<AudioClip, AudioError> {
    let mut samples = Vec::new();
    while reader.read(&mut samples)? {}
    Ok(AudioClip { samples, sample_rate_hz: reader.sample_rate_hz() })
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
