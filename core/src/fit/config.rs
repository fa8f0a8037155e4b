//! How the loop runs: steps, learning rate, decay, clipping, checkpoints.

/// Settings of the loop; a task's own settings are its own.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitConfig {
    /// Optimizer steps in all.
    pub steps: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps over which the rate climbs from 0 to its peak.
    pub warmup_steps: u64,
    /// Fraction of the peak that the cosine ends at; 1 keeps the rate constant.
    pub final_lr_fraction: f64,
    /// AdamW decay of weights (never of biases or scales, see [`super::ParamGroup`]).
    pub weight_decay: f64,
    /// AdamW decay of the mean gradient.
    pub beta1: f64,
    /// AdamW decay of the mean squared gradient.
    pub beta2: f64,
    /// AdamW ε.
    pub epsilon: f64,
    /// Gradients are scaled down to this norm; 0 leaves them as they are.
    pub clip_norm: f64,
    /// A checkpoint is written every so many steps, and at the end.
    pub checkpoint_every: u64,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            steps: 10_000,
            learning_rate: 1e-3,
            warmup_steps: 100,
            final_lr_fraction: 0.02,
            weight_decay: 1e-2,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: 1.0,
            checkpoint_every: 1_000,
        }
    }
}

impl FitConfig {
    /// Learning rate of step `step` (from 0): linear warm-up, then half a cosine down to `final_lr_fraction`.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let span = self.steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let progress = ((step - self.warmup_steps) as f64 / span).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        self.learning_rate * (self.final_lr_fraction + (1.0 - self.final_lr_fraction) * cosine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warmup_then_cosine() {
        let config = FitConfig { steps: 1_100, warmup_steps: 100, learning_rate: 2.0, final_lr_fraction: 0.1, ..FitConfig::default() };
        // 2 · (0.1 + 0.9 · (1 + cos(π p)) / 2) at p = 0, 1/4, 1/2, 1.
        for (step, expected) in [(0, 0.02), (49, 1.0), (100, 2.0), (350, 1.736_396), (600, 1.1), (1_100, 0.2), (5_000, 0.2)] {
            assert!((config.learning_rate_at(step) - expected).abs() < 1e-5, "step {step}: {}", config.learning_rate_at(step));
        }
        let constant = FitConfig { warmup_steps: 0, final_lr_fraction: 1.0, learning_rate: 3.0, ..FitConfig::default() };
        assert_eq!(constant.learning_rate_at(777), 3.0);
    }
}
