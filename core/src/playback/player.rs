//! The control side: every source, and what should sound now.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::mixer::{INBOX_CAPACITY, Mixer, Progress, Scene, Seek, fade_samples};
use super::output::{self, Candidate, Health, Output, OutputChoice};

/// Holds the sources and steers one output. Every method returns at once; nothing waits for the device.
///
/// Times are seconds from the start of the material, snapped to whole samples of [`Player::rate_hz`].
#[derive(Debug)]
pub struct Player {
    // First, so that the callback has ended before the scenes it may hold are dropped.
    output: Output,
    output_name: String,
    notice: Option<String>,
    rate_hz: u32,
    sources: Vec<Source>,
    selected: usize,
    playing: bool,
    muted: bool,
    loop_samples: Option<Range<usize>>,
    seek: Seek,
    outbox: rtrb::Producer<Arc<Scene>>,
    /// The newest scene found the outbox full and must be sent again.
    unsent: bool,
    /// Every scene that the mixer may still hold, so that it is freed here and not in the callback.
    sent: Vec<Arc<Scene>>,
    progress: Arc<Progress>,
    health: Arc<Health>,
}

#[derive(Debug)]
struct Source {
    samples: Arc<[f32]>,
    gain: f32,
}

/// A mixer and the ends of its wires.
struct Wires {
    mixer: Mixer,
    outbox: rtrb::Producer<Arc<Scene>>,
    first: Arc<Scene>,
    progress: Arc<Progress>,
}

fn wire(rate_hz: u32, position: usize) -> Wires {
    let (outbox, inbox) = rtrb::RingBuffer::new(INBOX_CAPACITY);
    let progress = Arc::new(Progress::default());
    let seek = Seek { id: 0, position };
    let first = Arc::new(Scene { samples: [].into(), gain: 0.0, length: position, loop_samples: None, playing: false, seek });
    let mixer = Mixer::new(inbox, Arc::clone(&first), rate_hz, Arc::clone(&progress));
    Wires { mixer, outbox, first, progress }
}

impl Player {
    /// Opens an output. Never fails: when the choice cannot be had, time passes in silence and [`Player::notice`] says why.
    pub fn open(choice: &OutputChoice) -> Self {
        let health = Arc::new(Health::default());
        let failure = match choice {
            OutputChoice::Silent => None,
            OutputChoice::Default | OutputChoice::Device(_) => match Self::open_device(choice, &health) {
                Ok(player) => return player,
                Err(reason) => Some(reason),
            },
        };
        let rate_hz = output::silent_rate_hz();
        let wires = wire(rate_hz, 0);
        let Wires { mixer, outbox, first, progress } = wires;
        let (output, failure) = match output::start_silent(mixer, rate_hz) {
            Ok(output) => (output, failure),
            Err(error) => (Output::ByHand, Some(format!("no thread could be started: {error}"))),
        };
        let notice =
            failure.map(|reason| format!("No sound device could be opened ({}); playing in silence.", reason.trim_end_matches('.')));
        Self::assemble(output, "no sound device".to_owned(), rate_hz, (outbox, first, progress), health, notice)
    }

    /// A player whose samples the caller pulls from the [`Mixer`] by hand: for tests and for rendering what would be heard to a file.
    pub fn by_hand(rate_hz: u32) -> (Self, Mixer) {
        let Wires { mixer, outbox, first, progress } = wire(rate_hz, 0);
        let health = Arc::new(Health::default());
        (Self::assemble(Output::ByHand, "by hand".to_owned(), rate_hz, (outbox, first, progress), health, None), mixer)
    }

    fn open_device(choice: &OutputChoice, health: &Arc<Health>) -> Result<Self, String> {
        let candidate = Candidate::find(choice)?;
        let rate_hz = candidate.rate_hz();
        let mut ends = None;
        let output = candidate.start(
            || {
                let Wires { mixer, outbox, first, progress } = wire(rate_hz, 0);
                ends = Some((outbox, first, progress));
                mixer
            },
            health,
        )?;
        let ends = ends.ok_or("the device took no mixer")?;
        Ok(Self::assemble(output, candidate.name, rate_hz, ends, Arc::clone(health), None))
    }

    fn assemble(
        output: Output,
        output_name: String,
        rate_hz: u32,
        (outbox, first, progress): (rtrb::Producer<Arc<Scene>>, Arc<Scene>, Arc<Progress>),
        health: Arc<Health>,
        notice: Option<String>,
    ) -> Self {
        Self {
            output,
            output_name,
            notice,
            rate_hz,
            sources: Vec::new(),
            selected: 0,
            playing: false,
            muted: false,
            loop_samples: None,
            seek: Seek::default(),
            outbox,
            unsent: false,
            sent: vec![first],
            progress,
            health,
        }
    }

    /// Samples per second that every source must have ([`super::at_rate`]).
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// The device, for people.
    pub fn output_name(&self) -> &str {
        &self.output_name
    }

    /// One sentence when the sound goes elsewhere than asked.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Underruns and other glitches that the device has reported.
    pub fn glitches(&self) -> u64 {
        self.health.glitches.load(Ordering::Relaxed)
    }

    /// Seconds between rendering a sample and hearing it, as the device reports it.
    pub fn latency_sec(&self) -> f64 {
        self.health.latency_us.load(Ordering::Relaxed) as f64 * 1e-6
    }

    /// Replaces all sources (each at [`Player::rate_hz`]; shorter ones end in silence). Stops at the start, forgets the loop,
    /// keeps the selection where there is such a source, and sets every gain to 0 dB.
    pub fn load(&mut self, sources: Vec<Arc<[f32]>>) {
        self.sources = sources.into_iter().map(|samples| Source { samples, gain: 1.0 }).collect();
        if self.selected >= self.sources.len() {
            self.selected = 0;
        }
        self.playing = false;
        self.loop_samples = None;
        self.jump(0);
        self.publish();
    }

    /// New content for one source, heard without a gap when it sounds. An index beyond the sources does nothing.
    pub fn replace(&mut self, index: usize, samples: Arc<[f32]>) {
        let Some(source) = self.sources.get_mut(index) else { return };
        source.samples = samples;
        let length = self.length();
        self.loop_samples = self.loop_samples.take().and_then(|range| self.valid_loop(range.start..range.end.min(length)));
        self.publish();
    }

    /// Makes one source the one that is heard. Choosing the sounding one fades too, so that the fade is no cue in a blind test.
    pub fn select(&mut self, index: usize) {
        if index < self.sources.len() {
            self.selected = index;
            self.publish();
        }
    }

    /// Index of the source that is heard.
    pub fn selected(&self) -> usize {
        self.selected
    }

    /// How many sources are loaded.
    pub fn n_sources(&self) -> usize {
        self.sources.len()
    }

    /// Loudness of one source; 0 dB leaves it as it is.
    pub fn set_gain_db(&mut self, index: usize, gain_db: f64) {
        if let Some(source) = self.sources.get_mut(index) {
            source.gain = 10.0_f64.powf(gain_db / 20.0) as f32;
            self.publish();
        }
    }

    /// Master mute.
    pub fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
        self.publish();
    }

    /// Whether the master is muted.
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// Starts, from the start (of the loop, where there is one) when the end was reached.
    pub fn play(&mut self) {
        if self.position() >= self.length() {
            self.jump(self.loop_samples.as_ref().map_or(0, |range| range.start));
        }
        self.playing = !self.sources.is_empty();
        self.publish();
    }

    /// Stops where it is.
    pub fn pause(&mut self) {
        self.playing = false;
        self.publish();
    }

    /// Whether time passes: false once the end was reached without a loop.
    pub fn is_playing(&self) -> bool {
        self.playing && (self.loop_samples.is_some() || self.position() < self.length())
    }

    /// Goes to a time, clamped to the material. A player that had reached its end stays stopped.
    pub fn seek_sec(&mut self, time_sec: f64) {
        self.playing = self.is_playing();
        self.jump(self.sample_at(time_sec));
        self.publish();
    }

    /// Where the sound is. Right after a seek this is the new place, though the device may not have followed yet.
    pub fn position_sec(&self) -> f64 {
        self.position() as f64 / f64::from(self.rate_hz)
    }

    /// Length of the longest source.
    pub fn length_sec(&self) -> f64 {
        self.length() as f64 / f64::from(self.rate_hz)
    }

    /// Repeats a region, seamlessly (its end fades into its start) and with a period exact to the sample; `None` plays on to the end.
    /// Widened to two fades (20 ms) where shorter. A playhead at or beyond the end of the region goes to its start.
    pub fn set_loop_sec(&mut self, region_sec: Option<Range<f64>>) {
        self.loop_samples = region_sec.and_then(|r| self.valid_loop(self.sample_at(r.start)..self.sample_at(r.end)));
        if let Some(range) = self.loop_samples.clone()
            && self.position() >= range.end
        {
            self.jump(range.start);
        }
        self.publish();
    }

    /// The region as it is repeated.
    pub fn loop_sec(&self) -> Option<Range<f64>> {
        let rate = f64::from(self.rate_hz);
        self.loop_samples.as_ref().map(|r| r.start as f64 / rate..r.end as f64 / rate)
    }

    /// Call once a frame: moves to the silent output when the device went away (and says so in [`Player::notice`]), and sends again
    /// what the device had no room for.
    pub fn poll(&mut self) {
        if self.health.lost.swap(false, Ordering::Relaxed) {
            self.fall_silent();
        } else if self.unsent {
            self.publish();
        }
    }

    fn fall_silent(&mut self) {
        let position = self.position();
        let Wires { mixer, outbox, first, progress } = wire(self.rate_hz, position);
        self.output = match output::start_silent(mixer, self.rate_hz) {
            Ok(output) => output,
            Err(_) => Output::ByHand,
        };
        self.notice = Some(format!("The sound device \"{}\" went away; playing in silence.", self.output_name));
        "no sound device".clone_into(&mut self.output_name);
        (self.outbox, self.progress) = (outbox, progress);
        self.sent.push(first);
        self.seek.id = 0;
        self.jump(position);
        self.publish();
    }

    fn position(&self) -> usize {
        let (position, obeyed) = self.progress.read();
        if obeyed == self.seek.id { position } else { self.seek.position }
    }

    fn length(&self) -> usize {
        self.sources.iter().map(|source| source.samples.len()).max().unwrap_or(0)
    }

    fn sample_at(&self, time_sec: f64) -> usize {
        // A float to integer cast saturates: negative and NaN times are the start.
        ((time_sec * f64::from(self.rate_hz)).round() as usize).min(self.length())
    }

    fn valid_loop(&self, range: Range<usize>) -> Option<Range<usize>> {
        let length = self.length();
        let shortest = 2 * fade_samples(self.rate_hz);
        if length < shortest {
            return None;
        }
        let start = range.start.min(length - shortest);
        Some(start..range.end.max(start + shortest).min(length))
    }

    fn jump(&mut self, position: usize) {
        self.seek = Seek { id: self.seek.id.wrapping_add(1), position };
    }

    fn publish(&mut self) {
        self.sent.retain(|scene| Arc::strong_count(scene) > 1);
        let (samples, gain) = match self.sources.get(self.selected) {
            Some(source) => (Arc::clone(&source.samples), if self.muted { 0.0 } else { source.gain }),
            None => ([].into(), 0.0),
        };
        let scene = Arc::new(Scene {
            samples,
            gain,
            length: self.length(),
            loop_samples: self.loop_samples.clone(),
            playing: self.playing,
            seek: self.seek,
        });
        self.unsent = self.outbox.push(Arc::clone(&scene)).is_err();
        if !self.unsent {
            self.sent.push(scene);
        }
    }
}

#[cfg(test)]
mod tests;
