//! Stores: those that the peer wrote, those that we write, and damaged ones.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use driftscope_core::context::{Corpus, Side};
use driftscope_core::latents::{CodecTag, Latents, Split, Store, StoreWriter, Utterance, ZarrVersion};

use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::shared;

fn bytes_of(latents: &Latents) -> Vec<u8> {
    latents.values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn the_peers_store_reads_whole() {
    let Some(path) = shared::path("fixtures/peer/store") else { return };
    let store = Store::open(&path).unwrap();
    assert_eq!((store.utterances().len(), store.dim(), store.frame_rate_hz()), (43, 64, 12.5));
    let (corpus, problems) = Corpus::read(&store).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!((corpus.side(Side::Train).count(), corpus.side(Side::Eval).count()), (24, 19));
    assert!(corpus.utterances.iter().all(|u| u.energy.as_ref().is_some_and(|e| e.len() == u.latents.n_frames())));
    assert!(store.utterances().iter().all(|u| u.audio_path.is_some() && u.duration_sec > 0.0));
}

#[test]
fn chunks_along_both_axes_to_the_bit_and_without_an_index() {
    let Some(path) = shared::path("fixtures/peer/store_chunked") else { return };
    let expected: serde_json::Value = serde_json::from_slice(&fs::read(path.join("expected.json")).unwrap()).unwrap();
    let store = Store::open(&path).unwrap();
    let ids: Vec<_> = store.utterances().iter().map(|u| (u.id.as_str(), u.speaker.as_str(), u.n_frames)).collect();
    assert_eq!(ids, [("9001-1-0000", "9001", 161), ("9002-1-0000", "9002", 443)]);
    for utterance in store.utterances() {
        let latents = store.read(&utterance.id).unwrap();
        let row = &expected[&utterance.id];
        let ([rows, columns], offset) = ([0, 1].map(|axis| row["shape"][axis].as_u64().unwrap()), offset_of(&row["value_rule"]));
        let wanted = (0..rows).flat_map(|i| (0..columns).map(move |j| ((7 * i + 3 * j + offset) % 64) as f32 * 0.25 - 8.0));
        assert_eq!((latents.n_frames() as u64, latents.dim as u64), (rows, columns));
        assert!(latents.values.iter().copied().eq(wanted), "{}", utterance.id);
    }
}

/// The last number of the rule `x[i,j]=(((7*i+3*j+OFFSET) mod 64)-32)*0.25`, whose bytes have the SHA-256 that stands beside it.
fn offset_of(rule: &serde_json::Value) -> u64 {
    let rest = rule.as_str().unwrap().strip_prefix("x[i,j]=(((7*i+3*j+").unwrap();
    rest.strip_suffix(") mod 64)-32)*0.25").unwrap().parse().unwrap()
}

#[test]
fn both_formats_of_one_codec_are_equal_to_the_bit() {
    let Some(path) = shared::path("data/lyra-latents") else { return };
    let [v2, v3] = ["latents.v2.zarr", "latents.v3.zarr"].map(|name| Store::open(&path.join(name)).unwrap());
    assert_eq!((v2.utterances().len(), v2.dim(), v2.frame_rate_hz()), (116, 64, 50.0));
    assert_eq!(v2.utterances(), v3.utterances());
    assert_eq!(v2.index_hash(), v3.index_hash());
    assert!(v3.codec().unwrap().codec.starts_with("google/lyra v2"));
    let [(c2, p2), (c3, p3)] = [&v2, &v3].map(|store| Corpus::read(store).unwrap());
    assert!(p2.is_empty() && p3.is_empty());
    assert_eq!(c2.source, c3.source);
    for (a, b) in c2.utterances.iter().zip(&c3.utterances) {
        assert_eq!(bytes_of(&a.latents), bytes_of(&b.latents), "{}", a.id);
        assert_eq!(a.energy, b.energy);
    }
    let speakers: std::collections::BTreeSet<_> = c2.side(Side::Eval).map(|u| u.speaker.as_str()).collect();
    assert_eq!(speakers.len(), 17, "every fourth of 66 speakers");
}

#[test]
fn written_by_us_opened_by_us() {
    let folder = tempfile::tempdir().unwrap();
    let codec = CodecTag { codec: "demo".into(), tap: "posterior-mean".into(), weights_hash: "ab".repeat(32) };
    for (name, version) in [("v2/latents.zarr", ZarrVersion::V2), ("v3/latents.zarr", ZarrVersion::V3)] {
        let path = folder.path().join(name);
        write_store(&path, version, Some(codec.clone()), &[("10-1", "10", 3), ("9-1", "9", 1), ("9-2", "9", 40)]);
        let store = Store::open(path.parent().unwrap()).unwrap();
        assert_eq!(store.codec(), Some(&codec));
        assert_eq!((store.dim(), store.frame_rate_hz()), (5, 12.5));
        let rows: Vec<_> = store.utterances().iter().map(|u| (u.id.as_str(), u.speaker.as_str(), u.n_frames)).collect();
        assert_eq!(rows, [("10-1", "10", 3), ("9-1", "9", 1), ("9-2", "9", 40)]);
        for (id, n_frames) in [("10-1", 3), ("9-1", 1), ("9-2", 40)] {
            assert_eq!(store.read(id).unwrap(), ramp(n_frames));
            assert_eq!(store.energy(id).unwrap(), Some(vec![0.0; n_frames]));
        }
        let split = Split { train_speakers: ["9".to_owned()].into(), eval_speakers: ["10".to_owned()].into() };
        split.write(&path.with_file_name("splits"), &[], 1).unwrap();
        let (corpus, _) = Corpus::read(&Store::open(&path).unwrap()).unwrap();
        assert_eq!((corpus.side(Side::Train).count(), corpus.side(Side::Eval).count()), (2, 1));
    }
}

/// `x[t, d] = t + d / 8`, five dimensions, 12.5 Hz.
fn ramp(n_frames: usize) -> Latents {
    let values = (0..n_frames * 5).map(|i| (i / 5) as f32 + (i % 5) as f32 / 8.0).collect();
    Latents { values, dim: 5, frame_rate_hz: 12.5 }
}

fn utterance(id: &str, speaker: &str, n_frames: usize) -> Utterance {
    Utterance { id: id.into(), speaker: speaker.into(), n_frames, duration_sec: n_frames as f64 / 12.5, audio_path: None }
}

fn write_store(path: &Path, version: ZarrVersion, codec: Option<CodecTag>, utterances: &[(&str, &str, usize)]) {
    let mut writer = StoreWriter::create(path, version, 5, 12.5, codec).unwrap();
    for &(id, speaker, n_frames) in utterances {
        writer.write(&utterance(id, speaker, n_frames), &ramp(n_frames), &vec![0.0; n_frames]).unwrap();
    }
    writer.finish().unwrap();
}

/// zarr-python 2, which the peer's scripts use, reads the store that `encode --zarr 2` writes.
#[test]
fn python_reads_our_version_2() {
    let python = std::env::var_os("DRIFTSCOPE_PYTHON");
    let has_zarr = |python: &OsString| {
        let probe = Command::new(python).args(["-c", "import zarr; assert zarr.__version__ < '3'"]).output();
        probe.is_ok_and(|output| output.status.success())
    };
    let Some(python) = python.filter(has_zarr) else {
        #[expect(clippy::print_stderr, reason = "a skipped comparison is never silent")]
        {
            eprintln!("not compared: set DRIFTSCOPE_PYTHON to a Python that has zarr<3");
        }
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latents.zarr");
    let codec = CodecTag { codec: "encodec".into(), tap: "continuous".into(), weights_hash: "ab".repeat(32) };
    // The longest has many chunks, along both axes.
    let (dim, frames) = (512, [("10-1", "10", 3), ("9-1", "9", 1), ("9-2", "p9", 2_000)]);
    let wave =
        |n_frames: usize| Latents { values: (0..n_frames * dim).map(|i| (i as f32 * 0.01).sin()).collect(), dim, frame_rate_hz: 12.5 };
    let mut writer = StoreWriter::create(&path, ZarrVersion::V2, dim, 12.5, Some(codec)).unwrap();
    for (id, speaker, n_frames) in frames {
        let energy: Vec<f32> = (0..n_frames).map(|t| t as f32 * 0.1).collect();
        writer.write(&utterance(id, speaker, n_frames), &wave(n_frames), &energy).unwrap();
    }
    writer.finish().unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/read_zarr2.py");
    let output = Command::new(python).arg(script).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&read["attributes"]["latent_dim"], &read["attributes"]["codec"]), (&512.into(), &"encodec".into()));
    assert_eq!(read["utterances"].as_object().unwrap().len(), 3);
    for (id, speaker, n_frames) in frames {
        let (found, values) = (&read["utterances"][id], wave(n_frames).values);
        assert_eq!((&found["shape"], &found["dtype"]), (&serde_json::json!([n_frames, dim]), &"float32".into()));
        // In this order and rounding both sums are exact enough to tell one changed value.
        let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
        assert!((found["sum"].as_f64().unwrap() - sum).abs() < 1e-6, "{id}");
        assert_eq!(found["last"].as_f64().unwrap(), f64::from(values[values.len() - 1]));
        let column = |name: &str| found[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect::<Vec<_>>();
        assert_eq!(column("energy"), (0..n_frames).map(|t| t as f32 * 0.1).collect::<Vec<_>>());
        assert_eq!(column("timestamps"), (0..n_frames).map(|t| (t as f64 / 12.5) as f32).collect::<Vec<_>>());
        let number = speaker.parse::<i64>().map_or_else(|_| speaker.into(), serde_json::Value::from);
        assert_eq!((&found["attributes"]["speaker_id"], &found["attributes"]["n_frames"]), (&number, &n_frames.into()));
    }
}

/// Opening reads the index: 30,000 utterances of which not one array exists.
#[test]
fn thirty_thousand_utterances_open_without_an_array() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latents.zarr");
    let ids: Vec<String> = (0..30_000).map(|i| format!("{}-{i}-0000", i % 250)).collect();
    many_rows(&path, &ids);
    let started = std::time::Instant::now();
    let store = Store::open(&path).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!((store.utterances().len(), store.dim(), store.frame_rate_hz()), (30_000, 64, 12.5));
    assert_eq!(store.index_hash().len(), 64);
    #[expect(clippy::print_stderr, reason = "a measurement for whoever asks for the output")]
    {
        eprintln!("30,000 utterances opened in {seconds:.3} s, with their hash in {:.3} s", started.elapsed().as_secs_f64());
    }
    assert!(store.read("7-7-0000").unwrap_err().to_string().contains("no such group"));
}

/// A root without groups, and beside it an index that lists `ids`.
fn many_rows(path: &Path, ids: &[String]) {
    fs::create_dir(path).unwrap();
    let attributes = r#"{"frame_rate_hz":12.5,"latent_dim":64}"#;
    fs::write(path.join("zarr.json"), format!(r#"{{"zarr_format":3,"node_type":"group","attributes":{attributes}}}"#)).unwrap();
    let schema = "message schema { REQUIRED BYTE_ARRAY utterance_id (UTF8); REQUIRED INT64 speaker_id; REQUIRED INT64 n_frames;
                  REQUIRED DOUBLE duration_sec; REQUIRED BYTE_ARRAY audio_path (UTF8); }";
    let file = fs::File::create(path.with_file_name("latents_index.parquet")).unwrap();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let text = |suffix: &str| ids.iter().map(|id| ByteArray::from(format!("{id}{suffix}").into_bytes())).collect::<Vec<_>>();
    let speakers: Vec<i64> = ids.iter().map(|id| id.split('-').next().unwrap().parse().unwrap()).collect();
    write_column::<ByteArrayType>(&mut group, &text(""));
    write_column::<Int64Type>(&mut group, &speakers);
    write_column::<Int64Type>(&mut group, &vec![150; ids.len()]);
    write_column::<DoubleType>(&mut group, &vec![12.0; ids.len()]);
    write_column::<ByteArrayType>(&mut group, &text(".flac"));
    group.close().unwrap();
    writer.close().unwrap();
}

fn write_column<T: DataType>(group: &mut SerializedRowGroupWriter<'_, fs::File>, values: &[T::T]) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, None, None).unwrap();
    column.close().unwrap();
}
