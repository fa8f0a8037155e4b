use super::*;
use crate::figure::palette::{BLACK, BLUE, BLUISH_GREEN, GRAY, ORANGE, REDDISH_PURPLE, Rgb, VERMILLION};
use crate::figure::{Band, Guide, Mark, Panel, Provenance, Scale, Series, Shape, Stroke, Width};

fn series(name: &str, color: Rgb, stroke: Stroke, y: impl Fn(f64) -> f64, n_points: u32) -> Series {
    let points = (1..=n_points).map(|i| [f64::from(i), y(f64::from(i))]).collect();
    Series { name: name.to_owned(), color, stroke, points, band: None }
}

fn banded(mut series: Series, half: f64) -> Series {
    let edge = |sign: f64| series.points.iter().map(|p| p[1] + sign * half).collect();
    series.band = Some(Band { low: edge(-1.0), high: edge(1.0) });
    series
}

/// What injection shows: four modes with bands and three references, on a linear and a logarithmic axis, with missing points.
fn injection(width: Width) -> FigureSpec {
    let mut cosine =
        Panel { title: "Direction cosine".into(), x_label: "step".into(), y_label: "cos(Δ̂, Δ)".into(), ..Panel::default() };
    for (name, color, rate) in
        [("A teacher", BLUE, 0.0), ("B periodic", BLUISH_GREEN, 0.03), ("C one-shot", ORANGE, 0.12), ("D rollout", VERMILLION, 0.16)]
    {
        let curve = series(name, color, Stroke::Solid, |k| 0.64 * (-rate * k).exp() + 0.02 * (1.7 * k + rate).sin(), 16);
        cosine.series.push(banded(curve, 0.04));
    }
    cosine.series.push(series("direct-horizon skyline", BLACK, Stroke::Dashed, |k| 0.66 * (-0.13 * k).exp() + 0.02, 16));
    cosine.guides.push(Guide { name: "time-shuffled null".into(), color: GRAY, stroke: Stroke::Dotted, y: 0.66 });
    let mut error = Panel {
        title: "State error".into(),
        x_label: "step".into(),
        y_label: "‖x̂ − x‖ / median ‖Δ‖".into(),
        y_scale: Scale::Log10,
        ..Panel::default()
    };
    for (name, color, rate) in
        [("A teacher", BLUE, 0.0), ("B periodic", BLUISH_GREEN, 0.1), ("C one-shot", ORANGE, 0.25), ("D rollout", VERMILLION, 0.42)]
    {
        let curve = series(name, color, Stroke::Solid, |k| 0.9 * (rate * k).exp(), 16);
        error.series.push(banded(curve, 0.2));
    }
    error.series[3].points[12][1] = f64::NAN;
    error.series[2].points[3][1] = 0.0;
    error.guides.push(Guide { name: "√2·σ".into(), color: REDDISH_PURPLE, stroke: Stroke::Dashed, y: 8.0 });
    FigureSpec {
        name: "injection".into(),
        width,
        panels: vec![cosine, error],
        columns: if width == Width::SingleColumn { 1 } else { 2 },
        caption:
            "Injection modes over 16 steps, 128 segments of 16 utterances; bands are 95 % bootstrap intervals by speaker. State error \
                  after the step, divided by the median ‖Δ‖."
                .into(),
        provenance: Provenance { store: "toy <&>".into(), seed: 7, ..Provenance::default() },
        ..FigureSpec::default()
    }
}

fn tree(svg: &str) -> resvg::usvg::Tree {
    let mut options = resvg::usvg::Options::default();
    options.fontdb_mut().load_font_data(crate::figure::text::FONT.to_vec());
    resvg::usvg::Tree::from_str(svg, &options).unwrap()
}

#[test]
fn nothing_is_clipped_by_the_page() {
    let long = "A caption with_a_very_long_word_that_fits_on_no_line_of_a_single_column_and_must_be_broken_somewhere indeed.";
    let mut wordy = injection(Width::Millimeters(60.0));
    wordy.caption = long.into();
    wordy.panels[0].title = long.into();
    wordy.panels[0].x_label = long.into();
    wordy.panels[0].y_label = long.into();
    wordy.panels[0].series[0].name = long.into();
    let mut large = injection(Width::DoubleColumn);
    large.font_size_pt = 12.0;
    large.panels[0].series[0].points.iter_mut().for_each(|p| *p = [p[0] * 12_345_678.0, p[1] * -1e9]);
    for spec in [injection(Width::SingleColumn), injection(Width::NeurIps), wordy, large] {
        let tree = tree(&to_svg(&spec).unwrap());
        let (page, drawn) = (tree.size(), tree.root().abs_stroke_bounding_box());
        assert!(drawn.left() >= -0.1 && drawn.top() >= -0.1, "{:?} {drawn:?}", spec.width);
        assert!(drawn.right() <= page.width() + 0.1 && drawn.bottom() <= page.height() + 0.1, "{:?} {drawn:?} on {page:?}", spec.width);
    }
}

#[test]
fn the_page_has_the_width_asked_for_and_the_png_the_resolution() {
    for (width, mm) in [(Width::SingleColumn, 80.0), (Width::NeurIps, 139.7), (Width::Millimeters(f64::NAN), 170.0)] {
        let spec = injection(width);
        assert!((f64::from(tree(&to_svg(&spec).unwrap()).size().width()) - mm / 25.4 * 96.0).abs() < 0.05);
        let bytes = to_png(&spec, 300.0).unwrap();
        let reader = ::png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let info = reader.info();
        assert_eq!(info.width, (mm / 25.4 * 300.0_f64).round() as u32);
        assert_eq!(info.pixel_dims.unwrap().xppu, 11811, "300 dpi is 11811 pixels a meter");
        let text = |key: &str| info.utf8_text.iter().find(|t| t.keyword == key).unwrap().get_text().unwrap();
        let provenance: Provenance = serde_json::from_str(&text("Provenance")).unwrap();
        assert_eq!(provenance, spec.provenance);
    }
}

#[test]
fn the_svg_holds_text_provenance_and_marks_of_what_is_missing() {
    let svg = to_svg(&injection(Width::DoubleColumn)).unwrap();
    for expected in
        [">State error</text>", ">√2·σ</text>", ">not finite (1 point)</text>", ">zero or negative (1 point)</text>", "toy &lt;&amp;&gt;"]
    {
        assert!(svg.contains(expected), "{expected}");
    }
    assert_eq!(svg.matches(">D rollout</text>").count(), 1, "panels share one legend");
    assert!(svg.starts_with("<svg xmlns") && svg.contains("<title>injection</title>"));
}

#[test]
fn the_same_spec_gives_the_same_bytes() {
    let spec = injection(Width::SingleColumn);
    assert_eq!(to_svg(&spec).unwrap(), to_svg(&spec).unwrap());
    assert_eq!(to_png(&spec, 300.0).unwrap(), to_png(&spec, 300.0).unwrap());
}

#[test]
fn a_million_points_stay_under_a_megabyte() {
    let noisy = series("noise", BLUE, Stroke::Solid, |i| (i * 12.9898).sin() * (i * 0.001).cos(), 1_000_000);
    let spec = FigureSpec { panels: vec![Panel { series: vec![banded(noisy, 0.1)], ..Panel::default() }], ..FigureSpec::default() };
    let svg = to_svg(&spec).unwrap();
    assert!(svg.len() < 1_000_000, "{} bytes", svg.len());
    assert_eq!(to_csv(&spec).lines().count(), 1_000_001, "the numbers are all there");
}

#[test]
fn specs_with_nothing_to_draw_or_no_name_are_refused() {
    let empty = FigureSpec { panels: vec![Panel::default()], ..FigureSpec::default() };
    assert_eq!(to_svg(&empty).unwrap_err().to_string(), "figure figure has nothing to draw");
    let folder = tempfile::tempdir().unwrap();
    for name in ["", "../up", "a/b", ".hidden"] {
        let spec = FigureSpec { name: name.into(), ..injection(Width::SingleColumn) };
        assert!(matches!(write(&spec, folder.path()), Err(FigureError::Name(_))), "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn odd_specs_are_drawn_all_the_same() {
    let all_nan = Series { points: vec![[1.0, f64::NAN], [f64::NAN, 1.0]], ..series("nan", BLACK, Stroke::Solid, |k| k, 1) };
    let short_band = Series { band: Some(Band { low: vec![0.0], high: vec![] }), ..series("short", ORANGE, Stroke::Dotted, |k| k, 5) };
    let lone = series("one point", GRAY, Stroke::Dashed, |_| 3.0, 1);
    let negative =
        Panel { y_scale: Scale::Log10, series: vec![series("negative", BLUISH_GREEN, Stroke::Solid, |k| -k, 4)], ..Panel::default() };
    let panels = vec![Panel { series: vec![all_nan, short_band, lone], ..Panel::default() }, negative];
    for (columns, row_height_mm, font_size_pt) in [(0, 0.0, 0.0), (9, f64::NAN, -1.0), (1, 1.0, 8.0)] {
        let spec = FigureSpec { panels: panels.clone(), columns, row_height_mm, font_size_pt, ..FigureSpec::default() };
        let svg = to_svg(&spec).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "no number that is none reaches the file");
        tree(&svg);
    }
}

#[test]
fn the_csv_quotes_names_and_keeps_every_number() {
    let panel = Panel {
        title: "a, \"b\"".into(),
        series: vec![banded(series("s", BLACK, Stroke::Solid, |k| k * 0.1, 2), 1.0)],
        guides: vec![Guide { name: "g".into(), color: [0; 3], stroke: Stroke::Solid, y: f64::NAN }],
        ..Panel::default()
    };
    let csv = to_csv(&FigureSpec { panels: vec![panel], ..FigureSpec::default() });
    let rows = [
        "panel,series,x,y,low,high",
        "\"a, \"\"b\"\"\",s,1,0.1,-0.9,1.1",
        "\"a, \"\"b\"\"\",s,2,0.2,-0.8,1.2",
        "\"a, \"\"b\"\"\",g,,NaN,,",
    ];
    assert_eq!(csv.lines().collect::<Vec<_>>(), rows);
}

#[test]
fn files_are_written_together() {
    let folder = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("DRIFTSCOPE_KEEP_FIGURES").map_or(folder.path().join("figures"), PathBuf::from);
    for (name, width) in [("wide", Width::DoubleColumn), ("narrow", Width::SingleColumn)] {
        let paths = write(&FigureSpec { name: name.into(), ..injection(width) }, &folder).unwrap();
        let names: Vec<_> = paths.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(names, [format!("{name}.svg"), format!("{name}.png"), format!("{name}.csv")]);
        assert!(paths.iter().all(|p| p.metadata().unwrap().len() > 500));
    }
    let file = folder.join("wide.csv");
    let error = write(&injection(Width::SingleColumn), &file).unwrap_err();
    assert!(error.to_string().contains("wide.csv"), "{error}");
}

#[test]
fn what_lies_below_the_floor_is_marked_and_stretches_nothing() {
    let mut panel = Panel { y_floor: Some(-1.5), series: vec![series("r", BLUE, Stroke::Solid, |k| 0.5 - 0.1 * k, 4)], ..Panel::default() };
    panel.series[0].points[2][1] = -47.0;
    panel.marks.push(Mark { name: "Start".into(), color: BLACK, shape: Shape::Ring, point: [1.0, 0.4] });
    let spec = FigureSpec { panels: vec![panel], ..FigureSpec::default() };
    let svg = to_svg(&spec).unwrap();
    for expected in [">−47</text>", ">below the axis, with its value (1 point)</text>", ">Start</text>", ">−1.5</text>"] {
        assert!(svg.contains(expected), "{expected}");
    }
    assert!(!svg.contains(">−40</text>"), "the axis ends at the floor");
    assert_eq!(svg.matches("<circle").count(), 2, "on the panel and in the legend");
    assert!(to_csv(&spec).contains(",3,-47,"), "the file has the number");
}
