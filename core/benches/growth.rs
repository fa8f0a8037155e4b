//! How a live rollout grows with dimensions, window, hidden width, steps and starts, on the CPU and on every GPU that is no software, against
//! reading the network's weights once a step and nothing else.
//!
//! `cargo bench --profile dev --bench growth -- FOLDER` writes `growth.svg` (.pdf, .png, .csv) there; without a folder the numbers are
//! only printed. Each factor moves alone from D 512, W 8, hidden 1024, 16 steps, one start × 5 modes.
#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use driftscope_core::context::{Corpus, Pairs, Slice};
use driftscope_core::diagnose::toy::{Toy, toy_corpus};
use driftscope_core::engine::compute::Gpu;
use driftscope_core::figure::{self, FigureSpec, Guide, Panel, Provenance, Scale, Series, Stroke};
use driftscope_core::job::JobCtx;
use driftscope_core::predict::{Baselines, Predictor, PredictorConfig, fit_predictor};
use driftscope_core::rollout::{RolloutConfig, Schedule, Segment, rollout};
use driftscope_numerics::elementwise::sum_of_squares;
use rayon::prelude::*;

/// Rollouts whose shortest time counts, after one that packs or uploads.
const REPEATS: usize = 7;
const COMPONENTS: usize = 8;
const COLORS: [[u8; 3]; 4] = [[213, 94, 0], [0, 114, 178], [204, 121, 167], [0, 158, 115]];
const GRAY: [u8; 3] = [120, 120, 120];

#[derive(Clone, Copy, Debug)]
struct Size {
    dim: usize,
    window: usize,
    hidden: usize,
    steps: usize,
    starts: usize,
}

const BASE: Size = Size { dim: 512, window: 8, hidden: 1024, steps: 16, starts: 1 };

type Factor = (&'static str, &'static [usize], fn(usize) -> Size);

const FACTORS: [Factor; 5] = [
    ("dimensions D", &[32, 64, 128, 256, 512, 768], |dim| Size { dim, ..BASE }),
    ("window W", &[1, 2, 4, 8, 16], |window| Size { window, ..BASE }),
    ("hidden width", &[64, 128, 256, 512, 1024, 2048], |hidden| Size { hidden, ..BASE }),
    ("steps", &[1, 4, 16, 64], |steps| Size { steps, ..BASE }),
    ("starts (× 5 modes)", &[1, 4, 16, 64, 256], |starts| Size { starts, ..BASE }),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).filter(|name| !name.starts_with('-'));
    let mut devices = vec![(format!("CPU, {} threads", rayon::current_num_threads()), JobCtx::quiet(Device::flex(), 1))];
    for (name, gpu) in gpus()? {
        devices.push((name, JobCtx { gpu: Some(gpu), ..JobCtx::quiet(Device::flex(), 1) }));
    }
    let mut panels = Vec::new();
    for (factor, values, size) in FACTORS {
        let mut curves = vec![Vec::new(); devices.len()];
        let mut floor = Vec::new();
        for (place, &value) in values.iter().enumerate() {
            let x = (place + 1) as f64;
            let bench = Bench::new(size(value))?;
            print!("{factor} {value:4}:");
            for ((name, ctx), curve) in devices.iter().zip(&mut curves) {
                let milliseconds = best(|| bench.run(ctx))?;
                print!("  {name} {milliseconds:.2} ms");
                curve.push([x, milliseconds]);
            }
            floor.push([x, bench.reading()?]);
            println!("  reading the weights {:.2} ms", floor[place][1]);
        }
        let series = devices.iter().zip(curves).zip(COLORS);
        let mut series: Vec<Series> = series.map(|(((name, _), points), color)| line(name, color, Stroke::Solid, points)).collect();
        series.push(line("CPU reading the weights once a step", GRAY, Stroke::Dashed, floor));
        panels.push(Panel {
            title: factor.into(),
            x_label: factor.into(),
            y_label: "milliseconds".into(),
            y_scale: Scale::Log10,
            series,
            guides: vec![Guide { name: "goal of a moved slider".into(), color: GRAY, stroke: Stroke::Dotted, y: 100.0 }],
            x_names: values.iter().map(ToString::to_string).collect(),
            ..Panel::default()
        });
    }
    if let Some(folder) = folder {
        let spec = FigureSpec {
            name: "growth".into(),
            columns: 3,
            panels,
            caption: format!(
                "A live rollout of an MDN with {COMPONENTS} components, best of {REPEATS}. Each factor moves alone from D {}, W {}, hidden {}, \
                 {} steps, {} start × 5 modes.",
                BASE.dim, BASE.window, BASE.hidden, BASE.steps, BASE.starts
            ),
            provenance: Provenance { version: env!("CARGO_PKG_VERSION").into(), ..Provenance::default() },
            ..FigureSpec::default()
        };
        figure::write(&spec, Path::new(&folder))?;
    }
    Ok(())
}

fn line(name: &str, color: [u8; 3], stroke: Stroke, points: Vec<[f64; 2]>) -> Series {
    Series { name: name.into(), color, stroke, points, band: None }
}

/// Every hardware adapter.
fn gpus() -> Result<Vec<(String, Gpu)>, Box<dyn Error>> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12));
    let mut gpus = Vec::new();
    for adapter in adapters.iter().filter(|adapter| adapter.get_info().device_type != wgpu::DeviceType::Cpu) {
        let descriptor = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
        gpus.push((adapter.get_info().name, Gpu::new(device, queue)));
    }
    Ok(gpus)
}

/// A network of one size as it is before its first step of training, and where it starts.
struct Bench {
    corpus: Corpus,
    predictor: Predictor,
    baselines: Baselines,
    starts: Vec<Segment>,
    schedules: Vec<Schedule>,
    config: RolloutConfig,
}

impl Bench {
    fn new(size: Size) -> Result<Self, Box<dyn Error>> {
        let Size { dim, window, hidden, steps, starts } = size;
        let corpus = toy_corpus(Toy::StableAr1 { a: 0.9 }, 2, window + steps + 2, dim, 1);
        let config = PredictorConfig { window, hidden_dim: hidden, n_components: COMPONENTS, max_steps: 0, ..PredictorConfig::default() };
        let predictor = fit_predictor(&JobCtx::quiet(Device::flex(), 1), &corpus, &config, None)?;
        let baselines = Baselines::fit(&Pairs::cut(&corpus, &[0], window, 1, Slice::All));
        let mut schedules = Schedule::standard(steps);
        schedules.push(Schedule::inject_after("painted", &[steps.div_ceil(2)], steps));
        let starts = vec![Segment { utterance: 1, t0: window }; starts];
        Ok(Self { corpus, predictor, baselines, starts, schedules, config: RolloutConfig { n_steps: steps, ..RolloutConfig::default() } })
    }

    fn run(&self, ctx: &JobCtx) -> Result<(), Box<dyn Error>> {
        rollout(ctx, &self.corpus, &self.predictor, &self.baselines, &self.starts, &self.schedules, &self.config)?;
        Ok(())
    }

    /// Milliseconds for reading as many floats as the network has weights, once for each step.
    fn reading(&self) -> Result<f64, Box<dyn Error>> {
        let (dim, window) = (self.predictor.info.dim, self.predictor.info.window);
        let hidden = self.predictor.info.provenance.config["hidden_dim"].as_u64().unwrap_or(0) as usize;
        let weights = vec![1.0_f32; hidden * (window * dim + hidden + COMPONENTS * (2 * dim + 1))];
        let part = weights.len().div_ceil(8 * rayon::current_num_threads());
        best(|| {
            for _ in 0..self.config.n_steps {
                black_box(weights.par_chunks(part).map(sum_of_squares).sum::<f64>());
            }
            Ok(())
        })
    }
}

/// The shortest of a few, in milliseconds.
fn best(mut work: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let mut least = f64::INFINITY;
    for _ in 0..=REPEATS {
        let begin = Instant::now();
        work()?;
        least = least.min(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(least)
}
