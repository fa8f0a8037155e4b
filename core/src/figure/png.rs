//! SVG to pixels.

use std::sync::{Arc, LazyLock};

use resvg::{tiny_skia, usvg};

use super::text::{FAMILY, FONT};

/// What a PNG carries besides pixels.
pub(super) struct Labels<'a> {
    pub(super) title: &'a str,
    pub(super) origin_json: &'a str,
}

/// Keyword of the chunk that holds what made the figure.
pub(super) const ORIGIN: &str = "Provenance";

/// The embedded font alone, so that no machine's fonts change the bytes; read once, since a preview is rendered at every step of a slider.
static FONTS: LazyLock<Arc<usvg::fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_source(usvg::fontdb::Source::Binary(Arc::new(FONT)));
    fonts.set_sans_serif_family(FAMILY);
    Arc::new(fonts)
});

/// Renders at `dpi` on white.
pub(super) fn from_svg(svg: &str, width_mm: f64, dpi: f64, labels: &Labels) -> Result<Vec<u8>, String> {
    let options = usvg::Options { font_family: FAMILY.to_owned(), fontdb: Arc::clone(&FONTS), ..usvg::Options::default() };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let width = (width_mm / 25.4 * dpi).round().max(1.0);
    let scale = width / f64::from(tree.size().width());
    let height = (f64::from(tree.size().height()) * scale).round().max(1.0);
    let mut pixels =
        tiny_skia::Pixmap::new(width as u32, height as u32).ok_or_else(|| format!("{width} × {height} pixels are too many"))?;
    pixels.fill(tiny_skia::Color::WHITE);
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale as f32, scale as f32), &mut pixels.as_mut());
    encode(&pixels, dpi, labels).map_err(|error| error.to_string())
}

fn encode(pixels: &tiny_skia::Pixmap, dpi: f64, labels: &Labels) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let per_meter = (dpi / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: per_meter, yppu: per_meter, unit: png::Unit::Meter }));
    encoder.add_itxt_chunk("Title".to_owned(), labels.title.to_owned())?;
    encoder.add_itxt_chunk("Software".to_owned(), format!("Driftscope {}", env!("CARGO_PKG_VERSION")))?;
    encoder.add_itxt_chunk(ORIGIN.to_owned(), labels.origin_json.to_owned())?;
    let mut writer = encoder.write_header()?;
    // The background is opaque, so the alpha of every pixel is 255.
    let rgb: Vec<u8> = pixels.data().chunks_exact(4).flat_map(|rgba| [rgba[0], rgba[1], rgba[2]]).collect();
    writer.write_image_data(&rgb)?;
    writer.finish()?;
    Ok(bytes)
}
