//! Work on a device that may run out of memory, or be lost: tried, and where it fails tried again with less at once, or on the CPU.
//!
//! burn says both where a result is read, mostly by a panic (reads are lazy, and wgpu's own handler panics); that it was memory is only
//! in its words.

use std::any::Any;
use std::convert::Infallible;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use burn::tensor::Tensor;

use super::JobCtx;
use crate::engine::compute::GpuError;
use crate::engine::is_cpu;
use crate::engine::lane::panic_text;

/// How a piece of work went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// It is done.
    Done,
    /// The device failed it; nothing was done.
    Failed(GpuError),
}

impl JobCtx {
    /// What `work` gives on this job's device; where that is lost, then or before, or has no memory for it, what it gives on the CPU.
    /// `work` starts over there, so it is a piece of the job small enough to be done twice.
    pub fn surviving<T>(&self, mut work: impl FnMut(&Self) -> T) -> T {
        let mut given = None;
        let Ok(()) = self.in_blocks(&mut 1, 1, |ctx, _| {
            given = Some(work(ctx));
            Ok::<Block, Infallible>(Block::Done)
        });
        given.expect("a block that is done has given something")
    }

    /// Does `work` on all of `0..n`, at most `most` at once: half as many from where the device has no memory, on the CPU where it has none
    /// for one alone or is lost. The CPU fails no block.
    pub(crate) fn in_blocks<E>(
        &self,
        most: &mut usize,
        n: usize,
        mut work: impl FnMut(&Self, Range<usize>) -> Result<Block, E>,
    ) -> Result<(), E> {
        let mut first = 0;
        while first < n {
            let block = first..n.min(first + (*most).max(1));
            if self.health.lost().is_some() {
                work(&self.on_cpu(), block.clone())?;
            } else if let Block::Failed(error) = self.tried(|ctx| work(ctx, block.clone()))? {
                match error {
                    GpuError::NoMemory(_) if block.len() > 1 => {
                        *most = block.len() / 2;
                        continue;
                    }
                    GpuError::NoMemory(_) => self.progress.report("the graphics device is full", 0, None, error.to_string()),
                    GpuError::Lost(reason) => self.lose(reason),
                }
                work(&self.on_cpu(), block.clone())?;
            }
            first = block.end;
        }
        Ok(())
    }

    fn tried<E>(&self, work: impl FnOnce(&Self) -> Result<Block, E>) -> Result<Block, E> {
        if is_cpu(&self.device) {
            return work(self);
        }
        // Tensors are values: what a panic interrupts is not used again.
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|panic| Ok(Block::Failed(self.reason(panic))))
    }

    /// What a device had against work that broke off; a panic that is none of the device's goes on.
    fn reason(&self, panic: Box<dyn Any + Send>) -> GpuError {
        let panic = match panic.downcast::<GpuError>() {
            Ok(error) => return *error,
            Err(other) => other,
        };
        // Of a loss a device may be told after the first read has failed; what it cannot do then is to hand back a number.
        let answers = || {
            self.device.sync().map_err(|error| error.to_string())?;
            Tensor::<1>::ones([1], &self.device).try_into_scalar::<f32>().map_err(|error| error.to_string())
        };
        match catch_unwind(AssertUnwindSafe(answers)) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return GpuError::lost(error),
            Err(_) => return GpuError::lost("it does not answer any more"),
        }
        match no_memory(&panic_text(panic.as_ref())) {
            Some(line) => {
                self.device.memory_cleanup();
                GpuError::NoMemory(line)
            }
            None => resume_unwind(panic),
        }
    }
}

/// The line that says so; a trace may follow.
fn no_memory(reason: &str) -> Option<String> {
    const WORDS: [&str; 5] = ["out of memory", "out-of-memory", "out of device memory", "can't allocate", "not enough memory"];
    let says_so = |line: &&str| WORDS.iter().any(|words| line.to_lowercase().contains(words));
    reason.lines().map(str::trim).find(says_so).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, DeviceKind};

    use super::*;

    /// Runs blocks on a GPU that has room for `room` at a time; gives how many were tried at once, what was done, and on the CPU.
    fn tried(room: usize, most: &mut usize, n: usize) -> (Vec<usize>, Vec<usize>, usize) {
        let ctx = JobCtx::quiet(Device::wgpu(DeviceKind::DefaultDevice), 1);
        let (mut asked, mut done, mut on_cpu) = (Vec::new(), Vec::new(), 0);
        let worked = ctx.in_blocks(most, n, |ctx, block| {
            asked.push(block.len());
            if is_cpu(&ctx.device) {
                on_cpu += block.len();
            } else if block.len() > 2 * room {
                panic!("wgpu error: Out of Memory\n  at trace");
            } else if block.len() > room {
                return Ok(Block::Failed(GpuError::NoMemory("can't allocate buffer of size: 9".into())));
            }
            done.extend(block);
            Ok::<Block, Infallible>(Block::Done)
        });
        let Ok(()) = worked;
        (asked, done, on_cpu)
    }

    #[test]
    fn blocks_are_halved_where_memory_ends_and_nothing_is_done_twice() {
        let mut most = 64;
        assert_eq!(tried(20, &mut most, 100), (vec![64, 32, 16, 16, 16, 16, 16, 16, 4], (0..100).collect(), 0));
        assert_eq!(most, 16, "what comes next starts with what had room");
        assert_eq!(tried(20, &mut most, 10), (vec![10], (0..10).collect(), 0));
        assert_eq!(tried(0, &mut 2, 3), (vec![2, 1, 1, 1, 1, 1, 1], vec![0, 1, 2], 3), "without room for one, the CPU does it");
    }

    #[test]
    fn work_goes_on_where_a_read_did_not_end() {
        let ctx = JobCtx::quiet(Device::wgpu(DeviceKind::DefaultDevice), 1);
        let place = ctx.surviving(|ctx| {
            if !is_cpu(&ctx.device) {
                resume_unwind(Box::new(GpuError::lost("it has not answered")));
            }
            "CPU"
        });
        assert_eq!((place, ctx.health.lost().is_some_and(|reason| reason.contains("not answered"))), ("CPU", true));
    }

    #[test]
    fn what_is_wrong_with_the_work_itself_is_not_hidden() {
        let ctx = JobCtx::quiet(Device::wgpu(DeviceKind::DefaultDevice), 1);
        let panicked = catch_unwind(AssertUnwindSafe(|| ctx.surviving(|_| panic!("index out of bounds"))));
        assert!(panicked.is_err() && ctx.health.lost().is_none());
        let failed = ctx.in_blocks(&mut 4, 9, |_, block| if block.start == 4 { Err("stopped") } else { Ok(Block::Done) });
        assert_eq!(failed, Err("stopped"));
    }
}
