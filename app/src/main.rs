//! The program: hands its arguments to [`driftscope::cli`] and turns Ctrl-C into a request to stop.

use std::process::ExitCode;

use driftscope_core::job::Cancel;

fn main() -> ExitCode {
    let cancel = Cancel::default();
    let on_signal = cancel.clone();
    // The first Ctrl-C asks the job to stop between two units of work; a second one does not wait for that.
    let handled = ctrlc::set_handler(move || {
        if on_signal.check().is_err() {
            std::process::exit(130);
        }
        on_signal.cancel();
    });
    // Without a handler Ctrl-C ends the process, which harms no file: all are written beside and renamed.
    drop(handled);
    ExitCode::from(driftscope::cli::run(std::env::args_os(), &mut driftscope::cli::Console::standard(), &cancel))
}
