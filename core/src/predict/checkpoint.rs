//! Checkpoints: ours, and the peer's as they are.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::Predictor;

/// Where a predictor came from.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Provenance {
    /// Identity of the data it was fitted on ([`crate::context::Corpus::source`]); empty if unknown.
    pub store_hash: String,
    /// Seed of the fit.
    pub seed: u64,
    /// Optimizer steps taken.
    pub steps: u64,
    /// Version of the program that wrote it.
    pub version: String,
    /// The fit's config, as JSON.
    pub config: serde_json::Value,
}

/// Why a checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Unreadable, truncated, or not a checkpoint.
    #[error("{path}: {reason}")]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        reason: String,
    },
}

pub(super) fn load(path: &Path, device: &Device) -> Result<Predictor, CheckpointError> {
    let _ = (path, device);
    todo!()
}

pub(super) fn from_bytes(bytes: &[u8], name: &str, device: &Device) -> Result<Predictor, CheckpointError> {
    let _ = (bytes, name, device);
    todo!()
}

pub(super) fn save(predictor: &Predictor, path: &Path) -> Result<(), CheckpointError> {
    let _ = (predictor, path);
    todo!()
}
