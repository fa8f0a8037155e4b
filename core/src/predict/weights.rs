//! Named arrays of a checkpoint, read from safetensors or from PyTorch's `.pt`, and handed out with their shapes checked.
//!
//! Arrays keep PyTorch's layout (`weight [outputs, inputs]`) in files; layers here hold the transpose.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Param;
use burn::nn::Linear;
use burn::store::pytorch::PytorchReader;
use burn::store::pytorch_reader::{DType, PickleValue};
use burn::tensor::{Device, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, View};
use serde_json::{Map, Value};

use crate::engine::host_values;

/// How floats are stored in a file; they are computed with in f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Precision {
    /// 32 bits.
    #[default]
    Single,
    /// 16 bits.
    Half,
}

/// An array in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// Arrays by name, and the file's metadata.
#[derive(Clone, Debug, Default)]
pub(super) struct NamedArrays {
    pub(super) arrays: BTreeMap<String, Array>,
    pub(super) metadata: Map<String, Value>,
}

/// Parameters of `compile()`d PyTorch modules carry this.
const COMPILED_PREFIX: &str = "_orig_mod.";

impl NamedArrays {
    /// Reads safetensors; metadata strings that are JSON are parsed. The error is a sentence without the file's name.
    pub(super) fn from_safetensors(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |e: safetensors::SafeTensorError| format!("not a whole safetensors file ({e}); write or download it again");
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let mut named = Self::default();
        for (key, text) in header.metadata().iter().flatten() {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
            named.metadata.insert(key.clone(), value);
        }
        for (name, view) in file.tensors() {
            let values = match view.dtype() {
                Dtype::F32 => floats(view.data(), f32::from_le_bytes),
                Dtype::F64 => floats(view.data(), |b| f64::from_le_bytes(b) as f32),
                Dtype::F16 => floats(view.data(), |b| f16::from_le_bytes(b).to_f32()),
                Dtype::BF16 => floats(view.data(), |b| bf16::from_le_bytes(b).to_f32()),
                other => return Err(format!("tensor {name} holds {other:?}; floats are needed")),
            };
            named.insert(&name, view.shape(), values);
        }
        Ok(named)
    }

    /// Reads `{model: state_dict, …}` as `torch.save` writes it; everything but the weights becomes metadata.
    pub(super) fn from_pytorch(path: &Path) -> Result<Self, String> {
        let damaged = |e: &dyn std::fmt::Display| {
            let reason = e.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            format!("not a whole PyTorch checkpoint ({reason}); write or download it again")
        };
        let PickleValue::Dict(entries) = PytorchReader::read_pickle_data(path, None).map_err(|e| damaged(&e))? else {
            return Err("a PyTorch file without a dictionary; a checkpoint holds {model, model_type, …}".into());
        };
        if !entries.contains_key("model") {
            let found = entries.keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>();
            let found = found.into_iter().take(8).collect::<Vec<_>>().join(", ");
            return Err(format!("a PyTorch file without the entry `model` (it has {found})"));
        }
        let mut named = Self::default();
        let others: BTreeMap<_, _> = entries.into_iter().filter(|(key, _)| key != "model").collect();
        named.metadata.extend(others.into_iter().map(|(key, value)| (key, json_of(value))));
        let reader = PytorchReader::with_top_level_key(path, "model").map_err(|e| damaged(&e))?;
        #[expect(clippy::iter_over_hash_type, reason = "each tensor goes into a sorted map")]
        for (name, tensor) in reader.tensors() {
            let bytes = tensor.read().map_err(|e| damaged(&e))?;
            let values = match tensor.dtype() {
                DType::F32 => floats(&bytes, f32::from_ne_bytes),
                DType::F64 => floats(&bytes, |b| f64::from_ne_bytes(b) as f32),
                DType::F16 => floats(&bytes, |b| f16::from_ne_bytes(b).to_f32()),
                DType::BF16 => floats(&bytes, |b| bf16::from_ne_bytes(b).to_f32()),
                other => return Err(format!("tensor {name} holds {other:?}; floats are needed")),
            };
            named.insert(name, tensor.shape(), values);
        }
        Ok(named)
    }

    pub(super) fn insert(&mut self, name: &str, shape: &[usize], values: Vec<f32>) {
        let name = name.strip_prefix(COMPILED_PREFIX).unwrap_or(name);
        self.arrays.insert(name.to_owned(), Array { shape: shape.to_vec(), values });
    }

    /// Takes an array out, if it is there in the shape that is needed.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let array = self.arrays.remove(name).ok_or_else(|| format!("tensor {name} {shape:?} is missing"))?;
        if array.shape != shape {
            return Err(format!("tensor {name} has shape {:?}; {shape:?} is needed", array.shape));
        }
        Ok(array.values)
    }

    /// Takes `{name}.weight [n_out, n_in]` and `{name}.bias [n_out]` out as a layer.
    pub(super) fn take_linear(&mut self, name: &str, n_in: usize, n_out: usize, device: &Device) -> Result<Linear, String> {
        let stored = self.take(&format!("{name}.weight"), &[n_out, n_in])?;
        let bias = self.take(&format!("{name}.bias"), &[n_out])?;
        Ok(Linear {
            weight: Param::from_tensor(Tensor::from_data(TensorData::new(transposed(&stored, n_out, n_in), [n_in, n_out]), device)),
            bias: Some(Param::from_tensor(Tensor::from_data(TensorData::new(bias, [n_out]), device))),
        })
    }

    /// Adds a layer under the names that [`Self::take_linear`] takes.
    pub(super) fn insert_linear(&mut self, name: &str, layer: &Linear) {
        let [n_in, n_out] = layer.weight.dims();
        self.insert(&format!("{name}.weight"), &[n_out, n_in], transposed(&host_values(layer.weight.val()), n_in, n_out));
        let bias = layer.bias.as_ref().map_or_else(|| vec![0.0; n_out], |b| host_values(b.val()));
        self.insert(&format!("{name}.bias"), &[n_out], bias);
    }

    /// Fails when something was not taken: a checkpoint with unknown tensors is of another network.
    pub(super) fn finish(self) -> Result<(), String> {
        match self.arrays.iter().next() {
            Some((name, array)) => Err(format!("tensor {name} {:?} belongs to no layer of this network", array.shape)),
            None => Ok(()),
        }
    }

    /// Safetensors bytes: metadata strings as they are, other values as JSON. Vectors named in `full` stay f32 at half precision.
    pub(super) fn to_safetensors(&self, precision: Precision, full: &[&str]) -> Result<Vec<u8>, String> {
        let stored = self.arrays.iter().map(|(name, array)| {
            let precision = if full.contains(&name.as_str()) { Precision::Single } else { precision };
            (name, StoredArray::new(array, precision))
        });
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let metadata = self.metadata.iter().map(|(key, value)| (key.clone(), text(value))).collect();
        safetensors::serialize(stored, Some(metadata)).map_err(|e| e.to_string())
    }
}

struct StoredArray {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl StoredArray {
    fn new(array: &Array, precision: Precision) -> Self {
        let (dtype, bytes) = match precision {
            Precision::Single => (Dtype::F32, array.values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Precision::Half => (Dtype::F16, array.values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()),
        };
        Self { dtype, shape: array.shape.clone(), bytes }
    }
}

impl View for StoredArray {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn floats<const N: usize>(bytes: &[u8], float: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| float(chunk)).collect()
}

fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for (i, row) in values.chunks_exact(columns.max(1)).enumerate() {
        row.iter().enumerate().for_each(|(j, &v)| out[j * rows + i] = v);
    }
    out
}

fn json_of(value: PickleValue) -> Value {
    match value {
        PickleValue::None | PickleValue::Bytes(_) | PickleValue::Unsupported(_) => Value::Null,
        PickleValue::Bool(b) => b.into(),
        PickleValue::Int(i) => i.into(),
        PickleValue::Float(f) => f.into(),
        PickleValue::String(s) => s.into(),
        PickleValue::List(items) => items.into_iter().map(json_of).collect::<Vec<_>>().into(),
        PickleValue::Dict(entries) => {
            let sorted: BTreeMap<_, _> = entries.into_iter().collect();
            Value::Object(sorted.into_iter().map(|(key, value)| (key, json_of(value))).collect())
        }
    }
}
