//! The state of an unfinished fit as one safetensors file: parameters, AdamW's two moments, and in the header the step, the seed
//! and the config. Because the batch of a step depends on seed and step alone, this is all that an exact resume needs.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::optimizer::{AdamW, Moments};
use super::{FitConfig, FitError};
use crate::disk;
use crate::engine::host_values;

/// What the header holds.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Header {
    pub(super) task: String,
    pub(super) step: u64,
    pub(super) seed: u64,
    pub(super) config: FitConfig,
}

/// Key of the header in the file's metadata.
const KEY: &str = "driftscope.fit";

/// Writes beside `path` and renames, so that a crash leaves the previous checkpoint whole.
pub(super) fn save<M: Module>(path: &Path, header: &Header, module: &M, optimizer: &AdamW) -> Result<(), FitError> {
    let bad = |reason: String| FitError::Checkpoint { path: path.to_owned(), reason };
    let mut reader = Reader(Vec::new());
    module.visit(&mut reader);
    let flat = |t: &Tensor<1>| host_values(t.clone());
    let mut arrays: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    for ((slot, moments), values) in optimizer.slots.iter().zip(&optimizer.moments).zip(reader.0) {
        arrays.push((format!("param/{}", slot.path), slot.shape.clone(), values));
        arrays.push((format!("mean/{}", slot.path), slot.shape.clone(), flat(&moments.mean)));
        arrays.push((format!("square/{}", slot.path), slot.shape.clone(), flat(&moments.square)));
    }
    let views: Result<Vec<(&str, TensorView<'_>)>, _> = arrays
        .iter()
        .map(|(name, shape, v)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(v))?)))
        .collect();
    let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(header).map_err(|e| bad(e.to_string()))?)]);
    let views = views.map_err(|e: safetensors::SafeTensorError| bad(e.to_string()))?;
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| bad(e.to_string()))?;
    disk::write_beside(path, |file| file.write_all(&bytes)).map_err(|e| bad(format!("cannot be written: {e}")))
}

/// Reads a checkpoint into `module` and `optimizer`; gives the step to go on with.
pub(super) fn load<M: Module>(
    path: &Path,
    wanted: &Header,
    module: M,
    optimizer: &mut AdamW,
    device: &Device,
) -> Result<(M, u64), FitError> {
    let bad = |reason: String| FitError::Checkpoint { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|e| bad(format!("cannot be read: {e}")))?;
    let not_ours = |what: &dyn std::fmt::Display| bad(format!("is no whole checkpoint of a fit ({what}); delete it to start anew"));
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| not_ours(&e))?;
    let header = metadata.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or_else(|| not_ours(&"no driftscope.fit header"))?;
    let header: Header = serde_json::from_str(header).map_err(|e| not_ours(&e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| not_ours(&e))?;
    if (&header.task, header.seed, &header.config) != (&wanted.task, wanted.seed, &wanted.config) {
        let reason = "belongs to another fit (task, seed or config differ); delete it to start anew, or resume with its own config";
        return Err(bad(reason.to_owned()));
    }
    let mut values = Vec::new();
    for (slot, moments) in optimizer.slots.iter().zip(&mut optimizer.moments) {
        let array = |kind: &str| -> Result<Vec<f32>, FitError> {
            let name = format!("{kind}/{}", slot.path);
            let view = file.tensor(&name).map_err(|e| not_ours(&e))?;
            if view.shape() != slot.shape || view.dtype() != Dtype::F32 {
                return Err(bad(format!("{name} is {:?}, not f32 {:?}", view.shape(), slot.shape)));
            }
            Ok(bytemuck::pod_collect_to_vec(view.data()))
        };
        values.push(array("param")?);
        let tensor = |v: Vec<f32>| Tensor::<1>::from_data(TensorData::new(v.clone(), [v.len()]), device);
        *moments = Moments { mean: tensor(array("mean")?), square: tensor(array("square")?) };
    }
    let mut writer = Writer { values: values.into_iter() };
    Ok((module.map(&mut writer), header.step))
}

struct Reader(Vec<Vec<f32>>);

impl ModuleVisitor for Reader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(host_values(param.val().inner()));
    }
}

struct Writer {
    values: std::vec::IntoIter<Vec<f32>>,
}

impl ModuleMapper for Writer {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let values = self.values.next().expect("as many arrays as the survey found parameters");
        let (id, tensor, mapper) = param.consume();
        let loaded = Tensor::<D>::from_data(TensorData::new(values, tensor.dims()), &tensor.device().inner());
        Param::from_mapped_value(id, loaded.autodiff().require_grad(), mapper)
    }
}
