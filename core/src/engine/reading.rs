//! Reading tensors back: without a copy on the CPU, and from a GPU not for longer than it may take.
//!
//! burn waits for a device as long as that likes. One whose driver hangs would hold a job for ever, so a read that does not end breaks
//! off as a lost device does, and `job` goes on from there.

use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use burn::tensor::{Bytes, DType, Device, Shape, Tensor, TensorData};

use super::compute::GpuError;
use super::is_cpu;

/// A slow adapter that tunes its kernels first takes a minute.
const PATIENCE: Duration = Duration::from_mins(5);

/// Values of an f32 tensor, row-major, by one copy.
pub(crate) fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    HostTensor::take(tensor).values().to_vec()
}

/// The only value of an f32 tensor.
pub(crate) fn host_scalar(tensor: Tensor<1>) -> f32 {
    HostTensor::take(tensor).values()[0]
}

/// An f32 tensor moved out of the device: on the CPU without a copy where nothing else shares it, and back the same way.
///
/// burn's own conversion looks at every element for bit patterns that no number has; f32 has none.
pub(crate) struct HostTensor {
    bytes: Bytes,
    shape: Shape,
}

impl HostTensor {
    /// Breaks off, to be caught by [`JobCtx::surviving`](crate::job::JobCtx::surviving), where a GPU gives no answer.
    pub(crate) fn take<const D: usize>(tensor: Tensor<D>) -> Self {
        let data = if is_cpu(&tensor.device()) {
            tensor.into_data_as::<f32>()
        } else {
            let Some(read) = patiently(PATIENCE, tensor.into_data_async()) else {
                resume_unwind(Box::new(GpuError::lost("it has not answered for five minutes")));
            };
            read.expect("a device that computed this tensor can hand it back").convert::<f32>()
        };
        let (bytes, shape, _) = data.into_parts();
        Self { bytes, shape }
    }

    pub(crate) fn values(&self) -> &[f32] {
        bytemuck::cast_slice(&self.bytes)
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.bytes)
    }

    pub(crate) fn into_tensor<const D: usize>(self, device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::from_bytes(self.bytes, self.shape, DType::F32), device)
    }
}

/// Wakes the thread that waits.
struct Waiting(Thread);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread for `answer`; `None` where it has not come after `patience`.
fn patiently<T>(patience: Duration, answer: impl Future<Output = T>) -> Option<T> {
    let waker = Waker::from(Arc::new(Waiting(std::thread::current())));
    let (mut context, mut answer) = (Context::from_waker(&waker), pin!(answer));
    let until = Instant::now() + patience;
    loop {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
            return Some(answer);
        }
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn an_answer_is_waited_for_and_not_for_ever() {
        let never = std::future::pending::<u8>();
        assert_eq!(patiently(Duration::from_millis(20), never), None);
        assert_eq!(patiently(Duration::ZERO, async { 3 }), Some(3));
        // One that comes from another thread, some time later.
        let (waker, is_there) = (Arc::new(Mutex::new(None::<Waker>)), Arc::new(AtomicBool::new(false)));
        let (given, asked) = (Arc::clone(&is_there), Arc::clone(&waker));
        let answer = std::future::poll_fn(move |context: &mut Context<'_>| {
            *asked.lock().unwrap() = Some(context.waker().clone());
            if given.load(Ordering::SeqCst) { Poll::Ready(7) } else { Poll::Pending }
        });
        let giver = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            is_there.store(true, Ordering::SeqCst);
            if let Some(waker) = waker.lock().unwrap().take() {
                waker.wake();
            }
        });
        assert_eq!(patiently(Duration::from_secs(20), answer), Some(7));
        giver.join().unwrap();
    }
}
