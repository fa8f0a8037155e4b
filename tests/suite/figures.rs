//! Opening a figure's file: any bytes give an answer.

use std::path::PathBuf;
use std::sync::LazyLock;

use driftscope_core::figure::{FigureSpec, Guide, Panel, Provenance, Stroke, read_provenance, write_with_view};
use proptest::prelude::*;

/// An SVG, a PNG and a PDF.
static FILES: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let guide = Guide { name: "one".into(), color: [0; 3], stroke: Stroke::Solid, y: 1.0 };
    let provenance = Provenance { store: "s".into(), seed: 7, ..Provenance::default() };
    let panels = vec![Panel { guides: vec![guide], ..Panel::default() }];
    let spec = FigureSpec { panels, provenance, ..FigureSpec::default() };
    let paths = write_with_view(&spec, &serde_json::json!({ "α": [1, 2.5] }), folder.path()).unwrap();
    [0, 1, 2].map(|i: usize| std::fs::read(&paths[i]).unwrap())
});

/// Whether it was read; a refusal is one sentence that names the file.
fn opens(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("figure");
    std::fs::write(&path, bytes).unwrap();
    match read_provenance(&path) {
        Ok(_) => true,
        Err(error) => {
            let sentence = error.to_string();
            assert!(sentence.starts_with(&path.display().to_string()) && !sentence.contains('\n'), "{sentence}");
            false
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_is_no_figure(magic in 0..4_usize, noise in proptest::collection::vec(any::<u8>(), 0..600)) {
        let magic: &[u8] = [&b""[..], b"<svg <metadata>", b"\x89PNG\r\n\x1a\n", b"%PDF-1.5 /EmbeddedFile stream\n"][magic];
        prop_assert!(!opens(&[magic, &noise].concat()));
    }

    #[test]
    fn a_damaged_figure_opens_or_says_why(
        format in 0..3_usize,
        keep in 0.0..1.0_f64,
        places in proptest::collection::vec((0.0..1.0_f64, any::<u8>()), 0..20),
    ) {
        let whole = &FILES[format];
        prop_assert!(opens(whole));
        let mut bytes = whole[..(keep.sqrt() * whole.len() as f64) as usize].to_vec();
        for (place, byte) in places {
            let at = (place * place * bytes.len() as f64) as usize;
            if let Some(old) = bytes.get_mut(at) {
                *old = byte;
            }
        }
        opens(&bytes);
    }
}
