//! Items as pixels. The glyphs are those of the embedded font, so that no machine's fonts change a pixel.

use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{GlyphId, MetadataProvider as _, instance::LocationRef, instance::Size};
use tiny_skia::{Color, FillRule, FilterQuality, LineCap, LineJoin, Paint, PathBuilder, Pixmap, PixmapPaint, PremultipliedColorU8};
use tiny_skia::{Stroke as Outline, StrokeDash, Transform};

use super::draw::INK;
use super::ink::{Anchor, Direction, Fill, Group, Item, Pen, Segment};
use super::layout::Layout;
use super::palette::Rgb;
use super::raster::Raster;
use super::text::{FONT, Shaper};

/// Drawn on white, `width` pixels across; `None` when that is too much for the memory.
pub(super) fn pixels(layout: &Layout, groups: &[Group], width: f64) -> Option<Pixmap> {
    let scale = width / layout.width;
    let height = (layout.height * scale).round().max(1.0);
    let mut canvas = Canvas {
        pixels: Pixmap::new(width as u32, height as u32)?,
        page: Transform::from_scale(scale as f32, scale as f32),
        font: skrifa::FontRef::new(FONT).expect("the embedded font is a font: a test reads it"),
        shaper: Shaper::new(),
    };
    canvas.pixels.fill(Color::WHITE);
    groups.iter().flatten().for_each(|item| canvas.draw(item));
    Some(canvas.pixels)
}

struct Canvas {
    pixels: Pixmap,
    /// pt to pixels.
    page: Transform,
    font: skrifa::FontRef<'static>,
    shaper: Shaper,
}

impl Canvas {
    fn draw(&mut self, item: &Item) {
        match item {
            Item::Shape { outline, fill, pen } => {
                let Some(path) = path(outline) else { return };
                if let Some(fill) = fill {
                    self.pixels.fill_path(&path, &paint(*fill), FillRule::Winding, self.page, None);
                }
                if let Some(pen) = pen {
                    self.pixels.stroke_path(&path, &paint(Fill::opaque(pen.color)), &stroke(pen), self.page, None);
                }
            }
            Item::Text { text, at, size, anchor, direction } => {
                let line = self.shaper.shape(text);
                let mut pen = GlyphPen { path: PathBuilder::new(), x: 0.0, y: 0.0 };
                let mut x = match anchor {
                    Anchor::Start => 0.0,
                    Anchor::Middle => -0.5 * line.width,
                    Anchor::End => -line.width,
                };
                let glyphs = self.font.outline_glyphs();
                let settings = || DrawSettings::unhinted(Size::new(*size as f32), LocationRef::default());
                for glyph in &line.glyphs {
                    (pen.x, pen.y) = (((x + glyph.offset[0]) * size) as f32, (glyph.offset[1] * size) as f32);
                    // A glyph without an outline leaves its place empty.
                    let _ = glyphs.get(GlyphId::new(glyph.id)).map(|outline| outline.draw(settings(), &mut pen));
                    x += glyph.advance;
                }
                let Some(path) = pen.path.finish() else { return };
                let (sin, cos) = if *direction == Direction::Upwards { (-1.0, 0.0) } else { (0.0, 1.0) };
                let place = self.page.pre_concat(Transform::from_row(cos, sin, -sin, cos, at[0] as f32, at[1] as f32));
                self.pixels.fill_path(&path, &paint(Fill::opaque(INK)), FillRule::Winding, place, None);
            }
            Item::Picture { raster, place: [left, top, width, height] } => {
                let Some(cells) = cells(raster) else { return };
                let size = [width / raster.width as f64, height / raster.height as f64].map(|pt| pt as f32);
                let place = self.page.pre_translate(*left as f32, *top as f32).pre_scale(size[0], size[1]);
                // Cells are to be told apart; where they are smaller than pixels, leaving some out would be false.
                let is_smaller = place.sx.min(place.sy) < 1.0;
                let quality = if is_smaller { FilterQuality::Bilinear } else { FilterQuality::Nearest };
                let paint = PixmapPaint { quality, ..PixmapPaint::default() };
                self.pixels.draw_pixmap(0, 0, cells.as_ref(), &paint, place, None);
            }
        }
    }
}

fn cells(raster: &Raster) -> Option<Pixmap> {
    let mut cells = Pixmap::new(raster.width as u32, raster.height as u32)?;
    for (cell, index) in cells.pixels_mut().iter_mut().zip(&raster.indices) {
        let [r, g, b]: Rgb = raster.palette[usize::from(*index)];
        *cell = PremultipliedColorU8::from_rgba(r, g, b, 255)?;
    }
    Some(cells)
}

fn paint(fill: Fill) -> Paint<'static> {
    let [r, g, b] = fill.color;
    let mut paint = Paint::default();
    paint.set_color_rgba8(r, g, b, (255.0 * fill.opacity).round() as u8);
    paint
}

fn stroke(pen: &Pen) -> Outline {
    let dashes = pen.dashes();
    let is_dotted = dashes.is_some_and(|[dash, _]| dash == 0.0);
    Outline {
        width: pen.width as f32,
        line_cap: if is_dotted { LineCap::Round } else { LineCap::Butt },
        line_join: LineJoin::Round,
        dash: dashes.and_then(|lengths| StrokeDash::new(lengths.map(|l| l as f32).to_vec(), 0.0)),
        ..Outline::default()
    }
}

fn path(outline: &[Segment]) -> Option<tiny_skia::Path> {
    let mut path = PathBuilder::new();
    for segment in outline {
        match *segment {
            Segment::Move([x, y]) => path.move_to(x as f32, y as f32),
            Segment::Line([x, y]) => path.line_to(x as f32, y as f32),
            Segment::Close => path.close(),
            Segment::Circle([x, y], r) => path.push_circle(x as f32, y as f32, r as f32),
        }
    }
    path.finish()
}

/// Collects outlines of glyphs, whose y points up, at a place on a line.
struct GlyphPen {
    path: PathBuilder,
    x: f32,
    y: f32,
}

impl OutlinePen for GlyphPen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.x + x, -self.y - y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.x + x, -self.y - y);
    }

    fn quad_to(&mut self, cx: f32, cy: f32, x: f32, y: f32) {
        self.path.quad_to(self.x + cx, -self.y - cy, self.x + x, -self.y - y);
    }

    fn curve_to(&mut self, ax: f32, ay: f32, bx: f32, by: f32, x: f32, y: f32) {
        self.path.cubic_to(self.x + ax, -self.y - ay, self.x + bx, -self.y - by, self.x + x, -self.y - y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
