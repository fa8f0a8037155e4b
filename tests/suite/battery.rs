//! The battery on the embedded demo: what it measures must order conditions as they were made.

use driftscope::demo;
use driftscope_core::audio::AudioClip;
use driftscope_core::battery::{Axis, Battery, BatteryConfig, Bench, Group, Material, Rendition, battery, prepare};
use driftscope_core::engine::Device;
use driftscope_core::job::JobCtx;
use driftscope_core::perceive::Measure;
use driftscope_core::rollout::median_delta_norm;
use driftscope_core::rollout::synthetic::l2_error;

use driftscope_core::figure::{self, Provenance};

fn small() -> BatteryConfig {
    BatteryConfig { n_items: 3, splice_steps: vec![1, 8], n_resamples: 50, ..BatteryConfig::default() }
}

fn of<'a>(battery: &'a Battery, group: Group, name: &str) -> &'a driftscope_core::battery::ConditionReport {
    battery.conditions.iter().find(|c| c.group == group && c.name == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn conditions_come_out_in_the_order_of_their_damage() {
    let demo = demo::load(&Device::flex()).unwrap();
    let ctx = JobCtx::quiet(Device::flex(), 7);
    let recording = |u: usize| Some(demo.clips[u].clone());
    let predictor = Some((&demo.predictors[0], &demo.baselines));
    let bench = Bench { corpus: &demo.corpus, codec: &demo.codec, predictor, recordings: &recording };
    let battery = battery(&ctx, bench, small()).unwrap();
    assert!(battery.left_out.is_empty() && battery.items.len() == 3, "{:?}", battery.left_out);
    let speakers: std::collections::BTreeSet<&str> = battery.items.iter().map(|i| i.speaker.as_str()).collect();
    assert_eq!(speakers.len(), 3, "speakers take turns");
    let stoi = |group, name| of(&battery, group, name).measure(Measure::Stoi).unwrap().summary.mean.unwrap();
    assert!(stoi(Group::Splices, "splice 1") > stoi(Group::Splices, "splice 8"));
    assert!(stoi(Group::PerStep, "slow .75 per step") > stoi(Group::PerStep, "slow .25 per step"));
    assert!(stoi(Group::Accumulated, "slow .25") > stoi(Group::Accumulated, "wrong direction"));
    assert!(of(&battery, Group::Splices, "splice 1").measure(Measure::Stoi).unwrap().band.is_some());
    // At equal error means at equal error.
    let error = |group, name: &str| of(&battery, group, name).l2_error.mean.unwrap();
    let (slow, wrong) = (error(Group::Accumulated, "slow .75"), error(Group::AtEqualError, "wrong direction at the error of slow .75"));
    assert!((slow / wrong - 1.0).abs() < 1e-5, "{slow} {wrong}");
    // 14.4° was chosen to be as far off as α = .75.
    let (slow, turned) = (error(Group::PerStep, "slow .75 per step"), error(Group::PerStep, "14.4° off per step"));
    assert!((slow / turned - 1.0).abs() < 0.01, "{slow} {turned}");

    // Known angles and factors come out as they went in.
    let departure = |rendition| battery.departure(bench, rendition).unwrap();
    let turned = departure(Axis::Angle.rendition(60.0));
    assert!((turned.cos - 0.5).abs() < 1e-3, "{turned:?}");
    let slowed = departure(Axis::Alpha.rendition(0.5));
    assert!((slowed.cos - 1.0).abs() < 1e-3, "{slowed:?}");
    let [near, far] = [1, 8].map(|n_steps| departure(Rendition::Splice { n_steps }));
    assert!(near.cos > far.cos && near.state_err < far.state_err, "{near:?} {far:?}");

    let spec = figure::battery("battery", &battery, Provenance::default());
    assert_eq!(spec.panels.len(), 6);
    figure::to_svg(&spec).unwrap();

    // A splice is the truth but where it was spliced, and all sounds of a set are equally long.
    let sounds = battery.sounds(&ctx, bench, 0, &[Rendition::Truth, Rendition::Splice { n_steps: 1 }]).unwrap();
    let [truth, splice] = [0, 1].map(|i| sounds[i].as_ref().unwrap());
    assert_eq!(truth.samples.len(), splice.samples.len());
    let differs: Vec<usize> = (0..truth.samples.len()).filter(|&i| truth.samples[i].to_bits() != splice.samples[i].to_bits()).collect();
    let (first, last) = (differs[0], differs[differs.len() - 1]);
    assert!(first > 0 && last + 1 < truth.samples.len(), "samples {first} to {last} of {} differ", truth.samples.len());
}

#[test]
fn without_predictor_or_recordings_the_rest_is_measured_and_the_lack_is_said() {
    let demo = demo::load(&Device::flex()).unwrap();
    let ctx = JobCtx::quiet(Device::flex(), 7);
    let none = |_: usize| None::<AudioClip>;
    let bench = Bench { corpus: &demo.corpus, codec: &demo.codec, predictor: None, recordings: &none };
    let found = battery(&ctx, bench, BatteryConfig { n_items: 1, ..small() }).unwrap();
    assert_eq!(found.left_out.len(), 2, "{:?}", found.left_out);
    assert!(found.conditions.iter().all(|c| ![Group::Splices, Group::Reconstruction].contains(&c.group)));
    assert!(found.conditions[0].measures[0].band.is_none(), "one speaker has no band");
    let impossible = BatteryConfig { max_duration_sec: 0.5, ..small() };
    let error = prepare(&ctx, bench, impossible).unwrap_err().to_string();
    assert!(error.contains("0 s") || error.contains("1 s"), "{error}");
}

#[test]
fn every_axis_leads_further_from_the_truth() {
    let demo = demo::load(&Device::flex()).unwrap();
    let truth = &demo.corpus.utterances[0].latents;
    let noise_unit = (median_delta_norm(&demo.corpus) / (demo.corpus.dim as f64).sqrt()) as f32;
    let material = Material { truth, decoded: None, recording: None, rollout: None, noise_unit, seed: 1 };
    for axis in [Axis::Alpha, Axis::Angle, Axis::Noise] {
        let errors: Vec<f64> =
            axis.levels().iter().map(|&level| l2_error(truth, &axis.rendition(level).latents(&material).unwrap())).collect();
        assert!(errors.windows(2).all(|w| w[0] < w[1]), "{axis:?}: {errors:?}");
        assert!(errors[0] < 0.2 * errors[errors.len() - 1], "{axis:?} begins where little is changed: {errors:?}");
    }
    assert!(Axis::Steps.levels().windows(2).all(|w| w[0] < w[1]));
    assert!(Rendition::Splice { n_steps: 3 }.latents(&material).is_none(), "no splice without a rollout");
}
