use super::*;
use crate::figure::palette::{BLACK, BLUE, BLUISH_GREEN, GRAY, ORANGE, REDDISH_PURPLE, Rgb, VERMILLION};
use crate::figure::{Band, Envelope, Guide, Image, Legend, Mark, Panel, Provenance, Scale, Series, Shape, Stroke, Width, read_provenance};

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

/// From dark violet over red to yellow.
fn colors() -> Vec<Rgb> {
    let ramp = |i: f64, center: f64| (255.0 * (1.0 - ((i / 255.0 - center) / 0.5).powi(2)).max(0.0)) as u8;
    (0..256).map(f64::from).map(|i| [i.sqrt().mul_add(16.0, -0.5) as u8, (i * i / 255.0) as u8, ramp(i, 0.3)]).collect()
}

/// A chirp of `seconds` at 16 kHz, as waveform and as levels of 257 bins every 8 ms.
fn lanes(seconds: f64) -> Vec<Panel> {
    let n_samples = (seconds * 16_000.0) as usize;
    let sample = |i: usize| i as f64 / 16_000.0;
    let loudness = |t: f64| (3.0 * t).sin().abs() * (-0.3 * t).exp();
    let extremes = (0..n_samples).map(|i| [(loudness(sample(i)) * (sample(i) * sample(i) * 2500.0).sin()) as f32; 2]).collect();
    let wave = Envelope { name: "rollout".into(), color: VERMILLION, x: [0.0, seconds], extremes };
    let n_columns = n_samples / 128;
    let level = |c: usize, bin: usize| {
        let t = c as f64 * 0.008;
        let distance = bin as f64 - (800.0 * t + 400.0) / 31.25;
        let noise = ((c * 7919 + bin * 104_729) % 1009) as f64 / 100.0;
        (20.0 * loudness(t).max(1e-4).log10() - distance.abs().min(70.0) - noise) as f32
    };
    let image = Image {
        name: "rollout".into(),
        label: "level, dB".into(),
        values: (0..n_columns).flat_map(|c| (0..257).map(move |bin| level(c, bin))).collect(),
        n_rows: 257,
        x: [0.0, seconds],
        y: [0.0, 8000.0],
        range: [-80.0, 0.0],
        colors: colors(),
    };
    vec![
        Panel { title: "Waveform".into(), y_label: "amplitude".into(), envelopes: vec![wave], ..Panel::default() },
        Panel {
            title: "Spectrogram".into(),
            x_label: "time, s".into(),
            y_label: "frequency, Hz".into(),
            image: Some(image),
            ..Panel::default()
        },
    ]
}

/// Four panels in one column of a page, two a row, with everything that takes room.
fn crowded() -> FigureSpec {
    let mut spec = injection(Width::SingleColumn);
    spec.panels.extend(lanes(3.0));
    let many = ["persistence", "climatology", "ridge, fitted for each horizon", "chance 1/√D", "no direction", "live rollout, α = 0.75"];
    for (i, name) in many.into_iter().enumerate() {
        let color = [GRAY, BLACK, BLUISH_GREEN, ORANGE, BLUE, REDDISH_PURPLE][i];
        spec.panels[0].series.push(series(name, color, Stroke::ShortDashed, |k| 0.1 * i as f64 + 0.002 * k, 16));
    }
    FigureSpec { name: "crowded".into(), columns: 2, row_height_mm: 38.0, font_size_pt: 7.0, ..spec }
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
    let lanes = |columns| FigureSpec { panels: lanes(3.0), columns, ..FigureSpec::default() };
    let narrow = FigureSpec { width: Width::SingleColumn, ..lanes(1) };
    for spec in [injection(Width::SingleColumn), injection(Width::NeurIps), wordy, large, crowded(), lanes(1), lanes(2), narrow] {
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
        let preview = to_pixels(&spec, 110.0).unwrap();
        assert_eq!(preview.width, (mm / 25.4 * 110.0_f64).round() as usize);
        assert_eq!(preview.rgba.len(), preview.width * preview.height * 4);
        assert!(preview.rgba.chunks(4).all(|pixel| pixel[3] == 255) && preview.rgba.iter().any(|v| *v < 40));
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
    assert_eq!(to_pdf(&spec).unwrap(), to_pdf(&spec).unwrap());
    assert_eq!(to_csv(&spec), to_csv(&spec));
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
    let named = |name: &str, spec: FigureSpec| FigureSpec { name: name.into(), ..spec };
    let lanes = FigureSpec { panels: lanes(3.0), columns: 1, row_height_mm: 40.0, ..FigureSpec::default() };
    let bare = FigureSpec {
        panels: injection(Width::SingleColumn).panels.into_iter().map(|p| Panel { legend: Legend::Hidden, ..p }).collect(),
        caption: String::new(),
        ..injection(Width::SingleColumn)
    };
    let specs = [
        named("wide", injection(Width::DoubleColumn)),
        named("narrow", injection(Width::SingleColumn)),
        named("narrow-lanes", FigureSpec { width: Width::SingleColumn, ..lanes.clone() }),
        named("lanes", lanes),
        named("bare", bare),
        crowded(),
    ];
    for spec in &specs {
        let (name, paths) = (&spec.name, write(spec, &folder).unwrap());
        let names: Vec<_> = paths.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["svg", "png", "pdf", "csv"].map(|extension| format!("{name}.{extension}")));
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
    let rings = svg.lines().filter(|line| line.starts_with("<circle") && line.contains("fill=\"none\""));
    assert_eq!(rings.count(), 2, "on the panel and in the legend");
    assert!(to_csv(&spec).contains(",3,-47,"), "the file has the number");
}

#[test]
fn a_pdf_is_a_page_of_the_figures_size_with_its_font_and_no_date() {
    let pdf = to_pdf(&injection(Width::SingleColumn)).unwrap();
    let text = String::from_utf8_lossy(&pdf);
    let page = text.split("/MediaBox").nth(1).unwrap().split(']').next().unwrap();
    let sizes: Vec<f64> = page.trim_start_matches([' ', '[']).split_whitespace().map(|n| n.parse().unwrap()).collect();
    assert!(sizes[..2] == [0.0, 0.0] && (sizes[2] - 80.0 / 25.4 * 72.0).abs() < 0.01, "{sizes:?}");
    for expected in ["%PDF-1.5", "/FontFile3", "/ToUnicode", "provenance.json", "/Title", "%%EOF"] {
        assert!(text.contains(expected), "{expected}");
    }
    assert!(!text.contains("CreationDate") && !text.contains("ModDate"));
    assert!(pdf.len() < 100_000, "{} bytes: the font is a subset", pdf.len());
}

#[test]
fn the_png_is_what_a_viewer_makes_of_the_svg() {
    for spec in [crowded(), injection(Width::NeurIps)] {
        let layout = lay_out(&spec, &Ruler::new());
        let own = pixels(&layout, &draw(&spec, &layout), 900.0).unwrap();
        let tree = tree(&to_svg(&spec).unwrap());
        let mut viewed = tiny_skia::Pixmap::new(own.width(), own.height()).unwrap();
        let scale = own.width() as f32 / tree.size().width();
        resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut viewed.as_mut());
        let difference = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b));
        let mean = own.data().iter().zip(viewed.data()).map(difference).sum::<f64>() / own.data().len() as f64;
        let ink = own.data().iter().map(|v| 255.0 - f64::from(*v)).sum::<f64>() / own.data().len() as f64;
        assert!(mean < 0.06 * ink, "{}: pixels differ by {mean:.2} of {ink:.2} on average", spec.name);
    }
}

#[test]
fn spectrograms_stay_under_a_megabyte() {
    // Levels without any pattern are the hardest to pack; pixels of nothing but noise are no figure.
    let mut panels = [lanes(60.0), lanes(60.0)].concat();
    let mut state = 1_u32;
    for value in panels.iter_mut().filter_map(|p| p.image.as_mut()).flat_map(|image| &mut image.values) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = -80.0 * (state >> 8) as f32 / 16_777_216.0;
    }
    let spec = FigureSpec { panels, columns: 1, row_height_mm: 45.0, ..FigureSpec::default() };
    let sizes = [to_svg(&spec).unwrap().len(), to_pdf(&spec).unwrap().len()];
    assert!(sizes.iter().all(|size| *size < 1_000_000), "{sizes:?} bytes of SVG and PDF");
    let spec = FigureSpec { panels: lanes(60.0), ..spec };
    let size = to_png(&spec, DPI).unwrap().len();
    assert!(size < 1_000_000, "{size} bytes of PNG");
}

#[test]
fn the_csv_holds_every_cell_and_every_stretch() {
    let image = Image { values: vec![-3.0, f32::NAN, -1.0, 0.5], n_rows: 2, x: [0.0, 1.0], y: [100.0, 300.0], ..tiny_image() };
    let wave = Envelope { name: "wave".into(), color: BLACK, x: [0.0, 2.0], extremes: vec![[-0.5, 0.25], [0.0, 0.0]] };
    let panels = vec![
        Panel { title: "W".into(), envelopes: vec![wave], ..Panel::default() },
        Panel { title: "S".into(), image: Some(image), ..Panel::default() },
    ];
    let spec = FigureSpec { panels, ..FigureSpec::default() };
    let rows = [
        "panel,series,x,y,low,high,value",
        "W,wave,0.5,,-0.5,0.25,",
        "W,wave,1.5,,0,0,",
        "S,tiny,0.25,150,,,-3",
        "S,tiny,0.25,250,,,NaN",
        "S,tiny,0.75,150,,,-1",
        "S,tiny,0.75,250,,,0.5",
    ];
    assert_eq!(to_csv(&spec).lines().collect::<Vec<_>>(), rows);
    assert!(to_svg(&spec).unwrap().contains(">no value (1 cell)</text>"));
}

fn tiny_image() -> Image {
    let (name, label) = ("tiny".to_owned(), "level, dB".to_owned());
    Image { name, label, values: vec![0.0], n_rows: 1, x: [0.0, 1.0], y: [0.0, 1.0], range: [-80.0, 0.0], colors: colors() }
}

#[test]
fn an_image_that_is_none_is_refused_with_the_reason() {
    let cases = [
        (Image { n_rows: 0, ..tiny_image() }, "1 values are no whole columns of 0 rows"),
        (Image { values: vec![0.0; 5], n_rows: 2, ..tiny_image() }, "5 values are no whole columns of 2 rows"),
        (Image { colors: vec![BLACK], ..tiny_image() }, "it has 1 colors instead of 256"),
        (Image { x: [1.0, 1.0], ..tiny_image() }, "its x edges are 1 and 1 instead of two finite numbers, the lower first"),
        (
            Image { range: [f64::NAN, 0.0], ..tiny_image() },
            "its range of colors are NaN and 0 instead of two finite numbers, the lower first",
        ),
    ];
    for (image, reason) in cases {
        let panel = Panel { title: "S".into(), image: Some(image), ..Panel::default() };
        let spec = FigureSpec { panels: vec![panel], ..FigureSpec::default() };
        assert_eq!(to_svg(&spec).unwrap_err().to_string(), format!("figure figure, panel \"S\": the image cannot be drawn: {reason}"));
    }
    let logarithmic = Panel { image: Some(tiny_image()), y_scale: Scale::Log10, ..Panel::default() };
    let error = to_pdf(&FigureSpec { panels: vec![logarithmic], ..FigureSpec::default() }).unwrap_err();
    assert!(error.to_string().ends_with("its rows begin at 0, which a logarithmic axis does not have"), "{error}");
}

#[test]
fn an_image_lies_where_its_axes_say_and_is_cut_at_whole_columns() {
    let image = Image { values: (0..40).map(|i| -(i as f32)).collect(), n_rows: 4, x: [0.0, 10.0], ..tiny_image() };
    let panel = Panel { image: Some(image), x_range: Some([2.5, 7.0]), ..Panel::default() };
    let spec = FigureSpec { panels: vec![panel], ..FigureSpec::default() };
    let layout = lay_out(&spec, &Ruler::new());
    let groups = draw(&spec, &layout);
    let pictures = groups.iter().flatten().filter_map(|item| match item {
        super::super::ink::Item::Picture { raster, place } => Some((raster, place)),
        _ => None,
    });
    let (raster, place) = pictures.into_iter().next().unwrap();
    assert_eq!((raster.width, raster.height), (4, 4), "columns 3 to 6 of ten");
    let panel = &layout.panels[0];
    let share = |x: f64| (x - panel.left) / panel.width * 4.5 + 2.5;
    assert!((share(place[0]) - 3.0).abs() < 1e-9 && (share(place[0] + place[2]) - 7.0).abs() < 1e-9);
    assert!((place[1] - panel.top).abs() < 1e-9 && (place[3] - panel.height).abs() < 1e-9);
}

#[test]
fn a_hidden_legend_leaves_what_it_names() {
    let mut spec = injection(Width::DoubleColumn);
    let shown = to_svg(&spec).unwrap();
    spec.panels.iter_mut().for_each(|panel| panel.legend = Legend::Hidden);
    spec.caption.clear();
    let hidden = to_svg(&spec).unwrap();
    assert!(!hidden.contains(">D rollout</text>") && !hidden.contains("Injection modes over"));
    let shapes = |svg: &str| svg.split("</g>").take(2).collect::<String>().matches("<path").count();
    assert_eq!(shapes(&shown), shapes(&hidden));
    assert!(tree(&hidden).size().height() < tree(&shown).size().height() - 20.0);
}

#[test]
fn a_figure_remembers_its_view() {
    let folder = tempfile::tempdir().unwrap();
    let spec = crowded();
    let view = serde_json::json!({ "utterance": "übung ‖Δ‖ 音", "t0": 12, "orbit": [0.5, -1.25] });
    for path in write_with_view(&spec, &view, folder.path()).unwrap().iter().take(3) {
        let origin = read_provenance(path).unwrap();
        assert_eq!((origin.provenance, origin.view.as_ref()), (spec.provenance.clone(), Some(&view)), "{}", path.display());
    }
}
