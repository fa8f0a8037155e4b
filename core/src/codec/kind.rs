//! Which codec, and what of it its user chooses.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use driftscope_numerics::activation::Activation;

use super::CodecError;

/// The codecs by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CodecKind {
    /// The embedded codec of this project, 16 kHz, 12.5 Hz × 64.
    Demo,
    /// Kyutai's Mimi (Défossez et al. 2024), 24 kHz, 12.5 Hz × 512.
    Mimi,
    /// Meta's EnCodec (Défossez et al. 2022), 24 kHz, 75 Hz × 128.
    Encodec,
    /// The VAE of CALM and pocket-tts (Rouard et al. 2025), 24 kHz, 12.5 Hz × 32.
    Calm,
}

impl CodecKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Demo, Self::Mimi, Self::Encodec, Self::Calm];

    /// What it is called in stores and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Mimi => "mimi",
            Self::Encodec => "encodec",
            Self::Calm => "calm",
        }
    }

    /// What its authors' transformers use.
    pub(super) fn gelu(self) -> Option<Gelu> {
        match self {
            Self::Mimi => Some(Gelu::Exact),
            // Since pocket-tts 3.2.
            Self::Calm => Some(Gelu::Tanh),
            Self::Demo | Self::Encodec => None,
        }
    }
}

impl fmt::Display for CodecKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CodecKind {
    type Err = CodecError;

    fn from_str(name: &str) -> Result<Self, CodecError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| CodecError::Input(format!("there is no codec {name:?}; known are demo, mimi, encodec and calm")))
    }
}

/// What of a codec is chosen by its user; the default is what the codec's authors do. It travels in the store as the tap.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct CodecOptions {
    /// Configuration file; else the `config.json` or `config.yaml` beside the weights, else the published configuration.
    pub config: Option<PathBuf>,
    /// Where in the codec latents are taken and put back.
    pub tap: Tap,
    /// Frames of EnCodec.
    pub frames: EncodecFrames,
    /// How sound that ends within a frame is filled up.
    pub end: EndPadding,
    /// Which GELU the transformers use; by default what the codec's authors use.
    pub gelu: Option<Gelu>,
}

/// Where in a codec latents are taken and put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tap {
    /// The encoder's output before any quantizer (of CALM: the posterior mean).
    #[default]
    Continuous,
    /// The same place after quantizing and dequantizing (Mimi, EnCodec).
    Dequantized,
    /// Behind the projection that Mimi's quantizers (semantic, then acoustic dimensions) or CALM's decoder begin with.
    Projected,
    /// CALM's continuous latents less their mean over their deviation, as its language model sees them.
    Normalized,
}

impl Tap {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Continuous, Self::Dequantized, Self::Projected, Self::Normalized];

    /// What a store calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Continuous => "continuous",
            Self::Dequantized => "dequantized",
            Self::Projected => "projected",
            Self::Normalized => "normalized",
        }
    }
}

/// EnCodec's own frames, or fewer and longer ones made of six.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncodecFrames {
    /// 75 Hz × 128.
    #[default]
    Native,
    /// 12.5 Hz × 128, the mean of six; back by repeating it. Lossy: the decoder never met such latents.
    MeanRepeated,
    /// 12.5 Hz × 128, the mean of six; back by linear interpolation between centers. Lossy as well.
    MeanInterpolated,
    /// 12.5 Hz × 768, six frames after each other (dimension `6-frame index · 128 + channel`). Lossless.
    Stacked,
}

/// How sound that ends within a latent frame is filled up. The last frame differs a great deal between the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndPadding {
    /// Zeros to a whole frame before anything else, as moshi and pocket-tts do it.
    #[default]
    Waveform,
    /// Each convolution fills up what it is given, as transformers does it.
    Layers,
}

/// The two activations of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gelu {
    /// `x·Φ(x)`.
    Exact,
    /// Its approximation by tanh (Hendrycks, Gimpel 2016).
    Tanh,
}

impl From<Gelu> for Activation {
    fn from(gelu: Gelu) -> Self {
        match gelu {
            Gelu::Exact => Self::Gelu,
            Gelu::Tanh => Self::GeluTanh,
        }
    }
}
