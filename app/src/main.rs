//! The program: hands its arguments to [`driftscope::cli`] and turns Ctrl-C into a request to stop.

use std::process::ExitCode;

use driftscope_core::job::Cancel;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

fn main() -> ExitCode {
    let cancel = Cancel::default();
    for signal in [SIGINT, SIGTERM] {
        // The first signal asks the job to stop between two units of work; a second one does not wait for that. Without these
        // handlers a signal ends the process, which harms no file: all are written beside and renamed.
        let _ = flag::register_conditional_shutdown(signal, 128 + signal, cancel.flag());
        let _ = flag::register(signal, cancel.flag());
    }
    ExitCode::from(driftscope::cli::run(std::env::args_os(), &mut driftscope::cli::Console::standard(), &cancel))
}
