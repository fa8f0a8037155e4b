//! The demo that is compiled in: voices, their latents, the codec that made them and predictors trained on such latents.
//!
//! `assets/make.sh` makes every file again. The latents could be had by encoding the voices; they are embedded so that the window
//! is complete at once, and a test compares the two. Nothing is read from disk here.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use driftscope_core::audio::{AudioClip, read_bytes};
use driftscope_core::codec::Codec;
use driftscope_core::context::{Corpus, CorpusUtterance, Pairs, Side, Slice};
use driftscope_core::engine::Device;
use driftscope_core::latents::{CodecTag, Latents};
use driftscope_core::predict::{Baselines, Predictor};
use safetensors::SafeTensors;

use crate::window::session::Material;

/// The files, listed by the build script: `VOICES`, `PREDICTORS`, `LATENTS`.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// Everything the window or the showcase works on.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The codec that made the latents.
    pub codec: Codec,
    /// The voices' latents; speakers on the evaluation side were seen by no fit.
    pub corpus: Corpus,
    /// The recordings, in the corpus's order.
    pub clips: Vec<AudioClip>,
    /// Those for horizon 1 first, then the direct ones for longer horizons.
    pub predictors: Vec<Predictor>,
    /// What ΔNLL is taken against: fitted on the training side of `corpus`.
    pub baselines: Baselines,
}

/// Metadata key of the pack: everything about the latents that is no number.
const ABOUT: &str = "driftscope";

/// What the pack says of its latents.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct About {
    codec: CodecTag,
    frame_rate_hz: f64,
    /// Identity of the corpus that was packed.
    source: String,
    utterances: Vec<Row>,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Row {
    id: String,
    speaker: String,
    eval: bool,
}

/// Loads the demo; predictors go to `device`.
pub fn load(device: &Device) -> anyhow::Result<Demo> {
    let codec = Codec::embedded()?;
    let (corpus, made_by) = unpack(embedded::LATENTS).context("the embedded latents")?;
    if made_by != codec.tag() {
        bail!("the embedded latents were made by other codec weights than the embedded ones; run assets/make.sh");
    }
    let voices: BTreeMap<&str, &[u8]> = embedded::VOICES.iter().copied().collect();
    let clip = |utterance: &CorpusUtterance| {
        let bytes = voices.get(utterance.id.as_str()).with_context(|| format!("no embedded voice {}", utterance.id))?;
        Ok(read_bytes(bytes, &utterance.id)?)
    };
    let clips = corpus.utterances.iter().map(clip).collect::<anyhow::Result<Vec<_>>>()?;
    let loaded = embedded::PREDICTORS.iter().map(|(name, bytes)| Predictor::from_bytes(bytes, name, device));
    let mut predictors = loaded.collect::<Result<Vec<_>, _>>()?;
    predictors.sort_by(|a, b| (a.info.horizon, &a.info.kind).cmp(&(b.info.horizon, &b.info.kind)));
    let first = predictors.first().context("no embedded predictor")?;
    let train: Vec<usize> = (0..corpus.utterances.len()).filter(|&i| corpus.utterances[i].side == Side::Train).collect();
    let baselines = Baselines::fit(&Pairs::cut(&corpus, &train, first.info.window, first.info.horizon, Slice::All));
    Ok(Demo { codec, corpus, clips, predictors, baselines })
}

/// The demo as the window works on it.
pub fn material(device: &Device) -> anyhow::Result<Material> {
    let Demo { codec, corpus, clips, predictors, baselines } = load(device)?;
    Ok(Material { name: "demo".to_owned(), path: None, corpus, clips, codec: Some(codec), made_by: None, predictors, baselines })
}

/// The latents of a corpus as one safetensors file: `ID` `[n_frames, dim]` and `ID/energy` `[n_frames]`, the rest in its header.
pub fn pack(corpus: &Corpus, codec: &CodecTag) -> anyhow::Result<Vec<u8>> {
    let rows = corpus.utterances.iter().map(|u| Row { id: u.id.clone(), speaker: u.speaker.clone(), eval: u.side == Side::Eval });
    let about =
        About { codec: codec.clone(), frame_rate_hz: corpus.frame_rate_hz, source: corpus.source.clone(), utterances: rows.collect() };
    let mut views = Vec::new();
    for u in &corpus.utterances {
        let shape = vec![u.latents.n_frames(), corpus.dim];
        views.push((u.id.clone(), view(shape, &u.latents.values)?));
        if let Some(energy) = &u.energy {
            views.push((format!("{}/energy", u.id), view(vec![energy.len()], energy)?));
        }
    }
    let header = [(ABOUT.to_owned(), serde_json::to_string(&about)?)].into_iter().collect();
    Ok(safetensors::serialize(views, Some(header))?)
}

fn view(shape: Vec<usize>, values: &[f32]) -> anyhow::Result<safetensors::tensor::TensorView<'_>> {
    Ok(safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytemuck::cast_slice(values))?)
}

/// The reverse of [`pack`].
pub fn unpack(bytes: &[u8]) -> anyhow::Result<(Corpus, CodecTag)> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let about = header.metadata().as_ref().and_then(|m| m.get(ABOUT)).context("no driftscope header")?;
    let about: About = serde_json::from_str(about)?;
    let tensors = SafeTensors::deserialize(bytes)?;
    let floats = |name: &str| -> anyhow::Result<(Vec<usize>, Vec<f32>)> {
        let tensor = tensors.tensor(name)?;
        Ok((tensor.shape().to_vec(), bytemuck::pod_collect_to_vec(tensor.data())))
    };
    let mut utterances = Vec::new();
    for row in about.utterances {
        let (shape, values) = floats(&row.id)?;
        let [_, dim] = shape[..] else { bail!("{}: of shape {shape:?}, not [n_frames, dim]", row.id) };
        utterances.push(CorpusUtterance {
            energy: floats(&format!("{}/energy", row.id)).ok().map(|(_, energy)| energy),
            latents: Latents { values, dim, frame_rate_hz: about.frame_rate_hz },
            side: if row.eval { Side::Eval } else { Side::Train },
            id: row.id,
            speaker: row.speaker,
        });
    }
    let dim = utterances.first().context("no utterances")?.latents.dim;
    Ok((
        Corpus { utterances, dim, frame_rate_hz: about.frame_rate_hz, source: about.source, codec: Some(about.codec.clone()) },
        about.codec,
    ))
}
