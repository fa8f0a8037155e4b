//! Residual vector quantizers (Zeghidour et al. 2021).

use driftscope_numerics::activation::Activation;
use driftscope_numerics::dense::{Dense, Windows, Workers};
use driftscope_numerics::linear::{Accum, MatMut, MatRef, multiply_f32};

use super::weights::Weights;
use crate::codec::CodecError;

/// Frames looked up at once.
const BLOCK: usize = 256;

/// Squared distances this near to the smallest, relative to the lengths, are computed again without cancellation.
const NEAR: f32 = 1e-5;

/// Quantizers that each take the same latents and whose results are added: Mimi has a semantic and an acoustic one, EnCodec one.
#[derive(Debug)]
pub(in crate::codec) struct Quantizer {
    parts: Vec<Residual>,
    /// Of the latents.
    dim: usize,
}

/// Codebooks of which each quantizes what those before leave.
#[derive(Debug)]
pub(in crate::codec) struct Residual {
    projections: Option<Projections>,
    codebooks: Vec<Codebook>,
    /// Of the codebooks.
    dim: usize,
}

#[derive(Debug)]
struct Projections {
    /// Latents to codes.
    input: Dense,
    /// Codes to latents.
    output: Dense,
}

#[derive(Debug)]
struct Codebook {
    /// `[size, dim]`.
    vectors: Vec<f32>,
    /// Half the squared length of each.
    half_squares: Vec<f32>,
}

/// Sizes of a residual quantizer.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct ResidualConfig {
    pub(in crate::codec) n_levels: usize,
    pub(in crate::codec) size: usize,
    /// Of the codebooks.
    pub(in crate::codec) dim: usize,
}

/// How a file keeps its codebooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) enum Kept {
    /// The sums of what was assigned to an entry, and how much that was (Mimi).
    Sums,
    /// The vectors (EnCodec).
    Vectors,
}

impl Residual {
    /// Takes `name.layers.*.codebook` and, where the codebooks have another dimension than the latents, `name.{input,output}_proj`.
    pub(in crate::codec) fn load(
        weights: &mut Weights,
        name: &str,
        latent_dim: usize,
        config: ResidualConfig,
        kept: Kept,
    ) -> Result<Self, CodecError> {
        let ResidualConfig { n_levels, size, dim } = config;
        let projections = if dim == latent_dim {
            None
        } else {
            let mut projection = |which: &str, n_in: usize, n_out: usize| -> Result<Dense, CodecError> {
                let weight = weights.take(&format!("{name}.{which}.weight"), &[n_out, n_in, 1])?;
                Ok(Dense::from_rows(&weight, n_in, &[], Activation::Identity))
            };
            Some(Projections { input: projection("input_proj", latent_dim, dim)?, output: projection("output_proj", dim, latent_dim)? })
        };
        let codebook = |i: usize| -> Result<Codebook, CodecError> {
            let name = format!("{name}.layers.{i}.codebook");
            let vectors = match kept {
                Kept::Vectors => weights.take(&format!("{name}.embed"), &[size, dim])?,
                Kept::Sums => {
                    let mut sums = weights.take(&format!("{name}.embed_sum"), &[size, dim])?;
                    let usage = weights.take(&format!("{name}.cluster_usage"), &[size])?;
                    for (sum, usage) in sums.chunks_exact_mut(dim).zip(usage) {
                        sum.iter_mut().for_each(|v| *v /= usage.max(1e-5));
                    }
                    sums
                }
            };
            Ok(Codebook::new(vectors, dim))
        };
        Ok(Self { projections, codebooks: (0..n_levels).map(codebook).collect::<Result<_, _>>()?, dim })
    }

    /// Latents `[n, latents]` to the space of the codebooks, `[n, dim]`.
    fn project(&self, latents: &[f32], latent_dim: usize) -> Vec<f32> {
        let Some(projections) = &self.projections else { return latents.to_vec() };
        let mut out = vec![0.0; latents.len() / latent_dim * self.dim];
        projections.input.forward(latents, &mut out);
        out
    }

    /// Adds what `[n, dim]` is among the latents.
    fn add_unprojected(&self, vectors: &[f32], latents: &mut [f32]) {
        match &self.projections {
            Some(projections) => {
                projections.output.run(latents, Accum::Add, Windows { values: vectors, step: self.dim }, Workers::Pool);
            }
            None => latents.iter_mut().zip(vectors).for_each(|(l, v)| *l += v),
        }
    }
}

impl Codebook {
    fn new(vectors: Vec<f32>, dim: usize) -> Self {
        let half_squares = vectors.chunks_exact(dim).map(|v| v.iter().map(|x| x * x).sum::<f32>() / 2.0).collect();
        Self { vectors, half_squares }
    }

    /// The entry nearest to each of `[n, dim]`, the first of equally near ones.
    fn nearest(&self, vectors: &[f32], dim: usize) -> Vec<u32> {
        let size = self.half_squares.len();
        let mut products = vec![0.0; vectors.len() / dim * size];
        let (n, entries) = (vectors.len() / dim, MatRef::from_row_major_slice(&self.vectors, size, dim));
        let (out, frames) = (MatMut::from_row_major_slice_mut(&mut products, n, size), MatRef::from_row_major_slice(vectors, n, dim));
        multiply_f32(out, Accum::Replace, frames, entries.transpose(), 1.0);
        let choose = |(products, vector): (&mut [f32], &[f32])| {
            products.iter_mut().zip(&self.half_squares).for_each(|(p, half)| *p = half - *p);
            let smallest = products.iter().copied().fold(f32::INFINITY, f32::min);
            let length: f32 = vector.iter().map(|v| v * v).sum();
            let near = smallest + NEAR * (length + smallest.abs());
            let exact = |i: usize| -> f64 {
                let entry = &self.vectors[i * dim..(i + 1) * dim];
                entry.iter().zip(vector).map(|(e, v)| (f64::from(*e) - f64::from(*v)).powi(2)).sum()
            };
            let candidates = products.iter().enumerate().filter(|(_, p)| **p <= near);
            candidates.map(|(i, _)| (exact(i), i)).min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, i)| i as u32)
        };
        products.chunks_exact_mut(size).zip(vectors.chunks_exact(dim)).map(choose).collect()
    }
}

impl Quantizer {
    pub(in crate::codec) fn new(parts: Vec<Residual>, dim: usize) -> Self {
        Self { parts, dim }
    }

    /// Levels of all parts.
    pub(super) fn n_levels(&self) -> usize {
        self.parts.iter().map(|part| part.codebooks.len()).sum()
    }

    /// Entries of a codebook.
    pub(super) fn size(&self) -> usize {
        self.parts[0].codebooks[0].half_squares.len()
    }

    /// Dimensions of the codebooks of all parts.
    pub(super) fn projected_dim(&self) -> usize {
        self.parts.iter().map(|part| part.dim).sum()
    }

    /// Whether there are projections at all.
    pub(super) fn projects(&self) -> bool {
        self.parts.iter().any(|part| part.projections.is_some())
    }

    /// Latents `[n, dim]` to indices `[n, n_levels]` of the first levels.
    pub(super) fn encode(&self, latents: &[f32], n_levels: usize) -> Vec<u32> {
        latents.chunks(BLOCK * self.dim).flat_map(|block| self.encode_block(block, n_levels)).collect()
    }

    fn encode_block(&self, latents: &[f32], n_levels: usize) -> Vec<u32> {
        let mut codes = vec![0; latents.len() / self.dim * n_levels];
        let mut level = 0;
        for part in &self.parts {
            let mut left = part.project(latents, self.dim);
            for codebook in part.codebooks.iter().take(n_levels - level) {
                let nearest = codebook.nearest(&left, part.dim);
                for ((i, left), code) in
                    nearest.iter().zip(left.chunks_exact_mut(part.dim)).zip(codes[level..].iter_mut().step_by(n_levels))
                {
                    *code = *i;
                    let entry = &codebook.vectors[*i as usize * part.dim..(*i as usize + 1) * part.dim];
                    left.iter_mut().zip(entry).for_each(|(l, e)| *l -= e);
                }
                level += 1;
            }
        }
        codes
    }

    /// Indices `[n, n_levels]` to latents `[n, dim]`; each index is below [`Self::size`].
    pub(super) fn decode(&self, codes: &[u32], n_levels: usize) -> Vec<f32> {
        let n = codes.len() / n_levels;
        let mut latents = vec![0.0; n * self.dim];
        let mut level = 0;
        for part in &self.parts {
            let used = part.codebooks.len().min(n_levels - level);
            let mut sum = vec![0.0; n * part.dim];
            for (codes, sum) in codes.chunks_exact(n_levels).zip(sum.chunks_exact_mut(part.dim)) {
                for (codebook, code) in part.codebooks.iter().zip(&codes[level..level + used]) {
                    let entry = &codebook.vectors[*code as usize * part.dim..(*code as usize + 1) * part.dim];
                    sum.iter_mut().zip(entry).for_each(|(s, e)| *s += e);
                }
            }
            part.add_unprojected(&sum, &mut latents);
            level += used;
        }
        latents
    }

    /// Latents `[n, dim]` to the spaces of the codebooks, part after part, `[n, projected_dim]`.
    pub(super) fn project(&self, latents: &[f32]) -> Vec<f32> {
        let parts: Vec<Vec<f32>> = self.parts.iter().map(|part| part.project(latents, self.dim)).collect();
        let n = latents.len() / self.dim;
        let frame = |t: usize| self.parts.iter().zip(&parts).flat_map(move |(part, values)| &values[t * part.dim..(t + 1) * part.dim]);
        (0..n).flat_map(frame).copied().collect()
    }

    /// The way back from [`Self::project`], without quantizing.
    pub(super) fn unproject(&self, projected: &[f32]) -> Vec<f32> {
        let total = self.projected_dim();
        let mut latents = vec![0.0; projected.len() / total * self.dim];
        let mut first = 0;
        for part in &self.parts {
            let own: Vec<f32> = projected.chunks_exact(total).flat_map(|frame| &frame[first..first + part.dim]).copied().collect();
            part.add_unprojected(&own, &mut latents);
            first += part.dim;
        }
        latents
    }
}
