//! Representations against the peer's.

use std::fs;

use driftscope_core::latents::{Latents, Store};
use driftscope_core::represent::Pca;
use safetensors::SafeTensors;

use crate::shared;

#[test]
fn principal_components_of_context_windows_are_the_peers() {
    let Some(folder) = shared::path("fixtures/peer") else { return };
    let bytes = fs::read(folder.join("phase0/arrays_lag1.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let words = |name: &str| file.tensor(name).unwrap().data().chunks_exact(4).map(|b| b.try_into().unwrap()).collect::<Vec<[u8; 4]>>();
    let floats = |name: &str| words(name).into_iter().map(f32::from_le_bytes).collect::<Vec<_>>();
    let integers = |name: &str| words(name).into_iter().map(|b| i32::from_le_bytes(b) as usize).collect::<Vec<_>>();
    let details: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("phase0/metric_details_lag1.json")).unwrap()).unwrap();
    let store = Store::open(&folder.join("store")).unwrap();
    let latents: Vec<Latents> =
        details["utterances"].as_array().unwrap().iter().map(|id| store.read(id.as_str().unwrap()).unwrap()).collect();
    // Eight frames that end one before t, oldest first.
    let windows: Vec<&[f32]> = integers("train_utt_index")
        .into_iter()
        .zip(integers("train_t"))
        .map(|(utterance, t)| &latents[utterance].values[(t - 8) * 64..t * 64])
        .collect();
    let pca = Pca::fit(windows.into_iter(), 512, 4);
    for (found, wanted) in pca.mean.iter().zip(floats("pca4_vq16.pca_mean")) {
        assert!((found - wanted).abs() < 1e-4, "mean {found}, not {wanted}");
    }
    for (variance, wanted) in pca.variance.iter().zip(floats("pca4_vq16.pca_evr")) {
        let share = (variance / pca.total_variance) as f32;
        assert!((share - wanted).abs() < 1e-5, "explained {share}, not {wanted}");
    }
    let wanted = floats("pca4_vq16.pca_components");
    for (ours, theirs) in pca.components.chunks_exact(512).zip(wanted.chunks_exact(512)) {
        let cosine: f32 = ours.iter().zip(theirs).map(|(a, b)| a * b).sum();
        assert!(cosine.abs() > 0.9999, "cosine {cosine}");
    }
}
