//! Everything that crosses a boundary: fixtures of the peer, files on disk, the program as a process, the window.

mod allocation;
mod audio;
mod cli;
<<<<<<< Updated upstream
mod damaged_stores;
=======
mod diagnostics;
>>>>>>> Stashed changes
mod playback;
mod predictors;
<<<<<<< Updated upstream
mod represent;
=======
mod shaders;
>>>>>>> Stashed changes
mod shared;
mod stores;
mod tidy;
mod toys;
