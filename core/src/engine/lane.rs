//! A lane: one named OS thread that works on the latest request and drops those it overtook.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

/// Latest request wins: requests sent while the lane works replace each other; only the newest is worked on next.
///
/// A panic in the work ends that request, not the lane: what it said waits in [`Lane::take_panic`], and the next request is worked
/// on. Dropping the lane lets the request at work finish and waits for it; a long one should watch a [`crate::job::Cancel`].
#[derive(Debug)]
pub struct Lane<Request: Send + 'static> {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    panic: Arc<Mutex<Option<String>>>,
}

impl<Request: Send + 'static> Lane<Request> {
    /// Starts the thread. `work` is called with each request that was not overtaken.
    pub fn start(name: &str, mut work: impl FnMut(Request) + Send + 'static) -> std::io::Result<Self> {
        let (requests, inbox) = mpsc::channel::<Request>();
        let panic = Arc::new(Mutex::new(None));
        let reported = Arc::clone(&panic);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Ok(first) = inbox.recv() {
                let newest = inbox.try_iter().last().unwrap_or(first);
                // The work's own state may be half changed after a panic; it is judged usable because every request states all it needs.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(newest))) {
                    *reported.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic_text(panic.as_ref()));
                }
            }
        })?;
        Ok(Self { requests: Some(requests), thread: Some(thread), panic })
    }

    /// Asks for work; returns at once.
    pub fn request(&self, request: Request) {
        if let Some(requests) = &self.requests {
            // The lane's thread ends only when this sender is gone.
            let _ = requests.send(request);
        }
    }

    /// What the last panic in the work said, once: to be shown, since a defect was met.
    pub fn take_panic(&self) -> Option<String> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<Request: Send + 'static> Drop for Lane<Request> {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a caught panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane that tells when it begins a request and waits to be let on.
    fn stepped() -> (Lane<u32>, mpsc::Receiver<u32>, mpsc::Sender<()>) {
        let (begun, begins) = mpsc::channel();
        let (go, gate) = mpsc::channel();
        let lane = Lane::start("test", move |request| {
            begun.send(request).unwrap();
            gate.recv().unwrap();
            assert_ne!(request, 13, "unlucky");
        });
        (lane.unwrap(), begins, go)
    }

    #[test]
    fn only_the_newest_of_waiting_requests_is_worked_on() {
        let (lane, begins, go) = stepped();
        lane.request(1);
        assert_eq!(begins.recv().unwrap(), 1);
        (2..=9).for_each(|request| lane.request(request));
        go.send(()).unwrap();
        assert_eq!(begins.recv().unwrap(), 9);
        go.send(()).unwrap();
        drop(lane);
        assert_eq!(begins.recv().ok(), None, "nothing else was begun");
    }

    #[test]
    fn a_panic_is_told_once_and_the_lane_goes_on() {
        let (lane, begins, go) = stepped();
        assert_eq!(lane.take_panic(), None);
        lane.request(13);
        begins.recv().unwrap();
        go.send(()).unwrap();
        lane.request(14);
        assert_eq!(begins.recv().unwrap(), 14);
        assert!(lane.take_panic().unwrap().contains("unlucky"));
        assert_eq!(lane.take_panic(), None);
        go.send(()).unwrap();
    }

    #[test]
    fn work_runs_on_one_named_thread() {
        let (told, names) = mpsc::channel();
        let lane = Lane::start("interactive", move |()| told.send(std::thread::current().name().map(str::to_owned)).unwrap()).unwrap();
        lane.request(());
        assert_eq!(names.recv().unwrap().as_deref(), Some("interactive"));
    }
}
