//! Codecs of a few hundred weights, written as files: everything that does not need a reference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use driftscope_core::codec::CodecKind;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// Tensors by name.
#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(super) tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    pub(super) config: serde_json::Value,
}

/// Sizes all three share.
const FILTERS: usize = 2;
const DIM: usize = 8;
const RATIOS: [usize; 2] = [3, 2];

impl Model {
    pub(crate) fn new(kind: CodecKind) -> Self {
        let mut model = Self::default();
        let seanet = ["encoder", "decoder"];
        match kind {
            CodecKind::Mimi => {
                model.config = serde_json::json!({
                    "model_type": "mimi", "sampling_rate": 24_000, "frame_rate": 2_000.0, "hidden_size": DIM, "num_filters": FILTERS,
                    "upsampling_ratios": RATIOS, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
                    "sliding_window": 5, "num_quantizers": 3, "codebook_size": 16, "vector_quantization_hidden_dimension": 4,
                    "kernel_size": 7, "unknown_field": [1, 2],
                });
                seanet.iter().for_each(|side| model.seanet(side, 7, 3, 0));
                ["encoder", "decoder"].iter().for_each(|side| model.transformer(&format!("{side}_transformer.layers")));
                model.add("downsample.conv.weight", &[DIM, DIM, 4], 32);
                model.add("upsample.conv.weight", &[DIM, 1, 4], 2);
                for (name, n_levels) in [("semantic", 1), ("acoustic", 2)] {
                    let name = format!("quantizer.{name}_residual_vector_quantizer");
                    model.add(&format!("{name}.input_proj.weight"), &[4, DIM, 1], DIM);
                    model.add(&format!("{name}.output_proj.weight"), &[DIM, 4, 1], 4);
                    for i in 0..n_levels {
                        model.add(&format!("{name}.layers.{i}.codebook.embed_sum"), &[16, 4], 1);
                        model.fill(&format!("{name}.layers.{i}.codebook.cluster_usage"), &[16], 1.5);
                        model.fill(&format!("{name}.layers.{i}.codebook.initialized"), &[1], 1.0);
                    }
                }
            }
            CodecKind::Encodec => {
                model.config = serde_json::json!({
                    "model_type": "encodec", "sampling_rate": 24_000, "hidden_size": DIM, "num_filters": FILTERS, "upsampling_ratios": RATIOS,
                    "codebook_size": 16, "target_bandwidths": [48.0], "num_lstm_layers": 2, "kernel_size": 7, "last_kernel_size": 7,
                });
                seanet.iter().for_each(|side| model.seanet(side, 7, 7, 2));
                for i in 0..3 {
                    model.add(&format!("quantizer.layers.{i}.codebook.embed"), &[16, DIM], 1);
                    model.add(&format!("quantizer.layers.{i}.codebook.embed_avg"), &[16, DIM], 1);
                }
            }
            CodecKind::Calm => {
                model.config = serde_json::json!({"mimi": {
                    "sample_rate": 24_000, "frame_rate": 2_000.0, "inner_dim": 3, "outer_dim": DIM,
                    "seanet": {"dimension": DIM, "n_filters": FILTERS, "ratios": RATIOS},
                    "transformer": {"d_model": DIM, "num_heads": 2, "num_layers": 2, "context": 5, "dim_feedforward": 16},
                }});
                seanet.iter().for_each(|side| model.seanet(side, 7, 3, 0));
                ["encoder", "decoder"].iter().for_each(|side| model.transformer(&format!("{side}_transformer.layers")));
                model.add("downsample.conv.conv.weight", &[3, DIM, 4], 32);
                model.add("upsample.convtr.convtr.weight", &[DIM, 1, 4], 2);
                model.add("quantizer.output_proj.weight", &[DIM, 3, 1], 3);
                model = model.in_kyutai_names("conv.", "convtr.", "in_proj.weight");
                model.tensors = model.tensors.into_iter().map(|(name, tensor)| (format!("mimi.{name}"), tensor)).collect();
                model.add("flow_lm.emb_mean", &[3], 1);
                model.fill("flow_lm.emb_std", &[3], 0.5);
                model.add("flow_lm.something.else", &[7], 1);
            }
            CodecKind::Demo => {}
        }
        model
    }

    fn seanet(&mut self, side: &str, kernel: usize, last_kernel: usize, n_lstm_layers: usize) {
        let wide = FILTERS << RATIOS.len();
        let mut i = 0;
        let conv = |model: &mut Self, i: usize, part: &str, out: usize, input: usize, kernel: usize| {
            model.add(&format!("{side}.layers.{i}{part}.conv.weight"), &[out, input, kernel], input * kernel);
            model.add(&format!("{side}.layers.{i}{part}.conv.bias"), &[out], 30);
        };
        let residual = |model: &mut Self, i: usize, channels: usize| {
            conv(model, i, ".block.1", channels / 2, channels, 3);
            conv(model, i, ".block.3", channels, channels / 2, 1);
            if n_lstm_layers > 0 {
                conv(model, i, ".shortcut", channels, channels, 1);
            }
        };
        let lstm = |model: &mut Self, i: usize| {
            for layer in 0..n_lstm_layers {
                for (part, shape) in [("weight_ih", vec![4 * wide, wide]), ("weight_hh", vec![4 * wide, wide])] {
                    model.add(&format!("{side}.layers.{i}.lstm.{part}_l{layer}"), &shape, wide);
                }
                for part in ["bias_ih", "bias_hh"] {
                    model.add(&format!("{side}.layers.{i}.lstm.{part}_l{layer}"), &[4 * wide], 10);
                }
            }
        };
        if side == "encoder" {
            conv(self, 0, "", FILTERS, 1, kernel);
            let mut channels = FILTERS;
            for ratio in RATIOS.iter().rev() {
                residual(self, i + 1, channels);
                conv(self, i + 3, "", 2 * channels, channels, 2 * ratio);
                (i, channels) = (i + 3, 2 * channels);
            }
            if n_lstm_layers > 0 {
                lstm(self, i + 1);
                i += 1;
            }
            conv(self, i + 2, "", DIM, channels, last_kernel);
        } else {
            conv(self, 0, "", wide, DIM, kernel);
            if n_lstm_layers > 0 {
                lstm(self, 1);
                i += 1;
            }
            let mut channels = wide;
            for ratio in RATIOS {
                self.add(&format!("{side}.layers.{}.conv.weight", i + 2), &[channels, channels / 2, 2 * ratio], 2 * channels);
                self.add(&format!("{side}.layers.{}.conv.bias", i + 2), &[channels / 2], 30);
                channels /= 2;
                residual(self, i + 3, channels);
                i += 3;
            }
            conv(self, i + 2, "", 1, channels, last_kernel);
        }
    }

    fn transformer(&mut self, name: &str) {
        for i in 0..2 {
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                self.add(&format!("{name}.{i}.{norm}.weight"), &[DIM], 1);
                self.add(&format!("{name}.{i}.{norm}.bias"), &[DIM], 9);
            }
            for part in ["q", "k", "v", "o"] {
                self.add(&format!("{name}.{i}.self_attn.{part}_proj.weight"), &[DIM, DIM], DIM);
            }
            self.add(&format!("{name}.{i}.mlp.fc1.weight"), &[16, DIM], DIM);
            self.add(&format!("{name}.{i}.mlp.fc2.weight"), &[DIM, 16], 16);
            self.fill(&format!("{name}.{i}.self_attn_layer_scale.scale"), &[DIM], 0.7);
            self.fill(&format!("{name}.{i}.mlp_layer_scale.scale"), &[DIM], 0.6);
        }
    }

    /// Random values that keep the scale of what has `fan_in` inputs; the same for the same name.
    fn add(&mut self, name: &str, shape: &[usize], fan_in: usize) {
        let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        };
        let scale = 2.2 / (fan_in as f32).sqrt();
        let values = (0..shape.iter().product()).map(|_| random() * scale).collect();
        self.tensors.insert(name.to_owned(), (shape.to_vec(), values));
    }

    fn fill(&mut self, name: &str, shape: &[usize], value: f32) {
        self.tensors.insert(name.to_owned(), (shape.to_vec(), vec![value; shape.iter().product()]));
    }

    /// The same weights as moshi or pocket-tts would write them: one matrix for queries, keys and values, and rows of the first two in
    /// the order of neighboring pairs.
    pub(super) fn in_kyutai_names(mut self, conv: &str, transposed: &str, in_proj: &str) -> Self {
        let fused: Vec<String> = self.tensors.keys().filter_map(|k| k.strip_suffix("q_proj.weight").map(str::to_owned)).collect();
        for name in fused {
            let mut rows = Vec::new();
            for part in ["q", "k", "v"] {
                let (_, values) = self.tensors.remove(&format!("{name}{part}_proj.weight")).unwrap();
                for head in values.chunks(DIM / 2 * DIM) {
                    let half = DIM / 4;
                    let order: Vec<usize> =
                        if part == "v" { (0..2 * half).collect() } else { (0..2 * half).map(|i| i / 2 + i % 2 * half).collect() };
                    order.iter().for_each(|row| rows.extend_from_slice(&head[row * DIM..(row + 1) * DIM]));
                }
            }
            self.tensors.insert(format!("{name}{in_proj}"), (vec![3 * DIM, DIM], rows));
        }
        let transposed_convs = ["decoder.layers.2.conv.", "decoder.layers.5.conv."];
        let renamed = |name: String| {
            let name = match transposed_convs.iter().find(|c| name.starts_with(*c)) {
                Some(c) => name.replace(c, &format!("{}{transposed}", c.trim_end_matches("conv."))),
                None if name.starts_with("encoder.") || name.starts_with("decoder.") => name.replace(".conv.", &format!(".{conv}")),
                None => name,
            };
            [
                ("encoder.layers", "encoder.model"),
                ("decoder.layers", "decoder.model"),
                ("_transformer.", "_transformer.transformer."),
                ("mlp.fc1", "linear1"),
                ("mlp.fc2", "linear2"),
                ("o_proj", "out_proj"),
                ("input_layernorm", "norm1"),
                ("post_attention_layernorm", "norm2"),
                ("self_attn_layer_scale", "layer_scale_1"),
                ("mlp_layer_scale", "layer_scale_2"),
            ]
            .iter()
            .fold(name, |name, (ours, theirs)| name.replace(ours, theirs))
        };
        self.tensors = self.tensors.into_iter().map(|(name, tensor)| (renamed(name), tensor)).collect();
        self
    }

    /// Writes `model.safetensors` and `config.json`; gives the path of the former.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        self.write_as(folder, Dtype::F32, |v| v.to_le_bytes().to_vec())
    }

    /// The same in another number format.
    pub(super) fn write_as(&self, folder: &Path, dtype: Dtype, bytes: impl Fn(f32) -> Vec<u8>) -> PathBuf {
        let data: BTreeMap<&String, Vec<u8>> =
            self.tensors.iter().map(|(k, (_, v))| (k, v.iter().flat_map(|v| bytes(*v)).collect())).collect();
        let views = self.tensors.iter().map(|(k, (shape, _))| (k, TensorView::new(dtype, shape.clone(), &data[k]).unwrap()));
        let path = folder.join("model.safetensors");
        safetensors::serialize_to_file(views, None, &path).unwrap();
        std::fs::write(folder.join("config.json"), self.config.to_string()).unwrap();
        path
    }
}
