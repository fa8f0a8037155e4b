//! Items as a PDF of one page, with text as text in the embedded font.

use std::ops::Range;

use krilla::color::rgb;
use krilla::configure::{Configuration, ConfigurationBuilder, PdfVersion};
use krilla::embed::{AssociationKind, EmbeddedFile, MimeType};
use krilla::geom::{Path, PathBuilder, Point as PdfPoint, Size, Transform};
use krilla::image::Image;
use krilla::metadata::Metadata;
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill as PdfFill, LineCap, LineJoin, Stroke as PdfStroke, StrokeDash};
use krilla::surface::Surface;
use krilla::text::{Font, GlyphId, KrillaGlyph};
use krilla::{Document, SerializeSettings};

use super::FigureSpec;
use super::draw::INK;
use super::ink::{Anchor, Direction, Fill, Group, Item, Pen, Point, Segment};
use super::layout::Layout;
use super::text::{FONT, Shaper, printable};

/// Name of the attachment that holds the provenance.
const ATTACHMENT: &str = "provenance.json";

/// Handle of a cubic curve that comes nearest to a quarter of a circle, in radii.
const QUARTER: f64 = 0.552_284_749_8;

/// The whole document. It has no date and no random identity, so that the same figure gives the same bytes.
pub(super) fn document(spec: &FigureSpec, layout: &Layout, groups: &[Group], origin_json: &str) -> Result<Vec<u8>, String> {
    let settings = SerializeSettings { configuration: configuration(), enable_tagging: false, ..SerializeSettings::default() };
    let mut document = Document::new_with(settings);
    let size = PageSettings::from_wh(layout.width as f32, layout.height as f32);
    let mut page = document.start_page_with(size.ok_or_else(|| format!("{} × {} pt are no page", layout.width, layout.height))?);
    let mut surface = page.surface();
    let typesetter = Typesetter::new();
    for item in groups.iter().flatten() {
        draw(&mut surface, item, &typesetter)?;
    }
    surface.finish();
    page.finish();
    document.set_metadata(
        Metadata::new()
            .title(printable(&spec.name))
            .description(printable(&spec.caption))
            .creator(format!("Driftscope {}", env!("CARGO_PKG_VERSION"))),
    );
    let file = EmbeddedFile {
        path: ATTACHMENT.to_owned(),
        mime_type: MimeType::new("application/json"),
        description: Some("What made the numbers of this figure".to_owned()),
        association_kind: AssociationKind::Source,
        data: origin_json.as_bytes().to_vec().into(),
        modification_date: None,
        // As it is, so that it is found without unpacking the file.
        compress: Some(false),
        location: None,
    };
    document.embed_file(file).ok_or("two attachments have one name")?;
    document.finish().map_err(|error| error.to_string())
}

/// The newest version that every pdfTeX includes without a warning.
fn configuration() -> Configuration {
    ConfigurationBuilder::new().with_version(PdfVersion::Pdf15).finish().unwrap_or_default()
}

fn draw(surface: &mut Surface<'_>, item: &Item, typesetter: &Typesetter) -> Result<(), String> {
    match item {
        Item::Shape { outline, fill, pen } => {
            if let Some(path) = path(outline) {
                surface.set_fill(fill.map(filling));
                surface.set_stroke(pen.as_ref().map(stroke));
                surface.draw_path(&path);
            }
        }
        Item::Text { text, at, size, anchor, direction } => {
            let line = typesetter.shaper.shape(text);
            let back = match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => 0.5,
                Anchor::End => 1.0,
            };
            let (sin, cos) = if *direction == Direction::Upwards { (-1.0, 0.0) } else { (0.0, 1.0) };
            surface.push_transform(&Transform::from_row(cos, sin, -sin, cos, at[0] as f32, at[1] as f32));
            surface.set_fill(Some(filling(Fill::opaque(INK))));
            surface.set_stroke(None);
            let start = PdfPoint::from_xy((-back * line.width * size) as f32, 0.0);
            surface.draw_glyphs(start, &glyphs(&line.glyphs), typesetter.font.clone(), text, *size as f32, false);
            surface.pop();
        }
        Item::Picture { raster, place: [left, top, width, height] } => {
            let png = raster.png().map_err(|error| error.to_string())?;
            let size = Size::from_wh(*width as f32, *height as f32).ok_or_else(|| format!("a picture of {width} × {height} pt"))?;
            surface.push_transform(&Transform::from_translate(*left as f32, *top as f32));
            surface.draw_image(Image::from_png(png.into(), false)?, size);
            surface.pop();
        }
    }
    Ok(())
}

/// The font, ready to set text in.
struct Typesetter {
    font: Font,
    shaper: Shaper,
}

impl Typesetter {
    fn new() -> Self {
        let font = Font::new(FONT.into(), 0).expect("the embedded font is a font: a test reads it");
        Self { font, shaper: Shaper::new() }
    }
}

fn glyphs(glyphs: &[super::text::Glyph]) -> Vec<KrillaGlyph> {
    let glyph = |g: &super::text::Glyph| {
        let [x, y] = g.offset.map(|ems| ems as f32);
        let range: Range<usize> = g.text.clone();
        KrillaGlyph::new(GlyphId::new(g.id), g.advance as f32, x, y, 0.0, range, None)
    };
    glyphs.iter().map(glyph).collect()
}

fn path(outline: &[Segment]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for segment in outline {
        match *segment {
            Segment::Move([x, y]) => path.move_to(x as f32, y as f32),
            Segment::Line([x, y]) => path.line_to(x as f32, y as f32),
            Segment::Close => path.close(),
            Segment::Circle(center, r) => circle(&mut path, center, r),
        }
    }
    path.finish()
}

fn circle(path: &mut PathBuilder, [x, y]: Point, r: f64) {
    let at = |dx: f64, dy: f64| ((x + dx * r) as f32, (y + dy * r) as f32);
    let start = at(-1.0, 0.0);
    path.move_to(start.0, start.1);
    // Each quarter goes from `from` to `to`, two neighboring directions.
    for (from, to) in [([-1.0, 0.0], [0.0, -1.0]), ([0.0, -1.0], [1.0, 0.0]), ([1.0, 0.0], [0.0, 1.0]), ([0.0, 1.0], [-1.0, 0.0])] {
        let ([fx, fy], [tx, ty]): ([f64; 2], [f64; 2]) = (from, to);
        let (a, b, end) = (at(fx + QUARTER * tx, fy + QUARTER * ty), at(tx + QUARTER * fx, ty + QUARTER * fy), at(tx, ty));
        path.cubic_to(a.0, a.1, b.0, b.1, end.0, end.1);
    }
    path.close();
}

fn filling(fill: Fill) -> PdfFill {
    let [r, g, b] = fill.color;
    PdfFill { paint: rgb::Color::new(r, g, b).into(), opacity: opacity(fill.opacity), ..PdfFill::default() }
}

fn opacity(share: f64) -> NormalizedF32 {
    NormalizedF32::new(share as f32).unwrap_or(NormalizedF32::ONE)
}

fn stroke(pen: &Pen) -> PdfStroke {
    let [r, g, b] = pen.color;
    let dashes = pen.dashes();
    let is_dotted = dashes.is_some_and(|[dash, _]| dash == 0.0);
    PdfStroke {
        paint: rgb::Color::new(r, g, b).into(),
        width: pen.width as f32,
        line_cap: if is_dotted { LineCap::Round } else { LineCap::Butt },
        line_join: LineJoin::Round,
        dash: dashes.map(|lengths| StrokeDash { array: lengths.map(|l| l as f32).to_vec(), offset: 0.0 }),
        ..PdfStroke::default()
    }
}
