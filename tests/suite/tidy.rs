//! The shape of the source tree: modules import only from those above them.

use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn modules_import_only_from_those_above() {
    let src = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let lib = fs::read_to_string(src.join("lib.rs")).unwrap();
    let order: Vec<&str> = lib.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(order.len() > 10, "lib.rs lists the modules");
    let mut broken = Vec::new();
    for (position, module) in order.iter().enumerate() {
        let folder = src.join(module);
        let files = if folder.is_dir() { rust_files(&folder) } else { vec![src.join(format!("{module}.rs"))] };
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for below in &order[position + 1..] {
                if text.lines().any(|l| !l.trim_start().starts_with("//") && l.contains(&format!("crate::{below}::"))) {
                    broken.push(format!("{} imports crate::{below}, which stands below {module}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn one_wgpu() {
    let lock = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).unwrap();
    assert_eq!(lock.matches("name = \"wgpu\"\n").count(), 1, "window and tensors share one wgpu");
}
