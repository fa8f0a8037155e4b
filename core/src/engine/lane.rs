//! A lane: one named OS thread that works on the latest request and drops those it overtook.

use std::sync::mpsc;
use std::thread::JoinHandle;

/// Latest request wins: requests sent while the lane works replace each other; only the newest is worked on next.
#[derive(Debug)]
pub struct Lane<Request: Send + 'static> {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl<Request: Send + 'static> Lane<Request> {
    /// Starts the thread. `work` is called with each request that was not overtaken.
    pub fn start(name: &str, mut work: impl FnMut(Request) + Send + 'static) -> std::io::Result<Self> {
        let (requests, inbox) = mpsc::channel::<Request>();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Ok(first) = inbox.recv() {
                let newest = inbox.try_iter().last().unwrap_or(first);
                work(newest);
            }
        })?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Asks for work; returns at once. A request to a lane whose thread has died is dropped.
    pub fn request(&self, request: Request) {
        if let Some(requests) = &self.requests {
            let _ = requests.send(request);
        }
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
