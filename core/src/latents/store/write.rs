//! Writing a store, utterance by utterance, so that a stopped run can go on.
//!
//! Every utterance is written as a hidden folder beside its place and renamed when whole; the index comes last. What a reader finds
//! is therefore complete, whenever the writing ended.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::{Map, Value, json};
use zarrs::array::{Array, ArrayError, CodecOptions};
use zarrs::filesystem::FilesystemStore;
use zarrs::storage::StorageError;

use super::layout::{Group, array_metadata, group_folder, speaker_number};
use super::{CodecTag, Latents, StoreError, Utterance, ZarrVersion, array, index};
use crate::disk;

/// Writes a store; utterance by utterance, each beside and renamed, the index last.
#[derive(Debug)]
pub struct StoreWriter {
    path: PathBuf,
    version: ZarrVersion,
    dim: usize,
    frame_rate_hz: f64,
    rows: Vec<Utterance>,
    positions: HashMap<String, usize>,
    lock: Option<Lock>,
}

/// Tells other writers, and is let go with the process, however that ends.
#[derive(Debug)]
struct Lock(#[expect(dead_code, reason = "it is let go when it is closed")] File);

impl StoreWriter {
    /// Starts (or goes on with) a store at `path` (the `.zarr` folder). A store that is there must have the same format, dimensions,
    /// frame rate and codec; its index rows are kept, and what a killed run left unfinished is removed. One that another process writes
    /// at the moment is refused.
    pub fn create(path: &Path, version: ZarrVersion, dim: usize, frame_rate_hz: f64, codec: Option<CodecTag>) -> Result<Self, StoreError> {
        let mut writer = Self { path: path.into(), version, dim, frame_rate_hz, rows: Vec::new(), positions: HashMap::new(), lock: None };
        let mut attributes = Map::new();
        attributes.insert("frame_rate_hz".into(), json!(frame_rate_hz));
        attributes.insert("latent_dim".into(), json!(dim));
        if let Some(CodecTag { codec, tap, weights_hash }) = &codec {
            attributes.extend([("codec", codec), ("tap", tap), ("weights_hash", weights_hash)].map(|(k, v)| (k.to_owned(), json!(v))));
        }
        let ours = Group { version, attributes };
        match Group::read(path)? {
            Some(root) => {
                writer.check_same(&root, &ours)?;
                writer.lock = lock(path, version)?;
                disk::remove_all_unfinished(path);
                disk::remove_unfinished(&index::own(path));
                if let Some(index) = index::beside(path) {
                    index::read(&index)?.into_iter().for_each(|row| writer.keep(row));
                }
            }
            None if is_empty_or_absent(path) => {
                disk::remove_all_unfinished(path);
                ours.write(path)?;
                writer.lock = lock(path, version)?;
            }
            None => return Err(StoreError::NotAStore(path.into())),
        }
        Ok(writer)
    }

    /// An utterance of an earlier run that is there and whole; it is taken into the index and need not be written again.
    pub fn existing(&mut self, utterance_id: &str) -> Option<Utterance> {
        let row = self.whole(utterance_id)?;
        self.keep(row.clone());
        Some(row)
    }

    /// [`Self::existing`] for many, read in parallel: which of them are there.
    pub fn existing_among(&mut self, utterance_ids: &[&str]) -> Vec<bool> {
        let rows: Vec<Option<Utterance>> = utterance_ids.par_iter().map(|id| self.whole(id)).collect();
        let is_there = rows.iter().map(Option::is_some).collect();
        rows.into_iter().flatten().for_each(|row| self.keep(row));
        is_there
    }

    fn whole(&self, utterance_id: &str) -> Option<Utterance> {
        let folder = group_folder(&self.path, utterance_id).ok()?;
        let group = Group::read(&folder).ok()??;
        let [n_frames, _] = array::latents_shape(&folder).ok()?;
        let row = Utterance {
            id: utterance_id.to_owned(),
            speaker: group.text("speaker_id")?,
            n_frames,
            duration_sec: group.positive("duration_sec").unwrap_or(n_frames as f64 / self.frame_rate_hz),
            audio_path: group.text("audio_path").map(PathBuf::from),
        };
        array::latents(&self.path, &row, self.dim).ok()?;
        array::energy(&self.path, &row).ok()?;
        array::time_span(&folder).ok()?;
        Some(row)
    }

    /// Writes one utterance; `energy` is `[n_frames]`. One of the same id that is there is replaced.
    pub fn write(&mut self, utterance: &Utterance, latents: &Latents, energy: &[f32]) -> Result<(), StoreError> {
        let target = group_folder(&self.path, &utterance.id)?;
        self.check(&target, utterance, latents, energy)?;
        let part = disk::name_beside(&target);
        let written = self
            .write_group(&part, utterance, latents, energy)
            .and_then(|()| replace_folder(&part, &target).map_err(|source| StoreError::Io { path: target.clone(), source }));
        if written.is_err() {
            // The error that ended the writing is the one to report.
            let _ = fs::remove_dir_all(&part);
        }
        written?;
        self.keep(Utterance { n_frames: latents.n_frames(), ..utterance.clone() });
        Ok(())
    }

    /// Puts these utterances into this order in the index, behind those that are not among them: utterances that were encoded side by
    /// side, or in several runs, get the rows that one run after another would give them.
    pub fn order(&mut self, utterance_ids: &[&str]) {
        let place: HashMap<&str, usize> = utterance_ids.iter().enumerate().map(|(i, &id)| (id, i + 1)).collect();
        self.rows.sort_by_key(|row| place.get(row.id.as_str()).copied().unwrap_or(0));
        self.positions = self.rows.iter().enumerate().map(|(i, row)| (row.id.clone(), i)).collect();
    }

    /// Writes `latents_index.parquet` (`NAME_index.parquet` beside `NAME.zarr`).
    pub fn finish(self) -> Result<(), StoreError> {
        index::write(&index::own(&self.path), &self.rows)
    }

    fn keep(&mut self, row: Utterance) {
        if let Some(&position) = self.positions.get(&row.id) {
            self.rows[position] = row;
        } else {
            self.positions.insert(row.id.clone(), self.rows.len());
            self.rows.push(row);
        }
    }

    fn check_same(&self, root: &Group, ours: &Group) -> Result<(), StoreError> {
        let differs = |what, found: String, wanted: String| StoreError::Differs { store: self.path.clone(), what, found, wanted };
        if root.version != self.version {
            return Err(differs("Zarr format", format!("{:?}", root.version), format!("{:?}", self.version)));
        }
        for (name, what) in
            [("latent_dim", "dimensions"), ("frame_rate_hz", "frame rate"), ("codec", "codec"), ("tap", "tap"), ("weights_hash", "weights")]
        {
            let text = |group: &Group| group.attributes.get(name).map_or_else(|| "unknown".to_owned(), Value::to_string);
            if text(root) != text(ours) {
                return Err(differs(what, text(root), text(ours)));
            }
        }
        Ok(())
    }

    fn check(&self, target: &Path, utterance: &Utterance, latents: &Latents, energy: &[f32]) -> Result<(), StoreError> {
        let array = |name: &str, found: String, wanted: String| StoreError::Array { array: target.join(name), found, wanted };
        let n_frames = latents.n_frames();
        if latents.dim != self.dim || latents.values.len() != n_frames * self.dim {
            let found = format!("{} values in frames of {}", latents.values.len(), latents.dim);
            return Err(array("x", found, format!("frames of {}", self.dim)));
        }
        if n_frames == 0 {
            return Err(StoreError::Empty(utterance.id.clone()));
        }
        if energy.len() != n_frames {
            return Err(array("energy", format!("of shape [{}]", energy.len()), format!("[{n_frames}]")));
        }
        match latents.values.iter().position(|v| !v.is_finite()) {
            Some(i) => Err(StoreError::NotFinite {
                utterance: utterance.id.clone(),
                frame_idx: i / self.dim,
                dim_idx: i % self.dim,
                value: latents.values[i],
            }),
            None => Ok(()),
        }
    }

    fn write_group(&self, folder: &Path, utterance: &Utterance, latents: &Latents, energy: &[f32]) -> Result<(), StoreError> {
        let n_frames = latents.n_frames();
        let speaker = speaker_number(&utterance.speaker).map_or_else(|| json!(utterance.speaker), |n| json!(n));
        let attributes = json!({
            "speaker_id": speaker,
            "n_frames": n_frames,
            "latent_dim": self.dim,
            "duration_sec": utterance.duration_sec,
            "audio_path": utterance.audio_path.as_ref().map_or_else(String::new, |p| p.to_string_lossy().into_owned()),
        });
        let Value::Object(attributes) = attributes else { unreachable!("json! of braces is an object") };
        Group { version: self.version, attributes }.write_unfinished(folder)?;
        let timestamps: Vec<f32> = (0..n_frames).map(|t| (t as f64 / self.frame_rate_hz) as f32).collect();
        self.write_array(folder, "x", &[n_frames as u64, self.dim as u64], &latents.values)?;
        self.write_array(folder, "energy", &[n_frames as u64], energy)?;
        self.write_array(folder, "timestamps", &[n_frames as u64], &timestamps)
    }

    fn write_array(&self, folder: &Path, name: &str, shape: &[u64], values: &[f32]) -> Result<(), StoreError> {
        let path = || folder.join(name);
        let refuse = |reason: String| StoreError::Metadata { path: path(), reason };
        let metadata = array_metadata(self.version, shape).map_err(|e| refuse(e.to_string()))?;
        let storage = Arc::new(FilesystemStore::new(folder).map_err(|e| refuse(e.to_string()))?);
        let array = Array::new_with_metadata(storage, &format!("/{name}"), metadata).map_err(|e| refuse(e.to_string()))?;
        let refused = |e: StorageError| match e {
            StorageError::IOError(source) => StoreError::Io { path: path(), source: again(&source) },
            other => refuse(other.to_string()),
        };
        array.store_metadata().map_err(refused)?;
        // A chunk of zeros is written like any other, so that a missing file always means damage.
        let options = CodecOptions::default().with_store_empty_chunks(true);
        array.store_array_subset_opt(&array.subset_all(), values, &options).map_err(|e| match e {
            ArrayError::StorageError(e) => refused(e),
            other => refuse(other.to_string()),
        })
    }
}

/// Puts `part` in the place of `target`, which is moved aside before it is removed.
fn replace_folder(part: &Path, target: &Path) -> io::Result<()> {
    if !target.exists() {
        return fs::rename(part, target);
    }
    let old = disk::name_beside(target);
    fs::rename(target, &old)?;
    fs::rename(part, target)?;
    fs::remove_dir_all(&old)
}

/// A file system that knows no locks does without.
fn lock(store: &Path, version: ZarrVersion) -> Result<Option<Lock>, StoreError> {
    // Where locks are mandatory a reader could not open what is locked.
    if !cfg!(unix) {
        return Ok(None);
    }
    let root = store.join(if version == ZarrVersion::V2 { ".zgroup" } else { "zarr.json" });
    let file = File::open(&root).map_err(|source| StoreError::Io { path: root, source })?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy(store.into())),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// A folder in which a run was killed before its first file was whole counts as empty.
fn is_empty_or_absent(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().all(|entry| disk::is_unfinished(&entry.file_name())),
        Err(_) => !path.exists(),
    }
}

fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}
