//! Stores that something is wrong with: one sentence each, nothing lost, never a panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use driftscope_core::context::Corpus;
use driftscope_core::latents::{CodecTag, Latents, Store, StoreError, StoreWriter, Utterance, ZarrVersion};
use proptest::prelude::*;

const VERSIONS: [ZarrVersion; 2] = [ZarrVersion::V2, ZarrVersion::V3];

fn utterance(id: &str, speaker: &str, n_frames: usize) -> Utterance {
    let audio_path = Some(PathBuf::from(format!("{id}.flac")));
    Utterance { id: id.into(), speaker: speaker.into(), n_frames, duration_sec: n_frames as f64 / 12.5, audio_path }
}

fn latents(n_frames: usize, dim: usize) -> Latents {
    Latents { values: (0..n_frames * dim).map(|i| i as f32 * 0.5 - 3.0).collect(), dim, frame_rate_hz: 12.5 }
}

fn writer(path: &Path, version: ZarrVersion) -> StoreWriter {
    StoreWriter::create(path, version, 4, 12.5, None).unwrap()
}

/// `latents.zarr` with utterances 1-a, 2-b, 3-c, 4-d of ten frames in four dimensions; the folder lives as long as the first value.
fn small_store(version: ZarrVersion) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latents.zarr");
    let mut writer = writer(&path, version);
    for (id, speaker) in [("1-a", "1"), ("2-b", "2"), ("3-c", "3"), ("4-d", "4")] {
        writer.write(&utterance(id, speaker, 10), &latents(10, 4), &[0.0; 10]).unwrap();
    }
    writer.finish().unwrap();
    (folder, path)
}

fn chunk(path: &Path, version: ZarrVersion) -> PathBuf {
    path.join(if version == ZarrVersion::V2 { "2-b/x/0.0" } else { "2-b/x/c/0/0" })
}

fn check(error: &StoreError, parts: &[&str]) {
    let message = error.to_string();
    assert!(parts.iter().all(|part| message.contains(part)), "{message:?} should hold {parts:?}");
    assert!(!message.contains('\n'), "one sentence: {message:?}");
}

#[test]
fn what_is_no_store_is_said() {
    let folder = tempfile::tempdir().unwrap();
    check(&Store::open(&folder.path().join("gone")).unwrap_err(), &["gone: no such store"]);
    check(&Store::open(folder.path()).unwrap_err(), &["not a latents store", "zarr.json"]);
    let file = folder.path().join("file.zarr");
    fs::write(&file, "hello").unwrap();
    check(&Store::open(&file).unwrap_err(), &["file.zarr: not a latents store"]);
    check(&StoreWriter::create(&file, ZarrVersion::V3, 4, 12.5, None).unwrap_err(), &["file.zarr"]);
    let group = folder.path().join("empty.zarr");
    fs::create_dir(&group).unwrap();
    fs::write(group.join(".zgroup"), r#"{"zarr_format":2}"#).unwrap();
    check(&Store::open(&group).unwrap_err(), &["empty.zarr: holds no utterance"]);
    fs::write(group.join("zarr.json"), "{").unwrap();
    check(&Store::open(&group).unwrap_err(), &["empty.zarr/zarr.json: not readable as Zarr metadata"]);
}

#[test]
fn damage_to_one_utterance_is_its_own() {
    for version in VERSIONS {
        let (_folder, path) = small_store(version);
        let chunk = chunk(&path, version);
        let whole = fs::read(&chunk).unwrap();
        fs::write(&chunk, &whole[..whole.len() - 3]).unwrap();
        let store = Store::open(&path).unwrap();
        check(&store.read("2-b").unwrap_err(), &["latents.zarr/2-b/x: cannot be decoded", "cut short"]);
        fs::remove_file(&chunk).unwrap();
        check(&store.read("2-b").unwrap_err(), &["2-b/x: cannot be decoded (there is no chunk x/"]);
        let (corpus, problems) = Corpus::read(&store).unwrap();
        assert_eq!((corpus.utterances.len(), problems.len()), (3, 1));
        fs::remove_dir_all(path.join("2-b")).unwrap();
        check(&store.read("2-b").unwrap_err(), &["utterance 2-b is in the index, but there is no such group"]);
        check(&store.read("5-e").unwrap_err(), &["latents.zarr: no utterance 5-e"]);
        let (corpus, problems) = Corpus::read(&Store::open(&path).unwrap()).unwrap();
        assert_eq!((corpus.utterances.len(), problems.len()), (3, 1));
        check(&problems[0], &["utterance 2-b"]);
        for id in ["1-a", "3-c", "4-d"] {
            fs::remove_dir_all(path.join(id)).unwrap();
        }
        let message = Corpus::read(&store).unwrap_err().to_string();
        assert!(message.contains("no utterance of a speaker on the train side; 4 could not be read, first: "), "{message}");
    }
}

/// Replaces the array `x` of 2-b by one written elsewhere with this description and these bytes.
fn replace_x(path: &Path, zarray: &str, bytes: &[u8]) {
    let x = path.join("2-b/x");
    fs::remove_dir_all(&x).unwrap();
    fs::create_dir(&x).unwrap();
    fs::write(x.join(".zarray"), zarray).unwrap();
    let name = if zarray.contains(r#""shape":[40]"#) { "0" } else { "0.0" };
    fs::write(x.join(name), bytes).unwrap();
}

fn zarray(shape: &str, dtype: &str) -> String {
    let chunks = shape.replace("[0,", "[1,");
    let rest = r#""order":"C","fill_value":0,"filters":null,"compressor":null"#;
    format!(r#"{{"zarr_format":2,"shape":{shape},"chunks":{chunks},"dtype":"{dtype}",{rest}}}"#)
}

#[test]
fn arrays_of_another_kind_are_refused() {
    let (_folder, path) = small_store(ZarrVersion::V2);
    let floats: Vec<u8> = latents(10, 4).values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let read = || Store::open(&path).unwrap().read("2-b");
    replace_x(&path, &zarray("[10,4]", "<f4"), &floats);
    assert_eq!(read().unwrap(), latents(10, 4));
    let cases: [(&str, &str, &[&str]); 6] = [
        ("[40]", "<f4", &["2-b/x: is of shape [40]; [10, 4] is needed"]),
        ("[10,4,1]", "<f4", &["2-b/x: is of shape [10, 4, 1]; [10, 4] is needed"]),
        ("[8,5]", "<f4", &["2-b/x: is of shape [8, 5]; [10, 4] is needed"]),
        ("[10,4]", "<f8", &["2-b/x: is of type float64", "float32 is needed"]),
        ("[10,4]", "<i4", &["2-b/x: is of type int32", "float32 is needed"]),
        ("[0,4]", "<f4", &["utterance 2-b: has no frame"]),
    ];
    for (shape, dtype, parts) in cases {
        replace_x(&path, &zarray(shape, dtype), &floats);
        check(&read().unwrap_err(), parts);
    }
    for (value, text) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
        let mut bytes = floats.clone();
        bytes[4 * (7 * 4 + 2)..][..4].copy_from_slice(&value.to_le_bytes());
        replace_x(&path, &zarray("[10,4]", "<f4"), &bytes);
        check(&read().unwrap_err(), &["utterance 2-b: latent at frame 7, dimension 2 is", text]);
    }
    replace_x(&path, "no json", &floats);
    check(&read().unwrap_err(), &["2-b/x: not readable as Zarr metadata"]);
}

#[test]
fn big_endian_and_column_order_read_as_they_are_meant() {
    let (_folder, path) = small_store(ZarrVersion::V2);
    let values = latents(10, 4).values;
    let big: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
    replace_x(&path, &zarray("[10,4]", ">f4"), &big);
    assert_eq!(Store::open(&path).unwrap().read("2-b").unwrap().values, values);
    let columns: Vec<u8> = (0..40).flat_map(|i| values[i % 10 * 4 + i / 10].to_le_bytes()).collect();
    replace_x(&path, &zarray("[10,4]", "<f4").replace(r#""C""#, r#""F""#), &columns);
    assert_eq!(Store::open(&path).unwrap().read("2-b").unwrap().values, values);
}

#[test]
fn bad_utterances_are_not_written() {
    for version in VERSIONS {
        let (_folder, path) = small_store(version);
        let mut writer = writer(&path, version);
        let mut write = |id: &str, latents: &Latents, energy: &[f32]| writer.write(&utterance(id, "9", 0), latents, energy);
        check(&write("9-x", &latents(0, 4), &[]).unwrap_err(), &["utterance 9-x: has no frame"]);
        check(&write("9-x", &latents(3, 5), &[0.0; 3]).unwrap_err(), &["9-x/x", "frames of 4 is needed"]);
        check(&write("9-x", &latents(3, 4), &[0.0; 2]).unwrap_err(), &["9-x/energy: is of shape [2]; [3] is needed"]);
        check(&write("../9", &latents(3, 4), &[0.0; 3]).unwrap_err(), &["\"../9\" cannot name a folder"]);
        let mut bad = latents(3, 4);
        bad.values[6] = f32::INFINITY;
        check(&write("9-x", &bad, &[0.0; 3]).unwrap_err(), &["utterance 9-x: latent at frame 1, dimension 2 is inf"]);
        assert!(!path.join("9-x").exists());
        assert_eq!(Store::open(&path).unwrap().utterances().len(), 4);
    }
}

#[test]
fn a_stopped_run_goes_on() {
    for version in VERSIONS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latents.zarr");
        let mut first = writer(&path, version);
        for id in ["1-a", "2-b", "3-c"] {
            first.write(&utterance(id, "p1", 10), &latents(10, 4), &[0.5; 10]).unwrap();
        }
        drop(first);
        let chunk = chunk(&path, version);
        let whole = fs::read(&chunk).unwrap();
        fs::write(&chunk, &whole[..whole.len() / 2]).unwrap();
        fs::create_dir(path.join(".4-d.123-0.part")).unwrap();
        let mut second = writer(&path, version);
        assert!(!path.join(".4-d.123-0.part").exists());
        assert_eq!(second.existing("1-a"), Some(utterance("1-a", "p1", 10)));
        assert_eq!(second.existing("2-b"), None, "a damaged one is to be written again");
        assert_eq!(second.existing("4-d"), None);
        second.write(&utterance("2-b", "p1", 7), &latents(7, 4), &[0.5; 7]).unwrap();
        second.finish().unwrap();
        let ids = |store: &Store| store.utterances().iter().map(|u| u.id.clone()).collect::<Vec<_>>();
        let store = Store::open(&path).unwrap();
        assert_eq!(ids(&store), ["1-a", "2-b"], "the index lists what was taken in");
        assert_eq!(store.read("2-b").unwrap(), latents(7, 4));
        // A third run keeps the rows and adds its own.
        let mut third = writer(&path, version);
        assert!(third.existing("3-c").is_some());
        third.finish().unwrap();
        assert_eq!(ids(&Store::open(&path).unwrap()), ["1-a", "2-b", "3-c"]);
    }
}

#[test]
fn what_a_killed_run_left_does_not_stay() {
    for version in VERSIONS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latents.zarr");
        // Killed before the root was whole: no store yet, and nothing else.
        fs::create_dir(&path).unwrap();
        fs::write(path.join(".zarr.json.77-0.part"), "{").unwrap();
        let mut first = writer(&path, version);
        first.write(&utterance("1-a", "1", 10), &latents(10, 4), &[0.0; 10]).unwrap();
        check(&StoreWriter::create(&path, version, 4, 12.5, None).unwrap_err(), &["is being written by another run"]);
        drop(first);
        fs::create_dir_all(path.join(".2-b.77-1.part/x")).unwrap();
        fs::write(folder.path().join(".latents_index.parquet.77-2.part"), "PAR1").unwrap();
        let mut second = writer(&path, version);
        assert_eq!(second.existing_among(&["1-a", "2-b"]), [true, false]);
        for id in ["3-c", "2-b", "0-z"] {
            second.write(&utterance(id, "1", 10), &latents(10, 4), &[0.0; 10]).unwrap();
        }
        second.order(&["0-z", "2-b", "3-c"]);
        second.finish().unwrap();
        let store = Store::open(&path).unwrap();
        assert_eq!(store.utterances().iter().map(|u| u.id.as_str()).collect::<Vec<_>>(), ["1-a", "0-z", "2-b", "3-c"]);
        let names = files_below(folder.path()).into_iter().map(|p| p.display().to_string());
        assert!(names.clone().all(|name| !name.contains(".part")), "{:?}", names.collect::<Vec<_>>());
    }
}

#[test]
fn a_store_of_another_kind_is_not_gone_on_with() {
    let (_folder, path) = small_store(ZarrVersion::V3);
    let tag = CodecTag { codec: "demo".into(), tap: "mean".into(), weights_hash: "00".into() };
    let create = |version, dim, rate, codec| StoreWriter::create(&path, version, dim, rate, codec).unwrap_err();
    check(&create(ZarrVersion::V2, 4, 12.5, None), &["was written with Zarr format V3, not V2; name a new store"]);
    check(&create(ZarrVersion::V3, 5, 12.5, None), &["was written with dimensions 4, not 5"]);
    check(&create(ZarrVersion::V3, 4, 50.0, None), &["was written with frame rate 12.5, not 50.0"]);
    check(&create(ZarrVersion::V3, 4, 12.5, Some(tag)), &["was written with codec unknown, not \"demo\""]);
}

#[test]
fn no_write_access_and_a_full_disk_lose_nothing() {
    // Not even root may make folders there.
    let refused = StoreWriter::create(Path::new("/proc/driftscope/latents.zarr"), ZarrVersion::V3, 4, 12.5, None).unwrap_err();
    check(&refused, &["/proc/driftscope/latents.zarr"]);
    let Some(disk) = TinyDisk::mount() else { return };
    let path = disk.0.path().join("latents.zarr");
    for version in VERSIONS {
        let _ = fs::remove_dir_all(&path);
        let mut writer = writer(&path, version);
        let noise: Vec<f32> = (0..4_000_u32).map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761) >> 2)).collect();
        let big = Latents { values: noise, dim: 4, frame_rate_hz: 12.5 };
        let mut n_written = 0;
        let full = loop {
            match writer.write(&utterance(&format!("u{n_written}"), "1", 1_000), &big, &[0.0; 1_000]) {
                Ok(()) => n_written += 1,
                Err(error) => break error,
            }
        };
        check(&full, &["No space left on device"]);
        let store = Store::open(&path).unwrap();
        assert!(n_written > 0 && store.utterances().len() == n_written, "{n_written} utterances");
        assert!(store.utterances().iter().all(|u| store.read(&u.id).unwrap() == big));
        assert!(fs::read_dir(&path).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().ends_with(".part")));
    }
}

/// A memory disk of 256 KB; only root may make one.
pub(crate) struct TinyDisk(pub(crate) tempfile::TempDir);

impl TinyDisk {
    /// Makes room.
    pub(crate) fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=16m"]).arg(self.0.path()).output().unwrap();
        assert!(grown.status.success());
    }

    pub(crate) fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        #[expect(clippy::print_stderr, reason = "what is not tested is never silent")]
        {
            eprintln!("full disk not tested: mounting a small one needs root");
        }
        None
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

fn any_version() -> impl Strategy<Value = ZarrVersion> {
    prop_oneof![Just(ZarrVersion::V2), Just(ZarrVersion::V3)]
}

fn any_value() -> impl Strategy<Value = f32> {
    prop_oneof![any::<f32>().prop_filter("stores refuse others", |v| v.is_finite()), Just(0.0), Just(-0.0), -9.0_f32..9.0]
}

fn any_latents() -> impl Strategy<Value = Latents> {
    (1_usize..=40, 1_usize..=40).prop_flat_map(|(n_frames, dim)| {
        let values = prop::collection::vec(any_value(), n_frames * dim);
        values.prop_map(move |values| Latents { values, dim, frame_rate_hz: 12.5 })
    })
}

fn written(path: &Path, version: ZarrVersion, latents: &Latents) {
    let mut writer = StoreWriter::create(path, version, latents.dim, latents.frame_rate_hz, None).unwrap();
    let energy: Vec<f32> = (0..latents.n_frames()).map(|t| t as f32).collect();
    writer.write(&utterance("1-a", "1", latents.n_frames()), latents, &energy).unwrap();
    writer.finish().unwrap();
}

fn bits(latents: &Latents) -> Vec<u32> {
    latents.values.iter().map(|v| v.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(latents in any_latents(), version in any_version()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latents.zarr");
        written(&path, version, &latents);
        let store = Store::open(&path).unwrap();
        let back = store.read("1-a").unwrap();
        prop_assert_eq!(bits(&back), bits(&latents));
        prop_assert_eq!((back.dim, back.frame_rate_hz), (latents.dim, 12.5));
        prop_assert_eq!(store.energy("1-a").unwrap().unwrap().len(), latents.n_frames());
        fs::remove_file(folder.path().join("latents_index.parquet")).unwrap();
        let listed = Store::open(&path).unwrap();
        prop_assert_eq!(listed.utterances(), store.utterances());
        prop_assert_eq!(bits(&listed.read("1-a").unwrap()), bits(&latents));
    }

    /// Format 3 has checksums: the values come back equal or not at all. Blosc has none, so there a flipped byte may change values;
    /// but the shape stays and nothing panics.
    #[test]
    fn changed_bytes_never_panic(
        version in any_version(),
        which in 0_usize..100,
        place in any::<prop::sample::Index>(),
        change in prop_oneof![(1_u8..=255).prop_map(Some), Just(None)],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latents.zarr");
        let original = latents(60, 7);
        written(&path, version, &original);
        let files = files_below(folder.path());
        let file = &files[which % files.len()];
        let mut bytes = fs::read(file).unwrap();
        let at = place.index(bytes.len());
        match change {
            Some(mask) => bytes[at] ^= mask,
            None => bytes.truncate(at),
        }
        fs::write(file, bytes).unwrap();
        let Ok(store) = Store::open(&path) else { return Ok(()) };
        for utterance in store.utterances() {
            let _ = store.energy(&utterance.id);
            if let Ok(back) = store.read(&utterance.id) {
                prop_assert_eq!(back.values.len(), back.n_frames() * back.dim);
                prop_assert!(back.values.iter().all(|v| v.is_finite()));
                let is_chunk = !file.extension().is_some_and(|e| e == "json" || e == "parquet") && !file.ends_with(".zarray");
                if version == ZarrVersion::V3 && is_chunk {
                    prop_assert_eq!(bits(&back), bits(&original));
                }
            }
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    entries.into_iter().flat_map(|p| if p.is_dir() { files_below(&p) } else { vec![p] }).collect()
}
