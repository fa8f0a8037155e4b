//! A whole in pieces: the same sound, in the order in which it is listened to.

use driftscope_core::codec::{CodecError, CodecKind, CodecOptions, EncodecFrames, Pieces};
use driftscope_core::job::Cancel;

use super::{NEURAL, sound, tiny};

const N_FRAMES: usize = 300;

/// The frames that are there, as stretches.
fn stretches(pieces: &Pieces) -> Vec<[usize; 2]> {
    let (mut stretches, mut at) = (Vec::new(), 0);
    for run in pieces.frames().chunk_by(|a, b| a == b) {
        if run[0] {
            stretches.push([at, at + run.len()]);
        }
        at += run.len();
    }
    stretches
}

#[test]
fn pieces_from_anywhere_are_the_whole() {
    let native = NEURAL.map(|kind| (kind, EncodecFrames::Native));
    let grouped = [EncodecFrames::Stacked, EncodecFrames::MeanRepeated, EncodecFrames::MeanInterpolated];
    for (kind, frames) in native.into_iter().chain(grouped.map(|frames| (CodecKind::Encodec, frames))) {
        let codec = tiny(kind, &CodecOptions { frames, ..CodecOptions::default() });
        let hop = codec.hop_samples();
        let latents = codec.encode(&sound(N_FRAMES * hop)).unwrap();
        let whole = codec.decode(&latents).unwrap().samples;
        let (mut pieces, go) = (Pieces::new(&codec, N_FRAMES), Cancel::default());
        // Heard from the middle on, in pieces that grow; sought to near the end, near the beginning, and back to what is there.
        let mut n_changes = 0;
        for (wanted, n_frames) in
            [(150, 5), (150, 10), (152, 20), (280, 7), (281, 300), (40, 9), (160, 30), (0, 1), (299, 300), (0, 300), (0, 300), (0, 300)]
        {
            let before = (pieces.frames().to_vec(), pieces.samples().to_vec());
            let next = pieces.next(wanted);
            pieces.decode(&latents, wanted, n_frames, &go).unwrap();
            if let Some(next) = next {
                assert!(pieces.frames()[next] && !before.0[next], "{kind}: frame {next} comes next from {wanted}");
                n_changes += 1;
            }
            for frame in 0..N_FRAMES {
                let at = frame * hop..(frame + 1) * hop;
                let (now, then) = (&pieces.samples()[at.clone()], &before.1[at.clone()]);
                if pieces.frames()[frame] {
                    assert!(*now == whole[at], "{kind} {frames:?}: frame {frame} is that of the whole, to the bit");
                    assert!(!before.0[frame] || now == then, "{kind}: frame {frame} was there, and is not touched");
                } else {
                    assert!(now.iter().all(|x| *x == 0.0), "{kind}: frame {frame} is not there");
                }
            }
        }
        // Interpolated frames depend on all that was before and wait for the next, so their pieces begin with the first frame.
        let at_least = if frames == EncodecFrames::MeanInterpolated { 3 } else { 8 };
        assert!(n_changes >= at_least && pieces.next(0).is_none(), "{kind} {frames:?}: {:?}", stretches(&pieces));
        assert_eq!(pieces.into_samples(), whole, "{kind}");
    }
}

#[test]
fn what_is_listened_to_comes_first() {
    let codec = tiny(CodecKind::Calm, &CodecOptions::default());
    let latents = codec.encode(&sound(N_FRAMES * codec.hop_samples())).unwrap();
    let (mut pieces, go) = (Pieces::new(&codec, N_FRAMES), Cancel::default());
    let mut after = |wanted: usize, n_frames: usize| {
        pieces.decode(&latents, wanted, n_frames, &go).unwrap();
        (stretches(&pieces), pieces.next(wanted))
    };
    assert_eq!(after(100, 20), (vec![[100, 120]], Some(120)));
    assert_eq!(after(110, 30), (vec![[100, 150]], Some(150)), "it goes on ahead of the playhead");
    assert_eq!(after(250, 20), (vec![[100, 150], [250, 270]], Some(270)), "after a seek, there");
    assert_eq!(after(250, 500), (vec![[100, 150], [250, 300]], Some(0)), "to the end, then what was passed over");
    assert_eq!(after(120, 20), (vec![[100, 170], [250, 300]], Some(170)), "back where it was");
    assert_eq!(after(120, 500), (vec![[100, 300]], Some(0)));
    assert_eq!(after(120, 60), (vec![[0, 60], [100, 300]], Some(60)));
    assert_eq!(after(120, 500), (vec![[0, 300]], None));

    let stop = Cancel::default();
    stop.cancel();
    let mut stopped = Pieces::new(&codec, N_FRAMES);
    assert!(matches!(stopped.decode(&latents, 100, 20, &stop), Err(CodecError::Cancelled(_))));
    assert_eq!((stretches(&stopped), stopped.next(100)), (vec![], Some(100)));
    stopped.decode(&latents, 100, 20, &go).unwrap();
    assert_eq!(stretches(&stopped), [[100, 120]], "and goes on when it is asked again");
}
