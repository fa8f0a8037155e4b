//! Whether the device that was opened still answers.

use std::sync::{Arc, OnceLock};

/// Known to all who compute on one device: once it is lost (unplugged, reset, its driver crashed), nobody asks it again.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<OnceLock<String>>);

impl Health {
    /// Why the device is gone, once it is.
    pub fn lost(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// The device is gone. The first reason stays.
    pub fn report(&self, reason: impl std::fmt::Display) {
        let _ = self.0.set(reason.to_string().split_whitespace().collect::<Vec<&str>>().join(" "));
    }
}
