use std::io::Cursor;

use super::*;
use crate::figure::{FigureSpec, Guide, Panel, Provenance, Stroke, write, write_with_view};

fn spec() -> FigureSpec {
    let guide = Guide { name: "one".into(), color: [0; 3], stroke: Stroke::Solid, y: 1.0 };
    let provenance = Provenance {
        store: "toy <&> \"ünï\" \u{85}\u{7f}\u{ffff} ]]> </metadata> endstream".into(),
        checkpoint: "音".into(),
        seed: u64::MAX,
        definitions: vec!["‖x̂ − x‖ / median ‖Δ‖\n\tsecond line".into(), String::new()],
        ..Provenance::default()
    };
    let panels = vec![Panel { guides: vec![guide], ..Panel::default() }];
    FigureSpec { panels, provenance, ..FigureSpec::default() }
}

/// SVG, PNG and PDF.
fn files(spec: &FigureSpec, view: &serde_json::Value) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let paths = write_with_view(spec, view, folder.path()).unwrap();
    paths.into_iter().take(3).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn what_was_written_is_read_back() {
    let large: Vec<String> = (0..10_000).map(|i| format!("Δ{i} <&\u{7f}")).collect();
    for view in [serde_json::json!({ "a": [1, null, { "b": "音 \u{1f600}" }] }), serde_json::json!(large), serde_json::json!("x")] {
        for (path, bytes) in files(&spec(), &view) {
            let origin = read(Cursor::new(bytes)).unwrap();
            assert_eq!(origin, Origin { provenance: spec().provenance, view: Some(view.clone()) }, "{}", path.display());
        }
    }
}

#[test]
fn a_figure_without_a_view_has_none() {
    let folder = tempfile::tempdir().unwrap();
    for path in write(&spec(), folder.path()).unwrap().iter().take(3) {
        assert_eq!(read_provenance(path).unwrap(), Origin { provenance: spec().provenance, view: None });
    }
}

#[test]
fn a_file_that_is_cut_short_gives_all_or_says_so() {
    for (path, bytes) in files(&spec(), &serde_json::json!([1, 2, 3])) {
        let mut n_damaged = 0;
        for length in (1..bytes.len().min(1500)).chain((1500..bytes.len()).step_by(29)) {
            match read(Cursor::new(&bytes[..length])) {
                Ok(origin) => assert_eq!(origin.provenance, spec().provenance),
                Err(Fault::Damaged) => n_damaged += 1,
                Err(fault) => panic!("{fault:?} of {length} bytes of {}", path.display()),
            }
        }
        assert!(n_damaged > 200, "{n_damaged} of {}", path.display());
    }
}

#[test]
fn other_files_are_told_apart_with_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for content in ["", "panel,series\n", "<svg xmlns=\"http://www.w3.org/2000/svg\"><g/></svg>", "%PDF-1.4 /EmbeddedFile stream\n{} %%EOF"]
    {
        std::fs::write(&path, content).unwrap();
        let sentence = read_provenance(&path).unwrap_err().to_string();
        let expected = "is not a figure that Driftscope wrote: name an SVG, PNG or PDF with Driftscope's provenance in it";
        assert_eq!(sentence, format!("{} {expected}", path.display()), "{content}");
    }
    let missing = read_provenance(&folder.path().join("none.svg")).unwrap_err();
    assert!(matches!(missing, ReadError::Unreadable { .. }), "{missing}");
    assert!(matches!(read_provenance(folder.path()), Err(ReadError::Unreadable { .. })));
}

#[test]
fn of_a_drawing_only_the_head_is_read() {
    for (path, mut bytes) in files(&spec(), &serde_json::json!("view")).into_iter().take(2) {
        let whole = bytes.len();
        bytes.resize(whole + (1 << 20), b'>');
        let mut file = Cursor::new(bytes);
        read(BufReader::with_capacity(64, &mut file)).unwrap();
        assert!(file.position() < whole as u64, "{} of {}", file.position(), path.display());
    }
}
