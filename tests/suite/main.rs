//! Everything that crosses a boundary: fixtures of the peer, files on disk, the program as a process, the window.

mod allocation;
mod audio;
mod cli;
mod damaged_stores;
mod diagnostics;
mod playback;
mod predictors;
mod represent;
mod shaders;
mod shared;
mod stores;
mod tidy;
mod toys;
mod window;
