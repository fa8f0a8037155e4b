//! A store that is read in passes is measured as one in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use burn::tensor::Device;
use driftscope_core::context::{Corpus, CorpusError, Side, Slice, Source, StoredCorpus};
use driftscope_core::diagnose::toy::{Toy, toy_corpus};
use driftscope_core::diagnose::{DiagnoseError, EvaluateConfig, evaluate};
use driftscope_core::job::{Cancel, JobCtx, Progress};
use driftscope_core::latents::{Split, Store, StoreWriter, Utterance, ZarrVersion};
use driftscope_core::predict::{Predictor, PredictorConfig, PredictorKind, fit_predictor};

/// A store of 24 utterances of eight speakers, of 3 to 60 frames in three dimensions.
fn store(folder: &Path) -> PathBuf {
    let path = folder.join("latents.zarr");
    let mut writer = StoreWriter::create(&path, ZarrVersion::V3, 3, 12.5, None).unwrap();
    for (i, mut u) in toy_corpus(Toy::StableAr1 { a: 0.8 }, 24, 60, 3, 5).utterances.into_iter().enumerate() {
        let n_frames = 3 + (i * 23 + 51) % 58;
        u.latents.values.truncate(n_frames * 3);
        let utterance =
            Utterance { id: u.id, speaker: (i / 3).to_string(), n_frames, duration_sec: n_frames as f64 / 12.5, audio_path: None };
        let energy: Vec<f32> = (0..n_frames).map(|t| ((t * 7 + i) % 11) as f32).collect();
        writer.write(&utterance, &u.latents, &energy).unwrap();
    }
    writer.finish().unwrap();
    let side = |speakers: [&str; 4]| speakers.map(str::to_owned).into();
    let split = Split { train_speakers: side(["0", "1", "4", "6"]), eval_speakers: side(["2", "3", "5", "7"]) };
    split.write(&path.with_file_name("splits"), &[], 1).unwrap();
    path
}

fn open(path: &Path, memory_bytes: usize) -> StoredCorpus {
    let (corpus, problems) =
        StoredCorpus::open(Store::open(path).unwrap(), memory_bytes, &Cancel::default(), &Progress::default()).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    corpus
}

fn predictors(ctx: &JobCtx, corpus: &Corpus) -> Vec<Predictor> {
    let config = |kind, window, horizon, max_steps| PredictorConfig {
        kind,
        window,
        horizon,
        max_steps,
        hidden_dim: 8,
        ..PredictorConfig::default()
    };
    let fit = |config| fit_predictor(ctx, corpus, &config, None).unwrap();
    vec![
        fit(config(PredictorKind::Linear, 4, 1, 1)),
        fit(config(PredictorKind::Mdn, 4, 3, 4)),
        fit(config(PredictorKind::Vmf, 2, 1, 4)),
        Predictor::persistence(3, 2),
    ]
}

#[test]
fn a_store_in_passes_gives_the_bytes_of_a_corpus_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path());
    let (corpus, _) = Corpus::read(&Store::open(&path).unwrap()).unwrap();
    let ctx = JobCtx::quiet(Device::flex(), 9);
    let predictors = predictors(&ctx, &corpus);
    let n_bytes: usize = corpus.utterances.iter().map(|u| 4 * u.latents.values.len()).sum();
    for (slice, first_frame) in [(Slice::All, 0), (Slice::HighEnergy, 6), (Slice::UtteranceMedial, 0)] {
        let config = EvaluateConfig { slice, first_frame, n_resamples: 50, ..EvaluateConfig::default() };
        let in_memory = evaluate(&ctx, &corpus, &predictors, &config).unwrap();
        for held in [0, n_bytes / 2, n_bytes] {
            let stored = open(&path, held);
            assert_eq!(Source::from(&stored).identity(), corpus.source);
            let streamed = evaluate(&ctx, &stored, &predictors, &config).unwrap();
            assert_eq!(streamed.to_json(), in_memory.to_json(), "{slice:?} with {held} of {n_bytes} bytes in memory");
        }
    }
}

#[test]
fn problems_are_those_of_a_corpus_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path());
    fs::remove_file(path.join("toy-004/x/c/0/0")).unwrap();
    let (corpus, expected) = Corpus::read(&Store::open(&path).unwrap()).unwrap();
    let (stored, problems) = StoredCorpus::open(Store::open(&path).unwrap(), 0, &Cancel::default(), &Progress::default()).unwrap();
    let said = |problems: &[driftscope_core::latents::StoreError]| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((said(&problems), problems.len()), (said(&expected), 1));
    let source = Source::from(&stored);
    assert_eq!((source.identity(), source.n_utterances()), (corpus.source.as_str(), 23));
    assert_eq!(source.side(Side::Eval).len(), corpus.side(Side::Eval).count());
}

#[test]
fn an_utterance_that_goes_away_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path());
    let stored = open(&path, 0);
    fs::remove_dir_all(path.join("toy-013")).unwrap();
    let ctx = JobCtx::quiet(Device::flex(), 9);
    let error = evaluate(&ctx, &stored, &[Predictor::persistence(3, 2)], &EvaluateConfig::default()).unwrap_err();
    assert!(matches!(error, DiagnoseError::Store(_)));
    let message = error.to_string();
    assert!(message.starts_with("the store changed while it was read: ") && message.contains("utterance toy-013"), "{message}");
}

#[test]
fn passes_count_their_frames_and_end_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(folder.path());
    let stages = Arc::new(Mutex::new(Vec::new()));
    let (sink, cancel) = (stages.clone(), Cancel::default());
    let stop = cancel.clone();
    let progress = Progress::new(move |event| {
        if event.total == Some(event.done) {
            sink.lock().unwrap().push(event.stage.clone());
        }
        if event.stage == "null k=1" {
            stop.cancel();
        }
    });
    let ctx = JobCtx { cancel, progress: progress.clone(), ..JobCtx::quiet(Device::flex(), 9) };
    let (stored, _) = StoredCorpus::open(Store::open(&path).unwrap(), 0, &ctx.cancel, &progress).unwrap();
    let stopped = evaluate(&ctx, &stored, &[Predictor::persistence(3, 2)], &EvaluateConfig::default());
    assert!(matches!(stopped, Err(DiagnoseError::Cancelled(_))));
    assert_eq!(*stages.lock().unwrap(), ["frames of the store", "training statistics", "ridge k=1", "ridge, evaluation side"]);
    let stopped = StoredCorpus::open(Store::open(&path).unwrap(), 0, &ctx.cancel, &progress);
    assert!(matches!(stopped, Err(CorpusError::Cancelled(_))));
}
