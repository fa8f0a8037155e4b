//! The cells of an image as pixels: never more of them than print shows or than there are cells.

use super::Image;
use super::palette::{LIGHT_GRAY, Rgb};

/// Pixels an inch at which print shows no more.
const DPI: f64 = 300.0;

/// Pixels of all images of one figure together; so many, even of noise, stay under a megabyte in every format.
const MOST_PIXELS: f64 = 400_000.0;

/// Index of cells without a value.
const BLANK: u8 = 255;

/// Pixels, each an index into the palette.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Raster {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Row by row from the top.
    pub(super) indices: Vec<u8>,
    pub(super) palette: Vec<Rgb>,
}

/// How many pixels a row and a column of an image of `size` (width and height in pt) may have when `n_images` share the budget.
pub(super) fn resolution(size: [f64; 2], n_images: usize) -> [usize; 2] {
    let [width, height] = size.map(|pt| (pt / 72.0 * DPI).ceil().max(1.0));
    let shrink = (MOST_PIXELS / n_images.max(1) as f64 / (width * height)).sqrt().min(1.0);
    [width, height].map(|n| ((n * shrink) as usize).max(1))
}

/// The columns `first..last` of `image`, which has no fault, in at most `most` pixels across and down. Cells that share a pixel show their
/// highest value, so that a narrow partial is not lost.
pub(super) fn raster(image: &Image, columns: std::ops::Range<usize>, most: [usize; 2]) -> Raster {
    let (n_columns, n_rows) = (columns.len(), image.n_rows);
    let (width, height) = (most[0].min(n_columns), most[1].min(n_rows));
    let cells = |i: usize, pixels: usize, cells: usize| i * cells / pixels..(i + 1) * cells / pixels;
    let mut indices = Vec::with_capacity(width * height);
    for y in (0..height).rev() {
        for x in 0..width {
            let column = cells(x, width, n_columns).map(|c| (columns.start + c) * n_rows);
            let rows = cells(y, height, n_rows);
            // `f32::max` prefers the number to NaN.
            let value = column.flat_map(|start| &image.values[start + rows.start..start + rows.end]).copied().fold(f32::NAN, f32::max);
            indices.push(index(f64::from(value), image.range));
        }
    }
    Raster { width, height, indices, palette: palette(image) }
}

/// All colors from the highest to the lowest, one pixel wide.
pub(super) fn color_bar(image: &Image) -> Raster {
    Raster { width: 1, height: BLANK as usize, indices: (0..BLANK).rev().collect(), palette: palette(image) }
}

fn index(value: f64, [low, high]: [f64; 2]) -> u8 {
    let position = (value - low) / (high - low);
    if position.is_nan() { BLANK } else { (position.clamp(0.0, 1.0) * f64::from(BLANK - 1)).round() as u8 }
}

/// 255 of the 256 colors, and the one of cells without a value.
fn palette(image: &Image) -> Vec<Rgb> {
    let color = |i: u8| image.colors[(usize::from(i) * (image.colors.len() - 1) + 127) / usize::from(BLANK - 1)];
    (0..BLANK).map(color).chain([LIGHT_GRAY]).collect()
}

impl Raster {
    /// As an indexed PNG.
    pub(super) fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(self.palette.concat());
        encoder.set_compression(png::Compression::Balanced);
        // Neighboring indices differ at random: predicting them costs more than it saves.
        encoder.set_filter(png::Filter::NoFilter);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.indices)?;
        writer.finish()?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(values: Vec<f32>, n_rows: usize) -> Image {
        let colors = (0..=255).map(|i| [i, 0, 0]).collect();
        Image { name: String::new(), label: String::new(), values, n_rows, x: [0.0, 1.0], y: [0.0, 1.0], range: [0.0, 254.0], colors }
    }

    #[test]
    fn columns_become_rows_from_the_top_and_ends_take_what_lies_beyond() {
        let image = image(vec![0.0, 1.0, f32::NEG_INFINITY, f32::INFINITY, f32::NAN, 9.0], 2);
        assert_eq!(
            raster(&image, 0..3, [9, 9]),
            Raster { width: 3, height: 2, indices: vec![1, 254, 9, 0, 0, 255], palette: palette(&image) }
        );
        assert_eq!(raster(&image, 1..3, [9, 9]).indices, [254, 9, 0, 255]);
        assert_eq!(palette(&image)[255], LIGHT_GRAY);
        assert_eq!((palette(&image)[0], palette(&image)[254]), ([0, 0, 0], [255, 0, 0]));
    }

    #[test]
    fn cells_that_share_a_pixel_show_their_highest() {
        let mut values = vec![1.0; 100];
        values[57] = 200.0;
        values[3] = f32::NAN;
        let small = raster(&image(values, 10), 0..10, [2, 5]);
        assert_eq!((small.width, small.height), (2, 5));
        let highest: Vec<usize> = (0..10).filter(|i| small.indices[*i] == 200).collect();
        assert_eq!(highest, [3], "cell 5, 7 lies in the right half, in the second fifth from the top");
    }

    #[test]
    fn print_resolution_within_the_budget() {
        assert_eq!(resolution([72.0, 36.0], 1), [300, 150]);
        let [width, height] = resolution([482.0, 400.0], 2);
        assert!(width * height <= 200_000 && width * height > 190_000, "{width} × {height}");
        assert_eq!(resolution([0.0, 0.0], 0), [1, 1]);
    }
}
