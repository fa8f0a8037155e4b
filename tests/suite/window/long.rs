//! A long utterance is heard before all of it is decoded: its rollout first, then the truth from the cursor on.

use driftscope_core::codec::{Codec, CodecKind, CodecOptions};
use driftscope_core::latents::Latents;

use super::*;
use crate::codecs::models::Model;

#[test]
fn the_first_sounds_of_a_long_utterance_are_around_the_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let codec = Codec::open(CodecKind::Calm, &Model::new(CodecKind::Calm).write(folder.path()), &CodecOptions::default()).unwrap();
    let (dim, n_frames, frame_rate_hz) = (codec.dim(), (90.0 * codec.frame_rate_hz()) as usize, codec.frame_rate_hz());
    let values: Vec<f32> = (0..n_frames * dim).map(|i| (i as f32 * 0.37).sin() + 0.3 * (i as f32 * 0.011).cos()).collect();
    let whole = codec.decode(&Latents { values: values.clone(), dim, frame_rate_hz }).unwrap().samples;
    let loader = move |ctx: &JobCtx| {
        let mut material = Material { codec: Some(codec), ..material_of(ctx, dim) };
        material.corpus.frame_rate_hz = frame_rate_hz;
        material.corpus.utterances.iter_mut().for_each(|u| u.latents.frame_rate_hz = frame_rate_hz);
        material.corpus.utterances[0].latents.values = values;
        Ok(material)
    };
    let mut worker = Worker::start(ctx(), Box::new(loader), || {}).unwrap();
    let mut state = State::default();
    state.output.rate_hz = 24_000;
    serve(&mut state, &mut worker, State::is_current);
    if state.choice().utterance != 0 {
        assert_eq!(state.apply(Command::ChooseUtterance(0)), [Effect::Compute, Effect::Seek]);
        worker.compute(state.wish());
    }

    let cursor = (state.position_sec * 24_000.0) as usize;
    assert_eq!(cursor, 45 * 24_000, "in the middle");
    let n_sounding = whole.iter().filter(|x| **x != 0.0).count();
    let (mut heard, mut rolled) = (Vec::new(), Vec::new());
    while heard.last().is_none_or(|n: &usize| *n < n_sounding) || rolled.len() < 2 {
        let delivery = worker.wait(Duration::from_secs(20)).expect("the worker answers");
        if let Delivery::Sound(sound) = &delivery
            && sound.source == Source::Rollout
            && sound.clip.samples.len() > cursor
        {
            if rolled.is_empty() {
                assert!(heard.is_empty(), "the rollout, which is listened to, waits for no truth");
            }
            rolled.push(sound.clip.samples.clone());
        }
        if let Delivery::Sound(sound) = &delivery
            && sound.source == Source::Truth
            && sound.clip.samples.len() == whole.len()
        {
            let samples = &sound.clip.samples;
            let there: Vec<usize> = (0..whole.len()).filter(|&i| samples[i] != 0.0).collect();
            assert!(there.iter().all(|&i| samples[i] == whole[i]), "what is there is the sound of the whole");
            assert!(samples[cursor..cursor + 2 * 24_000].iter().all(|x| *x != 0.0), "two seconds from the cursor on are there");
            assert_eq!(sound.for_player.len(), whole.len(), "the player knows how long it is");
            heard.push(there.len());
        }
        state.receive(delivery);
    }
    assert!(heard[0] < 4 * 24_000 && heard.len() > 3, "the first is short, and more of it comes: {heard:?}");
    assert!(heard.is_sorted());

    assert_eq!(state.view.source, Source::Rollout);
    let lead = 24_000;
    assert!(rolled[0][..cursor - lead - 1_920].iter().all(|x| *x == 0.0) && rolled[0][cursor - lead] != 0.0);
    assert!(rolled[0].len() == rolled[1].len() && rolled[1][..cursor - 1_920] == whole[..cursor - 1_920]);
    assert_eq!(rolled[0][cursor - lead..], rolled[1][cursor - lead..], "what was heard first stays");
}
