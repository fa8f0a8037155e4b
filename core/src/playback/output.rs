//! Where the sound goes: a device through cpal, or a timer that pulls and discards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, FromSample, I24, SampleFormat, SizedSample, StreamConfig, SupportedBufferSize, U24};

use super::Mixer;
use super::health::Health;

/// Rate of the silent output where no other was known before, a common one of devices.
pub(super) const SILENT_RATE_HZ: u32 = 48_000;

/// How long a device may be quiet before the sound system is asked whether it is still there.
const DEVICE_TIMEOUT: Duration = Duration::from_secs(2);

/// Which output, and how finely it is fed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct OutputConfig {
    /// Where the sound goes.
    pub choice: OutputChoice,
    /// Frames that the device asks for at a time. It holds about two such buffers, which is its latency; small ones run dry sooner.
    pub buffer_frames: u32,
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self { choice: OutputChoice::Default, buffer_frames: 512 }
    }
}

impl From<&OutputChoice> for OutputConfig {
    fn from(choice: &OutputChoice) -> Self {
        Self { choice: choice.clone(), ..Self::default() }
    }
}

/// Which output the user wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputChoice {
    /// What the system calls its default.
    #[default]
    Default,
    /// The device with this [`OutputDevice::id`].
    Device(String),
    /// None: time passes, nothing sounds.
    Silent,
}

/// A device that could be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputDevice {
    /// Stable across starts where the system allows it.
    pub id: String,
    /// For people.
    pub name: String,
}

/// The devices that the system lists for output. Being listed does not mean that one can be opened.
pub fn outputs() -> Vec<OutputDevice> {
    hush_alsa();
    let Ok(devices) = cpal::default_host().output_devices() else { return Vec::new() };
    devices.filter_map(|device| Some(OutputDevice { id: device.id().ok()?.to_string(), name: device.to_string() })).collect()
}

/// ALSA writes its reasons to standard error, in lines that name its sources; what cpal returns says enough. For this thread.
fn hush_alsa() {
    // Without the memory for it, the lines appear.
    #[cfg(target_os = "linux")]
    let _ = alsa::Output::local_error_handler();
}

/// A running output; dropping it stops the sound.
pub(super) enum Output {
    Device { _stream: cpal::Stream },
    Silent { _timer: Timer },
    ByHand,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Device { .. } => "Device",
            Self::Silent { .. } => "Silent",
            Self::ByHand => "ByHand",
        })
    }
}

/// A device that was found but not started yet: its rate must be known before the mixer can be made.
pub(super) struct Candidate {
    device: cpal::Device,
    config: StreamConfig,
    format: SampleFormat,
    asked_frames: u32,
    fitting_frames: u32,
    pub(super) name: String,
}

/// A device that plays.
pub(super) struct Started {
    pub(super) output: Output,
    /// As the device reports it.
    pub(super) buffer_frames: Option<u32>,
    pub(super) notice: Option<String>,
}

impl Candidate {
    pub(super) fn rate_hz(&self) -> u32 {
        self.config.sample_rate
    }

    /// Looks the device up and asks for its format; the reason when it cannot be used.
    pub(super) fn find(config: &OutputConfig) -> Result<Self, String> {
        hush_alsa();
        let host = cpal::default_host();
        let device = match &config.choice {
            OutputChoice::Device(id) => {
                let parsed = id.parse().map_err(|_| format!("\"{id}\" is no name of a sound device"))?;
                host.device_by_id(&parsed).ok_or_else(|| format!("there is no sound device \"{id}\""))?
            }
            OutputChoice::Default | OutputChoice::Silent => {
                host.default_output_device().ok_or_else(|| "the system names no default sound device".to_owned())?
            }
        };
        let supported = device.default_output_config().map_err(|error| error.to_string())?;
        Ok(Self {
            name: device.to_string(),
            device,
            config: supported.config(),
            format: supported.sample_format(),
            asked_frames: config.buffer_frames,
            fitting_frames: fitting_frames(config.buffer_frames, supported.buffer_size()),
        })
    }

    /// Opens the stream. Only this shows whether a listed device can be used. `mixer` is made anew for each attempt.
    ///
    /// The device's own default buffer may be seconds long, so it is taken only where the device refuses every other.
    pub(super) fn start(&self, health: &Arc<Health>, mut mixer: impl FnMut() -> Mixer) -> Result<Started, String> {
        hush_alsa();
        let fixed = StreamConfig { buffer_size: BufferSize::Fixed(self.fitting_frames), ..self.config };
        let (stream, is_refused) = match self.build(fixed, mixer(), health) {
            Err(error) if matches!(error.kind(), ErrorKind::UnsupportedConfig | ErrorKind::InvalidInput) => {
                let default = StreamConfig { buffer_size: BufferSize::Default, ..self.config };
                (self.build(default, mixer(), health), true)
            }
            result => (result, false),
        };
        let stream = stream.map_err(|error| error.to_string())?;
        stream.play().map_err(|error| error.to_string())?;
        let buffer_frames = stream.buffer_size().ok();
        let is_other = is_refused || self.fitting_frames != self.asked_frames;
        let notice = is_other.then(|| buffer_notice(&self.name, self.asked_frames, buffer_frames));
        Ok(Started { output: Output::Device { _stream: stream }, buffer_frames, notice })
    }

    fn build(&self, config: StreamConfig, mixer: Mixer, health: &Arc<Health>) -> Result<cpal::Stream, cpal::Error> {
        match self.format {
            SampleFormat::I8 => build::<i8>(&self.device, config, mixer, health),
            SampleFormat::I16 => build::<i16>(&self.device, config, mixer, health),
            SampleFormat::I24 => build::<I24>(&self.device, config, mixer, health),
            SampleFormat::I32 => build::<i32>(&self.device, config, mixer, health),
            SampleFormat::U8 => build::<u8>(&self.device, config, mixer, health),
            SampleFormat::U16 => build::<u16>(&self.device, config, mixer, health),
            SampleFormat::U24 => build::<U24>(&self.device, config, mixer, health),
            SampleFormat::U32 => build::<u32>(&self.device, config, mixer, health),
            SampleFormat::F64 => build::<f64>(&self.device, config, mixer, health),
            _ => build::<f32>(&self.device, config, mixer, health),
        }
    }
}

fn build<T>(device: &cpal::Device, config: StreamConfig, mut mixer: Mixer, health: &Arc<Health>) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<f32>,
{
    let n_channels = usize::from(config.channels);
    let (told, failed) = (Arc::clone(health), Arc::clone(health));
    device.build_output_stream::<T, _, _>(
        config,
        move |data, info| {
            let times = info.timestamp();
            told.rendering(times.playback.saturating_duration_since(times.callback));
            mixer.render_interleaved(data, n_channels);
        },
        move |error| failed.failed(error.kind()),
        Some(DEVICE_TIMEOUT),
    )
}

/// The buffer nearest to what is asked for.
fn fitting_frames(asked: u32, supported: &SupportedBufferSize) -> u32 {
    match *supported {
        SupportedBufferSize::Range { min, max } => asked.min(max).max(min).max(1),
        SupportedBufferSize::Unknown => asked.max(1),
    }
}

fn buffer_notice(device: &str, asked: u32, got: Option<u32>) -> String {
    let instead = got.map_or_else(|| "its own".to_owned(), |frames| format!("one of {frames}"));
    format!("The sound device \"{device}\" takes no buffer of {asked} frames; it plays with {instead}.")
}

/// Starts a thread that lets time pass in a mixer and throws the samples away.
pub(super) fn start_silent(mixer: Mixer, rate_hz: u32) -> std::io::Result<Output> {
    Timer::start(mixer, rate_hz).map(|timer| Output::Silent { _timer: timer })
}

/// The thread of the silent output.
#[derive(Debug)]
pub(super) struct Timer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Timer {
    fn start(mut mixer: Mixer, rate_hz: u32) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            let mut scratch = vec![0.0; rate_hz as usize / 10];
            let mut last = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(5));
                // A machine that slept does not catch up: at most one buffer passes at a time.
                let due = (last.elapsed().as_secs_f64() * f64::from(rate_hz)) as usize;
                let n_samples = due.min(scratch.len());
                mixer.render(&mut scratch[..n_samples]);
                last += if due > n_samples { last.elapsed() } else { Duration::from_secs_f64(n_samples as f64 / f64::from(rate_hz)) };
            }
        };
        let thread = std::thread::Builder::new().name("silent output".to_owned()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_the_nearest_that_fits() {
        let range = SupportedBufferSize::Range { min: 128, max: 4096 };
        for (asked, supported, frames) in [
            (512, range, 512),
            (64, range, 128),
            (9000, range, 4096),
            (0, SupportedBufferSize::Unknown, 1),
            (512, SupportedBufferSize::Unknown, 512),
            (0, SupportedBufferSize::Range { min: 0, max: 0 }, 1),
        ] {
            assert_eq!(fitting_frames(asked, &supported), frames, "{asked} of {supported:?}");
        }
        assert_eq!(buffer_notice("USB", 64, Some(128)), "The sound device \"USB\" takes no buffer of 64 frames; it plays with one of 128.");
        assert_eq!(buffer_notice("USB", 64, None), "The sound device \"USB\" takes no buffer of 64 frames; it plays with its own.");
    }
}
