//! The font that figures are set in, and how wide its words are.

use std::ops::Range;

use harfrust::{Direction, ShapeOptions, ShaperData, UnicodeBuffer};
use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::{FontRef, MetadataProvider};

/// Inter Regular: the font that PNG and PDF are set in and that SVG asks for by name.
pub(super) const FONT: &[u8] = include_bytes!("../../../assets/fonts/Inter-Regular.otf");

/// What SVG asks for: [`FONT`], then narrower fonts that nearly every machine has, so that nothing overflows without it.
pub(super) const FAMILIES: &str = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif";

/// `text` without the characters that XML cannot hold.
pub(super) fn printable(text: &str) -> String {
    let is_unfit = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if is_unfit(c) { '\u{fffd}' } else { c }).collect()
}

/// Measures text in [`FONT`].
pub(super) struct Ruler<'a> {
    font: FontRef<'a>,
    advances: GlyphMetrics<'a>,
}

impl Ruler<'static> {
    /// Reads the embedded font.
    pub(super) fn new() -> Self {
        let font = FontRef::new(FONT).expect("the embedded font is a font: a test reads it");
        let advances = font.glyph_metrics(Size::new(1.0), LocationRef::default());
        Self { font, advances }
    }
}

impl Ruler<'_> {
    /// Width in the unit of `size`, without kerning. Letters that the font lacks count as wide ones.
    pub(super) fn width(&self, text: &str, size: f64) -> f64 {
        let map = self.font.charmap();
        let ems: f64 = text.chars().map(|c| map.map(c).and_then(|glyph| self.advances.advance_width(glyph)).map_or(1.0, f64::from)).sum();
        ems * size
    }

    /// Breaks `text` at spaces into lines no wider than `limit`; a single word wider than that is broken within. Line breaks are kept.
    pub(super) fn wrap(&self, text: &str, size: f64, limit: f64) -> Vec<String> {
        let mut lines = Vec::new();
        for paragraph in text.lines() {
            let mut line = String::new();
            for word in paragraph.split_whitespace() {
                let candidate = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
                if self.width(&candidate, size) <= limit {
                    line = candidate;
                    continue;
                }
                if !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                }
                line = self.break_word(word, size, limit, &mut lines);
            }
            lines.push(line);
        }
        lines
    }

    fn break_word(&self, word: &str, size: f64, limit: f64, lines: &mut Vec<String>) -> String {
        let mut line = String::new();
        for letter in word.chars() {
            line.push(letter);
            if self.width(&line, size) > limit && line.chars().count() > 1 {
                line.pop();
                lines.push(std::mem::replace(&mut line, letter.to_string()));
            }
        }
        line
    }
}

/// Turns text into glyphs of [`FONT`] as viewers of the SVG do, with kerning and ligatures.
pub(super) struct Shaper {
    font: harfrust::FontRef<'static>,
    data: ShaperData,
}

/// One line of glyphs; lengths in ems.
pub(super) struct Line {
    pub(super) glyphs: Vec<Glyph>,
    pub(super) width: f64,
}

/// A glyph and the part of the text that it stands for.
pub(super) struct Glyph {
    pub(super) id: u32,
    pub(super) advance: f64,
    /// To the right and up.
    pub(super) offset: [f64; 2],
    pub(super) text: Range<usize>,
}

impl Shaper {
    /// Reads the embedded font.
    pub(super) fn new() -> Self {
        let font = harfrust::FontRef::new(FONT).expect("the embedded font is a font: a test reads it");
        let data = ShaperData::new(&font);
        Self { font, data }
    }

    /// Sets one line from left to right.
    pub(super) fn shape(&self, text: &str) -> Line {
        let shaper = self.data.shaper(&self.font).build();
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.set_direction(Direction::LeftToRight);
        buffer.guess_segment_properties();
        let shaped = shaper.shape(buffer, ShapeOptions::new());
        let ems = |units: i32| f64::from(units) / f64::from(shaper.units_per_em());
        let infos = shaped.glyph_infos();
        let end_of = |start: u32| infos.iter().map(|i| i.cluster).filter(|c| *c > start).min().map_or(text.len(), |c| c as usize);
        let glyph = |(info, position): (&harfrust::GlyphInfo, &harfrust::GlyphPosition)| Glyph {
            id: info.glyph_id,
            advance: ems(position.x_advance),
            offset: [ems(position.x_offset), ems(position.y_offset)],
            text: info.cluster as usize..end_of(info.cluster),
        };
        let glyphs: Vec<Glyph> = infos.iter().zip(shaped.glyph_positions()).map(glyph).collect();
        Line { width: glyphs.iter().map(|g| g.advance).sum(), glyphs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_add_up_and_scale() {
        let ruler = Ruler::new();
        let (a, b) = (ruler.width("Δ", 10.0), ruler.width("cos", 10.0));
        assert!(a > 5.0 && a < 10.0, "{a}");
        assert!((ruler.width("Δcos", 20.0) - 2.0 * (a + b)).abs() < 1e-4);
    }

    #[test]
    fn a_set_line_is_about_as_wide_as_measured_and_stands_for_all_its_text() {
        for text in ["Direction cosine", "‖x̂ − x‖ / median ‖Δ‖", "AVA To fi −1·10⁻⁵", ""] {
            let line = Shaper::new().shape(text);
            let measured = Ruler::new().width(text, 1.0);
            assert!((line.width - measured).abs() <= 0.02 * measured + 0.15, "{text}: {} and {measured}", line.width);
            let covered: std::collections::BTreeSet<usize> = line.glyphs.iter().flat_map(|g| g.text.clone()).collect();
            assert_eq!(covered.len(), text.len());
        }
    }

    #[test]
    fn the_font_has_the_letters_of_the_field() {
        let map = Ruler::new().font.charmap();
        let missing: String = "Δκσθαβμλτρ√∞≤≥≈×·−–…‖⁰¹²³⁴⁵⁶⁷⁸⁹⁻₁₂±→°∑▽".chars().filter(|c| map.map(*c).is_none()).collect();
        assert_eq!(missing, "");
    }

    #[test]
    fn wrapped_lines_fit_and_lose_nothing() {
        let ruler = Ruler::new();
        let text = "State error after the step, divided by the median ‖Δ‖.\nSecond paragraph: Donaudampfschifffahrtsgesellschaft";
        for limit in [40.0, 60.0, 120.0, 1e4] {
            let lines = ruler.wrap(text, 8.0, limit);
            assert!(lines.iter().all(|line| ruler.width(line, 8.0) <= limit), "{limit}: {lines:?}");
            let letters = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(text));
        }
        assert_eq!(ruler.wrap(text, 8.0, 1e4).len(), 2);
        assert!(ruler.wrap("", 8.0, 10.0).is_empty());
    }
}
