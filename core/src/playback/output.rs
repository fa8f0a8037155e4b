//! Where the sound goes: a device through cpal, or a timer that pulls and discards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, FromSample, SampleFormat, SizedSample, StreamConfig};

use super::Mixer;

/// Frames asked of the device: never its default, which can be seconds long.
const BUFFER_FRAMES: u32 = 512;

/// Rate of the silent output, a common one of devices.
const SILENT_RATE_HZ: u32 = 48_000;

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
    let Ok(devices) = cpal::default_host().output_devices() else { return Vec::new() };
    devices.filter_map(|device| Some(OutputDevice { id: device.id().ok()?.to_string(), name: device.to_string() })).collect()
}

/// What went wrong while sounding; written by the device's thread.
#[derive(Debug, Default)]
pub(super) struct Health {
    pub(super) glitches: AtomicU64,
    pub(super) lost: AtomicBool,
    pub(super) latency_us: AtomicU64,
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
    pub(super) name: String,
}

impl Candidate {
    pub(super) fn rate_hz(&self) -> u32 {
        self.config.sample_rate
    }

    /// Looks the device up and asks for its format; the reason when it cannot be used.
    pub(super) fn find(choice: &OutputChoice) -> Result<Self, String> {
        let host = cpal::default_host();
        let device = match choice {
            OutputChoice::Device(id) => {
                let parsed = id.parse().map_err(|_| format!("\"{id}\" is no name of a sound device"))?;
                host.device_by_id(&parsed).ok_or_else(|| format!("there is no sound device \"{id}\""))?
            }
            OutputChoice::Default | OutputChoice::Silent => {
                host.default_output_device().ok_or_else(|| "the system names no default sound device".to_owned())?
            }
        };
        let supported = device.default_output_config().map_err(|error| error.to_string())?;
        let format = supported.sample_format();
        let config = StreamConfig { buffer_size: BufferSize::Fixed(BUFFER_FRAMES), ..supported.config() };
        Ok(Self { name: device.to_string(), device, config, format })
    }

    /// Opens the stream. Only this shows whether a listed device can be used. `mixer` is made anew for each attempt.
    pub(super) fn start(&self, mut mixer: impl FnMut() -> Mixer, health: &Arc<Health>) -> Result<Output, String> {
        let relaxed = StreamConfig { buffer_size: BufferSize::Default, ..self.config };
        let stream = match self.build(self.config, mixer(), health) {
            Err(error) if matches!(error.kind(), ErrorKind::UnsupportedConfig | ErrorKind::InvalidInput) => {
                self.build(relaxed, mixer(), health)
            }
            result => result,
        };
        let stream = stream.map_err(|error| error.to_string())?;
        stream.play().map_err(|error| error.to_string())?;
        Ok(Output::Device { _stream: stream })
    }

    fn build(&self, config: StreamConfig, mixer: Mixer, health: &Arc<Health>) -> Result<cpal::Stream, cpal::Error> {
        match self.format {
            SampleFormat::I8 => build::<i8>(&self.device, config, mixer, health),
            SampleFormat::I16 => build::<i16>(&self.device, config, mixer, health),
            SampleFormat::I32 => build::<i32>(&self.device, config, mixer, health),
            SampleFormat::U8 => build::<u8>(&self.device, config, mixer, health),
            SampleFormat::U16 => build::<u16>(&self.device, config, mixer, health),
            SampleFormat::F64 => build::<f64>(&self.device, config, mixer, health),
            _ => build::<f32>(&self.device, config, mixer, health),
        }
    }
}

fn build<T>(device: &cpal::Device, config: StreamConfig, mut mixer: Mixer, health: &Arc<Health>) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<f32>,
{
    let channels = usize::from(config.channels).max(1);
    let told = Arc::clone(health);
    let failed = Arc::clone(health);
    device.build_output_stream::<T, _, _>(
        config,
        move |data, info| {
            let times = info.timestamp();
            let latency = times.playback.saturating_duration_since(times.callback);
            told.latency_us.store(latency.as_micros() as u64, Ordering::Relaxed);
            mixer.render_with(data.len() / channels, |index, sample| {
                data[index * channels..(index + 1) * channels].fill(T::from_sample(sample));
            });
        },
        move |error| match error.kind() {
            ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable | ErrorKind::StreamInvalidated | ErrorKind::PermissionDenied => {
                failed.lost.store(true, Ordering::Relaxed);
            }
            ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
            _ => {
                failed.glitches.fetch_add(1, Ordering::Relaxed);
            }
        },
        None,
    )
}

/// Starts a thread that lets time pass in a mixer and throws the samples away.
pub(super) fn start_silent(mixer: Mixer, rate_hz: u32) -> std::io::Result<Output> {
    Timer::start(mixer, rate_hz).map(|timer| Output::Silent { _timer: timer })
}

/// Rate of the silent output.
pub(super) const fn silent_rate_hz() -> u32 {
    SILENT_RATE_HZ
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
