//! Items as SVG, with text as text.

use std::fmt::Write as _;

use base64::Engine as _;

use super::FigureSpec;
use super::draw::INK;
use super::ink::{Anchor, Direction, Fill, Group, Item, Pen, Segment};
use super::layout::Layout;
use super::palette::Rgb;
use super::text::{FAMILIES, printable};

/// The whole document.
pub(super) fn document(spec: &FigureSpec, layout: &Layout, groups: &[Group], origin_json: &str) -> Result<String, png::EncodingError> {
    let (width, height, font) = (layout.width, layout.height, layout.sizes.font);
    let millimeters = |pt: f64| number(pt / 72.0 * 25.4);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}mm\" height=\"{}mm\" viewBox=\"0 0 {} {}\" font-family=\"{FAMILIES}\" \
         font-size=\"{}\" fill=\"{}\">\n",
        millimeters(width),
        millimeters(height),
        number(width),
        number(height),
        number(font),
        hex(INK),
    );
    text += &format!("<title>{}</title>\n<desc>{}</desc>\n", escaped(&spec.name), escaped(&spec.caption));
    text += &format!("<metadata>{}</metadata>\n", escaped(origin_json));
    text += &format!("<rect width=\"{}\" height=\"{}\" fill=\"#ffffff\"/>\n", number(width), number(height));
    for group in groups {
        text.push_str("<g>\n");
        for item in group {
            text.push_str(&markup(item, font)?);
        }
        text.push_str("</g>\n");
    }
    text.push_str("</svg>\n");
    Ok(text)
}

fn markup(item: &Item, font: f64) -> Result<String, png::EncodingError> {
    Ok(match item {
        Item::Shape { outline, fill, pen } => {
            let paint = filling(*fill) + &pen.as_ref().map(line).unwrap_or_default();
            match outline[..] {
                [Segment::Circle([x, y], r)] => {
                    format!("<circle cx=\"{}\" cy=\"{}\" r=\"{}\"{paint}/>\n", number(x), number(y), number(r))
                }
                _ => format!("<path d=\"{}\"{paint}/>\n", path(outline)),
            }
        }
        Item::Text { text, at, size, anchor, direction } => {
            let size = if *size == font { String::new() } else { format!(" font-size=\"{}\"", number(*size)) };
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let (x, y) = (number(at[0]), number(at[1]));
            let place = match direction {
                Direction::Rightwards => format!("x=\"{x}\" y=\"{y}\""),
                Direction::Upwards => format!("transform=\"translate({x} {y}) rotate(-90)\""),
            };
            format!("<text {place}{anchor}{size}>{}</text>\n", escaped(text))
        }
        Item::Picture { raster, place: [left, top, width, height] } => {
            let png = base64::engine::general_purpose::STANDARD.encode(raster.png()?);
            format!(
                "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" \
                 style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{png}\"/>\n",
                number(*left),
                number(*top),
                number(*width),
                number(*height),
            )
        }
    })
}

fn filling(fill: Option<Fill>) -> String {
    match fill {
        None => " fill=\"none\"".to_owned(),
        Some(Fill { color, opacity }) if opacity < 1.0 => format!(" fill=\"{}\" fill-opacity=\"{}\"", hex(color), number(opacity)),
        Some(Fill { color, .. }) => format!(" fill=\"{}\"", hex(color)),
    }
}

fn line(pen: &Pen) -> String {
    let dashes = pen.dashes().map_or_else(String::new, |[dash, gap]| {
        let cap = if dash == 0.0 { " stroke-linecap=\"round\"" } else { "" };
        format!(" stroke-dasharray=\"{} {}\"{cap}", number(dash), number(gap))
    });
    format!(" stroke=\"{}\" stroke-width=\"{}\"{dashes} stroke-linejoin=\"round\"", hex(pen.color), number(pen.width))
}

fn path(outline: &[Segment]) -> String {
    let mut data = String::new();
    for segment in outline {
        let _ = match *segment {
            Segment::Move([x, y]) => write!(data, "M{} {}", number(x), number(y)),
            Segment::Line([x, y]) => write!(data, "L{} {}", number(x), number(y)),
            Segment::Close => write!(data, "Z"),
            Segment::Circle([x, y], r) => {
                let (left, y, r, d) = (number(x - r), number(y), number(r), number(2.0 * r));
                write!(data, "M{left} {y}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0Z")
            }
        };
    }
    data
}

/// Two decimals (a 7000th of an inch) and no trailing zeros.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in printable(text).chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}
