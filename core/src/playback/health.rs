//! What a device tells while it plays: underruns, its latency, and that it is gone.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use cpal::ErrorKind;

/// A device that reports this many errors without once asking for sound in between is as good as gone: some sound systems report the
/// loss of their server as nothing else.
const MAX_ERRORS_IN_A_ROW: u32 = 100;

/// Written by the device's threads, read by the player.
#[derive(Debug, Default)]
pub(super) struct Health {
    glitches: AtomicU64,
    errors_in_a_row: AtomicU32,
    lost: AtomicBool,
    latency_us: AtomicU64,
}

impl Health {
    /// The device asks for sound, to be heard after `latency`.
    pub(super) fn rendering(&self, latency: Duration) {
        self.errors_in_a_row.store(0, Ordering::Relaxed);
        self.latency_us.store(latency.as_micros() as u64, Ordering::Relaxed);
    }

    /// An underrun is not an invalid stream, and neither is a device that is gone; a rerouted stream plays on.
    pub(super) fn failed(&self, kind: ErrorKind) {
        match kind {
            ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable | ErrorKind::StreamInvalidated | ErrorKind::PermissionDenied => {
                self.lost.store(true, Ordering::Relaxed);
            }
            ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => {}
            _ => {
                self.glitches.fetch_add(1, Ordering::Relaxed);
                if self.errors_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_ERRORS_IN_A_ROW {
                    self.lost.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Another output: only the glitches are still counted.
    pub(super) fn renew(&self) {
        self.errors_in_a_row.store(0, Ordering::Relaxed);
        self.lost.store(false, Ordering::Relaxed);
        self.latency_us.store(0, Ordering::Relaxed);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn glitches(&self) -> u64 {
        self.glitches.load(Ordering::Relaxed)
    }

    pub(super) fn latency_sec(&self) -> f64 {
        self.latency_us.load(Ordering::Relaxed) as f64 * 1e-6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underrun_reroute_and_loss_are_told_apart() {
        for (kind, glitches, lost) in [
            (ErrorKind::Xrun, 1, false),
            (ErrorKind::BackendError, 1, false),
            (ErrorKind::DeviceChanged, 0, false),
            (ErrorKind::RealtimeDenied, 0, false),
            (ErrorKind::DeviceNotAvailable, 0, true),
            (ErrorKind::StreamInvalidated, 0, true),
            (ErrorKind::HostUnavailable, 0, true),
        ] {
            let health = Health::default();
            health.failed(kind);
            assert_eq!((health.glitches(), health.is_lost()), (glitches, lost), "{kind:?}");
            health.renew();
            assert_eq!((health.glitches(), health.is_lost()), (glitches, false), "{kind:?}: the count goes on");
        }
    }

    #[test]
    fn only_errors_without_sound_in_between_are_a_loss() {
        let health = Health::default();
        for _ in 0..10 * MAX_ERRORS_IN_A_ROW {
            health.failed(ErrorKind::Xrun);
            health.rendering(Duration::from_millis(20));
        }
        assert_eq!((health.is_lost(), health.latency_sec()), (false, 0.020));
        (0..MAX_ERRORS_IN_A_ROW).for_each(|_| health.failed(ErrorKind::BackendError));
        assert!(health.is_lost());
    }
}
