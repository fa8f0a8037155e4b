//! SIGINT and SIGTERM close the window as its own button does.
//!
//! The event loop sleeps while nothing happens, so a flag would not be seen: the handler writes to a socket, and a thread that waits at
//! its other end wakes the loop. A second signal ends the process at once, as it does everywhere in the program.

use eframe::egui;

/// The first signal asks for the window to be closed.
#[cfg(unix)]
pub(super) fn close_on_request(ctx: &egui::Context) -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    let (mut requests, handler) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::low_level::pipe::register(signal, handler.try_clone()?)?;
    }
    let ctx = ctx.clone();
    let wait = move || {
        if requests.read_exact(&mut [0]).is_ok() {
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
            ctx.request_repaint();
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

/// The system closes the window by itself.
#[cfg(not(unix))]
pub(super) fn close_on_request(_ctx: &egui::Context) -> std::io::Result<()> {
    Ok(())
}
