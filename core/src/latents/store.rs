//! A latents store on disk. Split into files by the one who fills it.

use std::path::{Path, PathBuf};

use super::{Latents, Split};

/// Zarr format of a store that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZarrVersion {
    /// As the peer's: Blosc-lz4, `.zgroup`, `.zarray`.
    V2,
    /// Ours: zstd, `zarr.json`.
    #[default]
    V3,
}

/// Which codec made the latents of a store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CodecTag {
    /// Codec name ("demo", "mimi").
    pub codec: String,
    /// Where in the codec the latents were taken ("posterior-mean").
    pub tap: String,
    /// blake3 of the weights, hex.
    pub weights_hash: String,
}

/// One row of a store's index.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// Group name in the store.
    pub id: String,
    /// Speaker, as text ("103").
    pub speaker: String,
    /// Frames, where the index says so.
    pub n_frames: usize,
    /// Length of the sound.
    pub duration_sec: f64,
    /// Path of the sound, as the index has it, where it has one.
    pub audio_path: Option<PathBuf>,
}

/// An open store: its index is in memory, its arrays are on disk.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    utterances: Vec<Utterance>,
    dim: usize,
    frame_rate_hz: f64,
    codec: Option<CodecTag>,
    split: Option<Split>,
}

/// Why a store could not be read or written. Each message names the place and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing there.
    #[error("{0}: no such store")]
    Missing(PathBuf),
    /// No Zarr group.
    #[error("{0}: not a latents store (no zarr.json and no .zgroup)")]
    NotAStore(PathBuf),
}

impl Store {
    /// Opens a store: a `.zarr` folder, or a folder that holds `latents.zarr`. Reads the index and no array.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let _ = path;
        todo!()
    }

    /// The `.zarr` folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Utterances in index order.
    pub fn utterances(&self) -> &[Utterance] {
        &self.utterances
    }

    /// Dimensions of a frame.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Frames per second.
    pub fn frame_rate_hz(&self) -> f64 {
        self.frame_rate_hz
    }

    /// The codec that made it, where the store says so.
    pub fn codec(&self) -> Option<&CodecTag> {
        self.codec.as_ref()
    }

    /// The split in `splits/` beside the store, where there is one.
    pub fn split(&self) -> Option<&Split> {
        self.split.as_ref()
    }

    /// Reads one utterance; fails on NaN or Inf (says frame and dimension), wrong rank, type or size.
    pub fn read(&self, utterance_id: &str) -> Result<Latents, StoreError> {
        let _ = utterance_id;
        todo!()
    }

    /// RMS energy per frame, `[n_frames]`, where the store has it.
    pub fn energy(&self, utterance_id: &str) -> Result<Option<Vec<f32>>, StoreError> {
        let _ = utterance_id;
        todo!()
    }

    /// blake3 (hex) of the index: ids, speakers, frame counts, dimensions, frame rate and codec. It reads no array, so it does not
    /// notice changed values; [`Corpus::source`](crate::context::Corpus) is the identity that covers them.
    pub fn index_hash(&self) -> String {
        todo!()
    }
}

/// Writes a store; utterance by utterance, each beside and renamed, the index last.
#[derive(Debug)]
pub struct StoreWriter {}

impl StoreWriter {
    /// Starts (or goes on with) a store at `path` (the `.zarr` folder).
    pub fn create(path: &Path, version: ZarrVersion, dim: usize, frame_rate_hz: f64, codec: Option<CodecTag>) -> Result<Self, StoreError> {
        let _ = (path, version, dim, frame_rate_hz, codec);
        todo!()
    }

    /// Writes one utterance.
    pub fn write(&mut self, utterance: &Utterance, latents: &Latents, energy: &[f32]) -> Result<(), StoreError> {
        let _ = (utterance, latents, energy);
        todo!()
    }

    /// Writes `latents_index.parquet` beside the store.
    pub fn finish(self) -> Result<(), StoreError> {
        todo!()
    }
}
