//! The player against the outside: the allocator, and a device of the sound system.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driftscope_core::playback::{OutputChoice, Player, outputs};

use crate::allocation::allocations_of;

fn sine(n_samples: usize, hz: f32) -> Arc<[f32]> {
    (0..n_samples).map(|i| (i as f32 * hz * std::f32::consts::TAU / 48_000.0).sin() * 0.5).collect()
}

#[test]
fn the_callback_neither_allocates_nor_frees() {
    let (mut player, mut mixer) = Player::by_hand(48_000);
    player.load(vec![sine(96_000, 220.0), sine(96_000, 330.0)]);
    player.play();
    player.set_loop_sec(Some(0.1..0.15));
    let mut block = [0.0; 512];
    let mut calls = 0;
    for round in 0..400_u32 {
        player.select((round % 2) as usize);
        player.replace((round % 2) as usize, sine(96_000 - round as usize, 220.0 + round as f32));
        match round % 7 {
            0 => player.seek_sec(0.09),
            1 => player.pause(),
            2 => player.play(),
            _ => player.set_gain_db(0, -f64::from(round % 5)),
        }
        calls += allocations_of(|| mixer.render(&mut block));
    }
    assert_eq!(calls, 0);
    assert!(block.iter().any(|x| *x != 0.0), "something was rendered");
}

const CAPTURE: &str = "DRIFTSCOPE_TEST_ALSA_CAPTURE";
const N_SAMPLES: usize = 4800;

/// Plays through ALSA's file device and compares what arrived. The device's configuration is read from the environment of a
/// process, so the test starts itself again as a child that plays.
#[test]
#[cfg(target_os = "linux")]
fn alsa_gets_every_sample() {
    if std::env::var_os(CAPTURE).is_some() {
        return play_to_alsa();
    }
    let folder = tempfile::tempdir().unwrap();
    let (config, capture) = (folder.path().join("asound.conf"), folder.path().join("capture.raw"));
    std::fs::write(&config, alsa_config(&capture)).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "playback::alsa_gets_every_sample", "--nocapture"])
        .env("ALSA_CONFIG_PATH", &config)
        .env(CAPTURE, &capture)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));

    let (mut player, mut mixer) = Player::by_hand(48_000);
    player.load(vec![sine(N_SAMPLES, 440.0)]);
    player.play();
    let mut expected = vec![0.0; N_SAMPLES];
    mixer.render(&mut expected);

    let bytes = std::fs::read(&capture).unwrap();
    let interleaved: Vec<f32> = bytes.chunks_exact(4).map(|sample| f32::from_le_bytes(sample.try_into().unwrap())).collect();
    // ALSA's null device asks for stereo by default.
    let heard: Vec<f32> = interleaved.chunks_exact(2).map(|frame| frame[0]).collect();
    assert!(interleaved.chunks_exact(2).all(|frame| frame[0] == frame[1]), "the same sound on both sides");
    // Rendered sound begins with zeros (the fade's first weight), which cannot be told from the silence before it.
    let onset = heard.iter().position(|x| *x != 0.0).expect("something was heard");
    let lead = expected.iter().position(|x| *x != 0.0).unwrap();
    let heard = &heard[onset - lead..];
    let wrong = heard.iter().zip(&expected).position(|(h, e)| h != e);
    assert_eq!(wrong, None, "every sample, once, in order");
    assert!(heard[N_SAMPLES..].iter().all(|x| *x == 0.0), "nothing after the end");
}

fn play_to_alsa() {
    // Silence behind the sound: at the end of the material the last of it may not have reached the file yet.
    let material: Arc<[f32]> = sine(N_SAMPLES, 440.0).iter().copied().chain(std::iter::repeat_n(0.0, 48_000)).collect();
    let listed = outputs();
    let device = listed.iter().find(|device| device.id.contains("capture_file")).unwrap_or_else(|| panic!("{listed:?}"));
    let mut player = Player::open(&OutputChoice::Device(device.id.clone()));
    assert_eq!(player.notice(), None);
    assert_eq!(player.rate_hz(), 48_000);
    player.load(vec![material]);
    player.play();
    let start = Instant::now();
    while player.is_playing() {
        assert!(start.elapsed() < Duration::from_secs(10), "the device took nothing");
        std::thread::yield_now();
    }
}

/// ALSA's null device with a fixed format, behind a file that gets whatever is played.
fn alsa_config(capture: &Path) -> String {
    format!(
        r#"</usr/share/alsa/alsa.conf>
pcm.fixed_null {{ type null }}
pcm.capture_file {{
    type file
    slave {{ pcm "fixed_null" }}
    file "{}"
    format "raw"
    hint {{ show on  description "what is played goes to a file" }}
}}
"#,
        capture.display()
    )
}
