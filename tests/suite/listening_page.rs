//! The bundle of a listening test in a real browser, from disk: whole sessions by real keys, and what the mixer does to the samples.

use std::collections::BTreeMap;
use std::f32::consts::TAU;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use driftscope_core::audio::AudioClip;
use driftscope_core::listen::bundle::{read_answers, seat, write_bundle};
use driftscope_core::listen::{Answer, Condition, Design, Draft, DraftItem, Order, Role, Settings, Stop, Test, Trial, import};
use serde_json::Value;

use crate::browser::{Browser, ENTER, PAGE_DOWN, UP};

const RATE_HZ: u32 = 16_000;

fn condition(name: &str, role: Role) -> Condition {
    Condition::new(name, "", role)
}

/// A test of two items of half a second; the conditions are tones of their own.
pub(crate) fn small_test(folder: &Path, design: Design, conditions: Vec<Condition>) -> Test {
    let tone = |item: usize, condition: usize| {
        let frequency_hz = 220.0 * (item + 1) as f32 * 1.25_f32.powi(condition as i32);
        let samples = (0..RATE_HZ / 2).map(|i| 0.2 * (TAU * frequency_hz * i as f32 / RATE_HZ as f32).sin()).collect();
        Some(AudioClip { samples, sample_rate_hz: RATE_HZ })
    };
    let items = ["1089-134686-0000", "121-123852-0001"].into_iter().enumerate().map(|(item, id)| DraftItem {
        id: id.to_owned(),
        speaker: id.split('-').next().unwrap().to_owned(),
        sounds: (0..conditions.len()).map(|condition| tone(item, condition)).collect(),
    });
    let draft = Draft {
        title: "Codec <b>& rollout".to_owned(),
        design,
        axis: None,
        items: items.collect(),
        conditions,
        recipe: None,
        seed: 7,
        settings: Settings { n_training: 1, must_hear_sec: 0.1, break_every: 3, ..Settings::default() },
        provenance: BTreeMap::new(),
    };
    draft.write(folder).unwrap().0
}

fn abx(folder: &Path) -> Test {
    let design = Design::Abx { stop: Stop::Fixed { n_trials: 5 }, alpha: 0.05 };
    small_test(folder, design, vec![condition("ground truth", Role::Reference), condition("rollout", Role::Tested)])
}

fn mushra(folder: &Path) -> Test {
    let conditions = [("ground truth", Role::Reference), ("rollout", Role::Tested), ("3.5 kHz", Role::Anchor)];
    small_test(folder, Design::Mushra, conditions.map(|(name, role)| condition(name, role)).to_vec())
}

/// The trials that the window would give to who sits there.
fn trials(test: &Test, seat: &str) -> Vec<Trial> {
    let mut order = Order::new(test, seat);
    let mut trials = Vec::new();
    while let Some(trial) = order.trial().cloned() {
        trials.push(trial);
        order.answered(&Answer::Neither);
    }
    trials
}

/// Opens the bundle and sits down.
fn sit_down(browser: &Browser, bundle: &Path) {
    browser.go(&bundle.join("index.html"));
    assert_eq!(browser.text("#title"), "Codec <b>& rollout", "a title is text");
    browser.press("Zoë P");
    browser.value("document.getElementById('seat').value = 'seat-02'");
    browser.press(ENTER);
    browser.until("document.getElementById('level-done')");
    // The level is not set by somebody who has not heard it.
    browser.press(ENTER);
    assert_ne!(browser.text("#level-done"), "");
    browser.press(" ");
    browser.until("(mixer.account(), mixer.heard[0] > 0.5)");
    count_underruns(browser, 0);
    browser.press(ENTER);
    browser.until("document.querySelector('.trial')");
}

/// From here on the browser counts so many, however busy the machine is.
fn count_underruns(browser: &Browser, n: u32) {
    browser.value(&format!(
        "(Object.defineProperty(context, 'playbackStats', {{ value: {{ underrunEvents: {n} }}, configurable: true }}), {n})"
    ));
}

/// Listens to every slot until it counts.
fn hear_all(browser: &Browser, trial: &Trial) {
    for (slot, label) in trial.slots.iter().map(|slot| &slot.label).enumerate() {
        browser.press(&label[..1].to_lowercase());
        browser.until(&format!("document.querySelector('[data-slot=\"{slot}\"]').hasAttribute('data-heard')"));
    }
}

/// Ends a session at its last page; gives the file.
fn save(browser: &Browser, downloads: &Path, wanted: &str) -> PathBuf {
    browser.until("document.getElementById('save')");
    assert_eq!(browser.text("#progress-text"), "Done");
    browser.press(ENTER);
    let file = downloads.join(wanted);
    let since = Instant::now();
    while !file.exists() {
        assert!(since.elapsed() < Duration::from_secs(30), "{wanted} was not saved");
        std::thread::sleep(Duration::from_millis(20));
    }
    file
}

#[test]
fn an_abx_session_by_keys() {
    let folder = tempfile::tempdir().unwrap();
    let test = abx(&folder.path().join("test"));
    let (bundle, downloads) = (folder.path().join("bundle"), folder.path().join("downloads"));
    write_bundle(&test, 2, &bundle).unwrap();
    let Some(browser) = Browser::open([1100, 860], &downloads) else { return };
    sit_down(&browser, &bundle);

    let trials = trials(&test, &seat(2));
    assert_eq!(trials.len(), 6);
    let mut said = Vec::new();
    for (idx, trial) in trials.iter().enumerate() {
        browser.until(&format!("session.order === {idx} && document.querySelector('.trial')"));
        if idx == 2 {
            refuses_before_all_is_heard(&browser);
        }
        if idx == 3 {
            goes_on_after_a_reload(&browser);
        }
        if idx == 4 {
            asks_again_when_the_sound_breaks_off(&browser, trial);
        }
        hear_all(&browser, trial);
        let right = trial.right_slot().unwrap();
        // One answer is wrong, for the sake of telling right from wrong.
        let slot = if idx == 4 { 1 - right } else { right };
        said.push(Answer::Slot(slot));
        browser.press(["1", "2"][slot]);
        browser.press(ENTER);
        if trial.training {
            assert_eq!(browser.text(".message"), format!("X was {}: right.", trial.slots[right].label));
            browser.press(ENTER);
            browser.until("document.getElementById('counts')");
            browser.press(ENTER);
        }
        if idx == 3 {
            browser.until("document.getElementById('break-over')");
            browser.press(ENTER);
        }
    }

    let file = save(&browser, &downloads, "answers-Zoe-P.json");
    let (answers, of) = read_answers(&file, &test).unwrap();
    assert_eq!(of, trials);
    assert_eq!(answers.answers.iter().map(|a| a.answer.clone()).collect::<Vec<_>>(), said);
    assert_eq!((answers.listener.as_str(), answers.seat.as_str()), ("Zoë P", "seat-02"));
    assert!(answers.finished.is_some());
    assert!(answers.answers.iter().all(|a| a.sample_rate_hz == f64::from(RATE_HZ)), "the sounds' own rate: nothing is resampled");
    assert!(answers.answers.iter().all(|a| a.n_switches >= 2));
    assert_eq!(browser.complaints(), Vec::<String>::new());

    // Taken in, it is a log like any other.
    let log = import(&file, &test, "driftscope 0.0.0").unwrap();
    let right: Vec<Option<bool>> = log.scored().map(|(trial, answer)| trial.is_right(answer)).collect();
    assert_eq!(right, [true, true, true, false, true].map(Some));
    assert!(import(&file, &test, "driftscope 0.0.0").is_err(), "and only once");
}

fn refuses_before_all_is_heard(browser: &Browser) {
    let before = browser.value("session.order");
    browser.press("1");
    browser.press(ENTER);
    assert!(browser.text(".message").starts_with("Listen to A for"), "{}", browser.text(".message"));
    browser.press("a");
    browser.until("document.querySelector('[data-slot=\"0\"]').hasAttribute('data-heard')");
    browser.press(ENTER);
    assert!(browser.text(".message").starts_with("Listen to B for"), "{}", browser.text(".message"));
    assert_eq!(browser.value("session.order"), before, "nothing was taken");
    // It is read out, too.
    browser.until("document.getElementById('say').textContent.startsWith('Listen to B')");
}

fn asks_again_when_the_sound_breaks_off(browser: &Browser, trial: &Trial) {
    hear_all(browser, trial);
    count_underruns(browser, 1);
    browser.press("1");
    browser.press(ENTER);
    assert!(browser.text(".message").starts_with("The sound broke off."), "{}", browser.text(".message"));
    browser.press("1");
    browser.press(ENTER);
    assert!(browser.text(".message").starts_with("Listen to A for"), "{}", browser.text(".message"));
    assert_eq!(browser.value("session.order"), 4, "nothing was taken");
}

fn goes_on_after_a_reload(browser: &Browser) {
    let before = (browser.value("session.order"), browser.text("#progress-text"), browser.value("session.state.answers"));
    browser.reload();
    browser.until("document.getElementById('resume')");
    browser.press(ENTER);
    browser.until("document.querySelector('.trial')");
    count_underruns(browser, 0);
    let after = (browser.value("session.order"), browser.text("#progress-text"), browser.value("session.state.answers"));
    assert_eq!(before, after);
}

#[test]
fn a_mushra_session_by_keys() {
    let folder = tempfile::tempdir().unwrap();
    let test = mushra(&folder.path().join("test"));
    let (bundle, downloads) = (folder.path().join("bundle"), folder.path().join("downloads"));
    write_bundle(&test, 2, &bundle).unwrap();
    let Some(browser) = Browser::open([1100, 860], &downloads) else { return };
    sit_down(&browser, &bundle);

    let trials = trials(&test, &seat(2));
    assert_eq!(trials.len(), 3);
    for (idx, trial) in trials.iter().enumerate() {
        browser.until(&format!("session.order === {idx} && document.querySelector('.trial')"));
        hear_all(&browser, trial);
        // The last one sounds; the reference is not rated.
        browser.press(UP);
        browser.press(&format!("b{UP}{UP}{UP}a{UP}{PAGE_DOWN}"));
        assert_eq!(browser.text("[data-value=\"2\"]"), "52\nFair");
        assert_eq!(browser.text("[data-value=\"1\"]"), "40\nFair");
        browser.press(&format!("r{UP}"));
        assert_eq!(browser.value("document.querySelectorAll('.unrated').length"), 0);
        browser.press(ENTER);
        if trial.training {
            let hidden = trial.slots[1..].iter().find(|slot| slot.condition == 0).unwrap();
            assert_eq!(browser.text(".message"), format!("The reference was hidden behind {}.", hidden.label));
            browser.press(ENTER);
            browser.until("document.getElementById('counts')");
            browser.press(ENTER);
        }
    }
    let file = save(&browser, &downloads, "answers-Zoe-P.json");
    let (answers, of) = read_answers(&file, &test).unwrap();
    assert_eq!(of, trials);
    assert!(import(&file, &test, "driftscope 0.0.0").unwrap().is_finished);
    assert!(answers.answers.iter().all(|a| a.answer == Answer::Ratings(vec![40.0, 52.0, 50.0])), "{answers:?}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Sounds r, -r and r/2 at every sample, r a ramp: what comes out tells which gains were open, and that all are at the same place.
const SWITCHES: &str = "(async () => {
    const rate = 16000, n = 16000;
    const context = new OfflineAudioContext(1, n, rate);
    const ramp = (gain) => {
        const buffer = context.createBuffer(1, n, rate);
        buffer.getChannelData(0).set(Float32Array.from({ length: n }, (_, i) => gain * (0.25 + i / n / 2)));
        return { buffer, gain_db: 0 };
    };
    const mixer = new Mixer(context);
    mixer.load([ramp(1), ramp(-1), ramp(0.5)]);
    mixer.listen(0);
    context.suspend(0.25).then(() => { mixer.listen(1); context.resume(); });
    context.suspend(0.5).then(() => { mixer.listen(0); mixer.listen(1); context.resume(); });
    context.suspend(0.75).then(() => { mixer.pause(); context.resume(); });
    const rendered = await context.startRendering();
    return Array.from(rendered.getChannelData(0));
})()";

#[test]
fn a_switch_is_a_crossfade_of_10_ms_at_one_place() {
    let folder = tempfile::tempdir().unwrap();
    let test = abx(&folder.path().join("test"));
    let bundle = folder.path().join("bundle");
    write_bundle(&test, 1, &bundle).unwrap();
    let Some(browser) = Browser::open([1100, 860], folder.path()) else { return };
    browser.go(&bundle.join("index.html"));
    let out: Vec<f64> = browser.value(SWITCHES).as_array().unwrap().iter().map(|v| Value::as_f64(v).unwrap()).collect();

    // The loop starts at a whole sample, and all of it is faded in over 10 ms there.
    let start = out.iter().position(|&v| v != 0.0).unwrap() - 1;
    let ramp = |i: usize| 0.25 + (i - start) as f64 / 32_000.0;
    // -1 where the second sound is open, 1 where the first is.
    let gain: Vec<f64> = (0..out.len()).map(|i| if i > start { out[i] / ramp(i) } else { 0.0 }).collect();
    let is = |range: std::ops::Range<usize>, wanted: f64| range.into_iter().all(|i| (gain[i] - wanted).abs() < 1e-4);
    let faded = start + 170;
    let leaves = |from: usize, value: f64| (from..out.len()).find(|&i| (gain[i] - value).abs() > 1e-4).unwrap();

    let first = leaves(faded, 1.0) - 1;
    assert!((4_000..4_300).contains(&first), "the switch was asked for at sample 4,000 and came at {first}");
    for i in 0..=160 {
        let wanted = 1.0 - 2.0 * i as f64 / 160.0;
        assert!((gain[first + i] - wanted).abs() < 2e-3, "sample {i} of the crossfade has {}, not {wanted}", gain[first + i]);
    }
    // There and back again at once: the way back begins where the way there ended, and no step is larger than a crossfade's.
    let second = leaves(first + 161, -1.0) - 1;
    assert!(is(first + 161..second, -1.0), "nothing else happens in between");
    assert!((gain[second + 160] - 1.0).abs() < 2e-3 && (gain[second + 320] + 1.0).abs() < 2e-3);
    let steps = gain[faded..12_000].windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f64::max);
    assert!(steps < 2.0 / 160.0 + 1e-3, "a step of {steps}");
    // A pause fades out, and then there is silence.
    let pause = leaves(second + 321, -1.0) - 1;
    assert!((12_000..12_300).contains(&pause));
    assert!(out[pause + 161..].iter().all(|&v| v == 0.0));
}
