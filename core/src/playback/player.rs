//! The control side: every source, and what should sound now.

use std::ops::Range;
use std::sync::Arc;

use super::health::Health;
use super::line::Line;
use super::mixer::{Mixer, Scene, Seek, fade_samples};
use super::output::{OutputConfig, SILENT_RATE_HZ};

/// Holds the sources and steers one output. Only opening an output takes time; everything else returns at once.
///
/// Times are seconds from the start of the material, snapped to whole samples of [`Player::rate_hz`].
#[derive(Debug)]
pub struct Player {
    // First, so that the callback has ended before the scenes it may hold are dropped.
    line: Line,
    health: Arc<Health>,
    sources: Vec<Source>,
    selected: usize,
    playing: bool,
    muted: bool,
    loop_samples: Option<Range<usize>>,
    seek: Seek,
    /// The newest scene found the outbox full and must be sent again.
    unsent: bool,
    /// Every scene that the mixer may still hold, so that it is freed here and not in the callback.
    sent: Vec<Arc<Scene>>,
}

/// Whether the sources still fit the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "at a new rate every source is silent until it is given again"]
pub enum Reopened {
    /// They do, and sound on.
    SameRate,
    /// Every source is silence of its length until it is given again ([`Player::replace`]) at the new [`Player::rate_hz`].
    NewRate,
}

#[derive(Debug)]
struct Source {
    samples: Arc<[f32]>,
    gain_db: f64,
}

impl Default for Source {
    fn default() -> Self {
        Self { samples: [].into(), gain_db: 0.0 }
    }
}

impl Player {
    /// Opens an output. Never fails: when the choice cannot be had, time passes in silence and [`Player::notice`] says why.
    pub fn open(config: impl Into<OutputConfig>) -> Self {
        let health = Arc::new(Health::default());
        Self::assemble(Line::open(&config.into(), 0.0, SILENT_RATE_HZ, &health), health)
    }

    /// A player whose samples the caller pulls from the [`Mixer`] by hand: for tests and for rendering what would be heard to a file.
    pub fn by_hand(rate_hz: u32) -> (Self, Mixer) {
        let (line, mixer) = Line::by_hand(rate_hz, 0.0);
        (Self::assemble(line, Arc::default()), mixer)
    }

    fn assemble(line: Line, health: Arc<Health>) -> Self {
        Self {
            line,
            health,
            sources: Vec::new(),
            selected: 0,
            playing: false,
            muted: false,
            loop_samples: None,
            seek: Seek::default(),
            unsent: false,
            sent: Vec::new(),
        }
    }

    /// Moves to another output, or to the same one again. Sources, selection, position, loop, gains, mute and playing stay as they
    /// are, and the sound fades in there; nothing sounds until it is open. Never fails, as [`Player::open`]; the silent output
    /// keeps the rate.
    pub fn reopen(&mut self, config: impl Into<OutputConfig>) -> Reopened {
        let position_sec = self.position_sec();
        let rate_hz = self.rate_hz();
        // Some devices can be opened only once: the old one is closed before the new one is opened.
        self.line = Line::by_hand(rate_hz, position_sec).0;
        self.health.renew();
        let line = Line::open(&config.into(), position_sec, rate_hz, &self.health);
        self.connect(line, position_sec)
    }

    /// Goes on at `position_sec` through another line.
    fn connect(&mut self, line: Line, position_sec: f64) -> Reopened {
        let (old_hz, new_hz) = (self.rate_hz(), line.rate_hz);
        self.line = line;
        if new_hz != old_hz {
            let rescaled = |n: usize| (n as f64 * f64::from(new_hz) / f64::from(old_hz)).round() as usize;
            for source in &mut self.sources {
                source.samples = vec![0.0; rescaled(source.samples.len())].into();
            }
            self.loop_samples = self.loop_samples.take().and_then(|r| self.valid_loop(rescaled(r.start)..rescaled(r.end)));
        }
        // The new mixer knows no seek yet, and it has not told where it is.
        self.seek.id = 0;
        self.jump(self.sample_at(position_sec));
        self.publish();
        if new_hz == old_hz { Reopened::SameRate } else { Reopened::NewRate }
    }

    /// Samples per second that every source must have ([`super::at_rate`]).
    pub fn rate_hz(&self) -> u32 {
        self.line.rate_hz
    }

    /// The device, for people.
    pub fn output_name(&self) -> &str {
        &self.line.name
    }

    /// One sentence when the sound goes elsewhere than asked, or through another buffer.
    pub fn notice(&self) -> Option<&str> {
        self.line.notice.as_deref()
    }

    /// Frames that the device asks for at a time, as it reports them; `None` without a device, or when it does not say.
    pub fn buffer_frames(&self) -> Option<u32> {
        self.line.buffer_frames
    }

    /// Underruns and other glitches that devices have reported since the player was made.
    pub fn glitches(&self) -> u64 {
        self.health.glitches()
    }

    /// Counts an underrun that whoever pulls the [`Mixer`] by hand has seen; devices report their own.
    pub fn report_underrun(&self) {
        self.health.failed(cpal::ErrorKind::Xrun);
    }

    /// Seconds between rendering a sample and hearing it, as the device reports it; 0 without one.
    pub fn latency_sec(&self) -> f64 {
        self.health.latency_sec()
    }

    /// Replaces all sources (each at [`Player::rate_hz`]; shorter ones end in silence). Stops at the start, forgets the loop,
    /// keeps the selection where there is such a source, and sets every gain to 0 dB.
    pub fn load(&mut self, sources: Vec<Arc<[f32]>>) {
        self.sources = sources.into_iter().map(|samples| Source { samples, gain_db: 0.0 }).collect();
        if self.selected >= self.sources.len() {
            self.selected = 0;
        }
        self.playing = false;
        self.loop_samples = None;
        self.jump(0);
        self.publish();
    }

    /// Forgets every source.
    pub fn clear(&mut self) {
        self.load(Vec::new());
    }

    /// New content for one source, heard without a gap when it sounds. Sources may come one by one: an index beyond them makes the
    /// ones in between, silent, and empty content silences one again.
    pub fn replace(&mut self, index: usize, samples: Arc<[f32]>) {
        let old_length = self.length();
        self.slot(index).samples = samples;
        let length = self.length();
        if index == self.selected || length != old_length {
            self.loop_samples = self.loop_samples.take().and_then(|range| self.valid_loop(range.start..range.end.min(length)));
            self.publish();
        }
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

    /// Level of one source; 0 dB leaves it as it is. An index beyond the sources makes silent ones up to it.
    pub fn set_gain_db(&mut self, index: usize, gain_db: f64) {
        self.slot(index).gain_db = gain_db;
        if index == self.selected {
            self.publish();
        }
    }

    /// The level that was set; 0 dB where there is no such source.
    pub fn gain_db(&self, index: usize) -> f64 {
        self.sources.get(index).map_or(0.0, |source| source.gain_db)
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
        self.position() as f64 / f64::from(self.rate_hz())
    }

    /// Length of the longest source.
    pub fn length_sec(&self) -> f64 {
        self.length() as f64 / f64::from(self.rate_hz())
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
        let rate = f64::from(self.rate_hz());
        self.loop_samples.as_ref().map(|r| r.start as f64 / rate..r.end as f64 / rate)
    }

    /// Call once a frame: moves to the silent output when the device went away (and says so in [`Player::notice`]), and sends again
    /// what the device had no room for.
    pub fn poll(&mut self) {
        if self.health.is_lost() {
            self.fall_silent();
        } else if self.unsent {
            self.publish();
        }
    }

    fn fall_silent(&mut self) {
        let (position_sec, rate_hz) = (self.position_sec(), self.rate_hz());
        let notice = format!("The sound device \"{}\" went away; playing in silence.", self.line.name);
        self.line = Line::by_hand(rate_hz, position_sec).0;
        // Only now: up to here the old device may still report its loss.
        self.health.renew();
        // The rate is the same, so no source has to be given again.
        let _ = self.connect(Line::silent(rate_hz, position_sec, Some(notice)), position_sec);
    }

    /// The source of that index, made where there is none.
    fn slot(&mut self, index: usize) -> &mut Source {
        if index >= self.sources.len() {
            self.sources.resize_with(index + 1, Source::default);
        }
        &mut self.sources[index]
    }

    fn position(&self) -> usize {
        let (position, obeyed) = self.line.progress.read();
        if obeyed == self.seek.id { position } else { self.seek.position }
    }

    fn length(&self) -> usize {
        self.sources.iter().map(|source| source.samples.len()).max().unwrap_or(0)
    }

    fn sample_at(&self, time_sec: f64) -> usize {
        // A float to integer cast saturates: negative and NaN times are the start.
        ((time_sec * f64::from(self.rate_hz())).round() as usize).min(self.length())
    }

    fn valid_loop(&self, range: Range<usize>) -> Option<Range<usize>> {
        let length = self.length();
        let shortest = 2 * fade_samples(self.rate_hz());
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
            Some(source) => (Arc::clone(&source.samples), if self.muted { 0.0 } else { linear(source.gain_db) }),
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
        self.unsent = self.line.outbox.push(Arc::clone(&scene)).is_err();
        if !self.unsent {
            self.sent.push(scene);
        }
    }
}

fn linear(gain_db: f64) -> f32 {
    10.0_f64.powf(gain_db / 20.0) as f32
}

#[cfg(test)]
mod tests;
