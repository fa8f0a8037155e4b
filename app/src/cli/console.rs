//! Where text goes: results to standard output, everything else to standard error.

use std::io::{IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use driftscope_core::job::{Progress, ProgressEvent};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A stream that progress (on a job's thread) and the command (on its own) both write to.
type Stream = Arc<Mutex<dyn Write + Send>>;

/// The two streams, and how progress is shown.
#[derive(Clone)]
pub struct Console {
    results: Stream,
    messages: Stream,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Bar,
    Lines,
    Silent,
}

/// Without a terminal, a line at most this often.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

impl Console {
    /// The process's own streams; a progress bar when standard error is a terminal.
    pub fn standard() -> Self {
        let style = if std::io::stderr().is_terminal() { Style::Bar } else { Style::Lines };
        Self { results: Arc::new(Mutex::new(std::io::stdout())), messages: Arc::new(Mutex::new(std::io::stderr())), style }
    }

    /// Streams of the caller's, and plain lines of progress.
    pub fn plain(results: Arc<Mutex<dyn Write + Send>>, messages: Arc<Mutex<dyn Write + Send>>) -> Self {
        Self { results, messages, style: Style::Lines }
    }

    /// Neither progress nor notices from here on.
    pub(super) fn set_quiet(&mut self, quiet: bool) {
        if quiet {
            self.style = Style::Silent;
        }
    }

    /// What was asked for. A reader that has gone away is not a failure of ours.
    pub(super) fn result(&self, text: &str) {
        write_to(&self.results, text);
    }

    /// Something worth knowing that is no failure.
    pub(super) fn notice(&self, sentence: &str) {
        if self.style != Style::Silent {
            write_to(&self.messages, &format!("{sentence}\n"));
        }
    }

    /// Data that had to be left out: said even with `--quiet`, since a result without them is not the one asked for.
    pub(super) fn warning(&self, sentence: &str) {
        write_to(&self.messages, &format!("{sentence}\n"));
    }

    /// Why nothing came of it.
    pub(super) fn failure(&self, sentence: &str) {
        write_to(&self.messages, &format!("{sentence}\n"));
    }

    /// A sink for a job's progress.
    pub(super) fn progress(&self) -> Progress {
        match self.style {
            Style::Silent => Progress::default(),
            Style::Lines => {
                let messages = Arc::clone(&self.messages);
                let last = Mutex::new(None::<(String, Instant)>);
                Progress::new(move |event| {
                    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                    let ended = event.total == Some(event.done);
                    if ended || last.as_ref().is_none_or(|(stage, when)| *stage != event.stage || when.elapsed() > LINE_INTERVAL) {
                        write_to(&messages, &line(&event));
                        *last = Some((event.stage, Instant::now()));
                    }
                })
            }
            Style::Bar => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                Progress::new(move |event| show(&bar, &event))
            }
        }
    }
}

fn write_to(stream: &Stream, text: &str) {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    // A closed pipe (`driftscope runs | head -1`) ends the reader's interest, not the work.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

fn line(event: &ProgressEvent) -> String {
    let total = event.total.map_or(String::new(), |total| format!("/{total}"));
    let note = if event.note.is_empty() { String::new() } else { format!(" · {}", event.note) };
    format!("{} {}{total}{note}\n", event.stage, event.done)
}

fn show(bar: &ProgressBar, event: &ProgressEvent) {
    if bar.prefix() != event.stage {
        let template = match event.total {
            Some(_) => "{prefix} [{bar:30}] {pos}/{len} {per_sec} {eta} left {msg}",
            None => "{prefix} {spinner} {pos} {elapsed} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.reset();
        bar.set_prefix(event.stage.clone());
    }
    if let Some(total) = event.total {
        bar.set_length(total);
    }
    bar.set_message(event.note.clone());
    bar.set_position(event.done);
    if event.total == Some(event.done) {
        bar.finish_and_clear();
    }
}
