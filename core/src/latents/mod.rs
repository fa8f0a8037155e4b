//! Sequences of codec latents and the stores that hold them.
//!
//! A store is a Zarr hierarchy (v2 or v3) with one group per utterance, an index beside it and speaker splits. This module
//! reads and writes them and says what is wrong with a bad one; it does not know any codec.

mod scan;
mod sequence;
mod split;
mod store;

pub use scan::{AudioFile, scan_audio};
pub use sequence::Latents;
pub use split::{Split, SplitError};
pub use store::{CodecTag, Store, StoreError, StoreWriter, Utterance, ZarrVersion};
