//! EnCodec's frames, six to one: 75 Hz to 12.5 Hz and back, as they arrive.

use crate::codec::EncodecFrames;

/// Frames in a group.
pub(super) const GROUP: usize = 6;

/// Frames on their way to fewer ones.
#[derive(Clone, Debug)]
pub(super) struct Grouping {
    frames: EncodecFrames,
    dim: usize,
    waiting: Vec<f32>,
}

impl Grouping {
    /// Of frames of `dim` values.
    pub(super) fn new(frames: EncodecFrames, dim: usize) -> Self {
        Self { frames, dim, waiting: Vec::new() }
    }

    /// What becomes of the groups that are complete with `native` `[n, dim]`.
    pub(super) fn push(&mut self, native: Vec<f32>) -> Vec<f32> {
        if self.frames == EncodecFrames::Native {
            return native;
        }
        self.waiting.extend(native);
        let group = GROUP * self.dim;
        let ready: Vec<f32> = self.waiting.drain(..self.waiting.len() / group * group).collect();
        if self.frames == EncodecFrames::Stacked {
            return ready;
        }
        let mean = |group: &[f32]| -> Vec<f32> {
            (0..self.dim).map(|c| group[c..].iter().step_by(self.dim).sum::<f32>() / GROUP as f32).collect()
        };
        ready.chunks_exact(group).flat_map(mean).collect()
    }
}

/// Fewer frames on their way back.
#[derive(Clone, Debug)]
pub(super) struct Ungrouping {
    frames: EncodecFrames,
    dim: usize,
    /// The newest frame, where interpolating waits for the next.
    last: Option<Vec<f32>>,
}

impl Ungrouping {
    /// To frames of `dim` values.
    pub(super) fn new(frames: EncodecFrames, dim: usize) -> Self {
        Self { frames, dim, last: None }
    }

    /// The native frames that are certain with `grouped`.
    pub(super) fn push(&mut self, grouped: &[f32]) -> Vec<f32> {
        match self.frames {
            EncodecFrames::Native | EncodecFrames::Stacked => grouped.to_vec(),
            EncodecFrames::MeanRepeated => grouped.chunks_exact(self.dim).flat_map(|frame| frame.repeat(GROUP)).collect(),
            EncodecFrames::MeanInterpolated => grouped.chunks_exact(self.dim).flat_map(|frame| self.interpolate(frame)).collect(),
        }
    }

    /// The frames from the center of the one before to the center of this one; before the first, what it is itself.
    fn interpolate(&mut self, frame: &[f32]) -> Vec<f32> {
        let before = self.last.replace(frame.to_vec());
        let Some(before) = before else { return frame.repeat(GROUP / 2) };
        let between = |i: usize| (2 * i + 1) as f32 / (2 * GROUP) as f32;
        let mix = |w: f32| before.iter().zip(frame).map(move |(a, b)| a * (1.0 - w) + b * w);
        (0..GROUP).flat_map(|i| mix(between(i))).collect()
    }

    /// The native frames behind the center of the last.
    pub(super) fn finish(&mut self) -> Vec<f32> {
        self.last.take().map_or_else(Vec::new, |last| last.repeat(GROUP / 2))
    }
}
