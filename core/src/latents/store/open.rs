//! Opening a store: finding its parts and what its frames are, without reading latents.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::layout::{Group, group_folder};
use super::{Store, StoreError, Utterance, array, index};
use crate::latents::Split;

/// See [`Store::open`].
pub(super) fn open(path: &Path) -> Result<Store, StoreError> {
    let (path, root) = locate(path)?;
    let mut utterances = match index::beside(&path) {
        Some(index) => index::read(&index)?,
        None => list_groups(&path)?,
    };
    complete(&path, &mut utterances)?;
    // The first group that is there speaks for all; every utterance is checked against it when it is read.
    let first = utterances.iter().find_map(|u| group_folder(&path, &u.id).ok().filter(|f| f.is_dir()));
    let first_group = first.as_deref().map(Group::read).transpose()?.flatten();
    let dim = match root.positive("latent_dim").or_else(|| first_group.as_ref()?.positive("latent_dim")) {
        Some(dim) => dim as usize,
        None => match &first {
            Some(folder) => array::latents_shape(folder)?[1],
            None => return Err(StoreError::NoUtterances(path)),
        },
    };
    let stated = root.positive("frame_rate_hz").or_else(|| first_group.as_ref()?.positive("frame_rate_hz"));
    let frame_rate_hz = match stated {
        Some(rate) => rate,
        None => measured_frame_rate(first.as_deref(), &utterances)?.ok_or_else(|| StoreError::FrameRate(path.clone()))?,
    };
    for utterance in utterances.iter_mut().filter(|u| u.duration_sec <= 0.0) {
        utterance.duration_sec = utterance.n_frames as f64 / frame_rate_hz;
    }
    let positions = utterances.iter().enumerate().map(|(i, u)| (u.id.clone(), i)).collect();
    let split = read_split(&path)?;
    Ok(Store { path, utterances, positions, dim, frame_rate_hz, codec: root.codec(), split })
}

/// The root group at `path`, or of the one `.zarr` folder in it (`latents.zarr` first).
fn locate(path: &Path) -> Result<(PathBuf, Group), StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing(path.into()));
    }
    if let Some(root) = Group::read(path)? {
        return Ok((path.into(), root));
    }
    let mut inside: Vec<PathBuf> = fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).collect();
    inside.retain(|p| p.is_dir() && p.extension().is_some_and(|e| e == "zarr"));
    let preferred = path.join("latents.zarr");
    let chosen = if inside.contains(&preferred) { Some(preferred) } else { inside.pop().filter(|_| inside.is_empty()) };
    let chosen = chosen.ok_or_else(|| StoreError::NotAStore(path.into()))?;
    match Group::read(&chosen)? {
        Some(root) => Ok((chosen, root)),
        None => Err(StoreError::NotAStore(chosen)),
    }
}

/// The groups below the root, in order of name; for a store without an index.
fn list_groups(path: &Path) -> Result<Vec<Utterance>, StoreError> {
    let entries = fs::read_dir(path).map_err(|source| StoreError::Io { path: path.into(), source })?;
    let mut names: Vec<String> = entries.flatten().filter(|e| e.path().is_dir()).filter_map(|e| e.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    let groups: Vec<Option<Utterance>> = names
        .into_par_iter()
        .map(|id| {
            let Some(group) = Group::read(&path.join(&id))? else { return Ok(None) };
            // Without a word on the speaker: the first part of the id, as LibriSpeech forms it.
            let speaker = group.text("speaker_id").unwrap_or_else(|| id.split('-').next().unwrap_or(&id).to_owned());
            let n_frames = group.positive("n_frames").unwrap_or_default() as usize;
            let duration_sec = group.positive("duration_sec").unwrap_or_default();
            let audio_path = group.text("audio_path").map(PathBuf::from);
            Ok(Some(Utterance { id, speaker, n_frames, duration_sec, audio_path }))
        })
        .collect::<Result<_, StoreError>>()?;
    let utterances: Vec<Utterance> = groups.into_iter().flatten().collect();
    if utterances.is_empty() { Err(StoreError::NoUtterances(path.into())) } else { Ok(utterances) }
}

/// Fills in the frame counts that the index or the group does not tell, from the arrays' descriptions.
fn complete(path: &Path, utterances: &mut [Utterance]) -> Result<(), StoreError> {
    utterances.par_iter_mut().filter(|u| u.n_frames == 0).try_for_each(|utterance| {
        let folder = group_folder(path, &utterance.id)?;
        if folder.is_dir() {
            utterance.n_frames = array::latents_shape(&folder)?[0];
        }
        Ok(())
    })
}

fn measured_frame_rate(first: Option<&Path>, utterances: &[Utterance]) -> Result<Option<f64>, StoreError> {
    if let Some((start, end, n_frames)) = first.map(array::time_span).transpose()?.flatten() {
        let rate = (n_frames as f64 - 1.0) / (f64::from(end) - f64::from(start));
        if rate.is_finite() && rate > 0.0 {
            // Time stamps are float32: beyond six digits they say nothing.
            let digit = 10_f64.powf(5.0 - rate.log10().floor());
            return Ok(Some((rate * digit).round() / digit));
        }
    }
    let known = utterances.iter().filter(|u| u.n_frames > 0 && u.duration_sec > 0.0);
    let (n_frames, seconds) = known.fold((0.0, 0.0), |(n, s), u| (n + u.n_frames as f64, s + u.duration_sec));
    Ok((seconds > 0.0).then(|| n_frames / seconds))
}

fn read_split(path: &Path) -> Result<Option<Split>, StoreError> {
    let folder = path.with_file_name("splits");
    let is_split = folder.join("train_speakers.txt").exists() || folder.join("eval_speakers.txt").exists();
    Ok(is_split.then(|| Split::read(&folder)).transpose()?)
}
