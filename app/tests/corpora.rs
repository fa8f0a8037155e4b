//! Corpora and weights through the program itself: killed and gone on with, and fetched from a server that a test plays.
//!
//! Lies here and not in `tests/` because only a package's own tests are given its binary.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

/// The program with a home of its own and no network settings of ours.
fn driftscope(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftscope"));
    for name in ["HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT"] {
        command.env_remove(name);
    }
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.env("HOME", home).env("HF_HOME", home.join("hf")).env("DRIFTSCOPE_RUNS", home.join("runs"));
    command.env("DRIFTSCOPE_DATA", home.join("data"));
    command.args(["--device", "cpu"]).args(args);
    command
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn said(output: &Output) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// Every file and folder below `folder`, hidden ones too, with what is in the files.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            found.push((path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap_or_default()));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Plain WAV, 16 bits, 16 kHz, with a tone in it.
fn write_tone(path: &Path, n_samples: usize, step: f32) {
    let data: Vec<u8> = (0..n_samples).flat_map(|i| ((9_000.0 * (i as f32 * step).sin()) as i16).to_le_bytes()).collect();
    let (n, mut file) = (data.len() as u32, Vec::new());
    for part in [&b"RIFF"[..], &(n + 36).to_le_bytes(), b"WAVEfmt ", &16_u32.to_le_bytes(), &[1, 0, 1, 0]] {
        file.extend_from_slice(part);
    }
    for part in [&16_000_u32.to_le_bytes()[..], &32_000_u32.to_le_bytes(), &[2, 0, 16, 0], b"data", &n.to_le_bytes(), &data] {
        file.extend_from_slice(part);
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file).unwrap();
}

/// Groups that are in a store.
fn n_written(store: &Path) -> usize {
    let names = fs::read_dir(store).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.as_encoded_bytes()[0].is_ascii_digit()).count()
}

#[test]
fn killed_three_times_the_store_is_the_one_made_in_one_go() {
    const N_FILES: usize = 48;
    let home = tempfile::tempdir().unwrap();
    let audio = home.path().join("LibriSpeech/dev");
    for index in 0..N_FILES {
        let (speaker, n_samples) = (100 + index % 6, 60_000 + 5_000 * (index % 5));
        write_tone(&audio.join(format!("{speaker}/7/{speaker}-7-{index:04}.wav")), n_samples, 0.02 + 0.002 * index as f32);
    }
    fs::write(audio.join("103/7/103-7-9999.flac"), "no sound").unwrap();
    for zarr in ["2", "3"] {
        let [whole, killed] = ["whole", "killed"].map(|name| home.path().join(format!("{name}{zarr}/latents.zarr")));
        let args = |store: &Path| ["encode", text(&audio), "--zarr", zarr, "--store", text(store)].map(str::to_owned);
        let run = |store: &Path| driftscope(home.path(), &args(store).each_ref().map(String::as_str));
        let output = run(&whole).output().unwrap();
        assert!(output.status.success(), "{:?}", said(&output));

        let mut n_halfway = 0;
        for n_before_kill in [1, N_FILES / 4, N_FILES / 2] {
            let mut child = run(&killed).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while n_written(&killed) < n_before_kill && child.try_wait().unwrap().is_none() {
                thread::yield_now();
            }
            child.kill().unwrap();
            child.wait().unwrap();
            n_halfway += usize::from((1..N_FILES).contains(&n_written(&killed)));
        }
        assert!(n_halfway > 0, "it was never killed before it was through");
        // What a kill at the worst moments leaves, whether or not one of these three did.
        let folder = killed.parent().unwrap();
        fs::create_dir_all(killed.join(".100-7-0000.1-1.part/x")).unwrap();
        fs::create_dir_all(folder.join(".splits.1-2.part")).unwrap();
        fs::write(folder.join(".latents_index.parquet.1-3.part"), "PAR1").unwrap();

        let output = run(&killed).output().unwrap();
        let [out, err] = said(&output);
        assert!(output.status.success() && out.contains("already there") && out.contains("1 skipped"), "{out}{err}");
        let [whole, killed] = [&whole, &killed].map(|store| snapshot(store.parent().unwrap()));
        let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
        assert_eq!(names(&killed), names(&whole));
        let different: Vec<_> = killed.iter().zip(&whole).filter(|(a, b)| a != b).map(|(a, _)| &a.0).collect();
        assert!(different.is_empty(), "{different:?}");
    }
}

/// Bytes that the test's server says are Mimi: one tensor, that Mimi does not have.
const WEIGHTS: &[u8] = b"\x36\0\0\0\0\0\0\0{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}two f32s";

/// How that is named before the network is asked.
const MIMI: &str = "kyutai/mimi: model.safetensors, about 385 MB, license CC-BY-4.0 (https://huggingface.co/kyutai/mimi)";

/// Answers as the hub does, to any number of requests, until the process ends; gives its address.
fn hub() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || listener.incoming().flatten().for_each(|stream| drop(answer(stream)));
    thread::Builder::new().name("hub".into()).spawn(serve).unwrap();
    address
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let range = headers.iter().find_map(|h| h.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned)).unwrap_or_default();
    let (start, end) = range.split_once('-').unwrap_or_default();
    let start: usize = start.parse().unwrap_or(0);
    let end = end.parse().map_or(WEIGHTS.len(), |last: usize| last + 1);
    let body = &WEIGHTS[start..end];
    let (status, body) = if request.contains("/kyutai/mimi/resolve/main/model.safetensors") {
        ("206 Partial Content", body)
    } else if request.contains("pocket-tts/") {
        ("401 Unauthorized", &b""[..])
    } else {
        ("404 Not Found", &b""[..])
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{}\r\nETag: \"e7a6\"\r\nX-Repo-Commit: 5a5a\r\n\
         Connection: close\r\n\r\n",
        body.len(),
        end - 1,
        WEIGHTS.len()
    )?;
    stream.write_all(body)
}

#[test]
fn weights_are_fetched_once_and_found() {
    let home = tempfile::tempdir().unwrap();
    let hub = hub();
    let run = |args: &[&str]| driftscope(home.path(), args).env("HF_ENDPOINT", &hub).output().unwrap();
    let got = run(&["fetch", "mimi"]);
    let [out, err] = said(&got);
    assert!(got.status.success(), "{out}{err}");
    let path = home.path().join("hf/hub/models--kyutai--mimi/snapshots/5a5a/model.safetensors");
    assert_eq!(fs::read(&path).unwrap(), WEIGHTS);
    assert!(out.contains(text(&path)) && out.contains("fetched"), "{out}");
    assert!(err.starts_with(MIMI) && err.contains("\nmodel.safetensors: 0.0 MB\n"), "{err}");

    let [again, err] = said(&run(&["fetch", "mimi"]));
    assert!(again.contains("is there already"), "{again}{err}");
    let [doctor, _] = said(&run(&["doctor"]));
    assert!(doctor.contains(&format!("mimi: {}", path.display())) && doctor.contains("encodec: no weights found"), "{doctor}");
    // What lies there and is no weights is not listed as such.
    fs::write(&path, "version https://git-lfs.github.com/spec/v1\n").unwrap();
    let [doctor, _] = said(&run(&["doctor"]));
    let expected = format!("mimi: no weights: {} does not begin as safetensors do; delete it", path.display());
    assert!(doctor.contains(&expected) && !doctor.contains(&format!("mimi: {}", path.display())), "{doctor}");
    // It is found, and what is wrong with it is said of it.
    let (audio, store) = (home.path().join("audio"), home.path().join("s/latents.zarr"));
    write_tone(&audio.join("1-1.wav"), 1_000, 0.1);
    let got = run(&["encode", text(&audio), "--codec", "mimi", "--store", text(&store)]);
    let [_, err] = said(&got);
    assert!(!got.status.success() && err.contains("5a5a/model.safetensors") && !store.exists(), "{err}");
}

#[test]
fn what_cannot_be_fetched_is_one_sentence() {
    let home = tempfile::tempdir().unwrap();
    let hub = hub();
    let encodec = "facebook/encodec_24khz: model.safetensors, about 93 MB, license as its page states it";
    let calm = "kyutai/pocket-tts: languages/english/model.safetensors, a size that the network tells, license CC-BY-4.0";
    for (endpoint, codec, named, expected) in [
        ("http://127.0.0.1:1", "mimi", MIMI, "driftscope: model.safetensors of kyutai/mimi could not be fetched ("),
        (&*hub, "encodec", encodec, "driftscope: facebook/encodec_24khz holds no model.safetensors"),
        (&*hub, "calm", calm, "driftscope: kyutai/pocket-tts is not given to everybody: its terms must be accepted"),
    ] {
        for (args, first) in [(&["fetch", codec][..], Some(named)), (&["--quiet", "fetch", codec], None)] {
            let got = driftscope(home.path(), args).env("HF_ENDPOINT", endpoint).output().unwrap();
            let [out, err] = said(&got);
            assert_eq!((got.status.code(), out.as_str()), (Some(1), ""), "{err}");
            // What would be downloaded, whether or not there is a network, and then one sentence.
            let lines: Vec<&str> = err.trim_end().lines().collect();
            assert!(lines.len() == 1 + usize::from(first.is_some()) && first.is_none_or(|first| lines[0].starts_with(first)), "{err}");
            assert!(lines.last().unwrap().starts_with(expected), "{err}");
        }
    }
    let audio = home.path().join("audio");
    write_tone(&audio.join("1-1.wav"), 1_000, 0.1);
    let store = home.path().join("s/latents.zarr");
    let got = driftscope(home.path(), &["encode", text(&audio), "--codec", "encodec", "--store", text(&store)]).output().unwrap();
    let [_, err] = said(&got);
    assert!(!got.status.success() && err.contains("`driftscope fetch encodec` downloads them, --weights FILE names a copy"), "{err}");
}

#[test]
fn a_store_finds_the_weights_that_were_named_for_it() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/codecs/mimi-small");
    if !fixture.exists() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (audio, weights) = (home.path().join("audio"), home.path().join("weights/model.safetensors"));
    fs::create_dir(home.path().join("weights")).unwrap();
    for file in ["model.safetensors", "config.json"] {
        fs::copy(fixture.join(file), weights.with_file_name(file)).unwrap();
    }
    for speaker in ["11", "12"] {
        write_tone(&audio.join(speaker).join(format!("{speaker}-a.wav")), 16_000, 0.1);
    }
    let store = home.path().join("s/latents.zarr");
    let run = |args: &[&str]| driftscope(home.path(), args).output().unwrap();
    let encode = ["encode", text(&audio), "--store", text(&store)];
    let made = run(&[&encode[..], &["--codec", "mimi", "--weights", text(&weights)]].concat());
    assert_eq!(made.status.code(), Some(0), "{:?}", said(&made));
    let again = run(&encode);
    assert!(said(&again)[0].contains("2 already there") && said(&again)[0].contains("D 32"), "{:?}", said(&again));
    let sound = home.path().join("sound.wav");
    let decode = ["decode", "--store", text(&store), "--utterance", "11-a", "--wav", text(&sound)];
    let decoded = run(&decode);
    assert!(decoded.status.code() == Some(0) && sound.exists(), "{:?}", said(&decoded));

    fs::remove_file(&weights).unwrap();
    let gone = run(&[&decode[..], &["--force"]].concat());
    assert!(
        gone.status.code() == Some(1) && said(&gone)[1].contains("name the file with --weights (its blake3 hash begins "),
        "{:?}",
        said(&gone)
    );
}
