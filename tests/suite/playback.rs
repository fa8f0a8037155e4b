//! The player against the outside: the allocator, whoever holds its other end, and a device of the sound system.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driftscope_core::playback::{OutputChoice, OutputConfig, Player, Reopened, outputs};

use crate::allocation::{allocations_of, at_each_allocation_of};

fn sine(n_samples: usize, hz: f32) -> Arc<[f32]> {
    (0..n_samples).map(|i| (i as f32 * hz * std::f32::consts::TAU / 48_000.0).sin() * 0.5).collect()
}

/// One of everything that the player can be asked for, another with each `round`.
fn ask(player: &mut Player, round: u32) {
    let source = (round % 3) as usize;
    player.select(source);
    player.replace(source, sine(96_000 - round as usize, 220.0 + round as f32));
    match round % 10 {
        0 => player.seek_sec(0.09),
        1 => player.pause(),
        2 => player.play(),
        3 => player.set_loop_sec(Some(0.1..0.12 + 0.001 * f64::from(round % 17))),
        4 => player.select(source),
        5 => player.set_muted(round % 20 == 5),
        6 => player.poll(),
        7 => player.replace(2 + source, Arc::from([])),
        _ => player.set_gain_db(source, -f64::from(round % 5)),
    }
}

fn playing_player() -> (Player, driftscope_core::playback::Mixer) {
    let (mut player, mixer) = Player::by_hand(48_000);
    player.load(vec![sine(96_000, 220.0), sine(96_000, 330.0)]);
    player.set_loop_sec(Some(0.1..0.15));
    player.play();
    (player, mixer)
}

/// Through switches, new content, seeks, gains, mute, pauses and several loop seams between them, in the formats of devices.
#[test]
fn the_callback_neither_allocates_nor_frees() {
    let (mut player, mut mixer) = playing_player();
    let (mut floats, mut stereo, mut bytes, mut wide) = ([0.0_f32; 512], [0_i16; 1024], [0_u8; 512], [0_i32; 6 * 512]);
    let (mut calls, mut seams, mut is_heard) = (0, 0, false);
    for round in 0..800 {
        ask(&mut player, round);
        for _ in 0..4 {
            let before_sec = player.position_sec();
            calls += allocations_of(|| mixer.render(&mut floats));
            calls += allocations_of(|| mixer.render_interleaved(&mut stereo, 2));
            calls += allocations_of(|| mixer.render_interleaved(&mut bytes, 1));
            calls += allocations_of(|| mixer.render_interleaved(&mut wide, 6));
            seams += u32::from(player.position_sec() < before_sec);
            is_heard |= floats.iter().any(|x| *x != 0.0) && stereo.iter().any(|x| *x != 0);
        }
    }
    assert_eq!(calls, 0);
    assert!(is_heard && seams > 100, "{seams} seams");
}

/// Stops the player in the middle of every allocation that its methods make, wherever that is and whatever it holds there, and has the
/// callback render: were there anything to wait for, it would wait for ever.
#[test]
fn the_callback_waits_for_nobody() {
    let (mut player, mut mixer) = playing_player();
    let n_blocks = Rc::new(Cell::new(0));
    let counted = Rc::clone(&n_blocks);
    let mut block = [0.0_f32; 64];
    at_each_allocation_of(
        || {
            (0..200).for_each(|round| ask(&mut player, round));
            player.clear();
            player.load(vec![sine(4_800, 220.0)]);
        },
        move || {
            mixer.render_interleaved(&mut block, 2);
            counted.set(counted.get() + 1);
        },
    );
    assert!(n_blocks.get() > 1000, "{} blocks", n_blocks.get());
}

/// Where the callback's code stands, nothing is named that waits.
#[test]
fn the_callback_names_nothing_that_waits() {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/src/playback");
    let words =
        ["Mutex", "RwLock", "Condvar", "Once", "Lazy", "Barrier", "mpsc", "channel(", "park", "sleep", "lock(", "join(", "thread::"];
    for file in ["mixer.rs", "health.rs"] {
        let text = std::fs::read_to_string(source.join(file)).unwrap();
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        assert!(code.len() > 50, "{file} is the file that is meant");
        for word in words {
            assert!(!code.iter().any(|line| line.contains(word)), "{file}: {word}");
        }
    }
}

const CAPTURES: &str = "DRIFTSCOPE_TEST_ALSA_CAPTURES";
const N_SAMPLES: usize = 48_000;
const LOOP_SEC: std::ops::Range<f64> = 0.1..0.35;
const SEEK_SEC: f64 = 0.2;
/// Of both channels in 32-bit float; ALSA's null device asks for stereo by default.
const FRAME_BYTES: u64 = 8;

/// Plays through ALSA's file device and compares what arrived: the start, loop seams, and a switch with its fade, all of it to the bit.
/// Then again after moving to a second device. The device's configuration is read from the environment of a process, so the test
/// starts itself again as a child that plays.
#[test]
#[cfg(target_os = "linux")]
fn alsa_gets_every_sample() {
    if let Some(folder) = std::env::var_os(CAPTURES) {
        return play_to_alsa(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("asound.conf");
    std::fs::write(&config, alsa_config(folder.path())).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "playback::alsa_gets_every_sample", "--nocapture"])
        .env("ALSA_CONFIG_PATH", &config)
        .env(CAPTURES, folder.path())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{said}");
    if let Some(reason) = said.lines().find(|line| line.starts_with("not played:")) {
        return say(reason);
    }
    assert!(!said.contains("ALSA lib"), "{said}");

    let heard = captured(&folder.path().join("first.raw"));
    let (mut player, mut mixer) = expected_player();
    player.play();
    let mut unswitched = vec![0.0; heard.len()];
    mixer.render(&mut unswitched);
    // When the switch came is the machine's affair. Its fade begins with the weight 0, so its second sample is the first to differ.
    let switch = (0..heard.len()).find(|&i| heard[i] != unswitched[i]).expect("a switch") - 1;
    // Some time after that the sound was paused.
    let heard = &heard[..switch + N_SAMPLES];
    assert!(switch > N_SAMPLES, "several rounds before the switch: {switch}");
    let (mut player, mut mixer) = expected_player();
    player.play();
    let mut expected = vec![0.0; heard.len()];
    let (before, after) = expected.split_at_mut(switch);
    mixer.render(before);
    player.select(1);
    mixer.render(after);
    assert_eq!((0..heard.len()).find(|&i| heard[i] != expected[i]), None, "every sample, once, in order; the switch at {switch}");

    let heard = captured(&folder.path().join("second.raw"));
    let (mut player, mut mixer) = expected_player();
    player.select(1);
    player.seek_sec(SEEK_SEC);
    player.play();
    let mut expected = vec![0.0; heard.len()];
    mixer.render(&mut expected);
    assert!(heard.len() > N_SAMPLES);
    assert_eq!((0..heard.len()).find(|&i| heard[i] != expected[i]), None, "the second device goes on where the first was left");
}

/// Two sources that never meet, one below zero and one above, every sample another; f32 holds them exactly.
fn sources() -> Vec<Arc<[f32]>> {
    [-1.0, 1.0].map(|side| (0..N_SAMPLES).map(|i| side * (i + 1) as f32 / 65_536.0).collect()).to_vec()
}

fn expected_player() -> (Player, driftscope_core::playback::Mixer) {
    let (mut player, mixer) = Player::by_hand(48_000);
    player.load(sources());
    player.set_loop_sec(Some(LOOP_SEC));
    (player, mixer)
}

/// One channel of a file from the first sample of the sound on.
fn captured(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let interleaved: Vec<f32> = bytes.chunks_exact(4).map(|sample| f32::from_le_bytes(sample.try_into().unwrap())).collect();
    assert!(interleaved.chunks_exact(2).all(|frame| frame[0] == frame[1]), "the same sound on both sides");
    let onset = interleaved.chunks_exact(2).position(|frame| frame[0] != 0.0).expect("something was heard");
    // The fade's first weight is 0, which cannot be told from the silence before it.
    interleaved.chunks_exact(2).skip(onset - 1).map(|frame| frame[0]).collect()
}

fn play_to_alsa(folder: &Path) {
    let listed = outputs();
    let config = |name: &str| {
        let device = listed.iter().find(|device| device.id.ends_with(name))?;
        Some(OutputConfig { choice: OutputChoice::Device(device.id.clone()), buffer_frames: 256 })
    };
    let (Some(first), Some(second)) = (config("first_file"), config("second_file")) else {
        return say(&format!("not played: ALSA lists no file device, only {listed:?}"));
    };
    let mut player = Player::open(first);
    if player.notice().is_some_and(|notice| notice.starts_with("No sound device")) {
        return say(&format!("not played: {}", player.notice().unwrap_or_default()));
    }
    assert_eq!((player.notice(), player.rate_hz(), player.buffer_frames()), (None, 48_000, Some(256)));
    player.load(sources());
    player.set_loop_sec(Some(LOOP_SEC));
    player.play();
    wait_for_sound(&folder.join("first.raw"));
    player.select(1);
    wait_for_sound(&folder.join("first.raw"));
    player.pause();
    player.seek_sec(SEEK_SEC);

    assert_eq!(player.reopen(second), Reopened::SameRate);
    assert_eq!((player.notice(), player.selected(), player.position_sec()), (None, 1, SEEK_SEC));
    player.play();
    wait_for_sound(&folder.join("second.raw"));
    assert_eq!(player.glitches(), 0);
    // What cannot be had is said in one sentence, and ALSA says nothing on standard error.
    let _ = player.reopen(&OutputChoice::Device("alsa:nothing".to_owned()));
    assert!(player.notice().is_some_and(|notice| notice.contains("alsa:nothing")));
    let _ = player.reopen(&OutputChoice::Default);
    assert!(player.notice().is_some_and(|notice| notice.starts_with("No sound device")), "{:?}", player.notice());
}

/// Until the file has grown by some two seconds of sound; the device has no clock and takes them at once.
fn wait_for_sound(capture: &Path) {
    let length = || std::fs::metadata(capture).map_or(0, |file| file.len());
    let (start, enough) = (Instant::now(), length() + 2 * N_SAMPLES as u64 * FRAME_BYTES);
    while length() < enough {
        assert!(start.elapsed() < Duration::from_secs(20), "the device takes nothing");
        std::thread::yield_now();
    }
}

#[expect(clippy::print_stderr, reason = "a test that could not be made is never silent")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// ALSA's null device behind files that get whatever is played; the default is a device that ALSA complains about.
fn alsa_config(folder: &Path) -> String {
    let file = |name: &str| {
        let path = folder.join(name).display().to_string();
        format!(
            "pcm.{name}_file {{ type file  slave.pcm \"null\"  file \"{path}.raw\"  format \"raw\"  hint {{ show on  description \"a file\" }} }}\n"
        )
    };
    let default = "pcm.!default { type plug  slave.pcm \"nowhere\" }\n";
    format!("</usr/share/alsa/alsa.conf>\n{}{}{default}", file("first"), file("second"))
}
