//! AdamW over the parameters of a module in the order a visit meets them.
//!
//! On the CPU one pass over memory updates parameter, mean and mean square together: as separate tensor operations the
//! update of a few million parameters would cost more than the step itself. Elsewhere the same formula runs as tensor operations.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use driftscope_numerics::elementwise::{AdamWFactors, adamw, sum_of_squares};
use rayon::prelude::*;

use super::{FitConfig, ParamGroup};
use crate::engine::{HostTensor, host_scalar, is_cpu};

/// Running means of a parameter's gradient and of its square, flat.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    pub(super) mean: Tensor<1>,
    pub(super) square: Tensor<1>,
}

/// Name, shape and treatment of one parameter.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) path: String,
    pub(super) shape: Vec<usize>,
    pub(super) group: ParamGroup,
}

/// AdamW (Loshchilov, Hutter 2019) and its state.
#[derive(Debug)]
pub(super) struct AdamW {
    pub(super) slots: Vec<Slot>,
    pub(super) moments: Vec<Moments>,
    on_cpu: bool,
}

/// The scalars of one update.
#[derive(Clone, Copy)]
struct Rates {
    lr: f64,
    decay: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    /// Bias corrections 1 − βᵗ.
    correction1: f64,
    correction2: f64,
    grad_scale: f64,
}

impl AdamW {
    pub(super) fn new<M: Module>(module: &M, group: impl Fn(&str, usize) -> ParamGroup, device: &Device) -> Self {
        let mut survey = Survey { path: Vec::new(), group, slots: Vec::new() };
        module.visit(&mut survey);
        let zeros = |slot: &Slot| Tensor::<1>::zeros([slot.shape.iter().product::<usize>()], device);
        let moments = survey.slots.iter().map(|slot| Moments { mean: zeros(slot), square: zeros(slot) }).collect();
        Self { slots: survey.slots, moments, on_cpu: is_cpu(device) }
    }

    /// One update; gives the module and the norm that the gradients had before clipping.
    pub(super) fn step<M: Module>(&mut self, module: M, mut gradients: Gradients, config: &FitConfig, step: u64) -> (M, f64) {
        let mut collector = Collector { gradients: &mut gradients, flat: Vec::with_capacity(self.slots.len()) };
        module.visit(&mut collector);
        let flat = collector.flat;
        let (flat, norm) = if self.on_cpu { norm_on_cpu(flat) } else { norm_on_device(flat) };
        let clip = if config.clip_norm > 0.0 { (config.clip_norm / norm.max(1e-12)).min(1.0) } else { 1.0 };
        let t = (step + 1) as f64;
        let rates = Rates {
            lr: config.learning_rate_at(step),
            decay: config.weight_decay,
            beta1: config.beta1,
            beta2: config.beta2,
            epsilon: config.epsilon,
            correction1: 1.0 - config.beta1.powf(t),
            correction2: 1.0 - config.beta2.powf(t),
            grad_scale: clip,
        };
        let mut updater = Updater { optimizer: self, gradients: flat, rates, position: 0 };
        (module.map(&mut updater), norm)
    }
}

/// Sums in a fixed order, so that the norm does not depend on the number of threads.
fn norm_on_cpu(flat: Vec<Option<Tensor<1>>>) -> (Vec<Option<Tensor<1>>>, f64) {
    let mut sum = 0.0;
    let flat = flat
        .into_iter()
        .map(|gradient| {
            gradient.map(|gradient| {
                let device = gradient.device();
                let values = HostTensor::take(gradient);
                let parts: Vec<f64> = values.values().par_chunks(4096).map(sum_of_squares).collect();
                sum += parts.iter().sum::<f64>();
                values.into_tensor(&device)
            })
        })
        .collect();
    (flat, sum.sqrt())
}

fn norm_on_device(flat: Vec<Option<Tensor<1>>>) -> (Vec<Option<Tensor<1>>>, f64) {
    let squares: Vec<Tensor<1>> = flat.iter().flatten().map(|g| g.clone().square().sum()).collect();
    let norm = if squares.is_empty() { 0.0 } else { f64::from(host_scalar(Tensor::cat(squares, 0).sum())).sqrt() };
    (flat, norm)
}

struct Survey<G> {
    path: Vec<String>,
    group: G,
    slots: Vec<Slot>,
}

impl<G: Fn(&str, usize) -> ParamGroup> ModuleVisitor for Survey<G> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.join(".");
        let group = (self.group)(&path, D);
        self.slots.push(Slot { path, shape: param.val().dims().to_vec(), group });
    }
}

struct Collector<'a> {
    gradients: &'a mut Gradients,
    flat: Vec<Option<Tensor<1>>>,
}

impl ModuleVisitor for Collector<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad_remove(self.gradients);
        self.flat.push(gradient.map(|g| {
            let n = g.shape().num_elements();
            g.reshape([n])
        }));
    }
}

struct Updater<'a> {
    optimizer: &'a mut AdamW,
    gradients: Vec<Option<Tensor<1>>>,
    rates: Rates,
    position: usize,
}

impl ModuleMapper for Updater<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let i = self.position;
        self.position += 1;
        let group = self.optimizer.slots[i].group;
        let Some(gradient) = self.gradients[i].take().filter(|_| group.lr_scale > 0.0) else { return param };
        let rates = Rates { lr: self.rates.lr * group.lr_scale, decay: self.rates.decay * group.decay_scale, ..self.rates };
        let (id, tensor, mapper) = param.consume();
        let value = tensor.inner();
        let (shape, device) = (value.dims(), value.device());
        let n = value.shape().num_elements();
        let empty = Moments { mean: Tensor::zeros([0], &device), square: Tensor::zeros([0], &device) };
        let moments = std::mem::replace(&mut self.optimizer.moments[i], empty);
        // Single numbers (the vMF heads' biases) are updated on the host: fused with others, burn 0.22 gives them wrong values.
        let update = if self.optimizer.on_cpu || n == 1 { update_on_cpu } else { update_on_device };
        let (value, moments) = update(value.reshape([n]), gradient, moments, rates);
        self.optimizer.moments[i] = moments;
        let value: Tensor<D> = value.reshape(shape);
        Param::from_mapped_value(id, value.autodiff().require_grad(), mapper)
    }
}

fn update_on_cpu(value: Tensor<1>, gradient: Tensor<1>, moments: Moments, rates: Rates) -> (Tensor<1>, Moments) {
    const CHUNK: usize = 1 << 14;
    let device = value.device();
    let [mut p, g, mut m, mut v] = [value, gradient, moments.mean, moments.square].map(HostTensor::take);
    let factors = AdamWFactors {
        gradient: rates.grad_scale as f32,
        mean: rates.beta1 as f32,
        square: rates.beta2 as f32,
        keep: (1.0 - rates.lr * rates.decay) as f32,
        rate: (rates.lr / rates.correction1) as f32,
        root: (1.0 / rates.correction2.sqrt()) as f32,
        epsilon: rates.epsilon as f32,
    };
    let (means, squares) = (m.values_mut().par_chunks_mut(CHUNK), v.values_mut().par_chunks_mut(CHUNK));
    let chunks = p.values_mut().par_chunks_mut(CHUNK).zip(g.values().par_chunks(CHUNK)).zip(means).zip(squares);
    chunks.for_each(|(((p, g), m), v)| adamw(p, g, m, v, factors));
    (p.into_tensor(&device), Moments { mean: m.into_tensor(&device), square: v.into_tensor(&device) })
}

fn update_on_device(value: Tensor<1>, gradient: Tensor<1>, moments: Moments, rates: Rates) -> (Tensor<1>, Moments) {
    let g = gradient.mul_scalar(rates.grad_scale);
    let mean = moments.mean.mul_scalar(rates.beta1) + g.clone().mul_scalar(1.0 - rates.beta1);
    let square = moments.square.mul_scalar(rates.beta2) + g.square().mul_scalar(1.0 - rates.beta2);
    let root = square.clone().sqrt().mul_scalar(1.0 / rates.correction2.sqrt()).add_scalar(rates.epsilon);
    let step = (mean.clone() / root).mul_scalar(rates.lr / rates.correction1);
    (value.mul_scalar(1.0 - rates.lr * rates.decay) - step, Moments { mean, square })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::host_values;

    #[test]
    fn both_paths_and_the_formula_agree() {
        let device = Device::flex();
        let rates =
            Rates { lr: 0.1, decay: 0.5, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, correction1: 0.19, correction2: 0.0199, grad_scale: 0.5 };
        let make = |x: f32| Tensor::<1>::full([3], x, &device);
        let moments = || Moments { mean: make(0.3), square: make(0.04) };
        // By hand: g = 1, m = .27 + .1 = .37, v = .0396 + .01 = .0496,
        // p = 2·.95 − .1 · (.37/.19) / √(.0496/.0199) = 1.9 − .194737/1.578748 = 1.776651.
        for update in [update_on_cpu, update_on_device] {
            let (p, m) = update(make(2.0), make(2.0), moments(), rates);
            for (got, expected) in [(p, 1.776_651), (m.mean, 0.37), (m.square, 0.0496)] {
                assert!(host_values(got).iter().all(|x| (x - expected).abs() < 1e-5), "expected {expected}");
            }
        }
    }

    #[test]
    fn a_gpu_takes_the_same_steps() {
        let gpu = Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
        for n in [1, 3, 300] {
            let steps = |device: &Device, update: fn(Tensor<1>, Tensor<1>, Moments, Rates) -> (Tensor<1>, Moments)| {
                let mut value = Tensor::<1>::full([n], 2.0, device);
                let mut moments = Moments { mean: Tensor::zeros([n], device), square: Tensor::zeros([n], device) };
                let mut path = Vec::new();
                for t in 1..=4 {
                    let gradient: Vec<f32> = (0..n).map(|i| ((i + t) as f32).sin()).collect();
                    let gradient = Tensor::from_data(burn::tensor::TensorData::new(gradient, [n]), device);
                    let (beta1, beta2) = (0.9_f64, 0.99_f64);
                    let (correction1, correction2) = (1.0 - beta1.powi(t), 1.0 - beta2.powi(t));
                    let rates =
                        Rates { lr: 0.1, decay: 0.0, beta1, beta2, epsilon: 1e-8, correction1, correction2, grad_scale: 1.0 / t as f64 };
                    (value, moments) = update(value, gradient, moments, rates);
                    path.push(host_values(value.clone())[0]);
                }
                path
            };
            let (got, want) = (steps(&gpu, update_on_device), steps(&Device::flex(), update_on_cpu));
            assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5), "n = {n}: {got:?} for {want:?}");
        }
    }

    #[test]
    fn the_norm_is_the_same_on_a_gpu() {
        let norm = |device: &Device, of: fn(Vec<Option<Tensor<1>>>) -> (Vec<Option<Tensor<1>>>, f64)| {
            let gradients = [1, 3, 300, 1].map(|n| {
                let values: Vec<f32> = (0..n).map(|i| (i as f32).cos()).collect();
                Some(Tensor::from_data(burn::tensor::TensorData::new(values, [n]), device))
            });
            of(gradients.into()).1
        };
        let gpu = Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
        let (got, want) = (norm(&gpu, norm_on_device), norm(&Device::flex(), norm_on_cpu));
        assert!((got - want).abs() < 1e-4 * want, "{got} for {want}");
    }
}
