//! A whole that is decoded in pieces, of which the one that is wanted comes first.
//!
//! Every piece is the sound of the whole: a stream begins as far before it as its sound depends on, and goes on from piece to piece.

use super::{Codec, CodecError, DecodeStream};
use crate::job::Cancel;
use crate::latents::Latents;

/// Latent frames between two looks at whether to stop.
const FRAMES_AT_ONCE: usize = 64;

/// The sound of some latents, of which a part is there.
#[derive(Debug)]
pub struct Pieces {
    codec: Codec,
    /// Silent where nothing is there yet, `[n_frames × hop]`.
    samples: Vec<f32>,
    /// Which frames' sound is there.
    is_there: Vec<bool>,
    running: Option<Running>,
}

/// A stream under way.
#[derive(Debug)]
struct Running {
    stream: DecodeStream,
    /// The next latent frame that it takes.
    next: usize,
    /// The first frame that it gives as the whole has it.
    valid: usize,
    /// The frame that its sound has come to, and the samples of it that are there.
    frame: usize,
    pending: Vec<f32>,
}

impl Pieces {
    /// Nothing yet of a whole of `n_frames`.
    pub fn new(codec: &Codec, n_frames: usize) -> Self {
        let samples = vec![0.0; n_frames * codec.hop_samples()];
        Self { codec: codec.clone(), samples, is_there: vec![false; n_frames], running: None }
    }

    /// The sound, silent where it is not there yet.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// The same, for good.
    pub fn into_samples(self) -> Vec<f32> {
        self.samples
    }

    /// Which frames' sound is there.
    pub fn frames(&self) -> &[bool] {
        &self.is_there
    }

    /// The frame that comes next for someone who listens from `wanted` on: the first from there on that is not there, else the first of
    /// all; `None` once the whole is there.
    pub fn next(&self, wanted: usize) -> Option<usize> {
        let missing = |range: std::ops::Range<usize>| range.into_iter().find(|&frame| !self.is_there[frame]);
        let wanted = wanted.min(self.is_there.len());
        missing(wanted..self.is_there.len()).or_else(|| missing(0..wanted))
    }

    /// Decodes from [`Pieces::next`] on, until `n_frames` more are there or the next stretch that is. `latents` are the same in every
    /// call; what came until `stop` said so is kept.
    pub fn decode(&mut self, latents: &Latents, wanted: usize, n_frames: usize, stop: &Cancel) -> Result<(), CodecError> {
        let Some(first) = self.next(wanted) else { return Ok(()) };
        let ahead = self.is_there[first..].iter().take(n_frames).take_while(|is_there| !**is_there).count();
        let mut running = match self.running.take() {
            Some(running) if running.frame == first => running,
            _ => self.start(latents, first, stop)?,
        };
        while running.frame < first + ahead {
            if let Err(stopped) = stop.check() {
                self.running = Some(running);
                return Err(stopped.into());
            }
            let n = (first + ahead).saturating_sub(running.next).clamp(1, FRAMES_AT_ONCE);
            let to = (running.next + n).min(self.is_there.len());
            let sound = running.stream.push(&latents.values[running.next * latents.dim..to * latents.dim])?;
            running.next = to;
            self.take(&mut running, &sound);
            if to == self.is_there.len() {
                let rest = std::mem::replace(&mut running.stream, self.codec.decoder()).finish()?;
                self.take(&mut running, &rest);
                return Ok(());
            }
        }
        self.running = Some(running);
        Ok(())
    }

    /// A stream whose sound from `first` on is that of the whole.
    fn start(&self, latents: &Latents, first: usize, stop: &Cancel) -> Result<Running, CodecError> {
        let (stream, next) = self.codec.decoder_at(latents, first, stop)?;
        // From the first frame on everything is as in the whole.
        let valid = if next == 0 { 0 } else { first };
        Ok(Running { stream, next, valid, frame: next, pending: Vec::new() })
    }

    /// Keeps what is new of the next samples of a stream. What is there stays as it is: someone may be listening to it.
    fn take(&mut self, running: &mut Running, sound: &[f32]) {
        let hop = self.codec.hop_samples();
        running.pending.extend_from_slice(sound);
        let whole = running.pending.len() / hop;
        for (frame, sound) in (running.frame..self.is_there.len()).zip(running.pending.chunks_exact(hop)) {
            if frame >= running.valid && !self.is_there[frame] {
                self.samples[frame * hop..(frame + 1) * hop].copy_from_slice(sound);
                self.is_there[frame] = true;
            }
        }
        running.pending.drain(..whole * hop);
        running.frame += whole;
    }
}
