//! The weights file: safetensors with every array as f16, and in the header one JSON with config, scale and provenance.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use half::f16;
use rand::SeedableRng;
use rand::rngs::StdRng;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::DemoCodecConfig;
use super::network::Vae;
use crate::codec::CodecError;

const KEY: &str = "driftscope.demo-codec";

/// What the file says of itself.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Header {
    /// How it was made.
    pub config: DemoCodecConfig,
    /// What it was made from.
    pub provenance: Provenance,
    /// Divisor of compressed magnitudes.
    pub(super) scale: f32,
}

/// Where the weights came from.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Provenance {
    /// Seed of initial values and batches.
    pub seed: u64,
    /// Optimizer steps; 0 for the closed form.
    pub steps: u64,
    /// Utterances it saw.
    pub n_utterances: usize,
    /// Their length in all.
    pub seconds: f64,
    /// Version of the program.
    pub version: String,
}

/// Everything in the file.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) header: Header,
    pub(super) vae: Vae,
    /// Mean of each latent over the training speech.
    pub(super) latent_mean: Vec<f32>,
    /// Standard deviation of each latent over the training speech.
    pub(super) latent_std: Vec<f32>,
}

impl Weights {
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let failed = |e: &dyn std::fmt::Display| CodecError::Weights(format!("the codec's weights cannot be written: {e}"));
        let mut arrays = Reader { path: Vec::new(), arrays: Vec::new() };
        self.vae.visit(&mut arrays);
        let mut arrays = arrays.arrays;
        let dim = self.latent_mean.len();
        arrays.push(("latent.mean".to_owned(), vec![dim], self.latent_mean.clone()));
        arrays.push(("latent.std".to_owned(), vec![dim], self.latent_std.clone()));
        let halves: Vec<(String, Vec<usize>, Vec<f16>)> =
            arrays.into_iter().map(|(name, shape, values)| (name, shape, values.into_iter().map(f16::from_f32).collect())).collect();
        let views: Result<Vec<(&str, TensorView<'_>)>, safetensors::SafeTensorError> = halves
            .iter()
            .map(|(name, shape, v)| Ok((name.as_str(), TensorView::new(Dtype::F16, shape.clone(), bytemuck::cast_slice(v))?)))
            .collect();
        let header = serde_json::to_string(&self.header).map_err(|e| failed(&e))?;
        let metadata = HashMap::from([(KEY.to_owned(), header)]);
        safetensors::serialize(views.map_err(|e| failed(&e))?, Some(metadata)).map_err(|e| failed(&e))
    }

    pub(super) fn from_bytes(bytes: &[u8], name: &str, device: &Device) -> Result<Self, CodecError> {
        let bad = |what: String| CodecError::Weights(format!("{name}: no usable weights of the demo codec ({what})"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| bad(format!("not a whole safetensors file: {e}")))?;
        let header = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
        let header = header.ok_or_else(|| bad(format!("the header has no {KEY}")))?;
        let header: Header = serde_json::from_str(header).map_err(|e| bad(format!("header: {e}")))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| bad(format!("not a whole safetensors file: {e}")))?;
        let array = |name: &str, shape: &[usize]| -> Result<Vec<f32>, CodecError> {
            let view = file.tensor(name).map_err(|_| bad(format!("{name} is missing")))?;
            if view.dtype() != Dtype::F16 || view.shape() != shape {
                return Err(bad(format!("{name} is {:?} {:?}, not F16 {shape:?}", view.dtype(), view.shape())));
            }
            let values: Vec<f32> = bytemuck::pod_collect_to_vec::<u8, f16>(view.data()).into_iter().map(f16::to_f32).collect();
            if values.iter().all(|v| v.is_finite()) { Ok(values) } else { Err(bad(format!("{name} holds values that are no numbers"))) }
        };
        let network = &header.config.network;
        let vae = Vae::new(network, &mut StdRng::seed_from_u64(0), device);
        let mut loader = Loader { path: Vec::new(), array: &array, problem: None };
        let vae = vae.map(&mut loader);
        if let Some(problem) = loader.problem {
            return Err(problem);
        }
        let dim = [network.latent_dim];
        let (latent_mean, latent_std) = (array("latent.mean", &dim)?, array("latent.std", &dim)?);
        Ok(Self { header, vae, latent_mean, latent_std })
    }
}

struct Reader {
    path: Vec<String>,
    arrays: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let values = value.clone().into_data().try_into_vec().expect("parameters are f32");
        self.arrays.push((self.path.join("."), value.dims().to_vec(), values));
    }
}

struct Loader<'a> {
    path: Vec<String>,
    array: &'a dyn Fn(&str, &[usize]) -> Result<Vec<f32>, CodecError>,
    problem: Option<CodecError>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.val().dims();
        match (self.array)(&self.path.join("."), &shape) {
            Ok(values) => param.map(|old| Tensor::from_data(TensorData::new(values, shape), &old.device())),
            Err(problem) => {
                self.problem.get_or_insert(problem);
                param
            }
        }
    }
}
