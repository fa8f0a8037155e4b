//! The audio side: layers of sound, each fading in over the ones below it.
//!
//! Everything here runs in the device's callback: it allocates nothing, frees nothing and waits for nobody. Buffers are kept alive
//! by the player, which drops them on its own thread once the mixer has let go.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cpal::{FromSample, Sample};

/// Length of every crossfade. Linear, because the sources are near-identical: an equal-power fade would swell by 3 dB.
pub const FADE_SEC: f64 = 0.010;

/// Changes that may overlap within one fade; further ones wait for the oldest to end.
const MAX_LAYERS: usize = 8;

/// The last value below full scale: +1 itself is beyond what integer samples hold, and 24-bit ones wrap around there.
const HIGHEST: f32 = 1.0 - f32::EPSILON / 2.0;

/// How many published scenes may wait for the callback.
pub(super) const INBOX_CAPACITY: usize = 64;

/// The length of a fade at `rate_hz`, in samples.
pub(super) fn fade_samples(rate_hz: u32) -> usize {
    ((FADE_SEC * f64::from(rate_hz)).round() as usize).max(1)
}

/// What should sound: published whole by the player whenever anything changes.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) samples: Arc<[f32]>,
    /// Linear; 0 when muted.
    pub(super) gain: f32,
    /// Common length of all sources; a shorter buffer is followed by silence.
    pub(super) length: usize,
    /// Ends before `length` or at it; at least two fades long.
    pub(super) loop_samples: Option<Range<usize>>,
    pub(super) playing: bool,
    pub(super) seek: Seek,
}

/// A wish to be elsewhere; obeyed once for each new `id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Seek {
    pub(super) id: u16,
    pub(super) position: usize,
}

/// What the callback tells the player: the position and the last obeyed seek in one word, so that they never disagree.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU64);

const POSITION_BITS: u32 = 48;

impl Progress {
    fn publish(&self, position: usize, seek_id: u16) {
        let packed = (u64::from(seek_id) << POSITION_BITS) | (position as u64 & ((1 << POSITION_BITS) - 1));
        self.0.store(packed, Ordering::Release);
    }

    /// `(position, id of the last obeyed seek)`.
    pub(super) fn read(&self) -> (usize, u16) {
        let packed = self.0.load(Ordering::Acquire);
        ((packed & ((1 << POSITION_BITS) - 1)) as usize, (packed >> POSITION_BITS) as u16)
    }
}

#[derive(Debug)]
struct Layer {
    scene: Arc<Scene>,
    position: usize,
    faded: usize,
}

impl Layer {
    fn next_sample(&mut self) -> f32 {
        if !self.scene.playing {
            return 0.0;
        }
        let sample = self.scene.samples.get(self.position).copied().unwrap_or(0.0);
        self.position = (self.position + 1).min(self.scene.length);
        sample * self.scene.gain
    }

    fn at_loop_end(&self) -> Option<usize> {
        let range = self.scene.loop_samples.as_ref()?;
        let at_end = self.position == range.end || self.position >= self.scene.length;
        (self.scene.playing && at_end).then_some(range.start)
    }
}

/// Renders what the player publishes. Owned by the callback of the output, or pulled by hand in tests.
#[derive(Debug)]
pub struct Mixer {
    inbox: rtrb::Consumer<Arc<Scene>>,
    /// The lowest is fully faded in; each next one fades in over the mix of those below. Only the last one loops.
    layers: Vec<Layer>,
    fade: usize,
    progress: Arc<Progress>,
}

impl Mixer {
    pub(super) fn new(inbox: rtrb::Consumer<Arc<Scene>>, first: Arc<Scene>, rate_hz: u32, progress: Arc<Progress>) -> Self {
        let fade = fade_samples(rate_hz);
        let mut layers = Vec::with_capacity(MAX_LAYERS);
        layers.push(Layer { position: first.seek.position, scene: first, faded: fade });
        Self { inbox, layers, fade, progress }
    }

    /// Fills `out` with the next mono samples, as they are, and tells the player where it is.
    pub fn render(&mut self, out: &mut [f32]) {
        self.take_newest();
        for sample in out {
            *sample = self.next_sample();
        }
        self.tell_progress();
    }

    /// Fills `out` as a device wants it: frames of `n_channels`, the same sound on each, in its sample format. Clipped to full scale,
    /// and silent where a sample is no number: decoded states that have drifted may be anything, and this goes to ears.
    pub fn render_interleaved<T: Sample + FromSample<f32>>(&mut self, out: &mut [T], n_channels: usize) {
        self.take_newest();
        for frame in out.chunks_exact_mut(n_channels.max(1)) {
            let sample = self.next_sample();
            frame.fill(T::from_sample(if sample.is_finite() { sample.clamp(-1.0, HIGHEST) } else { 0.0 }));
        }
        self.tell_progress();
    }

    fn tell_progress(&self) {
        if let Some(top) = self.layers.last() {
            self.progress.publish(top.position, top.scene.seek.id);
        }
    }

    /// Starts fading to the newest published scene; those it overtook are let go unheard.
    fn take_newest(&mut self) {
        if self.layers.len() + 1 >= MAX_LAYERS {
            return;
        }
        let mut newest = None;
        while let Ok(scene) = self.inbox.pop() {
            newest = Some(scene);
        }
        let (Some(scene), Some(top)) = (newest, self.layers.last()) else { return };
        let position = if scene.seek.id == top.scene.seek.id { top.position.min(scene.length) } else { scene.seek.position };
        self.layers.push(Layer { scene, position, faded: 0 });
    }

    fn next_sample(&mut self) -> f32 {
        if let Some(top) = self.layers.last()
            && let Some(start) = top.at_loop_end()
            && self.layers.len() < MAX_LAYERS
        {
            let scene = Arc::clone(&top.scene);
            self.layers.push(Layer { scene, position: start, faded: 0 });
        }
        let step = 1.0 / self.fade as f32;
        let mut mix = 0.0_f32;
        let mut base = 0;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let sample = layer.next_sample();
            if layer.faded >= self.fade {
                mix = sample;
                base = index;
            } else {
                mix += (sample - mix) * (layer.faded as f32 * step);
                layer.faded += 1;
            }
        }
        // Dropping a layer only lowers a count: the player holds every scene until the mixer has let go.
        self.layers.drain(..base);
        mix
    }
}
