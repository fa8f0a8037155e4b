//! From how many rows on a whole rollout is faster on the GPU than on the CPU: measured once for each shape of network, and kept.
//!
//! Kept on disk, so that the same command takes the same path today and tomorrow: the two differ in the last digits.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::disk;

/// What a step of a rollout takes on either path.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Pace {
    /// Starts × schedules.
    pub n_rows: usize,
    /// Microseconds a step on the CPU.
    pub cpu_us: f64,
    /// Microseconds a step on the GPU.
    pub gpu_us: f64,
}

/// The fewest rows from which the GPU was faster, and stayed so; `None` where it never was.
pub fn crossover(paces: &[Pace]) -> Option<usize> {
    let slower = paces.iter().rposition(|pace| pace.gpu_us >= pace.cpu_us);
    paces.get(slower.map_or(0, |i| i + 1)).map(|pace| pace.n_rows)
}

/// What was measured on one adapter, by shape of network.
#[derive(Debug, Default)]
pub struct Crossovers {
    file: Option<PathBuf>,
    measured: Mutex<BTreeMap<String, Vec<Pace>>>,
}

impl Crossovers {
    /// As kept in `folder` for `adapter`; a file that is not there or cannot be read only means measuring anew.
    pub fn kept_in(folder: &Path, adapter: &str) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let key = blake3::hash(format!("{adapter}\0{threads}\0{}", env!("CARGO_PKG_VERSION")).as_bytes());
        let file = folder.join(format!("paths-{}.json", &key.to_hex()[..16]));
        let kept = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { file: Some(file), measured: Mutex::new(kept.unwrap_or_default()) }
    }

    /// What is known of a shape.
    pub fn get(&self, shape: &str) -> Option<Vec<Pace>> {
        self.measured.lock().ok()?.get(shape).cloned()
    }

    /// Keeps what was measured. A file that cannot be written costs measuring again in the next run.
    pub fn keep(&self, shape: String, paces: Vec<Pace>) {
        let Ok(mut measured) = self.measured.lock() else { return };
        measured.insert(shape, paces);
        let Some(file) = &self.file else { return };
        let written = serde_json::to_vec_pretty(&*measured).map_err(std::io::Error::from);
        let _ = written.and_then(|bytes| {
            file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            disk::write_beside(file, |out| out.write_all(&bytes))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(n_rows: usize, cpu_us: f64, gpu_us: f64) -> Pace {
        Pace { n_rows, cpu_us, gpu_us }
    }

    #[test]
    fn the_gpu_is_taken_from_where_it_stays_faster() {
        for (paces, expected) in [
            (vec![pace(5, 1.0, 2.0), pace(80, 9.0, 3.0), pace(640, 70.0, 9.0)], Some(80)),
            (vec![pace(5, 2.0, 1.0), pace(80, 9.0, 9.5), pace(640, 70.0, 9.0)], Some(640)),
            (vec![pace(5, 2.0, 1.0), pace(80, 9.0, 3.0)], Some(5)),
            (vec![pace(5, 1.0, 2.0), pace(80, 9.0, f64::INFINITY)], None),
            (vec![], None),
        ] {
            assert_eq!(crossover(&paces), expected, "{paces:?}");
        }
    }

    #[test]
    fn what_was_measured_is_there_in_the_next_run_and_for_this_adapter_only() {
        let folder = tempfile::tempdir().unwrap();
        let paces = vec![pace(5, 1.5, 2.0)];
        Crossovers::kept_in(folder.path(), "one").keep("512x8".into(), paces.clone());
        let again = Crossovers::kept_in(folder.path(), "one");
        assert_eq!((again.get("512x8"), again.get("64x8")), (Some(paces), None));
        assert_eq!(Crossovers::kept_in(folder.path(), "other").get("512x8"), None);
        std::fs::read_dir(folder.path()).unwrap().flatten().for_each(|file| std::fs::write(file.path(), b"{").unwrap());
        assert_eq!(Crossovers::kept_in(folder.path(), "one").get("512x8"), None, "a damaged file is no measurement");
    }
}
