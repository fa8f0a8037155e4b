//! Lists the files of the embedded demo, so that `demo.rs` can compile them in without naming each.
//!
//! A missing asset ends the build with the sentence that says how to get it back.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let assets = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../assets/demo");
    println!("cargo::rerun-if-changed={}", assets.display());
    let mut code = String::new();
    for (constant, folder, extension) in [("VOICES", "voices", "flac"), ("PREDICTORS", "predictors", "safetensors")] {
        let files = files(&assets.join(folder), extension);
        let _ = writeln!(code, "pub(super) const {constant}: &[(&str, &[u8])] = &[");
        for file in files {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let _ = writeln!(code, "    ({name:?}, include_bytes!({:?})),", file.display().to_string());
        }
        code.push_str("];\n");
    }
    let latents = assets.join("latents.safetensors");
    if !latents.exists() {
        missing(&latents);
    }
    let _ = writeln!(code, "pub(super) const LATENTS: &[u8] = include_bytes!({:?});", latents.display().to_string());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("embedded.rs");
    fs::write(&out, code).expect("cargo's own folder is writable");
}

/// Files with `extension` below `folder`, in order of name; none is as bad as no folder.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
        } else {
            files.push(path);
        }
    }
    files.retain(|f| f.extension().is_some_and(|e| e == extension));
    files.sort_by_key(|f| f.file_name().map(ToOwned::to_owned));
    if files.is_empty() {
        missing(folder);
    }
    files
}

fn missing(path: &Path) -> ! {
    panic!(
        "{} is missing; it is part of the repository: `git checkout -- assets` brings it back, `assets/make.sh` makes it again",
        path.display()
    )
}
