//! Folders of sound that become stores, and what becomes of stores.

use std::fs;
use std::path::{Path, PathBuf};

use driftscope_core::latents::Split;
use serde_json::Value;

use super::{driftscope, snapshot, some_id, text, toy_store};
use crate::damaged_stores::TinyDisk;

/// Two seconds of a rising tone, told apart by its start.
pub(super) fn write_tone(path: &Path, start_hz: f32) {
    let samples = (0..32_000).map(|i| {
        let t = i as f32 / 16_000.0;
        0.3 * (std::f32::consts::TAU * (start_hz + 200.0 * t) * t).sin()
    });
    let clip = driftscope_core::audio::AudioClip { samples: samples.collect(), sample_rate_hz: 16_000 };
    driftscope_core::audio::write_wav(path, &clip).unwrap();
}

/// A tone by each of three speakers, in `folder/audio`.
pub(super) fn tones(folder: &Path) -> PathBuf {
    let audio = folder.join("audio");
    for (index, speaker) in ["11", "12", "13"].iter().enumerate() {
        write_tone(&audio.join(format!("{speaker}/{speaker}-1.wav")), 150.0 + 80.0 * index as f32);
    }
    audio
}

#[test]
fn audio_becomes_a_store_and_sound_again() {
    let folder = tempfile::tempdir().unwrap();
    let audio = tones(folder.path());
    fs::write(audio.join("13/13-2.flac"), "this is text").unwrap();
    for zarr in ["2", "3"] {
        let store = folder.path().join(format!("v{zarr}/latents.zarr"));
        let encode = ["encode", text(&audio), "--store", text(&store), "--zarr", zarr];
        let got = driftscope(folder.path(), &encode);
        assert_eq!(got.code, 0, "{}", got.err);
        assert!(got.out.contains("3 utterances encoded") && got.out.contains("1 skipped"), "{}", got.out);
        assert!(got.err.contains("13-2.flac"), "{}", got.err);
        let opened = driftscope_core::latents::Store::open(&store).unwrap();
        assert_eq!((opened.utterances().len(), opened.utterances()[0].n_frames), (3, 25));
        assert_eq!(opened.split().unwrap().eval_speakers.len(), 1);
        let before = snapshot(&store);
        let again = driftscope(folder.path(), &encode);
        assert!(again.out.contains("0 utterances encoded") && again.out.contains("3 already there"), "{}", again.out);
        assert_eq!(snapshot(&store), before, "what is there is not written again");

        let wav = folder.path().join(format!("{zarr}.wav"));
        let decode = ["decode", "--store", text(&store), "--utterance", "12-1", "--wav", text(&wav)];
        assert_eq!(driftscope(folder.path(), &decode).code, 0);
        assert_eq!(driftscope_core::audio::read(&wav).unwrap().samples.len(), 32_000);
        let refused = driftscope(folder.path(), &decode);
        assert!(refused.code == 1 && refused.err.contains("--force"), "{}", refused.err);
    }
    let out = folder.path().join("modes");
    let store = folder.path().join("v3/latents.zarr");
    let got = driftscope(
        folder.path(),
        &["synth", "--store", text(&store), "--utterance", "11-1", "--modes", "gt,slow:0.75", "--out", text(&out)],
    );
    assert_eq!(got.code, 0, "{}", got.err);
    assert!(out.join("GT.wav").exists() && out.join("B_slow_a0.75.wav").exists());

    let got = driftscope(folder.path(), &["roundtrip", text(&audio.join("11")), "--json", "-"]);
    let measured: Value = serde_json::from_str(&got.out).unwrap();
    assert!(measured["mean"]["mel_distance"].as_f64().unwrap() > 0.0 && measured["mean"]["si_sdr_db"].is_number());

    let sounds = [out.join("GT.wav"), out.join("B_slow_a0.75.wav")];
    let perceive = ["perceive", "--reference", text(&sounds[0]), "--degraded", text(&sounds[1])];
    let got = driftscope(folder.path(), &[&perceive[..], &["--json", "-"]].concat());
    let measured: Value = serde_json::from_str(&got.out).unwrap();
    assert!(measured["measures"]["mel_distance"]["value"].as_f64().unwrap() > 0.0, "{}", got.out);
    assert!(measured["measures"]["stoi"]["definition"].as_str().unwrap().contains("third of an octave"));
    let got = driftscope(folder.path(), &perceive);
    assert!(got.code == 0 && got.out.contains("mel distance") && got.out.contains("MR-STFT"), "{}", got.out);
}

#[test]
fn a_full_disk_keeps_what_is_written_and_is_gone_on_with() {
    let Some(disk) = TinyDisk::mount() else { return };
    let folder = tempfile::tempdir().unwrap();
    let audio = folder.path().join("audio");
    for index in 0..40 {
        write_tone(&audio.join(format!("{}/{}-{index}.wav", 11 + index % 4, 11 + index % 4)), 150.0 + 10.0 * index as f32);
    }
    let store = disk.0.path().join("latents.zarr");
    let encode = ["encode", text(&audio), "--store", text(&store)];
    let got = driftscope(folder.path(), &encode);
    let sentence = got.err.lines().last().unwrap();
    assert!(got.code == 1 && sentence.contains("No space left on device") && sentence.contains("goes on from there"), "{}", got.err);
    let listed = driftscope_core::latents::Store::open(&store).unwrap();
    assert!(!listed.utterances().is_empty() && listed.utterances().iter().all(|u| listed.read(&u.id).is_ok()));

    disk.grow();
    let got = driftscope(folder.path(), &encode);
    assert!(got.code == 0 && got.out.contains(", 0 skipped"), "{}{}", got.out, got.err);
    let unfinished = |(path, _): &(PathBuf, Vec<u8>)| path.to_string_lossy().contains(".part");
    assert!(!snapshot(disk.0.path()).iter().any(unfinished), "nothing unfinished stays");
    assert_eq!(driftscope_core::latents::Store::open(&store).unwrap().utterances().len(), 40);
}

#[test]
fn any_sound_is_encoded_and_what_is_none_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let audio = folder.path().join("audio");
    fs::create_dir(&audio).unwrap();
    let wav = |name: &str, channels, sample_rate, bits_per_sample, n: usize| {
        let spec = hound::WavSpec { channels, sample_rate, bits_per_sample, sample_format: hound::SampleFormat::Int };
        let mut writer = hound::WavWriter::create(audio.join(name), spec).unwrap();
        (0..n * usize::from(channels)).for_each(|i| writer.write_sample((i % 100) as i32 - 50).unwrap());
        writer.finalize().unwrap();
    };
    wav("1-low.wav", 2, 8_000, 8, 8_000);
    wav("2-high.wav", 6, 96_000, 24, 96_000);
    wav("3-one.wav", 1, 44_100, 16, 1);
    wav("4-empty.wav", 1, 16_000, 16, 0);
    for name in ["tone.flac", "tone.mp3", "tone.ogg"] {
        let extension = &name[5..];
        fs::copy(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sounds").join(name), audio.join(format!("5-{extension}.{extension}")))
            .unwrap();
    }
    fs::write(audio.join("6-nothing.mp3"), "").unwrap();
    let store = folder.path().join("s/latents.zarr");
    let got = driftscope(folder.path(), &["encode", text(&audio), "--store", text(&store)]);
    assert!(got.code == 0 && got.out.contains("6 utterances encoded") && got.out.contains("2 skipped"), "{}{}", got.out, got.err);
    assert!(got.err.contains("4-empty.wav: holds no samples") && got.err.contains("6-nothing.mp3: not readable"), "{}", got.err);
    let opened = driftscope_core::latents::Store::open(&store).unwrap();
    let frames: Vec<_> = opened.utterances()[..3].iter().map(|u| (u.id.as_str(), u.n_frames)).collect();
    assert_eq!(frames, [("1-low", 13), ("2-high", 13), ("3-one", 1)]);

    let file = folder.path().join("file.zarr");
    fs::write(&file, "precious").unwrap();
    let got = driftscope(folder.path(), &["encode", text(&audio), "--store", text(&file)]);
    assert!(got.code == 1 && got.err.contains("file.zarr: not a latents store"), "{}", got.err);
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn codecs_are_asked_for_with_what_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let audio = tones(folder.path());
    let store = folder.path().join("s/latents.zarr");
    let story = folder.path().join("story.safetensors");
    fs::write(&story, "once upon a time").unwrap();
    for (options, code, expected) in [
        (&["--codec", "opus"][..], 2, "mimi"),
        (&["--frames", "stacked"], 2, "the demo codec has one form"),
        (&["--codec", "encodec", "--frames", "6"], 2, "mean-repeated"),
        (&["--codec", "mimi", "--weights", text(&story)], 1, "story.safetensors"),
        (&["--codec", "calm", "--weights", "/no/such/file.safetensors"], 1, "/no/such/file.safetensors"),
        (&["--weights", text(&story)], 1, "no --codec was named"),
        (&["--codec", "demo", "--gelu", "exact"], 2, "the demo codec has one form"),
    ] {
        let got = driftscope(folder.path(), &[&["encode", text(&audio), "--store", text(&store)], options].concat());
        assert_eq!((got.code, got.out.as_str()), (code, ""), "{options:?}: {}", got.err);
        assert!(got.err.contains(expected), "{options:?}: {}", got.err);
        assert!(!store.exists(), "{options:?}");
    }
    let got = driftscope(folder.path(), &["fetch", "demo"]);
    assert!(got.code == 2 && got.err.contains("compiled in"), "{}", got.err);
}

#[test]
fn a_folder_of_text_is_no_corpus() {
    let folder = tempfile::tempdir().unwrap();
    let audio = folder.path().join("audio");
    fs::create_dir(&audio).unwrap();
    fs::write(audio.join("1-1.flac"), "this is text").unwrap();
    let store = folder.path().join("latents.zarr");
    let got = driftscope(folder.path(), &["encode", text(&audio), "--store", text(&store)]);
    assert_eq!((got.code, got.out.as_str()), (1, ""));
    assert!(got.err.lines().last().unwrap().contains("none of 1 files could be encoded"), "{}", got.err);
}

#[test]
fn latents_of_another_codec_are_decoded_only_when_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = toy_store(folder.path(), 64, 30);
    let id = some_id(&store);
    let wav = folder.path().join("out.wav");
    let decode = ["decode", "--store", text(&store), "--utterance", &id, "--wav", text(&wav)];
    let got = driftscope(folder.path(), &decode);
    assert_eq!(got.code, 1);
    assert!(got.err.contains("does not say which codec") && !wav.exists(), "{}", got.err);
    let got = driftscope(folder.path(), &[&decode[..], &["--codec", "demo"]].concat());
    assert_eq!(got.code, 0, "{}", got.err);
    assert!(got.err.contains("may be wrong") && wav.exists(), "{}", got.err);
}

#[test]
fn a_store_that_grows_keeps_its_evaluation_side() {
    let folder = tempfile::tempdir().unwrap();
    let audio = tones(folder.path());
    let store = folder.path().join("s/latents.zarr");
    let encode = ["encode", text(&audio), "--store", text(&store)];
    assert_eq!(driftscope(folder.path(), &encode).code, 0);
    let splits = folder.path().join("s/splits");
    let before = Split::read(&splits).unwrap();

    write_tone(&audio.join("14/14-1.wav"), 500.0);
    let got = driftscope(folder.path(), &encode);
    assert!(got.code == 0 && got.out.contains("1 new speakers added"), "{}{}", got.out, got.err);
    let after = Split::read(&splits).unwrap();
    assert_eq!(after.eval_speakers, before.eval_speakers);
    assert!(after.train_speakers.contains("14"));
    write_tone(&audio.join("11/11-2.wav"), 300.0);
    let got = driftscope(folder.path(), &encode);
    assert!(got.code == 0 && got.out.contains("kept"), "{}{}", got.out, got.err);
    let lists = ["train_utt_ids.txt", "eval_utt_ids.txt"].map(|name| fs::read_to_string(splits.join(name)).unwrap());
    assert_eq!(lists.concat().lines().filter(|id| *id == "11-2").count(), 1, "a new utterance of a known speaker is listed");

    let kept = snapshot(&folder.path().join("s"));
    let got = driftscope(folder.path(), &[&encode[..], &["--eval-speakers", "11"]].concat());
    assert!(got.code == 1 && got.err.contains("already splits the speakers"), "{}", got.err);
    let strangers = folder.path().join("strangers");
    write_tone(&strangers.join("99/99-1.wav"), 300.0);
    let got = driftscope(folder.path(), &["encode", text(&strangers), "--store", text(&folder.path().join("s/more.zarr"))]);
    assert!(got.code == 1 && got.err.contains("the split of another store"), "{}", got.err);
    assert_eq!(snapshot(&folder.path().join("s")), kept, "a refusal writes nothing");
    // Into the store itself they are welcome, without its other recordings.
    let got = driftscope(folder.path(), &["encode", text(&strangers), "--store", text(&store)]);
    assert!(got.code == 0 && got.out.contains("1 new speakers added"), "{}{}", got.out, got.err);
    assert_eq!(Split::read(&splits).unwrap().eval_speakers, before.eval_speakers);
}

#[test]
fn a_store_says_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("s/latents.zarr");
    assert_eq!(driftscope(folder.path(), &["encode", text(&tones(folder.path())), "--store", text(&store)]).code, 0);
    let info = |options: &[&str]| driftscope(folder.path(), &[&["info", "--store", text(&store)], options].concat());
    let (for_people, json) = (info(&[]), info(&["--json", "-"]));
    let json: Value = serde_json::from_str(&json.out).unwrap();
    let utterances = json["utterances"].as_array().unwrap();
    let split = Split::read(&folder.path().join("s/splits")).unwrap();
    for utterance in utterances {
        let is_eval = split.eval_speakers.contains(utterance["speaker"].as_str().unwrap());
        assert_eq!(utterance["side"], if is_eval { "eval" } else { "train" });
        assert!(for_people.out.contains(utterance["id"].as_str().unwrap()), "{}", for_people.out);
    }
    assert!(!utterances.is_empty() && json["codec"]["codec"] == "demo" && json["dim"] == 64);
    assert!(for_people.out.contains("codec demo, latents taken at"), "{}", for_people.out);
    // Where the file cannot be written, the result is not lost.
    fs::write(folder.path().join("taken"), "").unwrap();
    let unwritten = info(&["--json", text(&folder.path().join("taken/x.json"))]);
    assert!(unwritten.code == 1 && unwritten.out == for_people.out && unwritten.err.contains("x.json"), "{}", unwritten.err);
    assert_eq!(driftscope(folder.path(), &["info", "--store", "/no/such.zarr"]).code, 1);
}
