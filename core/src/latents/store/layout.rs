//! The metadata files of a hierarchy: groups, their attributes, and the arrays' descriptions in both formats.
//!
//! Formats: zarr-specs.readthedocs.io, v2 and v3. Groups are read here and not by the Zarr library, because a root with consolidated
//! metadata of 30,000 utterances must not become a tree in memory when only its attributes are wanted.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use zarrs::metadata::ArrayMetadata;

use super::{CodecTag, StoreError, ZarrVersion};
use crate::disk;

/// A group's format and attributes.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) version: ZarrVersion,
    pub(super) attributes: Map<String, Value>,
}

#[derive(serde::Deserialize)]
struct GroupV3 {
    node_type: String,
    #[serde(default)]
    attributes: Map<String, Value>,
}

impl Group {
    /// The group at `folder`; `None` where there is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join("zarr.json");
        if let Some(bytes) = read_if_there(&path)? {
            let group: GroupV3 = parse(&path, &bytes)?;
            let is_group = group.node_type == "group";
            return Ok(is_group.then_some(Self { version: ZarrVersion::V3, attributes: group.attributes }));
        }
        if read_if_there(&folder.join(".zgroup"))?.is_none() {
            return Ok(None);
        }
        let path = folder.join(".zattrs");
        let attributes = match read_if_there(&path)? {
            Some(bytes) => parse(&path, &bytes)?,
            None => Map::new(),
        };
        Ok(Some(Self { version: ZarrVersion::V2, attributes }))
    }

    /// Writes the group's files into `folder`, each beside and renamed.
    pub(super) fn write(&self, folder: &Path) -> Result<(), StoreError> {
        self.write_files(folder, |path, text| disk::write_beside(path, |file| file.write_all(text)))
    }

    /// Writes the group's files into a `folder` that is itself to be renamed when whole.
    pub(super) fn write_unfinished(&self, folder: &Path) -> Result<(), StoreError> {
        fs::create_dir(folder).map_err(|source| StoreError::Io { path: folder.into(), source })?;
        self.write_files(folder, |path, text| fs::write(path, text))
    }

    fn write_files(&self, folder: &Path, write: impl Fn(&Path, &[u8]) -> io::Result<()>) -> Result<(), StoreError> {
        let files = match self.version {
            ZarrVersion::V2 => vec![(".zgroup", json!({"zarr_format": 2})), (".zattrs", json!(self.attributes))],
            ZarrVersion::V3 => {
                vec![("zarr.json", json!({"zarr_format": 3, "node_type": "group", "attributes": self.attributes}))]
            }
        };
        for (name, content) in files {
            let path = folder.join(name);
            write(&path, format!("{content:#}").as_bytes()).map_err(|source| StoreError::Io { path, source })?;
        }
        Ok(())
    }

    /// A positive finite number.
    pub(super) fn positive(&self, name: &str) -> Option<f64> {
        self.attributes.get(name)?.as_f64().filter(|v| v.is_finite() && *v > 0.0)
    }

    /// A non-empty text, or a whole number as text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.attributes.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) if number.is_i64() => Some(number.to_string()),
            _ => None,
        }
    }

    /// The codec that the attributes name.
    pub(super) fn codec(&self) -> Option<CodecTag> {
        let text = |name| self.text(name).unwrap_or_default();
        Some(CodecTag { codec: self.text("codec")?, tap: text("tap"), weights_hash: text("weights_hash") })
    }
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&e.kind()) => Ok(None),
        Err(source) => Err(StoreError::Io { path: path.into(), source }),
    }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|e| StoreError::Metadata { path: path.into(), reason: e.to_string() })
}

/// The folder of an utterance; refuses an id that would lead elsewhere.
pub(super) fn group_folder(store: &Path, utterance_id: &str) -> Result<PathBuf, StoreError> {
    let is_usable = !utterance_id.is_empty() && !utterance_id.starts_with('.') && !utterance_id.contains(['/', '\\', '\0']);
    if is_usable { Ok(store.join(utterance_id)) } else { Err(StoreError::UnusableId(utterance_id.to_owned())) }
}

/// A speaker as the formats hold it: a number where it is written as one.
pub(super) fn speaker_number(speaker: &str) -> Option<i64> {
    speaker.parse().ok().filter(|n: &i64| n.to_string() == speaker)
}

/// Description of a float32 array: format 2 as the peer writes it, format 3 in one zstd chunk with a checksum.
pub(super) fn array_metadata(version: ZarrVersion, shape: &[u64]) -> Result<ArrayMetadata, serde_json::Error> {
    serde_json::from_value(match version {
        ZarrVersion::V2 => json!({
            "zarr_format": 2, "shape": shape, "chunks": guess_chunks(shape), "dtype": "<f4", "order": "C", "fill_value": 0.0,
            "filters": null,
            "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
        }),
        ZarrVersion::V3 => json!({
            "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "float32", "fill_value": 0.0,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "zstd", "configuration": {"level": 3, "checksum": true}},
            ],
        }),
    })
}

/// The chunk shape that zarr-python 2 chooses for a float32 array: one chunk up to about 256 KB, then axes halved in turn.
fn guess_chunks(shape: &[u64]) -> Vec<u64> {
    const BASE: f64 = 256.0 * 1024.0;
    let mut chunks: Vec<f64> = shape.iter().map(|&n| n.max(1) as f64).collect();
    let bytes_of = |chunks: &[f64]| chunks.iter().product::<f64>() * 4.0;
    let target = (BASE * 2_f64.powf((bytes_of(&chunks) / (1024.0 * 1024.0)).log10())).clamp(BASE / 2.0, BASE * 256.0);
    for axis in (0..chunks.len()).cycle() {
        let bytes = bytes_of(&chunks);
        if (bytes < target || (bytes - target).abs() / target < 0.5) && bytes < BASE * 256.0 || bytes <= 4.0 {
            break;
        }
        chunks[axis] = (chunks[axis] / 2.0).ceil();
    }
    chunks.into_iter().map(|n| n as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_those_of_the_python_library() {
        let cases: [(&[u64], &[u64]); 9] = [
            (&[1, 512], &[1, 512]),
            (&[120, 512], &[120, 512]),
            (&[160, 512], &[80, 512]),
            (&[161, 512], &[81, 512]),
            (&[300, 512], &[150, 512]),
            (&[443, 512], &[222, 256]),
            (&[1024, 512], &[256, 256]),
            (&[2000, 512], &[500, 256]),
            (&[2000], &[2000]),
        ];
        for (shape, expected) in cases {
            assert_eq!(guess_chunks(shape), expected, "{shape:?}");
        }
    }

    #[test]
    fn ids_that_lead_elsewhere_are_refused() {
        for id in ["", ".", "..", "../x", "a/b", "a\\b", ".zgroup"] {
            assert!(group_folder(Path::new("s"), id).unwrap_err().to_string().contains("cannot name a folder"), "{id}");
        }
        assert_eq!(group_folder(Path::new("s"), "103-1").unwrap(), Path::new("s/103-1"));
    }

    #[test]
    fn speakers_that_are_not_plain_numbers_stay_text() {
        let cases = [("103", Some(103)), ("007", None), ("p225", None), ("-1", Some(-1)), ("+1", None), ("", None)];
        for (text, expected) in cases {
            assert_eq!(speaker_number(text), expected, "{text}");
        }
    }
}
