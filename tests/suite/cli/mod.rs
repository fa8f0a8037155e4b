//! The command line in one process: exit codes, the one sentence, what is on disk afterwards.

mod corpora;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use driftscope::cli::Console;
use driftscope_core::diagnose::toy::{Toy, toy_corpus};
use driftscope_core::job::Cancel;
use driftscope_core::latents::{Split, StoreWriter, Utterance, ZarrVersion};
use serde_json::Value;

use corpora::{tones, write_tone};

/// What a user sees.
pub(crate) struct Outcome {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn driftscope(folder: &Path, args: &[&str]) -> Outcome {
    let (out, err) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let mut console = Console::plain(out.clone(), err.clone());
    let runs = folder.join("runs");
    let all = ["driftscope", "--device", "cpu", "--runs"].into_iter().map(OsString::from).chain([runs.into()]);
    let all = all.chain(args.iter().map(OsString::from));
    let code = driftscope::cli::run(all, &mut console, &Cancel::default());
    let text = |bytes: &Mutex<Vec<u8>>| String::from_utf8(bytes.lock().unwrap().clone()).unwrap();
    Outcome { code, out: text(&out), err: text(&err) }
}

/// A toy store of six speakers with a split, at `folder/latents.zarr`.
pub(crate) fn toy_store(folder: &Path, dim: usize, n_frames: usize) -> PathBuf {
    let corpus = toy_corpus(Toy::StableAr1 { a: 0.9 }, 6, n_frames, dim, 1);
    let path = folder.join("latents.zarr");
    let mut writer = StoreWriter::create(&path, ZarrVersion::V3, dim, 12.5, None).unwrap();
    let mut ids = Vec::new();
    for (index, u) in corpus.utterances.iter().enumerate() {
        let speaker = (100 + index).to_string();
        let utterance =
            Utterance { id: u.id.clone(), speaker: speaker.clone(), n_frames, duration_sec: n_frames as f64 / 12.5, audio_path: None };
        writer.write(&utterance, &u.latents, &vec![1.0; n_frames]).unwrap();
        ids.push((u.id.clone(), speaker));
    }
    writer.finish().unwrap();
    let speakers = ids.iter().map(|(_, speaker)| speaker.clone()).collect();
    Split::seeded(&speakers, 0.4, 1).unwrap().write(&folder.join("splits"), &ids, 1).unwrap();
    path
}

/// Every file below `folder` with its content.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push((path.clone(), fs::read(&path).unwrap())) }
        }
    }
    files.sort();
    files
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn wrong_usage_is_two_and_help_is_zero() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["frobnicate", "x"][..],
        &["frobnicate"],
        &["encode", "a", "--store", "s", "--eval-share", "2"],
        &["fit"],
        &["fit", "gan", "--out", "x"],
        &["--device", "tpu", "doctor"],
        &["decode"],
        &["encode", "a", "--store", "s", "--zarr", "4"],
    ] {
        let got = driftscope(folder.path(), args);
        assert_eq!((got.code, got.out.as_str()), (2, ""), "{args:?}: {}", got.err);
        assert!(!got.err.is_empty());
    }
    let help = driftscope(folder.path(), &["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    let commands =
        ["doctor", "demo", "fetch", "encode", "decode", "roundtrip", "perceive", "fit", "evaluate", "inject", "rollout", "synth", "runs"];
    for command in commands {
        assert!(help.out.contains(&format!("  {command} ")), "{command} is missing in\n{}", help.out);
    }
}

#[test]
fn doctor_speaks_and_json_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let plain = driftscope(folder.path(), &["doctor"]);
    assert_eq!(plain.code, 0, "{}", plain.err);
    assert!(plain.out.contains("device") && plain.out.contains("CPU"), "{}", plain.out);
    let json: Value = serde_json::from_str(&driftscope(folder.path(), &["doctor", "--json", "-"]).out).unwrap();
    assert!(json["environment"]["threads"].as_u64().unwrap() > 0);
    assert!(json["adapters"].is_array() && json["missing"].is_array());
    assert!(plain.out.contains("demo: embedded") && json["codec_weights"].as_array().unwrap().len() == 4, "{}", plain.out);
}

#[test]
fn a_store_goes_through_fit_evaluate_inject_and_rollout() {
    let folder = tempfile::tempdir().unwrap();
    let store = toy_store(folder.path(), 4, 60);
    let checkpoint = folder.path().join("linear.safetensors");
    let fit = ["fit", "linear", "--store", text(&store), "--out", text(&checkpoint), "--set", "window=4", "--quiet"];
    let got = driftscope(folder.path(), &fit);
    assert_eq!((got.code, got.err.as_str()), (0, ""));
    assert!(got.out.contains("fitted linear"), "{}", got.out);

    let args = ["evaluate", "--store", text(&store), "--predictor", text(&checkpoint), "--json", "-"];
    let evaluation: Value = serde_json::from_str(&driftscope(folder.path(), &args).out).unwrap();
    assert_eq!(evaluation[0]["horizon_k"], 1);
    assert!(evaluation[0]["eval"]["direction_cosine"].as_f64().unwrap() > 0.0);

    let args =
        ["inject", "--store", text(&store), "--predictor", text(&checkpoint), "--steps", "6", "--modes", "A,D,after:2+4", "--json", "-"];
    let got = driftscope(folder.path(), &args);
    let injection: Value = serde_json::from_str(&got.out).unwrap_or_else(|_| panic!("{}", got.err));
    for mode in ["A_teacher", "D_rollout", "after_2_4"] {
        assert_eq!(injection["modes"][mode]["per_step"].as_array().unwrap().len(), 6, "{mode}");
    }

    let latents = folder.path().join("rolled.safetensors");
    let id = some_id(&store);
    let args = [
        "rollout",
        "--store",
        text(&store),
        "--predictor",
        text(&checkpoint),
        "--utterance",
        &id,
        "--start",
        "10",
        "--steps",
        "5",
        "--latents",
        text(&latents),
    ];
    let got = driftscope(folder.path(), &args);
    assert_eq!(got.code, 0, "{}", got.err);
    let bytes = fs::read(&latents).unwrap();
    assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().tensor("x").unwrap().shape(), [5, 4]);

    let runs: Value = serde_json::from_str(&driftscope(folder.path(), &["runs", "--json", "-"]).out).unwrap();
    let listed: Vec<_> =
        runs["runs"].as_array().unwrap().iter().map(|r| (r["experiment"].as_str().unwrap(), r["state"].as_str().unwrap())).collect();
    assert_eq!(listed, [("fit linear", "completed"), ("evaluate", "completed"), ("inject", "completed"), ("rollout", "completed")]);
}

/// Id of some utterance of a store.
fn some_id(store: &Path) -> String {
    driftscope_core::latents::Store::open(store).unwrap().utterances()[0].id.clone()
}

#[test]
fn results_are_not_overwritten_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let store = toy_store(folder.path(), 4, 40);
    let out = folder.path().join("old.safetensors");
    fs::write(&out, "precious").unwrap();
    let fit = ["fit", "linear", "--store", text(&store), "--out", text(&out), "--set", "window=4"];
    let got = driftscope(folder.path(), &fit);
    assert_eq!(got.code, 1);
    assert!(got.err.contains("already exists") && got.err.contains("--force"), "{}", got.err);
    assert_eq!(fs::read(&out).unwrap(), b"precious");
    assert_eq!(driftscope(folder.path(), &[&fit[..], &["--force"]].concat()).code, 0);
    assert_ne!(fs::read(&out).unwrap(), b"precious");
}

/// A hand-made Zarr 2 store of two uncompressed utterances with the same content, which can be anything.
fn raw_store(folder: &Path, zarray: &str, chunk: &[u8]) -> PathBuf {
    let store = folder.join("latents.zarr");
    for id in ["103-1", "104-1"] {
        let array = store.join(id).join("x");
        fs::create_dir_all(&array).unwrap();
        fs::write(store.join(id).join(".zgroup"), r#"{"zarr_format":2}"#).unwrap();
        let attributes = format!(r#"{{"speaker_id":{},"n_frames":30,"latent_dim":4}}"#, &id[..3]);
        fs::write(store.join(id).join(".zattrs"), attributes).unwrap();
        fs::write(array.join(".zarray"), zarray).unwrap();
        fs::write(array.join("0.0"), chunk).unwrap();
    }
    fs::write(store.join(".zgroup"), r#"{"zarr_format":2}"#).unwrap();
    fs::write(store.join(".zattrs"), r#"{"frame_rate_hz":12.5}"#).unwrap();
    store
}

fn zarray(shape: &str, dtype: &str) -> String {
    format!(
        r#"{{"zarr_format":2,"shape":{shape},"chunks":{shape},"dtype":"{dtype}","compressor":null,"fill_value":0.0,"order":"C","filters":null}}"#
    )
}

#[test]
fn bad_stores_get_one_sentence_and_stay_as_they_are() {
    let floats = |n: usize, bad: Option<usize>| -> Vec<u8> {
        (0..n).flat_map(|i| if Some(i) == bad { f32::NAN } else { (i as f32).sin() }.to_le_bytes()).collect()
    };
    type Make<'a> = Box<dyn Fn(&Path) -> PathBuf + 'a>;
    let cases: Vec<(&str, Make, Vec<&str>)> = vec![
        ("missing", Box::new(|f| f.join("nowhere.zarr")), vec!["nowhere.zarr", "no such store"]),
        (
            "no store",
            Box::new(|f| {
                fs::create_dir(f.join("folder")).unwrap();
                fs::write(f.join("folder/notes.txt"), "hello").unwrap();
                f.join("folder")
            }),
            vec!["not a latents store"],
        ),
        ("NaN", Box::new(|f| raw_store(f, &zarray("[30,4]", "<f4"), &floats(120, Some(4 * 7 + 2)))), vec!["103-1", "frame 7"]),
        ("truncated", Box::new(|f| raw_store(f, &zarray("[30,4]", "<f4"), &floats(70, None))), vec!["103-1"]),
        ("rank", Box::new(|f| raw_store(f, &zarray("[30,2,2]", "<f4"), &floats(120, None))), vec!["103-1"]),
        ("type", Box::new(|f| raw_store(f, &zarray("[30,4]", "<i4"), &floats(120, None))), vec!["103-1"]),
        ("empty", Box::new(|f| raw_store(f, &zarray("[0,4]", "<f4"), &[])), vec!["103-1"]),
    ];
    for (name, make, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let store = make(folder.path());
        let before = snapshot(folder.path());
        let out = folder.path().join("out.safetensors");
        let got = driftscope(folder.path(), &["fit", "linear", "--store", text(&store), "--out", text(&out)]);
        assert_eq!((got.code, got.out.as_str()), (1, ""), "{name}: {}", got.err);
        for words in expected {
            assert!(got.err.contains(words), "{name}: {words:?} is not in {}", got.err);
        }
        assert!(!out.exists(), "{name}");
        fs::remove_dir_all(folder.path().join("runs")).unwrap();
        assert_eq!(snapshot(folder.path()), before, "{name}");
    }
}

#[test]
fn predictors_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let four = toy_store(folder.path(), 4, 40);
    let eight_folder = folder.path().join("eight");
    fs::create_dir(&eight_folder).unwrap();
    let eight = toy_store(&eight_folder, 8, 40);
    let checkpoint = folder.path().join("four.safetensors");
    assert_eq!(driftscope(folder.path(), &["fit", "linear", "--store", text(&four), "--out", text(&checkpoint)]).code, 0);

    let got = driftscope(folder.path(), &["inject", "--store", text(&eight), "--predictor", text(&checkpoint)]);
    assert_eq!(got.code, 1);
    assert!(got.err.contains("frames of 4 values") && got.err.contains("have 8"), "{}", got.err);

    let truncated = folder.path().join("truncated.safetensors");
    let whole = fs::read(&checkpoint).unwrap();
    fs::write(&truncated, &whole[..whole.len() / 2]).unwrap();
    let got = driftscope(folder.path(), &["evaluate", "--store", text(&four), "--predictor", text(&truncated)]);
    assert_eq!(got.code, 1);
    assert!(got.err.contains("truncated.safetensors"), "{}", got.err);

    let got = driftscope(folder.path(), &["inject", "--store", text(&four), "--predictor", text(&checkpoint), "--steps", "64"]);
    assert_eq!(got.code, 1, "utterances of 40 frames hold no 64 steps");
    assert!(got.err.lines().last().unwrap().starts_with("driftscope: "), "{}", got.err);

    let got = driftscope(folder.path(), &["evaluate", "--store", text(&four), "--predictor", text(&checkpoint), "--horizons", "1,4"]);
    assert_eq!(got.code, 1);
    assert!(got.err.contains("horizon 4"), "{}", got.err);
}

#[test]
fn an_output_folder_that_cannot_be_is_named_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let store = toy_store(folder.path(), 4, 40);
    let file = folder.path().join("file");
    fs::write(&file, "no folder").unwrap();
    let out = file.join("out.safetensors");
    let got = driftscope(folder.path(), &["fit", "linear", "--store", text(&store), "--out", text(&out)]);
    assert_eq!(got.code, 1);
    assert!(got.err.contains("cannot write here"), "{}", got.err);
    assert_eq!(fs::read(&file).unwrap(), b"no folder");
}

#[test]
fn a_stopped_job_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = toy_store(folder.path(), 4, 60);
    let out = folder.path().join("mdn.safetensors");
    let (results, messages) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let cancel = Cancel::default();
    cancel.cancel();
    let runs = folder.path().join("runs");
    let args = ["driftscope", "--device", "cpu", "--runs", text(&runs), "fit", "mdn", "--store", text(&store), "--out", text(&out)];
    let code = driftscope::cli::run(args.map(OsString::from), &mut Console::plain(results, messages.clone()), &cancel);
    let message = String::from_utf8(messages.lock().unwrap().clone()).unwrap();
    assert_eq!(code, 1);
    assert!(message.contains("stopped on request"), "{message}");
    assert!(!out.exists());
    let listed: Value = serde_json::from_str(&driftscope(folder.path(), &["runs", "--json", "-"]).out).unwrap();
    assert_eq!(listed["runs"][0]["state"], "stopped");
}

#[test]
fn reports_and_sounds_replace_nothing_but_reports() {
    let folder = tempfile::tempdir().unwrap();
    let audio = tones(folder.path());
    let sound = folder.path().join("mine.wav");
    write_tone(&sound, 200.0);
    let before = fs::read(&sound).unwrap();
    let perceive = ["perceive", "--reference", text(&sound), "--degraded", text(&sound), "--json"];
    let got = driftscope(folder.path(), &[&perceive[..], &[text(&sound)]].concat());
    assert!(got.code == 1 && got.err.contains("mine.wav is there and is no report"), "{}", got.err);
    assert_eq!(fs::read(&sound).unwrap(), before);

    let store = folder.path().join("s/latents.zarr");
    let encode = ["encode", text(&audio), "--store", text(&store)];
    assert_eq!(driftscope(folder.path(), &encode).code, 0);
    let metadata = store.join("zarr.json");
    let got = driftscope(folder.path(), &["doctor", "--json", text(&metadata)]);
    assert!(got.code == 1 && got.err.contains("no report"), "{}", got.err);
    let report = folder.path().join("report.json");
    for _ in 0..2 {
        assert_eq!(driftscope(folder.path(), &["doctor", "--json", text(&report)]).code, 0, "a report replaces a report");
    }

    // Two sounds of one name would be written over each other.
    let twins = [folder.path().join("a/same.wav"), folder.path().join("b/same.wav")];
    twins.iter().for_each(|path| write_tone(path, 150.0));
    let out = folder.path().join("sounds");
    let got = driftscope(folder.path(), &["roundtrip", text(&twins[0]), text(&twins[1]), "--wav", text(&out)]);
    assert!(got.code == 1 && got.err.contains("are called same") && !out.exists(), "{}", got.err);
    let one = ["roundtrip", text(&twins[0]), "--wav", text(&out)];
    assert_eq!(driftscope(folder.path(), &one).code, 0);
    let got = driftscope(folder.path(), &one);
    assert!(got.code == 1 && got.err.contains("same.ref.wav already exists"), "{}", got.err);
}

#[test]
fn a_predictor_says_what_it_was_fitted_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = toy_store(folder.path(), 4, 60);
    let checkpoint = folder.path().join("linear.safetensors");
    let fit = ["fit", "linear", "--store", text(&store), "--out", text(&checkpoint), "--set", "window=4", "--quiet"];
    assert_eq!(driftscope(folder.path(), &fit).code, 0);
    let evaluate = ["evaluate", "--store", text(&store), "--predictor", text(&checkpoint), "--quiet"];
    assert_eq!(driftscope(folder.path(), &evaluate).err, "", "unseen speakers need no warning");

    // The sides change places: what was fitted on is measured on.
    let splits = folder.path().join("splits");
    let split = Split::read(&splits).unwrap();
    let turned = Split { train_speakers: split.eval_speakers, eval_speakers: split.train_speakers };
    turned.write(&splits, &[], 1).unwrap();
    let got = driftscope(folder.path(), &evaluate);
    assert_eq!(got.code, 0);
    assert!(got.err.contains("was trained on 4 of the 4 evaluation speakers"), "{}", got.err);
}

#[test]
fn a_predictor_of_one_codec_does_not_measure_another() {
    let folder = tempfile::tempdir().unwrap();
    let audio = tones(folder.path());
    let store = folder.path().join("demo/latents.zarr");
    assert_eq!(driftscope(folder.path(), &["encode", text(&audio), "--store", text(&store)]).code, 0);
    let checkpoint = folder.path().join("linear.safetensors");
    let fit = ["fit", "linear", "--store", text(&store), "--out", text(&checkpoint), "--set", "window=4"];
    assert_eq!(driftscope(folder.path(), &fit).code, 0);

    let corpus = toy_corpus(Toy::StableAr1 { a: 0.9 }, 6, 30, 64, 1);
    let other = folder.path().join("other/latents.zarr");
    let tag = driftscope_core::latents::CodecTag { codec: "mimi".into(), tap: String::new(), weights_hash: String::new() };
    let mut writer = StoreWriter::create(&other, ZarrVersion::V3, 64, 12.5, Some(tag)).unwrap();
    for u in &corpus.utterances {
        let utterance = Utterance { id: u.id.clone(), speaker: u.speaker.clone(), n_frames: 30, duration_sec: 2.4, audio_path: None };
        writer.write(&utterance, &u.latents, &[1.0; 30]).unwrap();
    }
    writer.finish().unwrap();
    let got = driftscope(folder.path(), &["evaluate", "--store", text(&other), "--predictor", text(&checkpoint), "--quiet"]);
    assert_eq!(got.code, 1);
    assert!(got.err.contains("codec demo (weights ") && got.err.contains("those of codec mimi;"), "{}", got.err);
}

#[test]
fn wrong_values_of_options_are_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("x.safetensors");
    let out = out.to_str().unwrap();
    for (args, expected) in [
        (vec!["fit", "mdn", "--store", "s.zarr", "--out", out, "--set", "hiden_dim=3"], "hiden_dim"),
        (vec!["fit", "mdn", "--store", "s.zarr", "--out", out, "--set", "hidden_dim"], "no '='"),
        (vec!["fit", "mdn", "--out", out], "--store"),
    ] {
        let outcome = driftscope(folder.path(), &args);
        assert_eq!(outcome.code, 2, "{args:?}: {}", outcome.err);
        assert!(outcome.err.contains(expected), "{}", outcome.err);
    }
}
