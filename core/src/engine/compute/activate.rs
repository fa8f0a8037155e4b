//! The parts of a product summed, with the bias, through the activation.

use driftscope_numerics::gelu::gelu;

use super::product::Shape;

/// The shader.
pub const WGSL: &str = include_str!("../../../../shaders/compute/activate.wgsl");

/// CPU twin: `parts [n_parts, n_rows, 4 · width]` and `bias [n_out]` to each row's stretch of `outputs`.
pub fn activate(shape: &Shape, parts: &[f32], bias: &[f32], outputs: &mut [f32]) {
    let (width, n_rows) = (4 * shape.width as usize, shape.n_rows as usize);
    for row in 0..n_rows {
        let out = &mut outputs[shape.to_first as usize + row * shape.to_stride as usize..][..shape.n_out as usize];
        for (column, (out, bias)) in out.iter_mut().zip(bias).enumerate() {
            let sum = (0..shape.n_parts as usize).fold(*bias, |sum, part| sum + parts[(part * n_rows + row) * width + column]);
            *out = if shape.activation == 1 { gelu(sum) } else { sum };
        }
    }
}
