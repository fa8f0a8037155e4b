//! What the loop asks of anything that can be trained.

use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor};
use rand::rngs::StdRng;

/// Something to train: how to draw a batch and what its loss is.
pub trait Task {
    /// The module whose parameters are fitted.
    type Module: Module;
    /// One batch, on the device.
    type Batch;

    /// What is being fitted, in a few words, for progress and error messages ("mdn k=1").
    fn name(&self) -> String;

    /// Draws a batch. `rng` is fresh for each step and depends on nothing but the job's seed and the step.
    fn batch(&self, rng: &mut StdRng, device: &Device) -> Self::Batch;

    /// The scalar to minimize, `[1]`. `rng` goes on where [`Task::batch`] left it.
    fn loss(&self, module: &Self::Module, batch: Self::Batch, rng: &mut StdRng) -> Tensor<1>;

    /// The loss outside the graph, and its gradients by every parameter: backpropagated from [`Task::loss`], unless the task has them
    /// in a cheaper way.
    fn gradients(&self, module: &Self::Module, batch: Self::Batch, rng: &mut StdRng) -> (Tensor<1>, Gradients) {
        backpropagated(self.loss(module, batch, rng))
    }

    /// How the parameter at `path` ("decoder.skip.weight") of rank `rank` is treated.
    fn group(&self, path: &str, rank: usize) -> ParamGroup {
        let _ = path;
        ParamGroup::by_rank(rank)
    }
}

/// A loss `[1]` outside its graph, and the graph's gradients.
pub fn backpropagated(loss: Tensor<1>) -> (Tensor<1>, Gradients) {
    let gradients = loss.backward();
    // Without its graph, which shares the parameters and would make the optimizer copy them.
    (loss.inner(), gradients)
}

/// Treatment of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamGroup {
    /// Multiplies the learning rate; 0 leaves the parameter as it is.
    pub lr_scale: f64,
    /// Multiplies the weight decay.
    pub decay_scale: f64,
}

impl ParamGroup {
    /// Full rate; decay for matrices, none for biases, norms and scales.
    pub fn by_rank(rank: usize) -> Self {
        Self { lr_scale: 1.0, decay_scale: if rank >= 2 { 1.0 } else { 0.0 } }
    }
}
