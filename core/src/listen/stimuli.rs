//! From sounds to a test's folder: checked, cut to one length, matched in loudness, named so that no name tells what it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::anchors::Anchor;
use super::check::{LENGTH_TOLERANCE_SEC, check};
use super::plan::{Axis, Condition, Design, Item, Loudness, Plan, Role, Settings, Stimulus};
use super::test::{PlanError, Test};
use crate::audio::{AudioClip, AudioError, loudness_lufs, peak, ungated_loudness_lufs, write_wav};
use crate::playback::MAX_MATCHING_DB;

/// Below this the gates of BS.1770 have too few blocks to go by, and the level without gates is taken.
const GATED_FROM_SEC: f64 = 3.0;
/// A sound that never passes -70 dBFS is silence, as for BS.1770.
const SILENT_PEAK: f32 = 3.16e-4;

/// Why no test can be made of the sounds.
#[derive(Debug, thiserror::Error)]
pub enum StimulusError {
    /// One sound, or two that belong together.
    #[error("item \"{item}\": {why}")]
    Item {
        /// The item's id.
        item: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// Without any sound being wrong.
    #[error("no test can be made of this: {}", .0.join("; "))]
    Unsound(Vec<String>),
    /// The folder or its plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A file could not be written.
    #[error(transparent)]
    Audio(#[from] AudioError),
}

/// A test before its sounds are files. Fields as in [`Plan`].
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the plan says them")]
pub struct Draft {
    pub title: String,
    pub design: Design,
    pub conditions: Vec<Condition>,
    pub axis: Option<Axis>,
    pub items: Vec<DraftItem>,
    pub recipe: Option<serde_json::Value>,
    pub seed: u64,
    pub settings: Settings,
    pub provenance: BTreeMap<String, String>,
}

/// One piece of material.
#[derive(Clone, Debug)]
pub struct DraftItem {
    /// Short and unique.
    pub id: String,
    /// Speaker, or empty.
    pub speaker: String,
    /// In the order of the conditions; `None` is rendered when it is called for.
    pub sounds: Vec<Option<AudioClip>>,
}

/// How loud a clip is: LUFS, and whether it is the level without gates, since the clip is too short for them.
pub fn level_lufs(clip: &AudioClip) -> Option<(f64, bool)> {
    let is_short = clip.duration_sec() < GATED_FROM_SEC;
    let level = if is_short { ungated_loudness_lufs(clip) } else { loudness_lufs(clip) };
    level.map(|level| (level, is_short))
}

impl Draft {
    /// Adds the anchors at 3.5 and 7 kHz, made of the reference (the first condition).
    pub fn add_anchors(&mut self) -> Result<(), StimulusError> {
        for anchor in Anchor::ALL {
            for item in &mut self.items {
                let refuse = |why: String| StimulusError::Item { item: item.id.clone(), why };
                let reference = item.sounds.first().and_then(Option::as_ref).ok_or_else(|| refuse("has no reference".to_owned()))?;
                let made = anchor.of(reference).ok_or_else(|| {
                    let (rate_hz, needed_hz) = (reference.sample_rate_hz, anchor.lowest_rate_hz());
                    refuse(format!("at {rate_hz} Hz the {} anchor would be the reference itself; it needs {needed_hz} Hz", anchor.name()))
                })?;
                item.sounds.push(Some(made));
            }
            let explanation = format!("the reference through a low-pass at {} (BS.1534-3)", anchor.name());
            self.conditions.push(Condition::new(anchor.name(), explanation, Role::Anchor));
        }
        Ok(())
    }

    /// Makes the test in `folder`: stimuli first, the plan last. Fails before anything is written where no test can be made; the notes say
    /// what was done to the sounds.
    pub fn write(mut self, folder: &Path) -> Result<(Test, Vec<String>), StimulusError> {
        let path = folder.join("plan.json");
        if path.exists() {
            return Err(PlanError::Exists { path }.into());
        }
        let mut notes = Vec::new();
        for item in &mut self.items {
            check_item(item, &self.conditions)?;
            notes.extend(cut(item));
        }
        let mut plan = Plan {
            format: 1,
            title: self.title,
            design: self.design,
            conditions: self.conditions,
            axis: self.axis,
            items: Vec::new(),
            recipe: self.recipe,
            seed: self.seed,
            settings: self.settings,
            provenance: self.provenance,
        };
        for item in &self.items {
            let (stimuli, note) = stimuli(item, &plan)?;
            notes.extend(note);
            plan.items.push(Item { id: item.id.clone(), speaker: item.speaker.clone(), stimuli });
        }
        let errors = check(&plan).errors;
        if !errors.is_empty() {
            return Err(StimulusError::Unsound(errors));
        }
        for (item, planned) in self.items.iter().zip(&mut plan.items) {
            for (sound, stimulus) in item.sounds.iter().flatten().zip(planned.stimuli.iter_mut().flatten()) {
                let path = folder.join(&stimulus.file);
                write_wav(&path, sound)?;
                let bytes = fs::read(&path).map_err(|source| AudioError::Io { path, source })?;
                stimulus.hash = blake3::hash(&bytes).to_hex().to_string();
            }
        }
        Ok((Test::create(folder, &plan)?, notes))
    }
}

/// Everything that can be wrong with an item's sounds.
fn check_item(item: &DraftItem, conditions: &[Condition]) -> Result<(), StimulusError> {
    let refuse = |why: String| Err(StimulusError::Item { item: item.id.clone(), why });
    if item.sounds.len() != conditions.len() {
        return refuse(format!("has {} sounds for {} conditions", item.sounds.len(), conditions.len()));
    }
    let named: Vec<(&str, &AudioClip)> =
        conditions.iter().zip(&item.sounds).filter_map(|(c, sound)| Some((c.name.as_str(), sound.as_ref()?))).collect();
    for (name, sound) in &named {
        if let Some(at) = sound.samples.iter().position(|s| !s.is_finite()) {
            return refuse(format!("sample {at} of \"{name}\" is not a finite number"));
        }
        if sound.samples.is_empty() || sound.sample_rate_hz == 0 {
            return refuse(format!("\"{name}\" holds no samples"));
        }
        if peak(&sound.samples) < SILENT_PEAK || level_lufs(sound).is_none() {
            return refuse(format!("\"{name}\" is silent, and nothing can be compared with silence; leave the item out"));
        }
    }
    if let Some([(first, a), (other, b)]) = named.windows(2).find(|w| w[0].1.sample_rate_hz != w[1].1.sample_rate_hz) {
        let rates = [a.sample_rate_hz, b.sample_rate_hz];
        return refuse(format!("\"{first}\" has {} Hz and \"{other}\" {} Hz; bring all to one rate first", rates[0], rates[1]));
    }
    let by_length = |a: &&(&str, &AudioClip), b: &&(&str, &AudioClip)| a.1.samples.len().cmp(&b.1.samples.len());
    if let (Some((short, a)), Some((long, b))) = (named.iter().min_by(by_length), named.iter().max_by(by_length))
        && b.duration_sec() - a.duration_sec() > LENGTH_TOLERANCE_SEC
    {
        let lengths = [a.duration_sec(), b.duration_sec()];
        return refuse(format!(
            "\"{short}\" lasts {:.2} s and \"{long}\" {:.2} s; the length would tell them apart, so cut both to one",
            lengths[0], lengths[1]
        ));
    }
    Ok(())
}

/// Cuts an item's sounds to the shortest of them: where one ends must not tell which it is.
fn cut(item: &mut DraftItem) -> Option<String> {
    let lengths = || item.sounds.iter().flatten().map(|sound| sound.samples.len());
    let (shortest, longest) = (lengths().min()?, lengths().max()?);
    item.sounds.iter_mut().flatten().for_each(|sound| sound.samples.truncate(shortest));
    let rate_hz = item.sounds.iter().flatten().next()?.sample_rate_hz;
    let cut_ms = (longest - shortest) as f64 / f64::from(rate_hz) * 1e3;
    (longest > shortest).then(|| format!("item \"{}\": longer sounds lost their last {cut_ms:.1} ms, so that all end at once", item.id))
}

/// The stimuli of an item, still without their hashes.
fn stimuli(item: &DraftItem, plan: &Plan) -> Result<(Vec<Option<Stimulus>>, Option<String>), StimulusError> {
    let levels: Vec<(&str, f64, f64)> = plan
        .conditions
        .iter()
        .zip(&item.sounds)
        .filter_map(|(condition, sound)| {
            let sound = sound.as_ref()?;
            let over_db = (20.0 * f64::from(peak(&sound.samples)).log10()).max(0.0);
            Some((condition.name.as_str(), level_lufs(sound)?.0, over_db))
        })
        .collect();
    let gain_db = gains(&item.id, &levels, plan.settings.loudness)?;
    let over_db = levels.iter().map(|(_, _, over)| *over).fold(0.0, f64::max);
    let note = (over_db > 0.0)
        .then(|| format!("item \"{}\": a sound goes {over_db:.1} dB beyond full scale, and all of the item are lowered for it", item.id));
    let mut gains = gain_db.into_iter();
    let stimulus = |(condition, sound): (&Condition, &Option<AudioClip>)| {
        let sound = sound.as_ref()?;
        let (lufs, ungated) = level_lufs(sound)?;
        Some(Stimulus {
            file: format!("stimuli/{}.wav", name(plan.seed, &item.id, &condition.name)),
            hash: String::new(),
            duration_sec: sound.duration_sec(),
            gain_db: gains.next()?,
            loudness_lufs: Some((lufs * 100.0).round() / 100.0),
            ungated,
        })
    };
    Ok((plan.conditions.iter().zip(&item.sounds).map(stimulus).collect(), note))
}

/// The gain of each sound (name, LUFS, dB beyond full scale), never above 0 dB and to a hundredth of it.
fn gains(item: &str, levels: &[(&str, f64, f64)], loudness: Loudness) -> Result<Vec<f64>, StimulusError> {
    let down = |gain_db: f64| (gain_db * 100.0 + 1e-6).floor() / 100.0;
    match loudness {
        Loudness::Matched => {
            let by_level = |a: &&(&str, f64, f64), b: &&(&str, f64, f64)| a.1.total_cmp(&b.1);
            if let (Some((quiet, low, _)), Some((loud, high, _))) = (levels.iter().min_by(by_level), levels.iter().max_by(by_level))
                && high - low > MAX_MATCHING_DB
            {
                let why = format!(
                    "\"{quiet}\" is {:.0} dB quieter than \"{loud}\", more than matching takes away ({MAX_MATCHING_DB} dB); leave the item \
                     out, or do not match loudness",
                    high - low
                );
                return Err(StimulusError::Item { item: item.to_owned(), why });
            }
            let target = levels.iter().map(|(_, level, over)| level - over).fold(f64::INFINITY, f64::min);
            Ok(levels.iter().map(|(_, level, _)| down(target - level)).collect())
        }
        Loudness::Unmatched => {
            let over_db = levels.iter().map(|(_, _, over)| *over).fold(0.0, f64::max);
            Ok(vec![down(-over_db); levels.len()])
        }
    }
}

/// The gains that match sounds heard beside each other, down to the quietest where the plan says so; never above 0 dB.
pub fn matched_gains_db(sounds: &[AudioClip], loudness: Loudness) -> Result<Vec<f64>, StimulusError> {
    let level = |(index, sound): (usize, &AudioClip)| {
        let over_db = (20.0 * f64::from(peak(&sound.samples)).log10()).max(0.0);
        let lufs = level_lufs(sound).map(|(lufs, _)| lufs);
        lufs.map(|lufs| (format!("sound {}", index + 1), lufs, over_db))
    };
    let levels = sounds.iter().enumerate().map(level).collect::<Option<Vec<_>>>();
    let silent = || StimulusError::Item { item: "rendered".to_owned(), why: "one of its sounds is silent".to_owned() };
    let levels = levels.ok_or_else(silent)?;
    let named: Vec<(&str, f64, f64)> = levels.iter().map(|(name, lufs, over)| (name.as_str(), *lufs, *over)).collect();
    gains("rendered", &named, loudness)
}

/// A file's name, which tells nothing to whoever has not the plan.
fn name(seed: u64, item: &str, condition: &str) -> String {
    let key = blake3::derive_key("driftscope listening test, format 1, names of stimuli", &seed.to_le_bytes());
    blake3::keyed_hash(&key, format!("{item}\n{condition}").as_bytes()).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::super::plan::Stop;
    use super::*;

    /// A 400 Hz tone with some noise above it, `level_db` below full scale.
    fn tone(level_db: f64, sec: f64, sample_rate_hz: u32) -> AudioClip {
        let amplitude = 10_f64.powf(level_db / 20.0);
        let sine = |i: usize, hz: f64| (TAU * hz * i as f64 / f64::from(sample_rate_hz)).sin();
        let n = (sec * f64::from(sample_rate_hz)) as usize;
        AudioClip {
            samples: (0..n).map(|i| (amplitude * (0.8 * sine(i, 400.0) + 0.2 * sine(i, 7_600.0))) as f32).collect(),
            sample_rate_hz,
        }
    }

    fn draft(sounds: Vec<AudioClip>) -> Draft {
        let condition = |n: usize| {
            let role = if n == 0 { Role::Reference } else { Role::Tested };
            Condition::new(format!("condition {n}"), "", role)
        };
        Draft {
            title: "a test".to_owned(),
            design: Design::Abx { stop: Stop::Fixed { n_trials: 16 }, alpha: 0.05 },
            conditions: (0..sounds.len()).map(condition).collect(),
            axis: None,
            recipe: None,
            items: vec![DraftItem { id: "p1".to_owned(), speaker: String::new(), sounds: sounds.into_iter().map(Some).collect() }],
            seed: 1,
            settings: Settings::default(),
            provenance: BTreeMap::new(),
        }
    }

    #[track_caller]
    fn refused(draft: Draft, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let sentence = draft.write(folder.path()).unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn bad_sounds_are_one_sentence() {
        let good = || tone(-20.0, 1.0, 16_000);
        let (mut nan, mut silent) = (good(), good());
        nan.samples[17] = f32::NAN;
        silent.samples.iter_mut().for_each(|s| *s *= 1e-4);
        refused(draft(vec![good(), nan]), "item \"p1\": sample 17 of \"condition 1\" is not a finite number");
        refused(draft(vec![good(), silent]), "item \"p1\": \"condition 1\" is silent, and nothing can be compared with silence");
        refused(draft(vec![good(), AudioClip { samples: vec![], sample_rate_hz: 16_000 }]), "\"condition 1\" holds no samples");
        refused(draft(vec![good(), tone(-20.0, 1.0, 24_000)]), "\"condition 0\" has 16000 Hz and \"condition 1\" 24000 Hz");
        refused(draft(vec![good(), tone(-20.0, 1.2, 16_000)]), "\"condition 0\" lasts 1.00 s and \"condition 1\" 1.20 s");
        refused(draft(vec![good(), tone(-50.0, 1.0, 16_000)]), "\"condition 1\" is 30 dB quieter than \"condition 0\", more than matching");
        refused(draft(vec![good()]), "a single stimulus is no test");
        refused(Draft { items: Vec::new(), ..draft(vec![good(), good()]) }, "there is no item");
        let mut few = draft(vec![good(), good()]);
        few.items[0].sounds.pop();
        refused(few, "item \"p1\": has 1 sounds for 2 conditions");
        let mut low = draft(vec![tone(-20.0, 1.0, 12_000), tone(-20.0, 1.0, 12_000)]);
        let sentence = low.add_anchors().unwrap_err().to_string();
        assert_eq!(sentence, "item \"p1\": at 12000 Hz the 7 kHz anchor would be the reference itself; it needs 16000 Hz");
    }

    /// What sounds after the plan's gains.
    fn played(test: &Test) -> Vec<AudioClip> {
        let each = test.plan().items[0].stimuli.iter().flatten().map(|stimulus| {
            let mut clip = test.sound(stimulus).unwrap();
            assert!(stimulus.gain_db <= 0.0);
            clip.samples.iter_mut().for_each(|s| *s *= 10_f32.powf(stimulus.gain_db as f32 / 20.0));
            clip
        });
        each.collect()
    }

    #[test]
    fn loudness_is_matched_down_to_the_quietest() {
        for (sec, ungated) in [(1.0, true), (4.0, false)] {
            let folder = tempfile::tempdir().unwrap();
            let levels = [-20.0, -14.0, -30.0];
            let (test, notes) = draft(levels.map(|db| tone(db, sec, 24_000)).to_vec()).write(folder.path()).unwrap();
            let gains: Vec<f64> = test.plan().items[0].stimuli.iter().flatten().map(|s| s.gain_db).collect();
            assert!(gains.iter().zip([-10.0, -16.0, 0.0]).all(|(gain, wanted): (&f64, f64)| (gain - wanted).abs() < 0.02), "{gains:?}");
            assert!(test.plan().items[0].stimuli.iter().flatten().all(|s| s.ungated == ungated));
            let heard: Vec<f64> = played(&test).iter().map(|clip| level_lufs(clip).unwrap().0).collect();
            assert!(heard.iter().all(|level| (level - heard[0]).abs() < 0.02), "{heard:?}");
            assert!(notes.is_empty(), "{notes:?}");
        }
    }

    #[test]
    fn unmatched_keeps_differences_and_full_scale() {
        let folder = tempfile::tempdir().unwrap();
        let mut loud = draft(vec![tone(-20.0, 1.0, 24_000), tone(5.0, 1.0, 24_000)]);
        loud.settings.loudness = Loudness::Unmatched;
        let (test, notes) = loud.write(folder.path()).unwrap();
        let gains: Vec<f64> = test.plan().items[0].stimuli.iter().flatten().map(|s| s.gain_db).collect();
        assert!(gains[0] == gains[1] && gains[0] < 0.0, "{gains:?}");
        assert!(played(&test).iter().all(|clip| peak(&clip.samples) <= 1.0));
        assert!(notes[0].contains("dB beyond full scale, and all of the item are lowered for it"), "{notes:?}");
    }

    #[test]
    fn sounds_end_at_once_and_names_tell_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut draft = draft(vec![tone(-20.0, 1.05, 16_000), tone(-20.0, 1.0, 16_000)]);
        draft.design = Design::Mushra;
        draft.add_anchors().unwrap();
        let (test, notes) = draft.write(folder.path()).unwrap();
        assert_eq!(notes, ["item \"p1\": longer sounds lost their last 50.0 ms, so that all end at once"]);
        let clips = played(&test);
        assert!(clips.len() == 4 && clips.iter().all(|clip| clip.samples.len() == 16_000));
        let names: Vec<&str> = test.plan().items[0].stimuli.iter().flatten().map(|s| s.file.as_str()).collect();
        assert!(names.iter().all(|name| name.len() == "stimuli/0123456789abcdef.wav".len()), "{names:?}");
        assert_eq!(test.plan().conditions[2..].iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["3.5 kHz", "7 kHz"]);

        let path = folder.path().join(names[1]);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        let stimulus = test.plan().items[0].stimuli[1].clone().unwrap();
        assert!(test.sound(&stimulus).unwrap_err().to_string().contains("is not the sound that the plan was made of"));
        let again = draft_again(&test).write(folder.path()).unwrap_err().to_string();
        assert!(again.contains("plan.json: a plan is there already, and logs may belong to it"), "{again}");
    }

    fn draft_again(test: &Test) -> Draft {
        Draft { conditions: test.plan().conditions[..2].to_vec(), ..draft(vec![tone(-20.0, 1.0, 16_000), tone(-20.0, 1.0, 16_000)]) }
    }
}
