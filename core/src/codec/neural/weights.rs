//! Tensors of a safetensors file, one at a time.
//!
//! A tensor is read when a layer asks for it and given to that layer, which keeps it in the order it computes in: there is never a second
//! copy of the whole. Names are those of transformers; the ones moshi and pocket-tts use are translated when the file is opened.
//! Whatever is missing, left over, of another shape, or no number is an error that names the tensor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata};

use crate::codec::CodecError;

/// A header longer than this is none.
const LONGEST_HEADER: u64 = 100_000_000;

/// Names of moshi and pocket-tts, and what they are called here; applied in this order.
const TRANSLATIONS: [(&str, &str); 25] = [
    (".conv.conv.conv.", ".conv."),
    (".convtr.convtr.convtr.", ".conv."),
    (".conv.conv.", ".conv."),
    (".convtr.convtr.", ".conv."),
    (".convtr.", ".conv."),
    ("encoder.model.", "encoder.layers."),
    ("decoder.model.", "decoder.layers."),
    ("_transformer.transformer.", "_transformer."),
    (".linear1.", ".mlp.fc1."),
    (".linear2.", ".mlp.fc2."),
    (".in_proj_weight", ".in_proj.weight"),
    ("self_attn.out_proj.", "self_attn.o_proj."),
    (".norm1.", ".input_layernorm."),
    (".norm2.", ".post_attention_layernorm."),
    (".layer_scale_1.", ".self_attn_layer_scale."),
    (".layer_scale_2.", ".mlp_layer_scale."),
    (".rvq_first.vq.", ".semantic_residual_vector_quantizer."),
    (".rvq_rest.vq.", ".acoustic_residual_vector_quantizer."),
    (".rvq_first.", ".semantic_residual_vector_quantizer."),
    (".rvq_rest.", ".acoustic_residual_vector_quantizer."),
    ("._codebook.", ".codebook."),
    (".embedding_sum", ".embed_sum"),
    (".parametrizations.weight.original0", ".weight_g"),
    (".parametrizations.weight.original1", ".weight_v"),
    ("._initialized", ".initialized"),
];

/// Kept by training, not used by coding.
const UNUSED: [&str; 4] = [".initialized", ".inited", ".cluster_size", ".embed_avg"];

/// An open file of which tensors are taken.
#[derive(Debug)]
pub(in crate::codec) struct Weights {
    file: File,
    /// What errors call it.
    path: String,
    codec: &'static str,
    /// Where the shapes that are asked for come from.
    source: String,
    left: BTreeMap<String, Entry>,
    /// What is not the codec's, by its own name.
    beside: BTreeMap<String, Entry>,
    hash: String,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Its name in the file.
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    /// First byte in the file.
    start: u64,
}

impl Weights {
    /// Reads the header and the hash of the file; `prefix` is what the names of the codec's tensors begin with, the others are left alone.
    /// `source` is what errors call the configuration.
    pub(in crate::codec) fn open(path: &Path, codec: &'static str, source: &str, prefix: &str) -> Result<Self, CodecError> {
        let name = path.display().to_string();
        let unreadable = |e: std::io::Error| CodecError::Weights(format!("{name}: cannot be read ({e})"));
        let mut file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let unsuitable = |what: &str| CodecError::Weights(format!("{name}: {what}; the {codec} codec needs its weights as safetensors"));
        let mut size = [0; 8];
        if length < 8 {
            return Err(unsuitable("not a safetensors file"));
        }
        file.read_exact(&mut size).map_err(unreadable)?;
        let header_length = u64::from_le_bytes(size);
        if header_length > LONGEST_HEADER.min(length - 8) {
            return Err(unsuitable("not a whole safetensors file (its header does not fit into it)"));
        }
        let mut header = vec![0; header_length as usize];
        file.read_exact(&mut header).map_err(unreadable)?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| unsuitable(&format!("not a safetensors file ({e})")))?;
        let (mut left, mut beside) = (BTreeMap::new(), BTreeMap::new());
        let data = 8 + header_length;
        let mut end = data;
        // In the order of their names, so that of several damaged ones always the same is named.
        for (tensor, info) in metadata.tensors().into_iter().collect::<BTreeMap<_, _>>() {
            end = end.max(data.saturating_add(info.data_offsets.1 as u64));
            let start = data.saturating_add(info.data_offsets.0 as u64);
            let bits = info.shape.iter().try_fold(info.dtype.bitsize(), |n, size| n.checked_mul(*size));
            if bits != info.data_offsets.1.checked_sub(info.data_offsets.0).and_then(|n| n.checked_mul(8)) {
                return Err(unsuitable(&format!("not a whole safetensors file (tensor {tensor} has not the bytes of its shape)")));
            }
            let entry = Entry { name: tensor.clone(), dtype: info.dtype, shape: info.shape.clone(), start };
            match tensor.strip_prefix(prefix) {
                Some(known) => left.insert(translated(known), entry),
                None => beside.insert(tensor.clone(), entry),
            };
        }
        if end > length {
            let message = format!("{name}: ends after {length} of {end} bytes; get the file again");
            return Err(CodecError::Weights(message));
        }
        left.retain(|tensor, _| !UNUSED.iter().any(|end| tensor.ends_with(end)));
        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&file).map_err(unreadable)?;
        Ok(Self { file, path: name, codec, source: source.to_owned(), left, beside, hash: hasher.finalize().to_hex().to_string() })
    }

    /// blake3 of the whole file, hex.
    pub(in crate::codec) fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether there is such a tensor.
    pub(in crate::codec) fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// The tensor `name`, row-major in f32; it must have this shape.
    pub(in crate::codec) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CodecError> {
        let Some(entry) = self.left.remove(name) else {
            return Err(self.bad(&format!("tensor {name} {shape:?} is missing, which is there by {}", self.source)));
        };
        self.checked(&entry, shape)
    }

    /// Two tensors that are not the codec's own, by their full names, where the file has them.
    pub(in crate::codec) fn take_beside(&mut self, names: [&str; 2], shape: &[usize]) -> Result<Option<[Vec<f32>; 2]>, CodecError> {
        match names.map(|name| self.beside.remove(name)) {
            [Some(a), Some(b)] => Ok(Some([self.checked(&a, shape)?, self.checked(&b, shape)?])),
            _ => Ok(None),
        }
    }

    fn checked(&mut self, entry: &Entry, shape: &[usize]) -> Result<Vec<f32>, CodecError> {
        if entry.shape != shape {
            return Err(self.bad(&format!("tensor {} is {:?}, not {shape:?} as by {}", entry.name, entry.shape, self.source)));
        }
        let values = self.read(entry)?;
        match values.iter().position(|v| !v.is_finite()) {
            Some(at) => Err(self.bad(&format!("tensor {} holds a value that is no number (at {at})", entry.name))),
            None => Ok(values),
        }
    }

    /// Whether there are tensors whose name begins so, and all of them are zero.
    pub(in crate::codec) fn all_zero(&mut self, prefix: &str) -> Result<bool, CodecError> {
        let entries: Vec<Entry> =
            self.left.range(prefix.to_owned()..).take_while(|(k, _)| k.starts_with(prefix)).map(|e| e.1.clone()).collect();
        for entry in &entries {
            if self.read(entry)?.iter().any(|v| *v != 0.0) {
                return Ok(false);
            }
        }
        Ok(!entries.is_empty())
    }

    /// Leaves out all tensors whose name begins so.
    pub(in crate::codec) fn leave(&mut self, prefix: &str) {
        self.left.retain(|name, _| !name.starts_with(prefix));
    }

    /// Everything must have been taken.
    pub(in crate::codec) fn finish(self) -> Result<(), CodecError> {
        let Some(first) = self.left.values().next() else { return Ok(()) };
        let others = match self.left.len() - 1 {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        Err(self.bad(&format!("tensor {}{others} has no place in the configuration", first.name)))
    }

    fn bad(&self, what: &str) -> CodecError {
        CodecError::Weights(format!("{}: no usable weights of the {} codec ({what})", self.path, self.codec))
    }

    fn read(&mut self, entry: &Entry) -> Result<Vec<f32>, CodecError> {
        let mut values = vec![0.0_f32; entry.shape.iter().product()];
        let mut file = &self.file;
        let at = file.seek(SeekFrom::Start(entry.start));
        let mut halves = |file: &mut &File, f: fn(u16) -> f32| -> std::io::Result<()> {
            let mut raw = vec![0_u16; values.len()];
            file.read_exact(bytemuck::cast_slice_mut(&mut raw))?;
            values.iter_mut().zip(raw).for_each(|(v, raw)| *v = f(u16::from_le(raw)));
            Ok(())
        };
        let read = match entry.dtype {
            Dtype::F32 => file.read_exact(bytemuck::cast_slice_mut(&mut values)),
            Dtype::F16 => halves(&mut file, |raw| f16::from_bits(raw).to_f32()),
            Dtype::BF16 => halves(&mut file, |raw| bf16::from_bits(raw).to_f32()),
            other => return Err(self.bad(&format!("tensor {} is {other:?}, not F32, F16 or BF16", entry.name))),
        };
        match at.and(read) {
            Ok(()) => Ok(values),
            Err(e) => Err(CodecError::Weights(format!("{}: cannot be read ({e})", self.path))),
        }
    }
}

fn translated(name: &str) -> String {
    TRANSLATIONS.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// `[rows, columns]` to `[columns, rows]`.
pub(in crate::codec) fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    /// Rows whose pieces fit into the fastest cache together.
    const BLOCK: usize = 16;
    let rows = values.len() / columns;
    let mut out = vec![0.0; values.len()];
    for first in (0..rows).step_by(BLOCK) {
        for column in 0..columns {
            for row in first..(first + BLOCK).min(rows) {
                out[column * rows + row] = values[row * columns + column];
            }
        }
    }
    out
}
