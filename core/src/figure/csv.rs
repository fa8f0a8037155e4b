//! The plotted numbers as text.

use super::{FigureSpec, Panel};

/// Every plotted number, undecimated: `panel,series,x,y,low,high`. A guide has no x; a number that is not finite is written as `NaN`,
/// `inf` or `-inf`; low and high are empty without a band.
pub fn to_csv(spec: &FigureSpec) -> String {
    let mut text = String::from("panel,series,x,y,low,high\n");
    for (index, panel) in spec.panels.iter().enumerate() {
        let title = quoted(&panel_name(panel, index));
        for series in &panel.series {
            let name = quoted(&series.name);
            for (i, [x, y]) in series.points.iter().enumerate() {
                let edge = |edge: fn(&super::Band) -> &Vec<f64>| {
                    series.band.as_ref().and_then(|band| edge(band).get(i)).map(f64::to_string).unwrap_or_default()
                };
                text += &format!("{title},{name},{x},{y},{},{}\n", edge(|band| &band.low), edge(|band| &band.high));
            }
        }
        for guide in &panel.guides {
            text += &format!("{title},{},,{},,\n", quoted(&guide.name), guide.y);
        }
    }
    text
}

/// The title, else what is on its y axis, else its number from 1.
fn panel_name(panel: &Panel, index: usize) -> String {
    [&panel.title, &panel.y_label].into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_else(|| (index + 1).to_string())
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}
