//! Sample-exact, on a player pulled by hand at 1 kHz: a fade is 10 samples.

use std::sync::Arc;

use cpal::{ErrorKind, I24};

use super::super::output::OutputChoice;
use super::{Line, Mixer, Player, Reopened};

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

/// What does not sound may change at any time, also within a fade, and no bit of the fade tells.
#[test]
fn what_is_not_heard_leaves_no_trace() {
    let sources = || vec![ramp(0.0, 200), ramp(1000.0, 200)];
    let (mut player, mut mixer) = sounding(sources());
    player.select(1);
    let mut out = pull(&mut mixer, 4);
    player.replace(0, ramp(-5.0, 200));
    player.replace(7, ramp(-5.0, 200));
    player.set_gain_db(0, -20.0);
    out.extend(pull(&mut mixer, 40));
    let (mut undisturbed, mut its_mixer) = sounding(sources());
    undisturbed.select(1);
    assert_eq!(out, pull(&mut its_mixer, 44));
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

/// Sources that differ by a constant sound the same but for that constant, through fades in, seams and the silence after the shorter:
/// every weight of every fade is the same for all of them, so no seam tells which one sounds.
#[test]
fn the_seam_is_the_same_for_all_sources() {
    let looped = |selected: usize| {
        let (mut player, mut mixer) = Player::by_hand(RATE_HZ);
        player.load(vec![constant(1.0, 300), constant(2.0, 300), ramp(1.0, 300), ramp(1.0, 80)]);
        player.select(selected);
        player.set_loop_sec(Some(0.040..0.100));
        player.play();
        pull(&mut mixer, 400)
    };
    let (ones, long, short) = (looped(0), looped(2), looped(3));
    close(&looped(1), &ones.iter().map(|x| x * 2.0).collect::<Vec<_>>());
    close(&ones[..FADE], &crossfaded(&[0.0; FADE], &[1.0; FADE]));
    assert_eq!(ones[FADE..], [1.0; 400 - FADE], "a seam in a constant cannot be heard");
    assert_eq!(short[..80], long[..80]);
    assert_eq!(short[80..100], [0.0; 20]);
    close(&short[100..110], &crossfaded(&[0.0; FADE], &ramp(41.0, FADE)));
    assert_eq!(short[110..140], long[110..140]);
}

#[test]
fn a_switch_across_the_seam_keeps_the_counter() {
    let (a, b) = (ramp(0.0, 300), ramp(1000.0, 300));
    let (mut player, mut mixer) = sounding(vec![Arc::clone(&a), Arc::clone(&b)]);
    player.set_loop_sec(Some(0.040..0.100));
    pull(&mut mixer, 75);
    player.select(1);
    let out = pull(&mut mixer, 85);
    // The switch is half done when the seam comes at 5; from there on b's end fades into b's start over what is left of a.
    let switched = crossfaded(&a[95..180], &b[95..180]);
    close(&out[..5], &switched[..5]);
    close(&out[5..65], &crossfaded(&switched[5..65], &b[40..100]));
    assert_eq!(out[15..65], b[50..100]);
    close(&out[65..85], &crossfaded(&b[100..120], &b[40..60]));
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
    assert_eq!(pull(&mut mixer, 20), b[..20], "what does not sound is not heard");
    player.select(1);
    assert_eq!(pull(&mut mixer, 30)[29], 7.0);
}

#[test]
fn sources_come_one_by_one() {
    let (mut player, mut mixer) = sounding(vec![constant(0.5, 100)]);
    player.set_gain_db(12, -6.0);
    player.replace(10, constant(0.25, 300));
    assert_eq!((player.n_sources(), player.length_sec()), (13, 0.3));
    assert_eq!([player.gain_db(0), player.gain_db(10), player.gain_db(12), player.gain_db(99)], [0.0, 0.0, -6.0, 0.0]);
    assert_eq!(pull(&mut mixer, 20), [0.5; 20], "what sounds is not disturbed");
    player.select(10);
    assert_eq!(pull(&mut mixer, 20)[FADE..], [0.25; FADE]);
    player.select(5);
    assert_eq!(pull(&mut mixer, 20)[FADE..], [0.0; FADE], "a slot in between is silent");
    player.clear();
    assert_eq!((player.n_sources(), player.selected(), player.length_sec(), player.is_playing()), (0, 0, 0.0, false));
    pull(&mut mixer, 20);
    player.replace(2, constant(0.75, 100));
    player.select(2);
    player.play();
    assert_eq!(pull(&mut mixer, 20)[FADE..], [0.75; FADE]);
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
    player.health.failed(ErrorKind::DeviceNotAvailable);
    player.poll();
    assert_eq!(player.notice(), Some("The sound device \"by hand\" went away; playing in silence."));
    assert!(player.is_playing());
    let start = std::time::Instant::now();
    while player.position_sec() <= 0.050 && start.elapsed().as_secs() < 10 {
        std::thread::yield_now();
    }
    assert!(player.position_sec() > 0.050);
    assert_eq!(player.reopen(&OutputChoice::Silent), Reopened::SameRate);
    assert_eq!(player.notice(), None, "the user has chosen silence");
    player.poll();
    assert_eq!(player.notice(), None, "one loss is told once");
}

/// A looping player on source 1 at sample 60, with a gain, about to move to another output.
fn moving() -> (Player, Vec<Arc<[f32]>>) {
    let sources = vec![ramp(0.0, 200), ramp(1.0, 300), Arc::from([])];
    let (mut player, mut mixer) = sounding(sources.clone());
    player.select(1);
    player.set_gain_db(1, 20.0 * 2.0_f64.log10());
    player.set_loop_sec(Some(0.040..0.100));
    pull(&mut mixer, 40);
    assert_eq!(player.position_sec(), 0.060);
    (player, sources)
}

#[test]
fn another_output_at_the_same_rate_goes_on_at_the_same_sample() {
    let (mut player, sources) = moving();
    let (line, mut mixer) = Line::by_hand(RATE_HZ, 0.060);
    assert_eq!(player.connect(line, 0.060), Reopened::SameRate);
    assert_eq!((player.position_sec(), player.selected(), player.is_playing()), (0.060, 1, true));
    assert_eq!((player.loop_sec(), player.gain_db(1)), (Some(0.040..0.100), 20.0 * 2.0_f64.log10()));
    let out = pull(&mut mixer, 100);
    let doubled: Vec<f32> = sources[1].iter().map(|x| x * 2.0).collect();
    close(&out[..40], &crossfaded(&[0.0; 40], &doubled[60..100]));
    close(&out[40..100], &crossfaded(&doubled[100..160], &doubled[40..100]));
}

#[test]
fn another_output_at_another_rate_waits_for_the_sources() {
    let (mut player, _) = moving();
    let (line, mut mixer) = Line::by_hand(2 * RATE_HZ, 0.060);
    assert_eq!(player.connect(line, 0.060), Reopened::NewRate);
    assert_eq!((player.rate_hz(), player.position_sec(), player.length_sec()), (2 * RATE_HZ, 0.060, 0.300));
    assert_eq!((player.n_sources(), player.selected(), player.loop_sec()), (3, 1, Some(0.040..0.100)));
    assert_eq!(pull(&mut mixer, 60), [0.0; 60], "nothing sounds at the wrong speed");
    assert_eq!((player.is_playing(), player.position_sec()), (true, 0.090), "but time passes");
    let source = ramp(1.0, 600);
    player.replace(1, Arc::clone(&source));
    let doubled: Vec<f32> = source.iter().map(|x| x * 2.0).collect();
    let out = pull(&mut mixer, 140);
    assert!(out[..20].iter().all(|x| *x <= 2.0 * 201.0));
    close(&out[40..140], &doubled[100..200]);
}

#[test]
fn reopening_in_silence_keeps_the_rate_and_the_place() {
    let (mut player, _) = moving();
    player.pause();
    assert_eq!(player.reopen(&OutputChoice::Device("alsa:no-such-device".to_owned())), Reopened::SameRate);
    assert!(player.notice().is_some_and(|notice| notice.contains("no-such-device")), "{:?}", player.notice());
    assert_eq!((player.rate_hz(), player.position_sec(), player.is_playing()), (RATE_HZ, 0.060, false));
    assert_eq!((player.buffer_frames(), player.latency_sec()), (None, 0.0));
    player.play();
    assert!(player.is_playing());
}

/// Full scale, its end, beyond it, and no numbers, as each format holds them.
#[test]
fn every_format_of_a_device() {
    fn formatted<T: cpal::Sample + cpal::FromSample<f32> + Default>(samples: &[f32]) -> Vec<T> {
        let (mut player, mut mixer) = Player::by_hand(RATE_HZ);
        player.load(vec![std::iter::repeat_n(0.0, FADE).chain(samples.iter().copied()).collect()]);
        player.play();
        let mut out = vec![T::default(); 2 * (FADE + samples.len())];
        mixer.render_interleaved(&mut out, 2);
        assert_eq!(player.position_sec(), (FADE + samples.len()) as f64 / f64::from(RATE_HZ));
        out.split_off(2 * FADE)
    }
    let samples = [0.0, 0.5, -1.0, 1.0, -9.0, 9.0, f32::NAN, f32::NEG_INFINITY];
    let both = |x: [i32; 8]| x.into_iter().flat_map(|x| [x, x]).collect::<Vec<_>>();
    let wide = |x: Vec<i16>| x.into_iter().map(i32::from).collect::<Vec<_>>();
    let highest = 1.0 - f32::EPSILON / 2.0;
    let floats = [0.0, 0.5, -1.0, highest, -1.0, highest, 0.0, 0.0];
    assert_eq!(formatted::<f32>(&samples), floats.into_iter().flat_map(|x| [x, x]).collect::<Vec<_>>());
    assert_eq!(wide(formatted::<i16>(&samples)), both([0, 16_384, -32_768, 32_767, -32_768, 32_767, 0, 0]));
    assert_eq!(
        formatted::<I24>(&samples).into_iter().map(I24::inner).collect::<Vec<_>>(),
        both([0, 4_194_304, -8_388_608, 8_388_607, -8_388_608, 8_388_607, 0, 0])
    );
    assert_eq!(formatted::<u8>(&samples).into_iter().map(i32::from).collect::<Vec<_>>(), both([128, 192, 0, 255, 0, 255, 128, 128]));
    assert_eq!(formatted::<i32>(&samples)[6..10], [i32::MAX - 127, i32::MAX - 127, i32::MIN, i32::MIN]);
}

#[test]
fn an_unknown_device_is_one_sentence() {
    let player = Player::open(&OutputChoice::Device("alsa:no-such-device".to_owned()));
    let notice = player.notice().unwrap();
    assert!(notice.contains("no-such-device") && notice.ends_with("playing in silence."), "{notice}");
    assert_eq!(Player::open(&OutputChoice::Device("?".to_owned())).notice().map(|n| n.contains('?')), Some(true));
}
