//! Everything that crosses a boundary: fixtures of the peer, files on disk, the program as a process, the window.

#![allow(clippy::clone_on_ref_ptr, dropping_copy_types, reason = "tests say what they mean")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod allocation;
mod audio;
mod battery;
mod browser;
mod cli;
mod codecs;
mod damaged_stores;
mod demo;
mod diagnostics;
mod drawn;
mod figures;
mod listening;
mod listening_page;
mod live;
mod mutated;
mod perceive;
mod playback;
mod predictors;
mod represent;
mod shaders;
mod shared;
mod stores;
mod story;
mod streamed;
mod tidy;
mod toys;
mod window;
