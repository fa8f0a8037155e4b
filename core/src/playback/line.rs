//! A line: one opened output with the mixer that feeds it, and the player's ends of the wires to that mixer.

use std::sync::Arc;

use super::health::Health;
use super::mixer::{INBOX_CAPACITY, Mixer, Progress, Scene, Seek};
use super::output::{self, Candidate, Output, OutputChoice, OutputConfig};

/// What a player speaks through; replaced whole when the output changes.
#[derive(Debug)]
pub(super) struct Line {
    // First, so that the callback has ended before the scene below may be dropped.
    _output: Output,
    pub(super) name: String,
    /// One sentence when it is not what was asked for.
    pub(super) notice: Option<String>,
    pub(super) rate_hz: u32,
    pub(super) buffer_frames: Option<u32>,
    pub(super) outbox: rtrb::Producer<Arc<Scene>>,
    pub(super) progress: Arc<Progress>,
    /// What the mixer began with, held so that it is not freed in the callback.
    _first: Arc<Scene>,
}

/// A mixer at rest at some position, and the player's ends.
struct Wires {
    mixer: Mixer,
    outbox: rtrb::Producer<Arc<Scene>>,
    first: Arc<Scene>,
    progress: Arc<Progress>,
}

impl Wires {
    fn new(rate_hz: u32, position_sec: f64) -> Self {
        let (outbox, inbox) = rtrb::RingBuffer::new(INBOX_CAPACITY);
        let progress = Arc::new(Progress::default());
        let position = (position_sec * f64::from(rate_hz)).round() as usize;
        let seek = Seek { id: 0, position };
        let first = Arc::new(Scene { samples: [].into(), gain: 0.0, length: position, loop_samples: None, playing: false, seek });
        let mixer = Mixer::new(inbox, Arc::clone(&first), rate_hz, Arc::clone(&progress));
        Self { mixer, outbox, first, progress }
    }
}

impl Line {
    /// Opens the output that is asked for; where it cannot be had, a silent one at `silent_rate_hz` with a notice that says why.
    pub(super) fn open(config: &OutputConfig, position_sec: f64, silent_rate_hz: u32, health: &Arc<Health>) -> Self {
        if config.choice == OutputChoice::Silent {
            return Self::silent(silent_rate_hz, position_sec, None);
        }
        Self::open_device(config, position_sec, health).unwrap_or_else(|reason| {
            let notice = format!("No sound device could be opened ({}); playing in silence.", reason.trim_end_matches('.'));
            Self::silent(silent_rate_hz, position_sec, Some(notice))
        })
    }

    fn open_device(config: &OutputConfig, position_sec: f64, health: &Arc<Health>) -> Result<Self, String> {
        let candidate = Candidate::find(config)?;
        let rate_hz = candidate.rate_hz();
        let mut ends = None;
        // Every attempt takes a mixer with it; only the ends of the last are used.
        let started = candidate.start(health, || {
            let Wires { mixer, outbox, first, progress } = Wires::new(rate_hz, position_sec);
            ends = Some((outbox, first, progress));
            mixer
        })?;
        let (outbox, first, progress) = ends.ok_or("the device took no mixer")?;
        Ok(Self {
            _output: started.output,
            name: candidate.name,
            notice: started.notice,
            rate_hz,
            buffer_frames: started.buffer_frames,
            outbox,
            progress,
            _first: first,
        })
    }

    /// Lets time pass without a device.
    pub(super) fn silent(rate_hz: u32, position_sec: f64, notice: Option<String>) -> Self {
        let wires = Wires::new(rate_hz, position_sec);
        let (output, notice) = match output::start_silent(wires.mixer, rate_hz) {
            Ok(output) => (output, notice),
            Err(error) => (Output::ByHand, Some(format!("Nothing can be played: no thread could be started ({error})."))),
        };
        Self {
            _output: output,
            name: "no sound device".to_owned(),
            notice,
            rate_hz,
            buffer_frames: None,
            outbox: wires.outbox,
            progress: wires.progress,
            _first: wires.first,
        }
    }

    /// Leaves the mixer to the caller.
    pub(super) fn by_hand(rate_hz: u32, position_sec: f64) -> (Self, Mixer) {
        let Wires { mixer, outbox, first, progress } = Wires::new(rate_hz, position_sec);
        let line = Self {
            _output: Output::ByHand,
            name: "by hand".to_owned(),
            notice: None,
            rate_hz,
            buffer_frames: None,
            outbox,
            progress,
            _first: first,
        };
        (line, mixer)
    }
}
