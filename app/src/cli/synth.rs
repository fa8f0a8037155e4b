//! `synth`: the synthetic modes of one utterance as sound.

use std::path::PathBuf;

use anyhow::Context as _;
use driftscope_core::audio::write_wav;
use driftscope_core::latents::Store;
use driftscope_core::rollout::synthetic::{Accumulation, SyntheticMode, synthesize};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::StandardNormal;
use serde_json::json;

use super::input::{self, CodecArgs, StoreArg};
use super::output::{ForceArg, writable_folder};
use super::session::Session;
use super::{JsonArg, Report};

/// Make the synthetic modes audible: right direction with wrong magnitude, and the other way round
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Utterance id
    #[arg(long, value_name = "ID")]
    utterance: String,
    /// gt, stationary, slow:ALPHA, wrong-direction, off-angle:DEGREES
    #[arg(
        long,
        value_name = "MODE,…",
        value_delimiter = ',',
        default_value = "gt,stationary,slow:0.75,slow:0.5,slow:0.25,wrong-direction"
    )]
    modes: Vec<String>,
    /// Start every step from the true frame before it, instead of adding up from frame 0
    #[arg(long)]
    per_step: bool,
    #[command(flatten)]
    codec: CodecArgs,
    /// Folder for the WAV files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    force: ForceArg,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    let modes = args.modes.iter().map(|m| mode(m)).collect::<Result<Vec<_>, _>>()?;
    let store = Store::open(&args.store.store)?;
    let truth = store.read(&args.utterance)?;
    let codec = input::codec_for(store.codec(), store.dim(), &args.codec, session)?;
    let paths: Vec<PathBuf> = modes.iter().map(|m| args.out.join(format!("{}.wav", peer_key(*m)))).collect();
    for path in &paths {
        args.force.check(path)?;
    }
    writable_folder(&args.out)?;
    let accumulation = if args.per_step { Accumulation::PerStep } else { Accumulation::Accumulated };
    let progress = session.console.progress();
    for (index, (mode, path)) in modes.iter().zip(&paths).enumerate() {
        session.cancel.check()?;
        let mut rng = StdRng::seed_from_u64(session.seed);
        let latents = synthesize(&truth, *mode, accumulation, &mut || rng.sample(StandardNormal));
        write_wav(path, &codec.decode(&latents)?)?;
        progress.report("synthesize", index as u64 + 1, Some(modes.len() as u64), "");
    }
    let text = paths.iter().map(|p| format!("{}\n", p.display())).collect();
    Ok(Report { text, json: json!({ "utterance_id": args.utterance, "accumulation": accumulation, "wav": paths }), ..Report::default() })
}

/// The peer's key, which names the file.
pub(crate) fn peer_key(mode: SyntheticMode) -> String {
    match mode {
        SyntheticMode::GroundTruth => "GT".to_owned(),
        SyntheticMode::Stationary => "A_stationary".to_owned(),
        SyntheticMode::Slow { alpha } => format!("B_slow_a{alpha:.2}"),
        SyntheticMode::WrongDirection => "C_wrong_dir".to_owned(),
        SyntheticMode::OffAngle { degrees } => format!("off_angle_{degrees:.1}"),
    }
}

fn mode(text: &str) -> anyhow::Result<SyntheticMode> {
    let number = |value: &str| value.parse::<f32>().ok().filter(|v| v.is_finite()).with_context(|| format!("{text}: {value} is no number"));
    Ok(match text.trim().split_once(':') {
        None if text.trim() == "gt" => SyntheticMode::GroundTruth,
        None if text.trim() == "stationary" => SyntheticMode::Stationary,
        None if text.trim() == "wrong-direction" => SyntheticMode::WrongDirection,
        Some(("slow", value)) => SyntheticMode::Slow { alpha: number(value)? },
        Some(("off-angle", value)) => SyntheticMode::OffAngle { degrees: number(value)? },
        _ => super::usage!("{text} is no synthetic mode; use gt, stationary, slow:0.75, wrong-direction, or off-angle:14.4"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_by_name() {
        for (text, expected) in
            [("gt", "GT"), ("stationary", "A_stationary"), ("slow:0.25", "B_slow_a0.25"), ("wrong-direction", "C_wrong_dir")]
        {
            assert_eq!(peer_key(mode(text).unwrap()), expected);
        }
        for bad in ["slow", "slow:fast", "fast", "slow:nan"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}
