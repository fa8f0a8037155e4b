//! Reading the arrays of one utterance.
//!
//! A chunk that Zarr would fill with zeros because its file is missing counts as damage here: invented frames are worse than none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zarrs::array::{Array, data_type, unravel_index};
use zarrs::filesystem::FilesystemStore;

use super::layout::group_folder;
use super::{StoreError, Utterance};

/// Latents of `utterance`, `[n_frames, dim]` row-major, all finite.
pub(super) fn latents(store: &Path, utterance: &Utterance, dim: usize) -> Result<Vec<f32>, StoreError> {
    let folder = existing_group(store, &utterance.id)?;
    let (array, shape) = open(&folder, "x")?;
    let n_frames = shape.first().copied().unwrap_or_default();
    if shape.len() == 2 && n_frames == 0 {
        return Err(StoreError::Empty(utterance.id.clone()));
    }
    if shape != [utterance.n_frames, dim] {
        let wanted = format!("[{}, {dim}]", utterance.n_frames);
        return Err(StoreError::Array { array: folder.join("x"), found: format!("of shape {shape:?}"), wanted });
    }
    let values = decode(&folder, "x", &array)?;
    match values.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(StoreError::NotFinite { utterance: utterance.id.clone(), frame_idx: i / dim, dim_idx: i % dim, value: values[i] }),
        None => Ok(values),
    }
}

/// Energy of `utterance`, `[n_frames]`; `None` where the store has none.
pub(super) fn energy(store: &Path, utterance: &Utterance) -> Result<Option<Vec<f32>>, StoreError> {
    let folder = existing_group(store, &utterance.id)?;
    if !folder.join("energy").is_dir() {
        return Ok(None);
    }
    let (array, shape) = open(&folder, "energy")?;
    if shape != [utterance.n_frames] {
        let wanted = format!("[{}]", utterance.n_frames);
        return Err(StoreError::Array { array: folder.join("energy"), found: format!("of shape {shape:?}"), wanted });
    }
    decode(&folder, "energy", &array).map(Some)
}

/// First and last time stamp in seconds and the number of frames, where the group at `folder` has them.
pub(super) fn time_span(folder: &Path) -> Result<Option<(f32, f32, usize)>, StoreError> {
    if !folder.join("timestamps").is_dir() {
        return Ok(None);
    }
    let (array, shape) = open(folder, "timestamps")?;
    let [n_frames, _] = latents_shape(folder)?;
    if shape != [n_frames] {
        let found = format!("of shape {shape:?}");
        return Err(StoreError::Array { array: folder.join("timestamps"), found, wanted: format!("[{n_frames}]") });
    }
    let times = decode(folder, "timestamps", &array)?;
    Ok(times.first().zip(times.last()).map(|(&first, &last)| (first, last, times.len())))
}

/// Shape of `x` in the group at `folder`, `[n_frames, dim]`; reads its description only.
pub(super) fn latents_shape(folder: &Path) -> Result<[usize; 2], StoreError> {
    let (_, shape) = open(folder, "x")?;
    <[usize; 2]>::try_from(shape).map_err(|shape| StoreError::Array {
        array: folder.join("x"),
        found: format!("of shape {shape:?}"),
        wanted: "[n_frames, dim]".into(),
    })
}

fn existing_group(store: &Path, utterance_id: &str) -> Result<PathBuf, StoreError> {
    let folder = group_folder(store, utterance_id)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(StoreError::NoGroup { store: store.into(), utterance: utterance_id.into() })
}

fn open(folder: &Path, name: &str) -> Result<(Array<FilesystemStore>, Vec<usize>), StoreError> {
    let path = || folder.join(name);
    let refuse = |reason: String| StoreError::Metadata { path: path(), reason };
    let storage = FilesystemStore::new(folder).map_err(|e| refuse(e.to_string()))?;
    let array = Array::open(Arc::new(storage), &format!("/{name}")).map_err(|e| refuse(e.to_string()))?;
    if *array.data_type() != data_type::float32() {
        let found = format!("of type {}", array.data_type());
        return Err(StoreError::Array { array: path(), found, wanted: "float32".into() });
    }
    let shape = array.shape().iter().map(|&n| n as usize).collect();
    Ok((array, shape))
}

fn decode(folder: &Path, name: &str, array: &Array<FilesystemStore>) -> Result<Vec<f32>, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { array: folder.join(name), reason };
    let grid = array.chunk_grid_shape();
    let n_chunks = grid.iter().fold(1_u64, |product, n| product.saturating_mul(*n));
    for indices in (0..n_chunks).map_while(|i| unravel_index(i, grid)) {
        let key = array.chunk_key(&indices);
        if !folder.join(key.as_str()).is_file() {
            return Err(damaged(format!("there is no chunk {key}")));
        }
    }
    array.retrieve_array_subset(&array.subset_all()).map_err(|e| damaged(e.to_string()))
}
