//! What a run ran on.

/// Enough of the surroundings to explain a difference between two runs.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Environment {
    /// Version of this program.
    pub version: String,
    /// "linux x86_64".
    pub platform: String,
    /// Threads the CPU work may use.
    pub threads: usize,
    /// The device that tensors were made on, in words.
    pub device: String,
}

impl Environment {
    /// The surroundings of this process; `device` as [`crate::engine::OpenDevice::description`].
    pub fn current(device: &str) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            device: device.to_owned(),
        }
    }
}
