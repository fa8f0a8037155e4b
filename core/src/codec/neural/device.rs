//! A codec on a device besides the processor: which wholes go there, and whether the device computes what the processor does.
//!
//! Wholes go to the device, streams of short steps stay on the processor, whose steps follow each other faster. What a device may do to a
//! product is its own: CUDA rounds the factors to ten bits first (TF32), which no codec's latents survive unchanged. So both run the same
//! noise once, and a device that gives something else is refused.

use std::sync::{Arc, OnceLock};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::stack::{Flow, Stack};
use super::tensors::Layers;
use super::{CodecError, FRAMES_AT_ONCE, NeuralCodec};
use crate::job::JobCtx;

/// RMS of the differences to the processor's over the RMS of what it gives; above it, a device is refused.
const MOST_OFF: f64 = 1e-4;

/// Where a stream runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) enum Place {
    /// On the processor.
    Processor,
    /// On the codec's device, where it has one.
    Device,
}

/// Which of the two stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Encode,
    Decode,
}

/// A device and what of the codec is on it.
#[derive(Debug)]
pub(super) struct OnDevice {
    job: JobCtx,
    /// As [`Direction`], once needed; or why the device cannot be used.
    layers: [OnceLock<Result<Arc<Layers>, String>>; 2],
}

impl OnDevice {
    /// On the device of `job`.
    pub(super) fn new(job: &JobCtx) -> Self {
        Self { job: job.clone(), layers: [OnceLock::new(), OnceLock::new()] }
    }

    fn layers(&self, direction: Direction, stack: &Stack, n_at_once: usize) -> Result<&Arc<Layers>, CodecError> {
        let make = || {
            let layers = Arc::new(Layers::new(stack, n_at_once, &self.job.device));
            let off = difference(stack, &layers, &self.job);
            if off <= MOST_OFF {
                return Ok(layers);
            }
            let what = if direction == Direction::Encode { "latents" } else { "sound" };
            Err(format!(
                "on this device the codec's {what} would be {off:.1e} of their root mean square off the CPU's (at most {MOST_OFF:e} is \
                 taken): it computes products less exactly, as CUDA does with TF32; use another --device"
            ))
        };
        self.layers[direction as usize].get_or_init(make).as_ref().map_err(|why| CodecError::Device(why.clone()))
    }
}

impl NeuralCodec {
    /// What `work` gives on the codec's device, else on the processor; it starts over there where the device is lost.
    pub(in crate::codec) fn wherever<T>(&self, mut work: impl FnMut(Place) -> T) -> T {
        match &self.device {
            None => work(Place::Processor),
            Some(OnDevice { job, .. }) => {
                job.surviving(|given| work(if given.device == job.device { Place::Device } else { Place::Processor }))
            }
        }
    }

    /// A stream through `stack` that begins with frame `first`.
    pub(super) fn start(&self, place: Place, direction: Direction, stack: &Stack, first: usize) -> Result<Flow, CodecError> {
        let Some(device) = self.device.as_ref().filter(|_| place == Place::Device) else { return Ok(stack.start(first)) };
        let per_frame = if direction == Direction::Encode { self.parts.hop_samples } else { 1 };
        let layers = device.layers(direction, stack, FRAMES_AT_ONCE * self.latents_in_80_ms() * per_frame)?;
        Ok(stack.start_on(layers, first))
    }
}

/// What `layers` make of a piece of noise less what the processor makes of it: RMS over RMS. The device is tuned by then.
fn difference(stack: &Stack, layers: &Arc<Layers>, job: &JobCtx) -> f64 {
    let mut rng = StdRng::seed_from_u64(0);
    let noise: Vec<f32> = (0..layers.n_at_once() * stack.input()).map(|_| rng.random_range(-1.0..1.0)).collect();
    let made = |mut flow: Flow| {
        let mut out = Vec::new();
        stack.push(&mut flow, &noise, &mut out);
        stack.finish(&mut flow, &mut out);
        out
    };
    let on_device = || made(stack.start_on(layers, 0));
    let mut tuned = None;
    job.tune(|| tuned = Some(on_device()));
    let (here, there) = (made(stack.start(0)), tuned.unwrap_or_else(on_device));
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let apart = square(&mut there.iter().zip(&here).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let all = square(&mut here.iter().map(|v| f64::from(*v)));
    if there.len() == here.len() { (apart / all.max(f64::MIN_POSITIVE)).sqrt() } else { f64::INFINITY }
}
