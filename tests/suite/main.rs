//! Everything that crosses a boundary: fixtures of the peer, files on disk, the program as a process, the window.

mod allocation;
mod cli;
mod playback;
mod predictors;
mod shared;
mod stores;
mod tidy;
