//! Predictors against the peer's recorded numbers, and what a bad checkpoint says.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData, activation};
use driftscope_core::context::{Corpus, Pairs, Side, Slice};
use driftscope_core::fit::{FitConfig, ParamGroup, Task, fit};
use driftscope_core::job::JobCtx;
use driftscope_core::latents::Store;
use driftscope_core::predict::von_mises_fisher::{Formula, LogNormalizer, log_normalizer, log_sphere_area, peer_log_normalizer};
use driftscope_core::predict::{Baselines, Prediction, Predictor};
use rand::rngs::StdRng;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::shared;

type Arrays = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

/// Every array of a safetensors fixture as f64, and its metadata.
fn arrays(relative: &str) -> Option<(Arrays, HashMap<String, String>)> {
    let bytes = std::fs::read(shared::path(relative)?).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap_or_default();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let read = |view: &TensorView<'_>| match view.dtype() {
        Dtype::F64 => view.data().as_chunks::<8>().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
        _ => view.data().as_chunks::<4>().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect::<Vec<f64>>(),
    };
    Some((file.tensors().iter().map(|(name, view)| (name.clone(), (view.shape().to_vec(), read(view)))).collect(), metadata))
}

fn json(relative: &str) -> Option<Value> {
    Some(serde_json::from_str(&std::fs::read_to_string(shared::path(relative)?).unwrap()).unwrap())
}

fn tensor<const D: usize>(arrays: &Arrays, name: &str, device: &Device) -> Tensor<D> {
    let (shape, values) = &arrays[name];
    Tensor::from_data(TensorData::new(values.iter().map(|&v| v as f32).collect::<Vec<f32>>(), shape.clone()), device)
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().try_into_vec::<f32>().unwrap().into_iter().map(f64::from).collect()
}

fn checkpoint(name: &str) -> Option<PathBuf> {
    shared::path(&format!("fixtures/peer/checkpoints/{name}"))
}

#[track_caller]
fn assert_close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let worst = got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, |a: f64, b| if b > a || b.is_nan() { b } else { a });
    assert!(worst <= tolerance, "{what}: differs by {worst}, allowed {tolerance}");
}

#[test]
fn log_normalizer_is_exact_and_the_peers_is_the_peers() {
    let Some(grid) = json("fixtures/peer/vmf/log_normalizer_grid.json") else { return };
    for row in grid["rows"].as_array().unwrap() {
        let (dim, kappa) = (row["dim"].as_u64().unwrap() as usize, row["kappa"].as_f64().unwrap());
        let value = |name: &str| row[name].as_f64().unwrap();
        for (what, got, want) in [
            ("exact", log_normalizer(dim, kappa), value("exact_mpmath")),
            ("peer", peer_log_normalizer(dim, kappa), value("peer_f64")),
            ("area", log_sphere_area(dim), value("log_sphere_area")),
        ] {
            assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "{what} D={dim} κ={kappa}: {got} for {want}");
        }
    }
}

#[test]
fn peer_rows() {
    let device = Device::flex();
    for (rows, contexts, model) in [("mdn_k1", "mdn_k1", "mdn_k1"), ("mdn_k4", "mdn_k4", "mdn_k4"), ("vmf_k1", "mdn_k1", "vmf_k1")] {
        for extension in ["pt", "safetensors"] {
            let Some(path) = checkpoint(&format!("{model}_final.{extension}")) else { return };
            let Some((inputs, _)) = arrays(&format!("fixtures/peer/phase1/rows_{contexts}.safetensors")) else { return };
            let Some((rows, _)) = arrays(&format!("fixtures/peer/phase1/rows_{rows}.safetensors")) else { return };
            let predictor = Predictor::load(&path, &device).unwrap();
            assert!(predictor.info.peer && predictor.info.window == 8 && predictor.info.dim == 64);
            assert_eq!(predictor.info.horizon, if model == "mdn_k4" { 4 } else { 1 });
            let prediction = predictor.predict(tensor(&inputs, "context", &device));
            let deltas = tensor(&inputs, "delta", &device);
            let nll = host(prediction.nll_factored(&deltas));
            assert_close(&format!("{model} nll"), &nll, &rows["nll"].1, 2e-4);
            assert_close(&format!("{model} nll f64"), &nll, &rows["nll_f64"].1, 2e-4);
            assert_close(&format!("{model} mean"), &host(prediction.mean()), &rows["expected_mean"].1, 1e-4);
            if let Prediction::VmfLogNormal { log_kappa, log_magnitude, .. } = &prediction {
                assert_close("log kappa", &host(log_kappa.clone()), &rows["log_kappa"].1, 1e-5);
                assert_close("mu_logm", &host(log_magnitude.clone()), &rows["mu_logm"].1, 1e-5);
                let mut rng = rand::SeedableRng::seed_from_u64(0);
                let median = host(prediction.advance(driftscope_core::predict::MagnitudeRule::Median, 1.0, &mut rng));
                assert_close("rollout mean", &median, &rows["rollout_mean"].1, 1e-4);
                let jacobian: Vec<f64> = inputs["delta"].1.chunks_exact(64).map(|d| 63.0 * norm(d).ln()).collect();
                let density: Vec<f64> = nll.iter().zip(&jacobian).map(|(n, j)| n + j).collect();
                assert_close("density over Δ", &host(prediction.nll(&deltas)), &density, 1e-3);
            }
        }
    }
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Pairs of one side of the peer's store, from the frame its largest lag of 4 allows.
fn peer_pairs(corpus: &Corpus, side: Side, horizon: usize, slice: Slice) -> Pairs {
    let indices: Vec<usize> = (0..corpus.utterances.len()).filter(|&u| corpus.utterances[u].side == side).collect();
    let all = Pairs::cut(corpus, &indices, 8, horizon, slice);
    let mut kept = Pairs { dim: all.dim, window: all.window, ..Pairs::default() };
    for (row, &(u, t)) in all.origins.iter().enumerate().filter(|(_, o)| o.1 >= 11) {
        kept.contexts.extend_from_slice(&all.contexts[row * 512..(row + 1) * 512]);
        kept.deltas.extend_from_slice(&all.deltas[row * 64..(row + 1) * 64]);
        kept.origins.push((u, t));
    }
    kept
}

fn peer_corpus() -> Option<Corpus> {
    Some(Corpus::read(&Store::open(&shared::path("fixtures/peer/store/latents.zarr")?).unwrap()).unwrap().0)
}

#[test]
fn peer_baselines() {
    let Some(corpus) = peer_corpus() else { return };
    let Some((diag, _)) = arrays("fixtures/peer/phase1/baseline_diag.safetensors") else { return };
    let Some(factorized) = json("fixtures/peer/phase1/baseline_factorized.json") else { return };
    for horizon in [1, 4] {
        let fitted = Baselines::fit(&peer_pairs(&corpus, Side::Train, horizon, Slice::All));
        for (name, got) in [("mean", &fitted.gaussian.mean), ("var", &fitted.gaussian.variance)] {
            let want = &diag[&format!("{name}_k{horizon}")].1;
            for (g, w) in got.iter().zip(want) {
                assert!((f64::from(*g) - w).abs() <= 1e-6 * w.abs().max(1.0), "{name} k={horizon}: {g} for {w}");
            }
        }
        let ln = fitted.log_magnitude;
        assert_close(
            "ln‖Δ‖",
            &[ln.mean, ln.variance],
            &[factorized["logm_mean"].as_f64().unwrap(), factorized["logm_var"].as_f64().unwrap()],
            1e-6,
        );
    }
}

/// The peer's pooled metrics (spec §3.2): n, nll, nll_baseline, direction_cosine, logmag_mse, logmag_r2.
fn pooled(predictor: &Predictor, baselines: &Baselines, pairs: &Pairs, device: &Device) -> [f64; 6] {
    let n = pairs.len();
    let rows = |values: &[f32], width: usize| Tensor::<2>::from_data(TensorData::new(values.to_vec(), [n, width]), device);
    let prediction = predictor.predict(rows(&pairs.contexts, 512));
    let nll: f64 = host(prediction.nll_factored(&rows(&pairs.deltas, 64))).iter().sum();
    let mean = host(prediction.mean());
    let vmf = predictor.info.kind == "vmf";
    let (mut baseline, mut cos, mut square, mut logs) = (0.0, 0.0, 0.0, Vec::new());
    for (delta, p) in pairs.deltas.chunks_exact(64).zip(mean.chunks_exact(64)) {
        baseline += if vmf { baselines.factored_nll(delta) } else { baselines.gaussian_nll(delta) };
        let y: Vec<f64> = delta.iter().map(|&v| f64::from(v)).collect();
        let (np, ny) = (norm(p).max(1e-8), norm(&y).max(1e-8));
        cos += p.iter().zip(&y).map(|(p, y)| p * y).sum::<f64>() / (np * ny);
        square += (np.ln() - ny.ln()).powi(2);
        logs.push(ny.ln());
    }
    let count = n as f64;
    let mean_log = logs.iter().sum::<f64>() / count;
    let spread: f64 = logs.iter().map(|l| (l - mean_log).powi(2)).sum();
    [count, nll / count, baseline / count, cos / count, square / count, 1.0 - square / spread]
}

#[test]
fn peer_metrics() {
    let device = Device::flex();
    let Some(corpus) = peer_corpus() else { return };
    let Some(metrics) = json("fixtures/peer/phase1/metrics.json") else { return };
    let Some(slices) = json("fixtures/peer/phase1/eval_slices.json") else { return };
    for entry in metrics.as_array().unwrap() {
        let (kind, horizon) = (entry["model_type"].as_str().unwrap(), entry["horizon_k"].as_u64().unwrap() as usize);
        let Some(path) = checkpoint(&format!("{kind}_k{horizon}_final.pt")) else { return };
        let predictor = Predictor::load(&path, &device).unwrap();
        let baselines = Baselines::fit(&peer_pairs(&corpus, Side::Train, horizon, Slice::All));
        let mut cases = vec![
            ("train".to_owned(), Side::Train, Slice::All, &entry["train"]),
            ("eval".to_owned(), Side::Eval, Slice::All, &entry["eval"]),
        ];
        for (name, slice) in [("all", Slice::All), ("high_energy", Slice::HighEnergy), ("utterance_medial", Slice::UtteranceMedial)] {
            if let Some(want) = slices["results"].get(format!("{kind}_k{horizon}_{name}")) {
                cases.push((name.to_owned(), Side::Eval, slice, want));
            }
        }
        for (what, side, slice, want) in cases {
            let what = format!("{kind} k={horizon} {what}");
            let got = pooled(&predictor, &baselines, &peer_pairs(&corpus, side, horizon, slice), &device);
            assert_eq!(got[0], want["n"].as_f64().unwrap(), "{what}: n");
            let names = ["nll", "nll_baseline", "direction_cosine", "logmag_mse"];
            let want_values: Vec<f64> = names.iter().map(|n| want[n].as_f64().unwrap()).collect();
            assert_close(&what, &got[1..5], &want_values, 1e-4);
            let r2 = want["logmag_r2"].as_f64().unwrap();
            assert!((got[5] - r2).abs() <= 1e-5 * r2.abs().max(10.0), "{what}: R² {} for {r2}", got[5]);
        }
    }
}

/// A safetensors checkpoint of the peer, changed by `edit`, in a temporary file.
fn edited(
    name: &str,
    edit: impl FnOnce(&mut BTreeMap<String, (Vec<usize>, Vec<f32>)>, &mut HashMap<String, String>),
) -> Option<tempfile::NamedTempFile> {
    let (arrays, mut metadata) = arrays(&format!("fixtures/peer/checkpoints/{name}.safetensors"))?;
    let mut arrays = arrays.into_iter().map(|(k, (s, v))| (k, (s, v.into_iter().map(|v| v as f32).collect()))).collect();
    edit(&mut arrays, &mut metadata);
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> =
        arrays.into_iter().map(|(k, (s, v))| (k, s, v.iter().flat_map(|v| v.to_le_bytes()).collect())).collect();
    let views = bytes.iter().map(|(k, s, b)| (k.as_str(), TensorView::new(Dtype::F32, s.clone(), b).unwrap()));
    let file = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
    std::fs::write(file.path(), safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
    Some(file)
}

#[test]
fn saturated_clamps() {
    let device = Device::flex();
    let Some(corpus) = peer_corpus() else { return };
    let Some(edge) = json("fixtures/peer/edge_cases/edge_cases.json") else { return };
    let Some(injection) = json("fixtures/peer/phase1/injection_diag.json") else { return };
    let Some(file) = edited("vmf_k1_final", |arrays, _| {
        arrays.get_mut("log_sigma_logm.2.bias").unwrap().1[0] += 50.0;
        arrays.get_mut("log_kappa.2.bias").unwrap().1[0] -= 50.0;
    }) else {
        return;
    };
    let predictor = Predictor::load(file.path(), &device).unwrap();
    let segments = injection["vmf_k1"]["segments"].as_array().unwrap();
    for (step, want) in edge["saturated_clamps"]["result"]["modes"]["A_teacher"]["per_step"].as_array().unwrap().iter().enumerate() {
        let (mut contexts, mut deltas) = (Vec::new(), Vec::new());
        for segment in segments {
            let utterance = corpus.utterances.iter().find(|u| u.id == segment["utterance_id"].as_str().unwrap()).unwrap();
            for t0 in segment["t0"].as_array().unwrap() {
                let t = t0.as_u64().unwrap() as usize + step;
                contexts.extend_from_slice(&utterance.latents.values[(t - 8) * 64..t * 64]);
                deltas.extend(utterance.latents.delta(t));
            }
        }
        let n = deltas.len() / 64;
        let rows = |v: Vec<f32>, width| Tensor::<2>::from_data(TensorData::new(v, [n, width]), &device);
        let prediction = predictor.predict(rows(contexts, 512));
        let nll = host(prediction.nll_factored(&rows(deltas.clone(), 64))).iter().sum::<f64>() / n as f64;
        assert!((nll - want["nll"].as_f64().unwrap()).abs() < 1e-3, "step {step}: {nll} for {}", want["nll"]);
        let ratios = host(prediction.mean()).chunks_exact(64).map(norm).collect::<Vec<_>>();
        let truths = deltas.chunks_exact(64).map(|d| norm(&d.iter().map(|&v| f64::from(v)).collect::<Vec<_>>()));
        let ratio = ratios.iter().zip(truths).map(|(r, t)| r / t).sum::<f64>() / n as f64;
        let want_ratio = want["mag_ratio"].as_f64().unwrap();
        assert!((ratio / want_ratio - 1.0).abs() < 1e-3, "step {step}: ratio {ratio} for {want_ratio}");
    }
}

/// The peer's two networks, as plain layers by the order of their names.
#[derive(Module, Debug)]
struct Layers {
    layers: Vec<Linear>,
}

/// Trains on one fixed batch, as the peer's recorded five steps do.
struct FixedBatch {
    names: &'static [&'static str],
    arrays: Arrays,
}

impl FixedBatch {
    fn start(&self, prefix: &str, device: &Device) -> Layers {
        let param = |name: String| tensor::<2>(&self.arrays, &name, device).transpose();
        let layer = |name: &&str| Linear {
            weight: Param::from_tensor(param(format!("{prefix}{name}.weight"))),
            bias: Some(Param::from_tensor(tensor::<1>(&self.arrays, &format!("{prefix}{name}.bias"), device))),
        };
        Layers { layers: self.names.iter().map(layer).collect() }
    }

    fn predict(&self, m: &Layers, x: Tensor<2>) -> Prediction {
        let (device, gelu) = (x.device(), |i: usize, x: Tensor<2>| activation::gelu(m.layers[i].forward(x)));
        if self.names.len() == 5 {
            let features = gelu(1, gelu(0, x));
            let heads = |i: usize| m.layers[i].forward(features.clone());
            return Prediction::Mixture {
                log_weights: activation::log_softmax(heads(2), 1),
                means: heads(3).reshape([32, 3, 8]),
                log_sigmas: heads(4).clamp(-7.0, 2.0).reshape([32, 3, 8]),
            };
        }
        let mlp = |i: usize| m.layers[i + 1].forward(gelu(i, x.clone()));
        let raw = mlp(0);
        let norm = raw.clone().square().sum_dim(1).sqrt().clamp_min(1e-8);
        Prediction::VmfLogNormal {
            direction: raw / norm,
            log_kappa: mlp(2).clamp(-2.0, 12.0),
            log_magnitude: mlp(4).clamp(-5.0, 12.0),
            log_sigma: mlp(6).clamp(-5.0, 2.0),
            normalizer: LogNormalizer::new(8, Formula::Peer, &device),
        }
    }
}

impl Task for FixedBatch {
    type Module = Layers;
    type Batch = (Tensor<2>, Tensor<2>);

    fn name(&self) -> String {
        "fixed batch".into()
    }

    fn batch(&self, _: &mut StdRng, device: &Device) -> Self::Batch {
        (tensor(&self.arrays, "context", device), tensor(&self.arrays, "delta", device))
    }

    fn loss(&self, module: &Layers, (context, delta): Self::Batch, _: &mut StdRng) -> Tensor<1> {
        self.predict(module, context).nll_factored(&delta).mean()
    }

    /// The peer decays biases too.
    fn group(&self, _: &str, _: usize) -> ParamGroup {
        ParamGroup { lr_scale: 1.0, decay_scale: 1.0 }
    }
}

#[test]
fn five_steps_of_adamw() {
    const MDN: [&str; 5] = ["backbone.0", "backbone.2", "pi_head", "mu_head", "log_sigma_head"];
    const VMF: [&str; 8] =
        ["mu_dir.0", "mu_dir.2", "log_kappa.0", "log_kappa.2", "mu_logm.0", "mu_logm.2", "log_sigma_logm.0", "log_sigma_logm.2"];
    let device = Device::flex();
    let families: [(&'static [&'static str], &str, &str, &str); 2] =
        [(&MDN, "init.", "after.", "mdn_loss_per_step"), (&VMF, "vmf_init.", "vmf_after.", "vmf_loss_per_step")];
    for (names, before, after, losses) in families {
        let Some((arrays, metadata)) = arrays("fixtures/peer/phase1/adamw_5steps.safetensors") else { return };
        let task = FixedBatch { names, arrays };
        let config = FitConfig {
            steps: 5,
            learning_rate: 1e-3,
            warmup_steps: 0,
            final_lr_fraction: 1.0,
            weight_decay: 1e-4,
            clip_norm: 1.0,
            ..FitConfig::default()
        };
        let fitted = fit(&JobCtx::quiet(device.clone(), 0), &task, task.start(before, &device), &config, None).unwrap();
        let recorded: Vec<f64> = serde_json::from_str(&metadata[losses]).unwrap();
        for (step, loss) in fitted.losses {
            assert_close("loss", &[loss.into()], &[recorded[step as usize]], 1e-4);
        }
        for (layer, name) in fitted.module.layers.iter().zip(names) {
            assert_close(name, &host(layer.weight.val().transpose()), &task.arrays[&format!("{after}{name}.weight")].1, 2e-5);
            assert_close(name, &host(layer.bias.as_ref().unwrap().val()), &task.arrays[&format!("{after}{name}.bias")].1, 2e-5);
        }
    }
}

#[track_caller]
fn assert_refused(path: &Path, says: &str) {
    let message = Predictor::load(path, &Device::flex()).unwrap_err().to_string();
    assert!(message.contains(says) && message.contains(path.file_name().unwrap().to_str().unwrap()), "{message}");
    assert!(!message.contains('\n') && message.len() < 400, "one sentence: {message}");
}

#[test]
fn bad_checkpoints_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    assert_refused(&folder.path().join("none.pt"), "cannot be read");
    let text = folder.path().join("notes.pt");
    std::fs::write(&text, "dear diary").unwrap();
    assert_refused(&text, "not a checkpoint");
    for (extension, says) in [("pt", "not a whole PyTorch checkpoint"), ("safetensors", "not a whole safetensors file")] {
        let Some(path) = checkpoint(&format!("mdn_k1_final.{extension}")) else { return };
        let bytes = std::fs::read(path).unwrap();
        for part in [bytes.len() / 2, bytes.len() - 1] {
            let cut = folder.path().join(format!("cut.{extension}"));
            std::fs::write(&cut, &bytes[..part]).unwrap();
            assert_refused(&cut, says);
        }
    }
    let refused = |says: &str, edit: &dyn Fn(&mut BTreeMap<String, (Vec<usize>, Vec<f32>)>, &mut HashMap<String, String>)| {
        if let Some(file) = edited("mdn_k1_final", |a, m| edit(a, m)) {
            assert_refused(file.path(), says);
        }
    };
    refused("tensor mu_head.bias [256] is missing", &|a, _| drop(a.remove("mu_head.bias")));
    refused("tensor gate.bias [3] belongs to no layer", &|a, _| drop(a.insert("gate.bias".into(), (vec![3], vec![0.0; 3]))));
    refused("tensor pi_head.bias has shape [2, 2]; [4] is needed", &|a, _| a.get_mut("pi_head.bias").unwrap().0 = vec![2, 2]);
    refused("input_dim 512 is not window_size 7", &|_, m| drop(m.insert("window_size".into(), "7".into())));
    refused("names no model_type", &|_, m| drop(m.remove("model_type")));
    refused("model_type \"direction_ar\"", &|_, m| drop(m.insert("model_type".into(), "direction_ar".into())));
}

#[test]
fn compiled_checkpoints_load() {
    let Some(path) = checkpoint("mdn_k1_final.safetensors") else { return };
    let Some(file) = edited("mdn_k1_final", |arrays, _| {
        *arrays = std::mem::take(arrays).into_iter().map(|(name, array)| (format!("_orig_mod.{name}"), array)).collect();
    }) else {
        return;
    };
    let device = Device::flex();
    let window = Tensor::<2>::ones([1, 512], &device);
    let [a, b] = [path.as_path(), file.path()].map(|p| host(Predictor::load(p, &device).unwrap().predict(window.clone()).mean()));
    assert_eq!(a, b);
}
