//! Everything that decides what `fit` makes of a folder of speech.

use super::network::NetworkConfig;
use crate::fit::FitConfig;

/// How the codec is fitted and how it decodes.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemoCodecConfig {
    /// Sizes of the network.
    pub network: NetworkConfig,
    /// The training loop.
    pub fit: FitConfig,
    /// Weight of the Kullback-Leibler term (mean over dimensions).
    pub beta: f32,
    /// Weight of the envelope term: one minus the correlation of third-octave envelopes over 0.4 s.
    pub envelope_weight: f32,
    /// Utterance excerpts in a batch.
    pub batch: usize,
    /// Latents of an excerpt.
    pub segment_latents: usize,
    /// Each excerpt is made louder or softer by up to this.
    pub gain_jitter_db: f32,
    /// Learning rate of the linear path, relative to the nets': at full rate it is wrecked at once and never recovers.
    pub skip_lr_scale: f64,
    /// Decoded magnitudes are raised to this power before phases are found (energy kept); above 1 sharpens what the bottleneck blurs.
    pub expansion: f32,
    /// Rounds of Griffin-Lim.
    pub griffin_lim_iterations: usize,
    /// Speakers whose sound is never trained on.
    pub held_out_speakers: Vec<String>,
}

impl Default for DemoCodecConfig {
    fn default() -> Self {
        Self {
            network: NetworkConfig::default(),
            fit: FitConfig {
                steps: 30_000,
                learning_rate: 7e-4,
                warmup_steps: 100,
                final_lr_fraction: 0.02,
                weight_decay: 0.01,
                beta1: 0.9,
                beta2: 0.98,
                epsilon: 1e-8,
                clip_norm: 1.0,
                checkpoint_every: 1_000,
            },
            beta: 1e-2,
            envelope_weight: 8.0,
            batch: 4,
            segment_latents: 24,
            gain_jitter_db: 7.0,
            skip_lr_scale: 0.1,
            expansion: 1.08,
            griffin_lim_iterations: 32,
            held_out_speakers: Vec::new(),
        }
    }
}
