//! Pixels as a file that says its resolution and what made it.

/// What a PNG carries besides pixels.
pub(super) struct Labels<'a> {
    pub(super) title: &'a str,
    pub(super) origin_json: &'a str,
}

/// Keyword of the chunk that holds what made the figure.
pub(super) const ORIGIN: &str = "Provenance";

/// The whole file.
pub(super) fn encode(pixels: &tiny_skia::Pixmap, dpi: f64, labels: &Labels) -> Result<Vec<u8>, png::EncodingError> {
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
    let mut rgb = Vec::with_capacity(pixels.data().len() / 4 * 3);
    pixels.data().chunks_exact(4).for_each(|rgba| rgb.extend_from_slice(&rgba[..3]));
    writer.write_image_data(&rgb)?;
    writer.finish()?;
    Ok(bytes)
}
