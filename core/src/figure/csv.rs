//! The plotted numbers as text.

use super::{Axis, FigureSpec, Image, Panel, Scale};

/// Every plotted number, undecimated: `panel,series,x,y,low,high`, and `value` where the figure has an image. A guide has no x; a
/// waveform has no y but the low and high of each of its stretches, at their centers; an image has a row for each cell: x and y of its
/// center, and its value. A number that is not finite is written as `NaN`, `inf` or `-inf`; low and high are empty without a band.
pub fn to_csv(spec: &FigureSpec) -> String {
    let has_image = spec.panels.iter().any(|panel| panel.image.is_some());
    let (header, end) = if has_image { (",value\n", ",\n") } else { ("\n", "\n") };
    let mut text = format!("panel,series,x,y,low,high{header}");
    for (index, panel) in spec.panels.iter().enumerate() {
        let title = quoted(&panel_name(panel, index));
        for series in &panel.series {
            let name = quoted(&series.name);
            for (i, [x, y]) in series.points.iter().enumerate() {
                let edge = |edge: fn(&super::Band) -> &Vec<f64>| {
                    series.band.as_ref().and_then(|band| edge(band).get(i)).map(f64::to_string).unwrap_or_default()
                };
                text += &format!("{title},{name},{x},{y},{},{}{end}", edge(|band| &band.low), edge(|band| &band.high));
            }
        }
        for guide in &panel.guides {
            text += &format!("{title},{},,{},,{end}", quoted(&guide.name), guide.y);
        }
        for envelope in &panel.envelopes {
            let name = quoted(&envelope.name);
            for ([x, ..], [low, high]) in envelope.columns().zip(&envelope.extremes) {
                text += &format!("{title},{name},{x},,{low},{high}{end}");
            }
        }
        if let Some(image) = &panel.image {
            image_rows(&mut text, &title, image, panel.y_scale);
        }
    }
    text
}

fn image_rows(text: &mut String, title: &str, image: &Image, y_scale: Scale) {
    let name = quoted(&image.name);
    let axis = |scale, [low, high]: [f64; 2], n: usize| {
        let axis = Axis { scale, low, high };
        (0..n).map(|i| axis.value((i as f64 + 0.5) / n as f64)).collect::<Vec<f64>>()
    };
    let (xs, ys) = (axis(Scale::Linear, image.x, image.n_columns()), axis(y_scale, image.y, image.n_rows));
    for (x, column) in xs.iter().zip(image.values.chunks(image.n_rows.max(1))) {
        for (y, value) in ys.iter().zip(column) {
            text.push_str(&format!("{title},{name},{x},{y},,,{value}\n"));
        }
    }
}

/// The title, else what is on its y axis, else its number from 1.
fn panel_name(panel: &Panel, index: usize) -> String {
    [&panel.title, &panel.y_label].into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_else(|| (index + 1).to_string())
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}
