//! The table of measures: name, unit, direction, definition, and how each is taken.

use serde_json::{Map, Value, json};

use super::{Pair, PerceiveError, cepstrum, fundamental, mel, pesq, si_sdr, stft_distance, stoi};
use crate::audio::{AudioClip, AudioError, loudness_lufs};

/// A number that a pair of sounds has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// Short-time objective intelligibility.
    Stoi,
    /// Its extension to modulated maskers.
    Estoi,
    /// Perceptual evaluation of speech quality, wide-band.
    PesqWideBand,
    /// The same at telephone bandwidth.
    PesqNarrowBand,
    /// Log-mel distance.
    MelDistance,
    /// Multi-resolution distance of short-time magnitudes.
    MultiResolutionStft,
    /// Mel-cepstral distortion.
    Mcd,
    /// Scale-invariant signal-to-distortion ratio.
    SiSdr,
    /// Error of the fundamental frequency.
    F0Error,
    /// Error of what is voiced.
    VoicingError,
    /// Difference of integrated loudness.
    LoudnessDifference,
}

/// Which way a number is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is nearer to the reference.
    Higher,
    /// Less is.
    Lower,
    /// Nearer to 0 from either side is.
    NearZero,
}

/// A measured number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// In [`Measure::unit`].
    pub value: f64,
    /// How many of what [`Measure::definition`] says it averages over.
    pub n: usize,
}

impl Measure {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 11] = [
        Self::Stoi,
        Self::Estoi,
        Self::PesqWideBand,
        Self::PesqNarrowBand,
        Self::MelDistance,
        Self::MultiResolutionStft,
        Self::Mcd,
        Self::SiSdr,
        Self::F0Error,
        Self::VoicingError,
        Self::LoudnessDifference,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stoi => "STOI",
            Self::Estoi => "ESTOI",
            Self::PesqWideBand => "PESQ-WB",
            Self::PesqNarrowBand => "PESQ-NB",
            Self::MelDistance => "mel distance",
            Self::MultiResolutionStft => "MR-STFT",
            Self::Mcd => "MCD",
            Self::SiSdr => "SI-SDR",
            Self::F0Error => "F0 error",
            Self::VoicingError => "voicing error",
            Self::LoudnessDifference => "loudness",
        }
    }

    /// Its name in JSON and CSV, with its unit.
    pub fn key(self) -> &'static str {
        match self {
            Self::Stoi => "stoi",
            Self::Estoi => "estoi",
            Self::PesqWideBand => "pesq_wb",
            Self::PesqNarrowBand => "pesq_nb",
            Self::MelDistance => "mel_distance",
            Self::MultiResolutionStft => "multi_resolution_stft",
            Self::Mcd => "mcd_db",
            Self::SiSdr => "si_sdr_db",
            Self::F0Error => "f0_error_cents",
            Self::VoicingError => "voicing_error_percent",
            Self::LoudnessDifference => "loudness_difference_lu",
        }
    }

    /// Its unit; empty for a plain number.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Stoi | Self::Estoi | Self::MultiResolutionStft => "",
            Self::PesqWideBand | Self::PesqNarrowBand => "MOS",
            Self::MelDistance => "nat",
            Self::Mcd | Self::SiSdr => "dB",
            Self::F0Error => "cent",
            Self::VoicingError => "%",
            Self::LoudnessDifference => "LU",
        }
    }

    /// Name and unit, for the head of a column.
    pub fn title(self) -> String {
        format!("{} {}", self.name(), self.unit()).trim_end().to_owned()
    }

    /// Which way it is to go.
    pub fn better(self) -> Better {
        match self {
            Self::Stoi | Self::Estoi | Self::PesqWideBand | Self::PesqNarrowBand | Self::SiSdr => Better::Higher,
            Self::MelDistance | Self::MultiResolutionStft | Self::Mcd | Self::F0Error | Self::VoicingError => Better::Lower,
            Self::LoudnessDifference => Better::NearZero,
        }
    }

    /// Definition card: formula, space, unit, frame, average, n, version.
    pub fn definition(self) -> &'static str {
        match self {
            Self::Stoi => {
                "Correlation over 30 frames (384 ms) of the amplitudes in a third of an octave, the degraded ones scaled to the energy of \
                 the reference and clipped at −15 dB. Sounds at 10 kHz, frames of 256 samples (25.6 ms), hop 128, 15 bands from 150 Hz, \
                 without the frames 40 dB below the loudest of the reference. Mean over bands and segments; n: segments. 1 is perfect. \
                 Taal et al. 2011, as pystoi 0.4.1. Sounds are compared where they lie: a delay counts as distortion."
            }
            Self::Estoi => {
                "As STOI, but each segment of 15 bands × 30 frames is normalized to mean 0 and norm 1 over time in every band, then over the \
                 bands in every frame, and the products are averaged over frames. Mean over segments; n: segments. 1 is perfect. Jensen & \
                 Taal 2016, as pystoi 0.4.1."
            }
            Self::PesqWideBand => {
                "Disturbance of loudness over Bark bands at 16 kHz, frames of 32 ms, hop 16 ms, averaged over frames and mapped to MOS-LQO, 1.04 \
                 to 4.64; n: frames. ITU-T P.862.2, within 0.02 of the Python package pesq 0.0.4. It aligns the sounds in time first, so a \
                 delay costs nothing and a sound that plays too slow or stands still would score falsely high: read it beside STOI or the \
                 mel distance, which do not; where the delay found varies by more than 8 ms there is no number."
            }
            Self::PesqNarrowBand => {
                "As PESQ-WB, at 8 kHz through the receiving filter of a telephone, mapped to MOS-LQO by P.862.1, 1.02 to 4.55; n: frames. \
                 ITU-T P.862, within 0.02 of the Python package pesq 0.0.4 at 8 kHz. It aligns the sounds in time first: read it beside STOI \
                 or the mel distance; where the delay found varies by more than 8 ms there is no number."
            }
            Self::MelDistance => {
                "Mean |ln max(mel, 1e-5) − ln max(mel̂, 1e-5)| in nats of power: 80 HTK triangles of height 1 from 0 Hz to half the rate, \
                 periodic Hann of 1024 samples, hop 256, frames centered, ends mirrored, at the rate of the reference. Mean over bands and \
                 frames; n: frames. The peer's definition."
            }
            Self::MultiResolutionStft => {
                "Multi-resolution STFT distance: ‖X − X̂‖ / ‖X‖ + mean |ln X − ln X̂| of short-time magnitudes (powers floored at 1e-8), averaged over three resolutions: FFT \
                 1024, 2048, 512, hop 120, 240, 50, periodic Hann of 600, 1200, 240 samples, frames centered, ends mirrored, at the rate of \
                 the reference. n: frames of all three. Yamamoto et al. 2020, as the defaults of auraloss 0.4."
            }
            Self::Mcd => {
                "(10 / ln 10)·√(2·Σ(c − ĉ)²) in dB over mel-cepstral coefficients 1 to 24, without c₀: the RMS difference of the smoothed \
                 log spectra over the mel axis, level aside. c is the cosine transform of ln √mel with the 80 bands, frames and floor of the \
                 mel distance. Mean over frames, each against the one at the same time (no warping of time); n: frames. Kubichek 1993; \
                 numbers from SPTK's mel-cepstra or after time warping are other numbers."
            }
            Self::SiSdr => {
                "10·log₁₀(‖αs‖² / ‖ŝ − αs‖²) in dB with α = ⟨ŝ, s⟩ / ‖s‖², means removed, over all samples; n: samples. Le Roux et al. 2019. \
                 It compares waveforms: a sound made without the phases of the reference scores low however it sounds."
            }
            Self::F0Error => {
                "√mean (1200·log₂(f̂/f))² in cents over the frames that are voiced in both sounds; n: those frames. F0 by pYIN (Mauch & Dixon \
                 2014) with the defaults of librosa 0.11: 65 to 500 Hz in tenths of a semitone, frames of 64 ms, hop 10 ms."
            }
            Self::VoicingError => {
                "Percent of the frames that are voiced in one of the two sounds only; n: all frames. Voicing as for the F0 error (pYIN as \
                 librosa 0.11, frames of 64 ms, hop 10 ms)."
            }
            Self::LoudnessDifference => {
                "Integrated loudness of the degraded sound minus that of the reference in LU: K-weighted power of 400 ms blocks, gated at \
                 −70 LUFS and 10 LU below the rest (ITU-R BS.1770-4, EBU R 128). n: 1. Below some 3 s the gates have few blocks to go by."
            }
        }
    }

    fn of(self, pair: &Pair) -> Result<Score, PerceiveError> {
        let score = match self {
            Self::Stoi => stoi::stoi(pair)?,
            Self::Estoi => stoi::estoi(pair)?,
            Self::PesqWideBand => pesq::wide_band(pair)?,
            Self::PesqNarrowBand => pesq::narrow_band(pair)?,
            Self::MelDistance => mel::distance(pair),
            Self::MultiResolutionStft => stft_distance::multi_resolution_stft(pair)?,
            Self::Mcd => cepstrum::mel_cepstral_distortion(pair)?,
            Self::SiSdr => {
                pair.refuse_silence()?;
                si_sdr::ratio_db(pair)?
            }
            Self::F0Error => fundamental::f0_error_cents(pair)?,
            Self::VoicingError => fundamental::voicing_error_percent(pair)?,
            Self::LoudnessDifference => loudness_difference_lu(pair)?,
        };
        let why = match self {
            Self::SiSdr if score.value == f64::INFINITY => "the degraded sound is the reference at some gain",
            Self::SiSdr if score.value == f64::NEG_INFINITY => "the degraded sound has nothing of the reference",
            _ => "the sounds hold samples that are no numbers",
        };
        if score.value.is_finite() { Ok(score) } else { Err(PerceiveError::NotFinite { measure: self, value: score.value, why }) }
    }
}

fn loudness_difference_lu(pair: &Pair) -> Result<Score, PerceiveError> {
    let lufs = |samples: &[f32]| loudness_lufs(&AudioClip { samples: samples.to_vec(), sample_rate_hz: pair.sample_rate_hz });
    match (lufs(&pair.reference), lufs(&pair.degraded)) {
        (Some(reference), Some(degraded)) => Ok(Score { value: degraded - reference, n: 1 }),
        _ => Err(PerceiveError::Inaudible { measure: Measure::LoudnessDifference }),
    }
}

/// One measure of a pair of sounds. Rates and lengths are matched as in [`scores`].
pub fn measure(measure: Measure, reference: &AudioClip, degraded: &AudioClip) -> Result<Score, PerceiveError> {
    measure.of(&Pair::new(reference, degraded)?)
}

/// Every measure of a pair of sounds. The degraded sound is brought to the rate of the reference, and both are cut to the shorter.
/// Fails only where there is nothing to compare.
pub fn scores(reference: &AudioClip, degraded: &AudioClip) -> Result<Scores, AudioError> {
    let pair = Pair::new(reference, degraded)?;
    let all = Measure::ALL.map(|measure| (measure, measure.of(&pair)));
    Ok(Scores {
        sample_rate_hz: pair.sample_rate_hz,
        compared_sec: pair.duration_sec(),
        left_out_sec: [reference, degraded].map(|clip| (clip.duration_sec() - pair.duration_sec()).max(0.0)),
        all: all.into(),
    })
}

/// All measures of one pair of sounds.
#[derive(Debug)]
pub struct Scores {
    /// Rate at which they were compared: that of the reference.
    pub sample_rate_hz: u32,
    /// Length that was compared.
    pub compared_sec: f64,
    /// What the reference and the degraded sound have beyond it.
    pub left_out_sec: [f64; 2],
    /// In the order of [`Measure::ALL`]: a number, or why there is none.
    pub all: Vec<(Measure, Result<Score, PerceiveError>)>,
}

impl Scores {
    /// The number of a measure, where there is one.
    pub fn value(&self, measure: Measure) -> Option<f64> {
        let (_, score) = self.all.iter().find(|(m, _)| *m == measure)?;
        score.as_ref().ok().map(|score| score.value)
    }

    /// Numbers by [`Measure::key`]; `null` where there is none.
    pub fn values(&self) -> Map<String, Value> {
        Measure::ALL.iter().map(|m| (m.key().to_owned(), json!(self.value(*m)))).collect()
    }

    /// Everything: what was compared, every number with its unit, direction, n and definition, and the reason where there is no number.
    pub fn to_json(&self) -> Value {
        let entry = |(measure, score): &(Measure, Result<Score, PerceiveError>)| {
            let mut entry = json!({
                "name": measure.name(),
                "value": score.as_ref().ok().map(|s| s.value),
                "unit": measure.unit(),
                "better": measure.better(),
                "n": score.as_ref().map_or(0, |s| s.n),
                "definition": measure.definition(),
            });
            if let Err(error) = score {
                entry["reason"] = error.to_string().into();
            }
            (measure.key().to_owned(), entry)
        };
        json!({
            "sample_rate_hz": self.sample_rate_hz,
            "compared_sec": self.compared_sec,
            "left_out_sec": { "reference": self.left_out_sec[0], "degraded": self.left_out_sec[1] },
            "version": env!("CARGO_PKG_VERSION"),
            "measures": self.all.iter().map(entry).collect::<Map<String, Value>>(),
        })
    }
}
