//! Wholes through burn's tensors against those through the processor's layers: everything on burn's CPU backend, which needs no tuning,
//! and one codec on the GPU (here the software adapter).

use std::sync::{Arc, Mutex};

use burn::tensor::Device;
use driftscope_core::audio::AudioClip;
use driftscope_core::codec::{CodecKind, CodecOptions, EncodecFrames, EndPadding};
use driftscope_core::engine::OpenDevice;
use driftscope_core::job::{Cancel, JobCtx, Progress};
use driftscope_core::latents::Latents;

use super::models::Model;
use super::{NEURAL, open, sound, tiny};
use crate::live::opened_to_lose;

/// A job on a device, and what it was told.
fn listening(opened: &OpenDevice) -> (JobCtx, Arc<Mutex<Vec<String>>>) {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Arc::clone(&told);
    let progress = Progress::new(move |event| sink.lock().unwrap().push(format!("{}: {}", event.stage, event.note)));
    (JobCtx { progress, ..JobCtx::on(opened, 3) }, told)
}

/// Root mean square of the differences over that of `b`.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let differences = square(&mut a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    (differences / square(&mut b.iter().map(|b| f64::from(*b))).max(f64::MIN_POSITIVE)).sqrt()
}

fn options() -> impl Iterator<Item = (CodecKind, CodecOptions)> {
    use EncodecFrames::{MeanInterpolated, Stacked};
    let plain = NEURAL.map(|kind| (kind, CodecOptions::default()));
    let grouped = [MeanInterpolated, Stacked].map(|frames| (CodecKind::Encodec, CodecOptions { frames, ..CodecOptions::default() }));
    let by_layers = NEURAL.map(|kind| (kind, CodecOptions { end: EndPadding::Layers, ..CodecOptions::default() }));
    plain.into_iter().chain(grouped).chain(by_layers)
}

/// Sounds shorter than a frame, ending within one, and of several pieces; latents, sound, changed stretches and codes.
#[test]
fn a_device_gives_what_the_processor_gives() {
    let job = JobCtx::quiet(Device::flex(), 3);
    for (kind, options) in options() {
        let here = tiny(kind, &options);
        let there = here.on(&job);
        assert_eq!(here.tag(), there.tag());
        for n_samples in [1, here.hop_samples() + 3, 131 * here.hop_samples() + 5] {
            let what = format!("{kind}, {options:?}, {n_samples} samples");
            let clip = sound(n_samples);
            let latents = here.encode(&clip).unwrap();
            let off = apart(&there.encode(&clip).unwrap().values, &latents.values);
            assert!(off < 1e-5, "{what}: latents {off}");
            let heard = here.decode(&latents).unwrap();
            let off = apart(&there.decode(&latents).unwrap().samples, &heard.samples);
            assert!(off < 1e-5, "{what}: sound {off}");
            if n_samples > 100 {
                let mut values = latents.values.clone();
                values[70 * latents.dim..75 * latents.dim].iter_mut().for_each(|v| *v = -*v);
                let changed = Latents { values, ..latents.clone() };
                let [a, b] =
                    [&there, &here].map(|codec| codec.decode_between(&changed, 70..75, &heard, &Cancel::default()).unwrap().samples);
                assert!(apart(&a, &b) < 1e-5 && apart(&b, &heard.samples) > 1e-3, "{what}: a changed stretch is {} off", apart(&a, &b));
            }
        }
        if kind != CodecKind::Calm {
            let codes = here.encode_codes(&sound(900), None).unwrap();
            assert_eq!(there.encode_codes(&sound(900), None).unwrap(), codes);
            let off = apart(&there.decode_codes(&codes).unwrap().samples, &here.decode_codes(&codes).unwrap().samples);
            assert!(off < 1e-5, "{kind}: sound of codes {off}");
        }
    }
}

/// Lost before a whole is done: the same from the processor, and said.
#[test]
fn a_whole_outlives_its_device() {
    let (opened, device) = opened_to_lose();
    let (job, told) = listening(&opened);
    // So slow that a piece of it is a few frames: what is tried out on the adapter takes its time.
    let mut model = Model::new(CodecKind::Mimi);
    (model.config["sampling_rate"], model.config["frame_rate"]) = (240.into(), 20.0.into());
    let folder = tempfile::tempdir().unwrap();
    let here = open(CodecKind::Mimi, &model.write(folder.path()));
    let there = here.on(&job);
    let clip = AudioClip { sample_rate_hz: 240, ..sound(500) };
    let latents = there.encode(&clip).unwrap();
    let off = apart(&latents.values, &here.encode(&clip).unwrap().values);
    assert!(off > 0.0 && off < 1e-5, "the device computed what is {off} off");
    assert!(opened.health.lost().is_none());
    device.destroy();
    assert_eq!(there.encode(&clip).unwrap(), here.encode(&clip).unwrap());
    assert_eq!(there.decode(&latents).unwrap(), here.decode(&latents).unwrap());
    let told = told.lock().unwrap();
    assert!(told.iter().any(|line| line.contains("the CPU computes instead")), "{told:?}");
}
