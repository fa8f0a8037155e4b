//! Sample-exact, on a player pulled by hand at 1 kHz: a fade is 10 samples.

use std::sync::Arc;

use super::{Mixer, OutputChoice, Player};

const RATE_HZ: u32 = 1000;
const FADE: usize = 10;

/// Distinct samples that f32 holds exactly, also through the arithmetic of a fade to nothing.
fn ramp(from: f32, n_samples: usize) -> Arc<[f32]> {
    (0..n_samples).map(|i| from + i as f32).collect()
}

fn constant(value: f32, n_samples: usize) -> Arc<[f32]> {
    vec![value; n_samples].into()
}

fn pull(mixer: &mut Mixer, n_samples: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; n_samples];
    // In uneven blocks, as devices ask.
    let mut rest = out.as_mut_slice();
    for block in [1, 7, 3, 64, 5].into_iter().cycle() {
        let (now, later) = rest.split_at_mut(block.min(rest.len()));
        mixer.render(now);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    out
}

/// A player past its first fade, sounding source 0 at sample 20.
fn sounding(sources: Vec<Arc<[f32]>>) -> (Player, Mixer) {
    let (mut player, mut mixer) = Player::by_hand(RATE_HZ);
    player.load(sources);
    player.play();
    pull(&mut mixer, 20);
    (player, mixer)
}

/// `old` and `new` are what each would sound from the change on.
fn crossfaded(old: &[f32], new: &[f32]) -> Vec<f32> {
    old.iter().zip(new).enumerate().map(|(n, (o, i))| o + (i - o) * (n.min(FADE) as f32 / FADE as f32)).collect()
}

fn close(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (n, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= 1e-4 * e.abs().max(1.0), "sample {n}: {g}, expected {e}");
    }
}

#[test]
fn plays_every_sample_once_then_silence() {
    let (mut player, mut mixer) = Player::by_hand(RATE_HZ);
    player.load(vec![ramp(1.0, 50)]);
    assert_eq!(pull(&mut mixer, 5), [0.0; 5], "loaded is not playing");
    player.play();
    let out = pull(&mut mixer, 80);
    close(&out[..50], &crossfaded(&[0.0; 50], &ramp(1.0, 50)));
    assert_eq!(out[10..50], ramp(1.0, 50)[10..], "bit-exact outside the fade");
    assert_eq!(out[50..], [0.0; 30]);
    assert!(!player.is_playing());
    assert_eq!(player.position_sec(), 0.05);
    player.play();
    assert_eq!((player.is_playing(), player.position_sec()), (true, 0.0), "play at the end starts again");
}

#[test]
fn a_switch_keeps_the_counter_and_fades_linearly() {
    let (a, b) = (ramp(0.0, 200), ramp(1000.0, 200));
    let (mut player, mut mixer) = sounding(vec![Arc::clone(&a), Arc::clone(&b)]);
    player.select(1);
    let out = pull(&mut mixer, 40);
    close(&out, &crossfaded(&a[20..60], &b[20..60]));
    assert_eq!(out[FADE..], b[20 + FADE..60]);
}

#[test]
fn a_switch_to_itself_changes_no_bit() {
    let a: Arc<[f32]> = (0..200).map(|i| (i as f32 * 0.37).sin()).collect();
    let (mut player, mut mixer) = sounding(vec![Arc::clone(&a)]);
    player.select(0);
    assert_eq!(pull(&mut mixer, 40), a[20..60]);
}

#[test]
fn a_switch_within_a_fade_does_not_jump() {
    let sources = vec![constant(0.0, 400), constant(1.0, 400), constant(-1.0, 400)];
    let (mut player, mut mixer) = sounding(sources);
    let mut out = Vec::new();
    for source in [1, 2, 0, 1, 2, 0, 1, 2, 1, 2, 0, 1, 2] {
        player.select(source);
        out.extend(pull(&mut mixer, 1));
    }
    out.extend(pull(&mut mixer, 60));
    let steepest = out.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
    assert!(steepest <= 0.5, "a jump of {steepest}");
    assert_eq!(out[out.len() - 1], -1.0, "the last choice wins");
}

#[test]
fn a_loop_has_an_exact_period_and_a_faded_seam() {
    let a = ramp(1.0, 300);
    let (mut player, mut mixer) = sounding(vec![Arc::clone(&a)]);
    player.set_loop_sec(Some(0.040..0.100));
    let out = pull(&mut mixer, 200);
    assert_eq!(out[..80], a[20..100], "up to the end of the region");
    close(&out[80..140], &crossfaded(&a[100..160], &a[40..100]));
    assert_eq!(out[140..200], out[80..140], "every round sounds the same");
    pull(&mut mixer, 30);
    player.set_loop_sec(None);
    assert_eq!(pull(&mut mixer, 100), a[70..170], "without the loop it plays on, and only the loop had changed");
}

#[test]
fn a_loop_up_to_the_end_of_the_material() {
    let a = ramp(1.0, 60);
    let (mut player, mut mixer) = sounding(vec![Arc::clone(&a)]);
    player.set_loop_sec(Some(0.0..9.0));
    assert_eq!(player.loop_sec(), Some(0.0..0.06));
    let out = pull(&mut mixer, 100);
    assert_eq!(out[..40], a[20..]);
    close(&out[40..100], &crossfaded(&[0.0; 60], &a));
    assert!(player.is_playing());
}

#[test]
fn loops_too_short_to_fade_are_widened() {
    let (mut player, _mixer) = Player::by_hand(RATE_HZ);
    player.load(vec![ramp(0.0, 100)]);
    for (asked, got) in
        [(0.030..0.031, 0.030..0.050), (0.099..0.100, 0.080..0.100), (0.050..0.020, 0.050..0.070), (f64::NAN..0.5, 0.0..0.1)]
    {
        player.set_loop_sec(Some(asked.clone()));
        assert_eq!(player.loop_sec(), Some(got), "{asked:?}");
    }
    player.load(vec![ramp(0.0, 19)]);
    player.set_loop_sec(Some(0.0..0.01));
    assert_eq!(player.loop_sec(), None, "material shorter than two fades");
}

#[test]
fn a_seek_fades_from_old_to_new_place_and_shows_at_once() {
    let a = ramp(0.0, 300);
    let (mut player, mut mixer) = sounding(vec![Arc::clone(&a)]);
    player.seek_sec(0.200);
    assert_eq!(player.position_sec(), 0.200, "before the device has followed");
    close(&pull(&mut mixer, 50), &crossfaded(&a[20..70], &a[200..250]));
    assert_eq!(player.position_sec(), 0.250);
    for (asked, got) in [(-1.0, 0.0), (f64::NAN, 0.0), (99.0, 0.300)] {
        player.seek_sec(asked);
        assert_eq!(player.position_sec(), got);
    }
}

#[test]
fn a_seek_after_the_end_does_not_start_by_itself() {
    let (mut player, mut mixer) = sounding(vec![ramp(1.0, 30)]);
    pull(&mut mixer, 40);
    player.seek_sec(0.0);
    assert!(!player.is_playing());
    assert_eq!(pull(&mut mixer, 20), [0.0; 20]);
}

#[test]
fn replacing_the_sounding_source_leaves_no_gap() {
    let (a, b) = (constant(0.5, 200), constant(-0.5, 200));
    let (mut player, mut mixer) = sounding(vec![Arc::clone(&a), ramp(0.0, 200)]);
    player.replace(0, Arc::clone(&b));
    close(&pull(&mut mixer, 30), &crossfaded(&a[20..50], &b[20..50]));
    player.replace(1, constant(7.0, 200));
    player.replace(9, constant(9.0, 200));
    assert_eq!(pull(&mut mixer, 20), b[..20], "what does not sound is not heard");
    player.select(1);
    assert_eq!(pull(&mut mixer, 30)[29], 7.0);
}

#[test]
fn pause_gain_and_mute_fade_and_lose_nothing() {
    let a = ramp(1.0, 400);
    let (mut player, mut mixer) = sounding(vec![Arc::clone(&a)]);
    player.pause();
    close(&pull(&mut mixer, 30), &crossfaded(&a[20..50], &[0.0; 30]));
    assert_eq!(player.position_sec(), 0.020);
    player.play();
    close(&pull(&mut mixer, 30), &crossfaded(&[0.0; 30], &a[20..50]));
    player.set_gain_db(0, 20.0 * 0.5_f64.log10());
    let halved: Vec<f32> = a[50..80].iter().map(|x| x * 0.5).collect();
    close(&pull(&mut mixer, 30), &crossfaded(&a[50..80], &halved));
    player.set_muted(true);
    assert_eq!(pull(&mut mixer, 30)[FADE..], [0.0; 20]);
    player.set_muted(false);
    close(&pull(&mut mixer, 30)[FADE..], &a[120..140].iter().map(|x| x * 0.5).collect::<Vec<_>>());
}

#[test]
fn shorter_sources_end_in_silence() {
    let (mut player, mut mixer) = sounding(vec![ramp(1.0, 30), ramp(1.0, 100)]);
    assert_eq!(player.length_sec(), 0.1);
    let out = pull(&mut mixer, 30);
    assert_eq!(out[10..], [0.0; 20]);
    player.select(1);
    assert_eq!(pull(&mut mixer, 20)[19], 70.0);
}

#[test]
fn buffers_are_freed_by_the_player_once_unused() {
    let a = constant(0.5, 5000);
    let (mut player, mut mixer) = sounding(vec![Arc::clone(&a)]);
    for i in 0..500 {
        player.replace(0, constant(i as f32, 5000));
        player.poll();
        if i % 100 == 0 {
            pull(&mut mixer, 30);
        }
    }
    assert!(player.unsent, "the inbox is bounded");
    pull(&mut mixer, 30);
    player.poll();
    assert!(!player.unsent);
    assert_eq!(pull(&mut mixer, 30)[29], 499.0, "the newest was sent again");
    player.poll();
    player.publish();
    assert!(player.sent.len() <= 3, "{} scenes are kept", player.sent.len());
    assert_eq!(Arc::strong_count(&a), 1);
}

#[test]
fn the_silent_output_lets_time_pass() {
    let mut player = Player::open(&OutputChoice::Silent);
    assert_eq!(player.notice(), None);
    player.load(vec![constant(0.1, player.rate_hz() as usize / 20)]);
    player.play();
    let start = std::time::Instant::now();
    while player.is_playing() && start.elapsed().as_secs() < 10 {
        std::thread::yield_now();
    }
    assert_eq!(player.position_sec(), 0.05);
}

#[test]
fn a_lost_device_is_told_and_time_goes_on() {
    let (mut player, mut mixer) = sounding(vec![ramp(0.0, 1000)]);
    pull(&mut mixer, 30);
    player.health.lost.store(true, std::sync::atomic::Ordering::Relaxed);
    player.poll();
    assert!(player.notice().unwrap().contains("went away"), "{:?}", player.notice());
    assert!(player.is_playing());
    let start = std::time::Instant::now();
    while player.position_sec() <= 0.050 && start.elapsed().as_secs() < 10 {
        std::thread::yield_now();
    }
    assert!(player.position_sec() > 0.050);
}

#[test]
fn an_unknown_device_is_one_sentence() {
    let player = Player::open(&OutputChoice::Device("alsa:no-such-device".to_owned()));
    let notice = player.notice().unwrap();
    assert!(notice.contains("no-such-device") && notice.ends_with("playing in silence."), "{notice}");
    assert_eq!(Player::open(&OutputChoice::Device("?".to_owned())).notice().map(|n| n.contains('?')), Some(true));
}
