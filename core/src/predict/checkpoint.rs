//! Checkpoints: ours, and the peer's as they are.
//!
//! Ours is a safetensors file whose metadata entry `driftscope` is a JSON header ([`Header`]); the weights carry the peer's
//! names and layout, the statistics of the training side stand beside them. Nothing is guessed: a tensor that is missing, of
//! another shape, or of no layer is named in the error.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::linear::{LinearGaussian, Ridge};
use super::live::LiveSlot;
use super::mdn::{Mdn, MdnNet};
use super::network::{Bound, NetworkShape, Scaling};
use super::vmf_lognormal::{VmfBounds, VmfLogNormal, VmfNet};
use super::weights::{NamedArrays, Precision};
use super::{Model, Predictor, PredictorInfo};
use crate::disk;
use crate::engine::is_cpu;
use crate::latents::CodecTag;

/// Where a predictor came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Identity of the store it was fitted on ([`crate::latents::Store::hash`]); empty if unknown.
    pub store_hash: String,
    /// Which codec made its latents, where the store says.
    #[serde(default)]
    pub codec: Option<CodecTag>,
    /// Speakers that the fit saw.
    #[serde(default)]
    pub train_speakers: BTreeSet<String>,
    /// Seed of the fit.
    pub seed: u64,
    /// Optimizer steps taken.
    pub steps: u64,
    /// Version of the program that wrote it.
    pub version: String,
    /// The fit's config, as JSON.
    pub config: Value,
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
    /// The fit that was to make it cannot run on this data or config.
    #[error("{0}")]
    Fit(String),
    /// The fit that was to make it was stopped.
    #[error(transparent)]
    Cancelled(#[from] crate::job::Cancelled),
}

/// The JSON header of our checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    info: PredictorInfo,
    #[serde(default)]
    network: NetworkShape,
    /// Mean and standard deviation of ln‖Δ‖ on the training side.
    #[serde(default)]
    log_magnitude: (f64, f64),
}

/// Entry of the metadata that makes a safetensors file ours.
const HEADER_KEY: &str = "driftscope";
const FORMAT: u32 = 1;
/// Statistics, which stay f32 whatever the weights' precision.
const STATISTICS: [&str; 4] = ["frame_mean", "frame_std", "delta_std", "residual_variance"];

pub(super) fn load(path: &Path, device: &Device) -> Result<Predictor, CheckpointError> {
    let bad = |reason: String| CheckpointError::Bad { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|e| bad(format!("cannot be read ({e})")))?;
    let named = match kind_of(&bytes) {
        FileKind::Safetensors => NamedArrays::from_safetensors(&bytes),
        FileKind::Pytorch => NamedArrays::from_pytorch(path),
        FileKind::Other => Err("not a checkpoint; a predictor is a .safetensors file, or a .pt file of PyTorch".into()),
    };
    named.and_then(|named| predictor_from(named, &bytes, device)).map_err(bad)
}

pub(super) fn from_bytes(bytes: &[u8], name: &str, device: &Device) -> Result<Predictor, CheckpointError> {
    let predictor = NamedArrays::from_safetensors(bytes).and_then(|named| predictor_from(named, bytes, device));
    predictor.map_err(|reason| CheckpointError::Bad { path: name.into(), reason })
}

pub(super) fn save(predictor: &Predictor, path: &Path) -> Result<(), CheckpointError> {
    let bad = |reason: String| CheckpointError::Bad { path: path.to_owned(), reason };
    let bytes = to_bytes(predictor).map_err(bad)?;
    disk::write_beside(path, |file| file.write_all(&bytes)).map_err(|e| bad(format!("cannot be written ({e})")))
}

enum FileKind {
    Safetensors,
    Pytorch,
    Other,
}

fn kind_of(bytes: &[u8]) -> FileKind {
    match bytes {
        [_, _, _, _, _, _, _, _, b'{', ..] => FileKind::Safetensors,
        // A zip, or a pickle of protocol 2 and up.
        [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => FileKind::Pytorch,
        _ => FileKind::Other,
    }
}

/// Everything after the container, with a copy on the CPU where `device` is another.
fn predictor_from(named: NamedArrays, bytes: &[u8], device: &Device) -> Result<Predictor, String> {
    let hash = blake3::hash(bytes).to_hex().to_string();
    let spare = if is_cpu(device) { None } else { Some(Arc::new(on_device(named.clone(), &hash, &Device::flex())?)) };
    Ok(Predictor { spare, ..on_device(named, &hash, device)? })
}

/// Ours by its header, else the peer's by its metadata.
fn on_device(mut named: NamedArrays, hash: &str, device: &Device) -> Result<Predictor, String> {
    let mut predictor = match named.metadata.remove(HEADER_KEY) {
        Some(header) => ours(&serde_json::from_value(header).map_err(|e| format!("its header is damaged ({e})"))?, named, device)?,
        None => peer(named, device)?,
    };
    hash.clone_into(&mut predictor.info.hash);
    Ok(predictor)
}

fn ours(header: &Header, mut named: NamedArrays, device: &Device) -> Result<Predictor, String> {
    if header.format != FORMAT {
        return Err(format!("written in format {}; this version reads format {FORMAT}", header.format));
    }
    let PredictorInfo { dim, window, .. } = header.info;
    let n_in = dim * window;
    let shape = header.network;
    let model = match header.info.kind.as_str() {
        "persistence" => Model::Persistence,
        "climatology" => Model::Climatology { mean: named.take("frame_mean", &[dim])? },
        "linear" => {
            let ridge = Ridge {
                input_mean: named.take("frame_mean", &[dim])?,
                input_std: named.take("frame_std", &[dim])?,
                weights: named.take("weights", &[n_in, dim])?,
                bias: named.take("bias", &[dim])?,
                residual_variance: named.take("residual_variance", &[dim])?,
            };
            Model::Linear(Box::new(LinearGaussian::new(ridge, window, device)))
        }
        "mdn" => {
            let scaling = take_scaling(&mut named, header)?;
            let net = take_mdn(&mut named, n_in, dim, shape, DROPOUT_ABSENT, device)?;
            Model::Mdn(Box::new(Mdn::scaled(net, scaling, window, device)))
        }
        "vmf" => {
            let scaling = take_scaling(&mut named, header)?;
            let net = take_vmf(&mut named, n_in, dim, shape, device)?;
            Model::VmfLogNormal(Box::new(VmfLogNormal::scaled(net, scaling, window, device)))
        }
        other => return Err(format!("a predictor of kind {other:?}, which this version does not know")),
    };
    named.finish()?;
    Ok(Predictor { info: header.info.clone(), model, precision: Precision::Single, live: LiveSlot::default(), spare: None })
}

fn take_scaling(named: &mut NamedArrays, header: &Header) -> Result<Scaling, String> {
    let dim = header.info.dim;
    Ok(Scaling {
        frame_mean: named.take("frame_mean", &[dim])?,
        frame_std: named.take("frame_std", &[dim])?,
        delta_std: named.take("delta_std", &[dim])?,
        log_magnitude: header.log_magnitude,
    })
}

/// Distance between the numbers of consecutive linear layers in a `Sequential`: Linear, GELU, and Dropout only if there is any.
const DROPOUT_ABSENT: usize = 2;
const DROPOUT_PRESENT: usize = 3;

fn take_backbone(
    named: &mut NamedArrays,
    n_in: usize,
    shape: NetworkShape,
    stride: usize,
    device: &Device,
) -> Result<Vec<burn::nn::Linear>, String> {
    let width = shape.hidden_dim;
    let layer = |i: usize| named.take_linear(&format!("backbone.{}", i * stride), if i == 0 { n_in } else { width }, width, device);
    (0..shape.n_hidden_layers).map(layer).collect()
}

fn take_mdn(
    named: &mut NamedArrays,
    n_in: usize,
    dim: usize,
    shape: NetworkShape,
    stride: usize,
    device: &Device,
) -> Result<MdnNet, String> {
    let n_features = if shape.n_hidden_layers == 0 { n_in } else { shape.hidden_dim };
    Ok(MdnNet {
        backbone: take_backbone(named, n_in, shape, stride, device)?,
        pi_head: named.take_linear("pi_head", n_features, shape.n_components, device)?,
        mu_head: named.take_linear("mu_head", n_features, shape.n_components * dim, device)?,
        log_sigma_head: named.take_linear("log_sigma_head", n_features, shape.n_components * dim, device)?,
    })
}

/// Ours: a backbone and single-layer heads.
fn take_vmf(named: &mut NamedArrays, n_in: usize, dim: usize, shape: NetworkShape, device: &Device) -> Result<VmfNet, String> {
    let n_features = if shape.n_hidden_layers == 0 { n_in } else { shape.hidden_dim };
    let backbone = take_backbone(named, n_in, shape, DROPOUT_ABSENT, device)?;
    let mut head = |name: &str, n_out| Ok::<_, String>(vec![named.take_linear(&format!("{name}.0"), n_features, n_out, device)?]);
    Ok(VmfNet {
        backbone,
        mu_dir: head("mu_dir", dim)?,
        log_kappa: head("log_kappa", 1)?,
        mu_logm: head("mu_logm", 1)?,
        log_sigma_logm: head("log_sigma_logm", 1)?,
    })
}

/// The peer's four networks: `n_hidden_layers` = n means n−1 hidden layers, and n ≤ 1 a single one.
fn take_peer_vmf(
    named: &mut NamedArrays,
    n_in: usize,
    dim: usize,
    shape: NetworkShape,
    stride: usize,
    device: &Device,
) -> Result<VmfNet, String> {
    let n_layers = shape.n_hidden_layers.max(1);
    let mut mlp = |name: &str, n_out: usize| {
        let layer = |i: usize| {
            let inputs = if i == 0 { n_in } else { shape.hidden_dim };
            let outputs = if i + 1 == n_layers { n_out } else { shape.hidden_dim };
            named.take_linear(&format!("{name}.{}", i * stride), inputs, outputs, device)
        };
        (0..n_layers).map(layer).collect::<Result<Vec<_>, String>>()
    };
    Ok(VmfNet {
        backbone: Vec::new(),
        mu_dir: mlp("mu_dir", dim)?,
        log_kappa: mlp("log_kappa", 1)?,
        mu_logm: mlp("mu_logm", 1)?,
        log_sigma_logm: mlp("log_sigma_logm", 1)?,
    })
}

/// The peer's interval of μ of ln‖Δ‖, which its checkpoints do not store.
const PEER_MU_LOGM: Bound = Bound::Hard(-5.0, 12.0);

fn peer(mut named: NamedArrays, device: &Device) -> Result<Predictor, String> {
    let metadata = Value::Object(std::mem::take(&mut named.metadata));
    let Some(kind) = metadata["model_type"].as_str().map(str::to_owned) else {
        return Err("its metadata names no model_type; a predictor of this program or of the peer is needed".into());
    };
    let kwargs = &metadata["model_kwargs"];
    let count = |place: &Value, name: &str| {
        place[name].as_u64().map(|v| v as usize).ok_or_else(|| format!("its metadata lacks the whole number {name}"))
    };
    let bound = |low: &str, high: &str| match (kwargs[low].as_f64(), kwargs[high].as_f64()) {
        (Some(low), Some(high)) if low <= high => Ok(Bound::Hard(low, high)),
        _ => Err(format!("its model_kwargs lack {low} ≤ {high}")),
    };
    let (window, horizon) = (count(&metadata, "window_size")?, count(&metadata, "horizon_k")?);
    let (n_in, dim) = (count(kwargs, "input_dim")?, count(kwargs, "output_dim")?);
    if window == 0 || dim == 0 || n_in != window * dim {
        return Err(format!("input_dim {n_in} is not window_size {window} × output_dim {dim}"));
    }
    let stride = if kwargs["dropout"].as_f64().is_some_and(|p| p > 0.0) { DROPOUT_PRESENT } else { DROPOUT_ABSENT };
    let mut shape =
        NetworkShape { n_components: 0, hidden_dim: count(kwargs, "hidden_dim")?, n_hidden_layers: count(kwargs, "n_hidden_layers")? };
    let model = match kind.as_str() {
        "mdn" => {
            shape.n_components = count(kwargs, "n_components")?;
            let net = take_mdn(&mut named, n_in, dim, shape, stride, device)?;
            Model::Mdn(Box::new(Mdn::raw(net, bound("min_log_sigma", "max_log_sigma")?)))
        }
        "vmf" => {
            let net = take_peer_vmf(&mut named, n_in, dim, shape, stride, device)?;
            let bounds = VmfBounds {
                log_kappa: bound("min_log_kappa", "max_log_kappa")?,
                mu_logm: PEER_MU_LOGM,
                log_sigma_logm: bound("min_log_sigma_logm", "max_log_sigma_logm")?,
            };
            Model::VmfLogNormal(Box::new(VmfLogNormal::raw(net, bounds, dim, device)))
        }
        other => return Err(format!("a checkpoint of model_type {other:?}; mdn and vmf can be loaded")),
    };
    named.finish()?;
    let steps = metadata["step"].as_u64().unwrap_or(0);
    let provenance = Provenance { steps, config: metadata, ..Provenance::default() };
    let info = PredictorInfo { kind, window, horizon, dim, peer: true, hash: String::new(), provenance };
    Ok(Predictor { info, model, precision: Precision::Single, live: LiveSlot::default(), spare: None })
}

/// Our file, in memory.
pub(super) fn to_bytes(predictor: &Predictor) -> Result<Vec<u8>, String> {
    let mut info = predictor.info.clone();
    info.hash = String::new();
    let mut header = Header { format: FORMAT, info, network: NetworkShape::default(), log_magnitude: (0.0, 0.0) };
    let mut named = NamedArrays::default();
    let dim = predictor.info.dim;
    match &predictor.model {
        _ if predictor.info.peer => return Err("a checkpoint of the peer is kept as it is; copy its file".into()),
        Model::Persistence => {}
        Model::Climatology { mean } => named.insert("frame_mean", &[dim], mean.clone()),
        Model::Linear(linear) => {
            let ridge = linear.ridge.clone();
            named.insert("weights", &[ridge.weights.len() / dim, dim], ridge.weights);
            named.insert("bias", &[dim], ridge.bias);
            named.insert("frame_mean", &[dim], ridge.input_mean);
            named.insert("frame_std", &[dim], ridge.input_std);
            named.insert("residual_variance", &[dim], ridge.residual_variance);
        }
        Model::Mdn(mdn) => {
            insert_backbone(&mut named, &mdn.net.backbone);
            named.insert_linear("pi_head", &mdn.net.pi_head);
            named.insert_linear("mu_head", &mdn.net.mu_head);
            named.insert_linear("log_sigma_head", &mdn.net.log_sigma_head);
            header.network = shape_of(&mdn.net.backbone, mdn.net.pi_head.weight.dims()[1]);
            insert_scaling(&mut named, &mut header, mdn.scaling())?;
        }
        Model::VmfLogNormal(vmf) => {
            insert_backbone(&mut named, &vmf.net.backbone);
            let heads = [
                ("mu_dir", &vmf.net.mu_dir),
                ("log_kappa", &vmf.net.log_kappa),
                ("mu_logm", &vmf.net.mu_logm),
                ("log_sigma_logm", &vmf.net.log_sigma_logm),
            ];
            for (name, layers) in heads {
                layers.iter().enumerate().for_each(|(i, layer)| named.insert_linear(&format!("{name}.{}", i * DROPOUT_ABSENT), layer));
            }
            header.network = shape_of(&vmf.net.backbone, 0);
            insert_scaling(&mut named, &mut header, vmf.scaling())?;
        }
    }
    named.metadata.insert(HEADER_KEY.into(), serde_json::to_value(&header).map_err(|e| e.to_string())?);
    named.to_safetensors(predictor.precision, &STATISTICS)
}

fn insert_backbone(named: &mut NamedArrays, layers: &[burn::nn::Linear]) {
    layers.iter().enumerate().for_each(|(i, layer)| named.insert_linear(&format!("backbone.{}", i * DROPOUT_ABSENT), layer));
}

fn shape_of(backbone: &[burn::nn::Linear], n_components: usize) -> NetworkShape {
    let hidden_dim = backbone.first().map_or(0, |layer| layer.weight.dims()[1]);
    NetworkShape { n_components, hidden_dim, n_hidden_layers: backbone.len() }
}

fn insert_scaling(named: &mut NamedArrays, header: &mut Header, scaling: Option<&Scaling>) -> Result<(), String> {
    let scaling = scaling.ok_or("a network without statistics of its inputs")?;
    let dim = header.info.dim;
    named.insert("frame_mean", &[dim], scaling.frame_mean.clone());
    named.insert("frame_std", &[dim], scaling.frame_std.clone());
    named.insert("delta_std", &[dim], scaling.delta_std.clone());
    header.log_magnitude = scaling.log_magnitude;
    Ok(())
}
