//! A latents store on disk.
//!
//! One Zarr group per utterance with the arrays `x` `[n_frames, dim]`, `energy` `[n_frames]` and `timestamps` `[n_frames]`
//! (float32); beside the hierarchy an index (`latents_index.parquet`) and `splits/`. Format 2 is the peer's, format 3 ours; both
//! are read by the same code. Values are read only when asked for.

mod array;
mod error;
mod index;
mod layout;
mod open;
mod write;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use error::StoreError;
pub use write::StoreWriter;

use super::{Latents, Split};

/// Zarr format of a store that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZarrVersion {
    /// As the peer's: Blosc-lz4, `.zgroup`, `.zarray`.
    V2,
    /// Ours: zstd with a checksum, `zarr.json`.
    #[default]
    V3,
}

/// Which codec made the latents of a store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CodecTag {
    /// Codec name ("demo", "mimi").
    pub codec: String,
    /// Where in the codec the latents were taken ("posterior-mean"); empty where a foreign store does not say.
    #[serde(default)]
    pub tap: String,
    /// blake3 of the weights, hex; empty where a foreign store does not say.
    #[serde(default)]
    pub weights_hash: String,
}

/// One row of a store's index.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// Group name in the store.
    pub id: String,
    /// Speaker, as text ("103").
    pub speaker: String,
    /// Frames, as the index (or, without one, the group) says.
    pub n_frames: usize,
    /// Length of the sound in seconds.
    pub duration_sec: f64,
    /// Path of the sound, as the index has it, where it has one.
    pub audio_path: Option<PathBuf>,
}

/// An open store: its index is in memory, its arrays are on disk.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    utterances: Vec<Utterance>,
    positions: HashMap<String, usize>,
    dim: usize,
    frame_rate_hz: f64,
    codec: Option<CodecTag>,
    split: Option<Split>,
}

impl Store {
    /// Opens a store: a `.zarr` folder, or a folder that holds one. With an index no array is read, save the `timestamps` of one
    /// utterance where no attribute tells the frame rate.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        open::open(path)
    }

    /// The `.zarr` folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Utterances in index order (without an index: in order of id).
    pub fn utterances(&self) -> &[Utterance] {
        &self.utterances
    }

    /// The row of one utterance.
    pub fn utterance(&self, utterance_id: &str) -> Result<&Utterance, StoreError> {
        let unknown = || StoreError::UnknownUtterance { store: self.path.clone(), utterance: utterance_id.to_owned() };
        self.positions.get(utterance_id).map(|&i| &self.utterances[i]).ok_or_else(unknown)
    }

    /// Dimensions of a frame.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Frames per second: the attribute `frame_rate_hz` of the root or of the first group; else from the timestamps of one
    /// utterance; else all frames of the index by all its seconds.
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
        let utterance = self.utterance(utterance_id)?;
        let values = array::latents(&self.path, utterance, self.dim)?;
        Ok(Latents { values, dim: self.dim, frame_rate_hz: self.frame_rate_hz })
    }

    /// RMS energy per frame, `[n_frames]`, where the store has it.
    pub fn energy(&self, utterance_id: &str) -> Result<Option<Vec<f32>>, StoreError> {
        array::energy(&self.path, self.utterance(utterance_id)?)
    }

    /// blake3 (hex) of the index: ids, speakers, frame counts, dimensions, frame rate and codec. It reads no array, so it does not
    /// notice changed values; [`Corpus::source`](crate::context::Corpus) is the identity that covers them.
    pub fn index_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let tag = self.codec.as_ref().map_or(["", "", ""], |c| [&c.codec, &c.tap, &c.weights_hash]);
        let head = format!("driftscope index 1\0{}\0{}\0{}\0", self.dim, self.frame_rate_hz, tag.join("\0"));
        hasher.update(head.as_bytes());
        for u in &self.utterances {
            hasher.update(format!("{}\0{}\0{}\0", u.id, u.speaker, u.n_frames).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}
