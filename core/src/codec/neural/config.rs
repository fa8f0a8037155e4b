//! Where a codec's configuration comes from.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::codec::{CodecError, CodecOptions};

/// A configuration and what errors call it.
#[derive(Debug)]
pub(in crate::codec) struct Found<T> {
    pub(in crate::codec) config: T,
    pub(in crate::codec) source: String,
}

impl<T> Found<T> {
    /// One sentence where `holds` does not.
    pub(in crate::codec) fn require(&self, holds: bool, what: impl FnOnce() -> String) -> Result<(), CodecError> {
        if holds { Ok(()) } else { Err(CodecError::Weights(format!("{}: {}", self.source, what()))) }
    }
}

/// The file that was asked for, else `config.json` or `config.yaml` beside the weights where `section` finds the codec's part in it
/// (a folder may hold another codec's), else the published configuration.
pub(in crate::codec) fn find<T: DeserializeOwned + Default>(
    weights: &Path,
    options: &CodecOptions,
    codec: &str,
    section: impl Fn(&Value) -> Option<&Value>,
) -> Result<Found<T>, CodecError> {
    let parse = |path: &Path, value: &Value| -> Result<Found<T>, CodecError> {
        let source = path.display().to_string();
        let config = serde_json::from_value(value.clone())
            .map_err(|e| CodecError::Weights(format!("{source}: no configuration of the {codec} codec ({e})")))?;
        Ok(Found { config, source })
    };
    if let Some(path) = &options.config {
        let value = read(path)?;
        return match section(&value) {
            Some(value) => parse(path, value),
            None => Err(CodecError::Weights(format!("{}: is not the configuration of the {codec} codec", path.display()))),
        };
    }
    for name in ["config.json", "config.yaml"] {
        let path = weights.with_file_name(name);
        if path.exists() {
            let value = read(&path)?;
            if let Some(value) = section(&value) {
                return parse(&path, value);
            }
        }
    }
    Ok(Found { config: T::default(), source: format!("the published configuration of the {codec} codec") })
}

fn read(path: &Path) -> Result<Value, CodecError> {
    let bad = |e: &dyn std::fmt::Display| CodecError::Weights(format!("{}: cannot be read as a configuration ({e})", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| bad(&e))?;
    if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
        serde_saphyr::from_str(&text).map_err(|e| bad(&e))
    } else {
        serde_json::from_str(&text).map_err(|e| bad(&e))
    }
}
