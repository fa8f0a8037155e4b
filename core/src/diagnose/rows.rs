//! One predictor over one side, row by row: windows are gathered in batches as utterances come by, and only what means, quantiles and
//! bands need is kept of each row.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rayon::prelude::*;

use super::bootstrap::{Bootstrap, Total};
use super::frames::pass;
use super::{DiagnoseError, SideMetrics, Summary};
use crate::context::{Side, Source, Targets};
use crate::engine::host_values;
use crate::job::{Block, JobCtx};
use crate::latents::Latents;
use crate::predict::{Baselines, MagnitudeRule, Predictor};
use crate::represent::{FrameSums, Normalizer};

/// Rows of one forward pass, at most.
const BATCH_ROWS: usize = 2048;
/// Bytes that a forward pass may take of a device.
const DEVICE_BYTES: usize = 512 << 20;
/// Tensors as wide as the widest that live together in a forward pass, about.
const LIVE_TENSORS: usize = 16;
/// Worst frames named.
const N_WORST: usize = 10;

/// What the numbers of a side are taken of and against.
pub(super) struct SideReader<'a> {
    ctx: &'a JobCtx,
    source: Source<'a>,
    predictor: &'a Predictor,
    baselines: &'a Baselines,
    normalizer: &'a Normalizer,
    targets: Targets,
    /// Rows of one forward pass.
    rows_at_once: usize,
}

/// Rows that wait for a forward pass.
#[derive(Default)]
struct Batch {
    windows: Vec<f32>, // [rows, window × dim]
    deltas: Vec<f32>,  // [rows, dim]
    /// Utterance and frame.
    origins: Vec<(usize, usize)>,
}

/// What a forward pass says of each row.
#[derive(Default)]
struct Readings {
    nll: Vec<f32>,
    nll_factored: Vec<f32>,
    mean: Vec<f32>, // [rows, dim]
}

impl<'a> SideReader<'a> {
    pub(super) fn new(
        ctx: &'a JobCtx,
        source: Source<'a>,
        predictor: &'a Predictor,
        baselines: &'a Baselines,
        normalizer: &'a Normalizer,
        targets: Targets,
    ) -> Self {
        let bound = ctx.gpu.as_ref().map_or(u64::MAX, |gpu| gpu.device.limits().max_storage_buffer_binding_size);
        let rows_at_once = rows_at_once(predictor.widest_row(), bound);
        Self { ctx, source, predictor, baselines, normalizer, targets, rows_at_once }
    }

    /// One pass over `side`; bands are of `n_resamples`.
    pub(super) fn measure(&mut self, side: Side, n_resamples: usize) -> Result<SideMetrics, DiagnoseError> {
        let (source, targets) = (self.source, self.targets);
        let indices = source.side(side);
        let n_rows = indices.iter().map(|&index| targets.of(source.outline(index), |t| t).len()).sum();
        self.predictor.tune(self.ctx, self.rows_at_once.min(n_rows));
        let info = &self.predictor.info;
        let (mut rows, mut batch) = (Rows::new(n_rows, source.dim(), info.kind == "vmf"), Batch::default());
        let name = if side == Side::Train { "training" } else { "evaluation" };
        pass(self.ctx, source, &format!("{} k={}, {name} side", info.kind, info.horizon), &indices, |index, latents| {
            for t in targets.of(source.outline(index), |t| t) {
                batch.push(latents, info.window, info.horizon, (index, t));
                rows.states.add(latents.frame(t));
                if batch.origins.len() == BATCH_ROWS {
                    self.read(&mut batch, &mut rows)?;
                }
            }
            Ok(())
        })?;
        self.read(&mut batch, &mut rows)?;
        Ok(self.metrics(&rows, n_resamples))
    }

    /// Empties the batch into the rows.
    fn read(&mut self, batch: &mut Batch, rows: &mut Rows<'a>) -> Result<(), DiagnoseError> {
        self.ctx.cancel.check()?;
        let readings = self.forward(batch)?;
        let dim = self.source.dim();
        let pairs = batch.deltas.par_chunks_exact(dim).zip(readings.mean.par_chunks_exact(dim));
        let numbers: Vec<Row> = pairs.map(|(delta, mean)| self.row(delta, mean, rows.factored.is_some())).collect();
        for (i, row) in numbers.into_iter().enumerate() {
            let speaker = self.source.outline(batch.origins[i].0).speaker;
            rows.add(row, speaker, batch.origins[i], readings.nll[i], readings.nll_factored[i]);
        }
        *batch = Batch::default();
        Ok(())
    }

    fn forward(&mut self, batch: &Batch) -> Result<Readings, DiagnoseError> {
        let Self { ctx, predictor, .. } = *self;
        let (dim, width) = (self.source.dim(), predictor.info.window * self.source.dim());
        let mut readings = Readings::default();
        ctx.in_blocks(&mut self.rows_at_once, batch.origins.len(), |ctx, piece| {
            let tensor = |values: &[f32], columns: usize| {
                let values = values[piece.start * columns..piece.end * columns].to_vec();
                Tensor::<2>::from_data(TensorData::new(values, [piece.len(), columns]), &ctx.device)
            };
            // The mean is not drawn: nothing comes from the generator.
            let mut rng = StdRng::seed_from_u64(ctx.seed);
            let (windows, deltas) = (tensor(&batch.windows, width), tensor(&batch.deltas, dim));
            let reading = predictor.read(windows, &deltas, MagnitudeRule::Mean, 1.0, &mut rng);
            // All is read before any of it counts: reading is where a device fails.
            let ([nll, factored], mean) = ([reading.nll, reading.nll_factored].map(host_values), host_values(reading.mean));
            readings.nll.extend(nll);
            readings.nll_factored.extend(factored);
            readings.mean.extend(mean);
            Ok::<Block, DiagnoseError>(Block::Done)
        })?;
        Ok(readings)
    }

    fn row(&self, delta: &[f32], mean: &[f32], is_factored: bool) -> Row {
        let (mut raw, mut standardized, mut squared_error) = (Product::default(), Product::default(), 0.0);
        for ((y, p), std) in delta.iter().zip(mean).zip(&self.normalizer.std) {
            let (y, p, std) = (f64::from(*y), f64::from(*p), f64::from(*std));
            raw.add(y, p);
            standardized.add(y / std, p / std);
            squared_error += (p - y).powi(2);
        }
        let (y, p) = raw.norms();
        Row {
            cos: raw.cosine(),
            cos_standardized: standardized.cosine(),
            log_delta_norm: y.ln(),
            log_mean_norm: p.ln(),
            squared_error,
            baseline: self.baselines.gaussian_nll(delta),
            baseline_factored: if is_factored { self.baselines.factored_nll(delta) } else { f64::NAN },
        }
    }

    fn metrics(&self, rows: &Rows, n_resamples: usize) -> SideMetrics {
        let bootstrap = Bootstrap::of(rows.speakers.len(), n_resamples, self.ctx.seed);
        let band = |of: fn(&[Total; 2]) -> Total| bootstrap.band_of_totals(rows.speakers.values().map(of));
        let [nll, nll_baseline, dnll] = summaries(&rows.nll, &rows.baseline);
        let factored = rows.factored.as_ref().map(|(nll, baseline)| summaries(nll, baseline));
        let [nll_factored, nll_baseline_factored, dnll_factored] =
            factored.unwrap_or_else(|| [&nll, &nll_baseline, &dnll].map(Summary::clone));
        let (logmag_mse, logmag_r2) = rows.log_magnitude();
        let worst = rows.worst.iter().map(|&(nll, (u, t))| (self.source.outline(u).id.to_owned(), t, nll)).collect();
        SideMetrics {
            bands: [("cos".to_owned(), band(|totals| totals[0])), ("dnll".to_owned(), band(|totals| totals[1]))].into(),
            worst,
            logmag_mse,
            logmag_r2,
            state_r2: if self.predictor.info.horizon == 1 { rows.state_r2() } else { None },
            cos: Summary::of(rows.cos.iter().copied()),
            cos_standardized: Summary::of(rows.cos_standardized.iter().copied()),
            nll,
            nll_baseline,
            dnll,
            nll_factored,
            nll_baseline_factored,
            dnll_factored,
        }
    }
}

/// Rows at once on a device whose tensors may hold `bound` bytes, for a predictor whose widest tensor has `width` values a row.
fn rows_at_once(width: usize, bound: u64) -> usize {
    let row = size_of::<f32>() * width.max(1);
    let bound = usize::try_from(bound).unwrap_or(usize::MAX);
    (bound / row).min(DEVICE_BYTES / LIVE_TENSORS / row).clamp(1, BATCH_ROWS)
}

/// Of an NLL, its baseline, and what it has less than that.
fn summaries(nll: &[f32], baseline: &[f64]) -> [Summary; 3] {
    let nll = || nll.iter().map(|&v| f64::from(v));
    [Summary::of(nll()), Summary::of(baseline.iter().copied()), Summary::of(nll().zip(baseline).map(|(nll, baseline)| nll - baseline))]
}

impl Batch {
    fn push(&mut self, latents: &Latents, window: usize, horizon: usize, origin: (usize, usize)) {
        let t = origin.1;
        let end = (t + 1 - horizon) * latents.dim;
        self.windows.extend_from_slice(&latents.values[end - window * latents.dim..end]);
        self.deltas.extend(latents.frame(t).iter().zip(latents.frame(t - 1)).map(|(now, before)| now - before));
        self.origins.push(origin);
    }
}

/// Numbers of one row.
struct Row {
    cos: f64,
    cos_standardized: f64,
    log_delta_norm: f64,
    log_mean_norm: f64,
    squared_error: f64,
    baseline: f64,
    baseline_factored: f64,
}

/// All rows of a side: columns where quantiles are asked for, sums where not.
struct Rows<'a> {
    nll: Vec<f32>,
    baseline: Vec<f64>,
    /// Where these are other numbers: NLL and baseline.
    factored: Option<(Vec<f32>, Vec<f64>)>,
    cos: Vec<f64>,
    cos_standardized: Vec<f64>,
    log_delta_norm: Vec<f64>,
    log_squared_error: f64,
    squared_error: f64,
    states: FrameSums,
    /// Of the cosine and of ΔNLL.
    speakers: BTreeMap<&'a str, [Total; 2]>,
    /// Highest NLL first, with utterance and frame.
    worst: Vec<(f64, (usize, usize))>,
}

impl<'a> Rows<'a> {
    fn new(n: usize, dim: usize, is_factored: bool) -> Self {
        Self {
            nll: Vec::with_capacity(n),
            baseline: Vec::with_capacity(n),
            factored: is_factored.then(|| (Vec::with_capacity(n), Vec::with_capacity(n))),
            cos: Vec::with_capacity(n),
            cos_standardized: Vec::with_capacity(n),
            log_delta_norm: Vec::with_capacity(n),
            log_squared_error: 0.0,
            squared_error: 0.0,
            states: FrameSums::new(dim),
            speakers: BTreeMap::new(),
            worst: Vec::with_capacity(N_WORST + 1),
        }
    }

    fn add(&mut self, row: Row, speaker: &'a str, origin: (usize, usize), nll: f32, nll_factored: f32) {
        self.nll.push(nll);
        self.baseline.push(row.baseline);
        if let Some((nll, baseline)) = &mut self.factored {
            nll.push(nll_factored);
            baseline.push(row.baseline_factored);
        }
        self.cos.push(row.cos);
        self.cos_standardized.push(row.cos_standardized);
        self.log_delta_norm.push(row.log_delta_norm);
        self.log_squared_error += (row.log_mean_norm - row.log_delta_norm).powi(2);
        self.squared_error += row.squared_error;
        let nll = f64::from(nll);
        let totals = self.speakers.entry(speaker).or_default();
        totals[0].add(row.cos);
        totals[1].add(nll - row.baseline);
        let place = self.worst.partition_point(|(worse, _)| worse.total_cmp(&nll).is_ge());
        if nll.is_finite() && place < N_WORST {
            self.worst.insert(place, (nll, origin));
            self.worst.truncate(N_WORST);
        }
    }

    /// MSE and R² of ln‖E[Δ]‖; `None` where not finite or where ‖Δ‖ does not vary.
    fn log_magnitude(&self) -> (Option<f64>, Option<f64>) {
        let n = self.log_delta_norm.len() as f64;
        let mean = self.log_delta_norm.iter().sum::<f64>() / n;
        let total: f64 = self.log_delta_norm.iter().map(|y| (y - mean).powi(2)).sum();
        let finite = |v: f64| v.is_finite().then_some(v);
        let residual = self.log_squared_error;
        (finite(residual / n), if total > 1e-12 { finite(1.0 - residual / total) } else { None })
    }

    /// R² of the state x̂\[t\] = x\[t−1\] + E\[Δ\].
    fn state_r2(&self) -> Option<f64> {
        let spread = self.states.normalizer();
        let total: f64 = spread.std.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() * self.nll.len() as f64;
        let r2 = 1.0 - self.squared_error / total;
        r2.is_finite().then_some(r2)
    }
}

/// Sums of a scalar product.
#[derive(Default)]
struct Product {
    dot: f64,
    y2: f64,
    p2: f64,
}

impl Product {
    fn add(&mut self, y: f64, p: f64) {
        self.dot += y * p;
        self.y2 += y * y;
        self.p2 += p * p;
    }

    /// Both norms, floored at 1e-8; NaN stays NaN.
    fn norms(&self) -> (f64, f64) {
        let floored = |square: f64| if square.is_nan() { square } else { square.sqrt().max(1e-8) };
        (floored(self.y2), floored(self.p2))
    }

    fn cosine(&self) -> f64 {
        let (y, p) = self.norms();
        self.dot / (y * p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_keeps_within_the_device() {
        // Windows of 8 × 512 values, 8 components: the full batch.
        for (width, bound, rows) in [(4096, u64::MAX, 2048), (4096, 1 << 20, 64), (1 << 20, u64::MAX, 8), (1 << 30, 4, 1), (0, 0, 1)] {
            assert_eq!(rows_at_once(width, bound), rows, "{width} {bound}");
        }
    }
}
