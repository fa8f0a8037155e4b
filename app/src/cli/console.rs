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
                let stage = Mutex::new(None::<Stage>);
                Progress::new(move |event| {
                    let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
                    let now = Instant::now();
                    let current = match stage.as_mut().filter(|s| s.name == event.stage) {
                        Some(current) => current,
                        None => stage.insert(Stage { name: event.stage.to_string(), began: now, first: event.done, said: None }),
                    };
                    let ended = event.total == Some(event.done);
                    if ended || current.said.is_none_or(|said| now - said > LINE_INTERVAL) {
                        write_to(&messages, &line(&event, (now - current.began).as_secs_f64(), event.done.saturating_sub(current.first)));
                        current.said = Some(now);
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

/// What lines of progress are about.
struct Stage {
    name: String,
    began: Instant,
    /// Units that were done when it began.
    first: u64,
    said: Option<Instant>,
}

/// `seconds` since the stage began, and the units done since then.
fn line(event: &ProgressEvent, seconds: f64, n_new: u64) -> String {
    let total = event.total.map_or(String::new(), |total| format!("/{total}"));
    let note = if event.note.is_empty() { String::new() } else { format!(" · {}", event.note) };
    let left = match event.total.map(|total| total.saturating_sub(event.done)) {
        // A first unit says little of the next ones.
        Some(n_left) if n_left > 0 && n_new > 1 => {
            let left = Duration::from_secs_f64((seconds * n_left as f64 / n_new as f64).min(1e9));
            format!(" · {} left", indicatif::HumanDuration(left))
        }
        _ => String::new(),
    };
    format!("{} {}{total}{note}{left}\n", event.stage, event.done)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_time_left_once_it_can() {
        let event = |done, total| ProgressEvent { stage: "encode".into(), done, total, note: "31 × real time".into() };
        for (event, n_new, expected) in [
            (event(0, Some(10)), 0, "encode 0/10 · 31 × real time\n"),
            (event(6, Some(10)), 2, "encode 6/10 · 31 × real time · 60 seconds left\n"),
            (event(10, Some(10)), 6, "encode 10/10 · 31 × real time\n"),
            (event(6, None), 2, "encode 6 · 31 × real time\n"),
        ] {
            assert_eq!(line(&event, 30.0, n_new), expected);
        }
    }
}
