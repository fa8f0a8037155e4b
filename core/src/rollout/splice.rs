//! A rollout put back into its utterance, to be seen and heard in place.

use super::Rollout;
use crate::latents::Latents;

/// The true frames before the start of segment `row`, then its rolled ones as far as they are finite: a decoder given NaN gives NaN
/// everywhere, and the frames before it can still be heard.
pub fn splice(truth: &Latents, rolled: &Rollout, row: usize) -> Latents {
    let n_values = rolled.n_steps * rolled.dim;
    let mut values = truth.values[..rolled.segments[row].t0 * rolled.dim].to_vec();
    let states = rolled.states[row * n_values..(row + 1) * n_values].chunks_exact(rolled.dim);
    values.extend(states.take_while(|x| x.iter().all(|v| v.is_finite())).flatten());
    Latents { values, dim: truth.dim, frame_rate_hz: truth.frame_rate_hz }
}

/// The true frames with the first `n_steps` rolled ones of segment `row` in their place: true prefix, rollout, true suffix, jump back and
/// all. Rolled frames that are no numbers stay true, and are counted in the second value.
pub fn splice_between(truth: &Latents, rolled: &Rollout, row: usize, n_steps: usize) -> (Latents, usize) {
    let mut spliced = truth.clone();
    let mut n_nonfinite = 0;
    for step in 1..=n_steps.min(rolled.n_steps) {
        let state = rolled.state(row, step);
        let at = (rolled.segments[row].t0 + step - 1) * rolled.dim;
        if state.iter().all(|v| v.is_finite()) {
            spliced.values[at..at + rolled.dim].copy_from_slice(state);
        } else {
            n_nonfinite += 1;
        }
    }
    (spliced, n_nonfinite)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::{Schedule, Segment};

    #[test]
    fn truth_then_rollout_up_to_the_first_frame_that_is_no_number() {
        let truth = Latents { values: vec![0.0, 1.0, 2.0, 3.0, 4.0], dim: 1, frame_rate_hz: 12.5 };
        let rolled = Rollout {
            on_gpu: false,
            schedule: Schedule::free(3),
            segments: vec![Segment { utterance: 0, t0: 1 }, Segment { utterance: 0, t0: 2 }],
            n_steps: 3,
            dim: 1,
            states: vec![10.0, 11.0, 12.0, 20.0, f32::NAN, 22.0],
            resident: None,
            nll: vec![],
            nll_factored: vec![],
            nll_baseline: vec![],
            nll_baseline_factored: vec![],
            cos: vec![],
            mag_ratio: vec![],
            advance_ratio: vec![],
            state_err_before: vec![],
            state_err_after: vec![],
        };
        assert_eq!(splice(&truth, &rolled, 0).values, [0.0, 10.0, 11.0, 12.0]);
        assert_eq!(splice(&truth, &rolled, 1).values, [0.0, 1.0, 20.0]);
        let (between, n_nonfinite) = splice_between(&truth, &rolled, 0, 2);
        assert_eq!((between.values.as_slice(), n_nonfinite), ([0.0, 10.0, 11.0, 3.0, 4.0].as_slice(), 0));
        let (between, n_nonfinite) = splice_between(&truth, &rolled, 1, 3);
        assert_eq!((between.values.as_slice(), n_nonfinite), ([0.0, 1.0, 20.0, 3.0, 22.0].as_slice(), 1));
    }
}
