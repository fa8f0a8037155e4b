//! The embedded demo and the page made of it.

use std::collections::BTreeSet;

use driftscope::showcase::{self, ShowcaseConfig};
use driftscope::{demo, report};
use driftscope_core::context::Side;
use driftscope_core::diagnose::InjectionConfig;
use driftscope_core::engine::Device;
use driftscope_core::job::JobCtx;
use driftscope_core::rollout::{RolloutConfig, SegmentConfig};

#[test]
fn the_demo_is_complete_and_split_by_speaker() {
    let demo = demo::load(&Device::flex()).unwrap();
    let speakers = |side| demo.corpus.side(side).map(|u| u.speaker.as_str()).collect::<BTreeSet<_>>();
    let (train, eval) = (speakers(Side::Train), speakers(Side::Eval));
    assert!(train.is_disjoint(&eval));
    assert!(train.len() + eval.len() >= 12 && eval.len() >= 2, "{train:?} {eval:?}");
    assert!(demo.clips.len() >= 36 && demo.clips.iter().all(|c| c.duration_sec() >= 5.0));
    for kind in ["mdn", "vmf"] {
        let horizons: Vec<usize> = demo.predictors.iter().filter(|p| p.info.kind == kind).map(|p| p.info.horizon).collect();
        assert_eq!(horizons, [1, 2, 4, 8, 16], "{kind}");
    }
    assert_eq!(demo.predictors[0].info.horizon, 1, "what the window opens with comes first");
}

#[test]
fn the_embedded_latents_are_those_of_the_embedded_codec() {
    let demo = demo::load(&Device::flex()).unwrap();
    for index in [0, demo.clips.len() - 1] {
        let (stored, fresh) = (&demo.corpus.utterances[index].latents, demo.codec.encode(&demo.clips[index]).unwrap());
        assert_eq!(stored.n_frames(), fresh.n_frames());
        let worst = stored.values.iter().zip(&fresh.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{}: {worst}", demo.corpus.utterances[index].id);
    }
}

#[test]
fn the_report_needs_no_other_file_and_shows_what_was_measured() {
    let ctx = JobCtx::quiet(Device::flex(), 42);
    let mut demo = demo::load(&ctx.device).unwrap();
    demo.predictors.retain(|p| p.info.kind == "mdn" && p.info.horizon <= 2);
    let config = ShowcaseConfig {
        segments: SegmentConfig { n_utterances: 4, segments_per_utterance: 2, ..SegmentConfig::default() },
        injection: InjectionConfig { rollout: RolloutConfig { n_steps: 4, ..RolloutConfig::default() }, n_resamples: 20 },
        n_voices: 1,
        heard_steps: 6,
    };
    let showcase = showcase::run(&ctx, &demo, config).unwrap();
    let specs = report::figures(&showcase, &demo, 42);
    let names: Vec<&str> = specs.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names[..2], ["injection-mdn", "horizons"]);
    let horizons = &specs[1].panels;
    assert!(horizons.iter().all(|panel| panel.series.iter().any(|s| s.name == "MDN")), "families have the names that people use");
    let references = horizons.iter().flat_map(|panel| {
        let guides = panel.guides.iter().map(|g| (g.name.as_str(), g.color, g.stroke as u8));
        panel.series.iter().filter(|s| s.name != "MDN").map(|s| (s.name.as_str(), s.color, s.stroke as u8)).chain(guides)
    });
    let references: BTreeSet<_> = references.collect();
    let strokes: BTreeSet<_> = references.iter().map(|(_, color, stroke)| (color, stroke)).collect();
    assert_eq!((references.len(), strokes.len()), (6, 6), "each reference has its own stroke: {references:?}");
    let page = report::page(&showcase, &demo, &specs, "CPU", "driftscope demo --out x").unwrap();
    for outside in ["src=\"http", "href=\"http", "<script", "<link", "url(http", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<figure>").count(), specs.len());
    assert_eq!(page.matches("src=\"data:audio/wav;base64,").count(), showcase.voices[0].sounds.len());
    let cosine = showcase.injections[0].1.modes[0].per_step[0].cos.mean.unwrap();
    assert!(page.contains(&format!("{cosine:.3}")), "the first cosine stands on the page");
    let ids: Vec<&str> = page.match_indices(" id=\"").map(|(i, _)| page[i + 5..].split('"').next().unwrap()).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "figures share no ids");
}
