//! `rollout`: one rollout from one start, as numbers, latents and sound.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use driftscope_core::audio::write_wav;
use driftscope_core::diagnose::Summary;
use driftscope_core::rollout::{Rollout, Segment, rollout, splice};
use serde_json::{Value, json};

use super::input::{self, CodecArgs, StoreArg};
use super::output::{ForceArg, refuse_folder, refuse_other_than_wav};
use super::schedules::{RolloutArgs, schedule};
use super::session::Session;
use super::table::{number, table};
use super::{JsonArg, Report};

/// Roll a predictor out from one start
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Checkpoint
    #[arg(long, value_name = "CKPT")]
    predictor: PathBuf,
    /// Utterance id
    #[arg(long, value_name = "ID")]
    utterance: String,
    /// First predicted frame
    #[arg(long, value_name = "T")]
    start: usize,
    #[command(flatten)]
    rollout: RolloutArgs,
    /// A, B, C, D, or after:3+7
    #[arg(long, value_name = "MODE", default_value = "D")]
    schedule: String,
    /// Write the sound: truth up to the start, then the rollout
    #[arg(long, value_name = "OUT.wav")]
    wav: Option<PathBuf>,
    /// Write the states after each step as `x [steps, D]`
    #[arg(long, value_name = "OUT.safetensors")]
    latents: Option<PathBuf>,
    #[command(flatten)]
    codec: CodecArgs,
    #[command(flatten)]
    force: ForceArg,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    args.wav.as_deref().map(refuse_other_than_wav).transpose()?;
    for path in [&args.wav, &args.latents].into_iter().flatten() {
        refuse_folder(path)?;
        args.force.check(path)?;
    }
    let config = args.rollout.config()?;
    let schedule = schedule(&args.schedule, config.n_steps)?;
    let (store, corpus) = input::corpus(&args.store, session)?;
    let predictor = input::predictor(&args.predictor, &corpus, session)?;
    let segment = Segment { utterance: input::utterance(&corpus, &args.utterance)?, t0: args.start };
    // Opened before the work: a wrong codec is known at once.
    let codec = args.wav.as_ref().map(|_| input::codec_for(store.codec(), corpus.dim, &args.codec, session)).transpose()?;
    let baselines = crate::open::baselines(&corpus, &predictor);
    let rollouts = rollout(&session.job()?, &corpus, &predictor, &baselines, &[segment], &[schedule], &config)?;
    let rolled = rollouts.into_iter().next().context("the rollout gave nothing")?;
    if let (Some(path), Some(codec)) = (&args.wav, codec) {
        // As in the window: the true sound, and from the start on the rollout's.
        let truth = &corpus.utterances[segment.utterance].latents;
        let (around, spliced) = (codec.decode(truth)?, splice(truth, &rolled, 0));
        write_wav(path, &codec.decode_between(&spliced, segment.t0..spliced.n_frames(), &around, &session.cancel)?)?;
    }
    if let Some(path) = &args.latents {
        write_latents(path, &rolled, args)?;
    }
    let json = json!({
        "utterance_id": args.utterance, "t0": args.start, "schedule": rolled.schedule, "config": config,
        "predictor": predictor.info.hash, "per_step": per_step(&rolled),
    });
    let mut text = text(&rolled);
    for path in [&args.wav, &args.latents].into_iter().flatten() {
        text.push_str(&format!("{}\n", path.display()));
    }
    Ok(Report { text, json, ..Report::default() })
}

fn write_latents(path: &Path, rolled: &Rollout, args: &Args) -> anyhow::Result<()> {
    if path.extension().is_none_or(|e| e != "safetensors") {
        super::usage!("{}: latents are written as safetensors; let the name end in .safetensors", path.display());
    }
    let about = [("utterance_id", args.utterance.clone()), ("t0", args.start.to_string()), ("schedule", rolled.schedule.name.clone())];
    let about = about.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let bytes = bytemuck::cast_slice(&rolled.states);
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![rolled.n_steps, rolled.dim], bytes)?;
    super::output::write_beside(path, &safetensors::serialize([("x", view)], Some(about))?)
}

fn per_step(rolled: &Rollout) -> Vec<Value> {
    let finite = |values: &[f32], i: usize| json!(values[i].is_finite().then_some(values[i]));
    let step = |i: usize| {
        json!({
            "step": i + 1,
            "nll": finite(&rolled.nll, i), "nll_baseline": finite(&rolled.nll_baseline, i), "cos": finite(&rolled.cos, i),
            "mag_ratio": finite(&rolled.mag_ratio, i), "advance_ratio": finite(&rolled.advance_ratio, i),
            "state_err": finite(&rolled.state_err_before, i), "state_err_after": finite(&rolled.state_err_after, i),
        })
    };
    (0..rolled.n_steps).map(step).collect()
}

fn text(rolled: &Rollout) -> String {
    let header = ["step", "cos", "magnitude ratio", "advance ratio", "state error (raw)", "ΔNLL"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for i in 0..rolled.n_steps {
        let cells = [
            rolled.cos[i],
            rolled.mag_ratio[i],
            rolled.advance_ratio[i],
            rolled.state_err_after[i],
            rolled.nll[i] - rolled.nll_baseline[i],
        ];
        rows.push(std::iter::once((i + 1).to_string()).chain(cells.map(|v| number(Some(f64::from(v))))).collect());
    }
    let n_nonfinite = [&rolled.cos, &rolled.state_err_after, &rolled.nll].iter().flat_map(|v| v.iter()).filter(|v| !v.is_finite()).count();
    let mean: Vec<f32> = rolled.cos.iter().copied().filter(|v| v.is_finite()).collect();
    let summary =
        Summary { mean: (!mean.is_empty()).then(|| f64::from(mean.iter().sum::<f32>()) / mean.len() as f64), ..Summary::default() };
    let counted = if n_nonfinite > 0 { format!("; {n_nonfinite} values are not finite") } else { String::new() };
    format!("{}mean cosine {}{counted}\n", table(&rows), number(summary.mean))
}
