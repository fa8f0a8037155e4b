//! `rows · weights` in parts: what the kernel is told, and its CPU twin.

use rayon::prelude::*;

use super::Step;
use super::network::{Activation, From, Layer, To};

/// The shader.
pub const WGSL: &str = include_str!("../../../../shaders/compute/product.wgsl");

/// Columns of a tile.
const TILE_COLUMNS: usize = 64;
/// Rows of a tile of the entry point `few`.
const FEW_ROWS: usize = 8;
/// Rows of a tile of the entry point `many`.
const MANY_ROWS: usize = 64;
/// Up to this many rows weights are read again for every tile.
const FEW: usize = 32;
/// Workgroups that keep a large GPU busy.
const WORKGROUPS: usize = 512;
/// Inputs that a part has at least.
const LEAST_DEPTH: usize = 128;

/// A layer as `product` and `activate` see it.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Shape {
    /// Rows.
    pub n_rows: u32,
    /// Inputs of a row.
    pub n_in: u32,
    /// Outputs of a row.
    pub n_out: u32,
    /// ⌈n_out / 4⌉.
    pub width: u32,
    /// Inputs of one part.
    pub depth: u32,
    /// ⌈n_in / depth⌉.
    pub n_parts: u32,
    /// Row r reads from `from_first + step · from_step + r · from_stride` on.
    pub from_first: u32,
    /// See `from_first`.
    pub from_step: u32,
    /// See `from_first`.
    pub from_stride: u32,
    /// Row r writes from `to_first + r · to_stride` on.
    pub to_first: u32,
    /// See `to_first`.
    pub to_stride: u32,
    /// 1 for a GELU.
    pub activation: u32,
}

impl Shape {
    /// Of `layer` for the rows of `batch`; `hidden` and `columns` are the widths of the hidden buffers and of the head's outputs.
    pub fn of(layer: &Layer, batch: &Step, hidden: usize, columns: usize) -> Self {
        let (n_in, n_out, n_rows) = (layer.n_in, layer.bias.len(), batch.n_rows as usize);
        let n_tiles = n_out.div_ceil(TILE_COLUMNS) * n_rows.div_ceil(tile_rows(n_rows));
        let n_parts = WORKGROUPS.div_ceil(n_tiles).clamp(1, n_in.div_ceil(LEAST_DEPTH).max(1));
        let depth = n_in.div_ceil(n_parts).max(1);
        // Windows slide over the trajectory.
        let (from_step, from_stride) = match layer.from {
            From::Window => (batch.dim, batch.length * batch.dim),
            From::Hidden => (0, hidden as u32),
        };
        let (to_first, to_stride) = match layer.to {
            To::Hidden => (0, hidden),
            To::Heads(first) => (first, columns),
        };
        Self {
            n_rows: batch.n_rows,
            n_in: n_in as u32,
            n_out: n_out as u32,
            width: n_out.div_ceil(4) as u32,
            depth: depth as u32,
            n_parts: n_in.div_ceil(depth) as u32,
            from_first: 0,
            from_step,
            from_stride,
            to_first: to_first as u32,
            to_stride: to_stride as u32,
            activation: u32::from(layer.activation == Activation::Gelu),
        }
    }

    /// Values of the parts.
    pub fn n_part_values(&self) -> usize {
        self.n_parts as usize * self.n_rows as usize * self.width as usize * 4
    }

    /// Whether the entry point `few` is the one.
    pub(super) fn is_few(&self) -> bool {
        self.n_rows as usize <= FEW
    }

    /// Tiles of columns, tiles of rows, parts.
    pub(super) fn workgroups(&self) -> [usize; 3] {
        let n_rows = self.n_rows as usize;
        [(self.n_out as usize).div_ceil(TILE_COLUMNS), n_rows.div_ceil(tile_rows(n_rows)), self.n_parts as usize]
    }
}

fn tile_rows(n_rows: usize) -> usize {
    if n_rows <= FEW { FEW_ROWS } else { MANY_ROWS }
}

/// `weights [n_in, n_out]` with zeros up to a multiple of four columns.
pub(super) fn padded(weights: &[f32], n_out: usize) -> Vec<f32> {
    let width = n_out.next_multiple_of(4);
    let mut padded = vec![0.0; weights.len() / n_out.max(1) * width];
    for (row, padded) in weights.chunks_exact(n_out.max(1)).zip(padded.chunks_exact_mut(width.max(1))) {
        padded[..n_out].copy_from_slice(row);
    }
    padded
}

/// CPU twin: `weights [n_in, 4 · width]`, `parts [n_parts, n_rows, 4 · width]`.
pub fn product(step: &Step, shape: &Shape, inputs: &[f32], weights: &[f32], parts: &mut [f32]) {
    let width = 4 * shape.width as usize;
    parts.par_chunks_exact_mut(width).enumerate().for_each(|(index, part)| {
        let (slice, row) = (index / shape.n_rows as usize, index % shape.n_rows as usize);
        let first = (shape.from_first + step.step * shape.from_step) as usize + row * shape.from_stride as usize;
        let begin = slice * shape.depth as usize;
        let end = (begin + shape.depth as usize).min(shape.n_in as usize);
        part.fill(0.0);
        for (&x, weights) in inputs[first + begin..first + end].iter().zip(weights[begin * width..].chunks_exact(width)) {
            part.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
        }
    });
}
