//! What can be wrong with a store.

use std::io;
use std::path::PathBuf;

use crate::latents::SplitError;

/// Why a store could not be read or written. Each message names the place and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing there.
    #[error("{0}: no such store")]
    Missing(PathBuf),
    /// No Zarr group.
    #[error("{0}: not a latents store (no zarr.json and no .zgroup)")]
    NotAStore(PathBuf),
    /// A group without utterances.
    #[error("{0}: holds no utterance")]
    NoUtterances(PathBuf),
    /// The system refused to read or write.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A `zarr.json`, `.zgroup`, `.zattrs` or `.zarray` that cannot be understood.
    #[error("{path}: not readable as Zarr metadata ({reason})")]
    Metadata {
        /// The file or array.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An index that cannot be used.
    #[error("{path}: not a usable index ({reason}); it must be a Parquet file with the columns utterance_id and speaker_id")]
    Index {
        /// The Parquet file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Two rows with one id.
    #[error("{path}: utterance {utterance} stands in rows {first} and {second}; an id may stand there once")]
    DuplicateUtterance {
        /// The Parquet file.
        path: PathBuf,
        /// The id.
        utterance: String,
        /// First row, from 1.
        first: usize,
        /// Second row, from 1.
        second: usize,
    },
    /// An id that cannot be the name of a group.
    #[error("utterance id {0:?} cannot name a folder; it must be text without / and \\ that starts with no dot")]
    UnusableId(String),
    /// A request for what is not there.
    #[error("{store}: no utterance {utterance}")]
    UnknownUtterance {
        /// The store.
        store: PathBuf,
        /// The id.
        utterance: String,
    },
    /// In the index but not in the hierarchy.
    #[error("{store}: utterance {utterance} is in the index, but there is no such group in the store")]
    NoGroup {
        /// The store.
        store: PathBuf,
        /// The id.
        utterance: String,
    },
    /// Wrong rank, type or size.
    #[error("{array}: is {found}; {wanted} is needed")]
    Array {
        /// The array's folder.
        array: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// A chunk that is missing, cut short or changed.
    #[error("{array}: cannot be decoded ({reason}); a chunk is missing, cut short or damaged")]
    Damaged {
        /// The array's folder.
        array: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// NaN or Inf among the latents.
    #[error("utterance {utterance}: latent at frame {frame_idx}, dimension {dim_idx} is {value}; every value must be finite")]
    NotFinite {
        /// The id.
        utterance: String,
        /// Frame, from 0.
        frame_idx: usize,
        /// Dimension, from 0.
        dim_idx: usize,
        /// What stands there.
        value: f32,
    },
    /// An utterance without frames.
    #[error("utterance {0}: has no frame; at least one is needed")]
    Empty(String),
    /// No way to tell the frame rate.
    #[error("{0}: the frame rate is unknown; the store needs the attribute frame_rate_hz, timestamps, or an index with durations")]
    FrameRate(PathBuf),
    /// Going on with a store that was begun otherwise.
    #[error("{store}: was written with {what} {found}, not {wanted}; name a new store")]
    Differs {
        /// The store.
        store: PathBuf,
        /// Which property.
        what: &'static str,
        /// The store's.
        found: String,
        /// The writer's.
        wanted: String,
    },
    /// Two writers.
    #[error("{0}: is being written by another run; wait for its end, or name another store")]
    Busy(PathBuf),
    /// From the text files.
    #[error(transparent)]
    Split(#[from] SplitError),
}
