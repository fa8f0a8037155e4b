//! `roundtrip`: what encoding and decoding alone does to a sound.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use driftscope_core::audio::{self, write_wav};
use driftscope_core::codec::{Codec, CodecError};
use driftscope_core::latents::scan_audio;
use driftscope_core::perceive::{Measure, POOR_ROUND_TRIP_STOI, scores};
use serde_json::{Map, Value, json};

use super::input::{self, CodecArgs};
use super::output::ForceArg;
use super::session::Session;
use super::table::{number, table};
use super::{JsonArg, Report};

/// Of a sound that is shorter than some frames of its measures, their numbers mean nothing.
const SHORTEST_SEC: f64 = 0.1;

/// Encode and decode sounds, and measure what that alone costs
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    /// Sound files, or folders of them
    #[arg(required = true, value_name = "AUDIO")]
    audio: Vec<PathBuf>,
    #[command(flatten)]
    codec: CodecArgs,
    /// Only these speakers of the folders: a text file, one a line
    #[arg(long, value_name = "FILE")]
    speakers: Option<PathBuf>,
    /// Folder for the sounds: NAME.ref.wav as it went in, NAME.deg.wav as it came out
    #[arg(long, value_name = "DIR")]
    wav: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArg,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

/// One file's outcome.
#[derive(serde::Serialize)]
struct Measured {
    path: PathBuf,
    duration_sec: f64,
    /// Numbers by their keys; `null` where a sound has none.
    #[serde(flatten)]
    scores: Map<String, Value>,
}

impl Measured {
    fn value(&self, measure: Measure) -> Option<f64> {
        self.scores.get(measure.key())?.as_f64()
    }
}

/// Mean over the files that have the number, and how many those are.
fn mean(measured: &[Measured], measure: Measure) -> (Option<f64>, usize) {
    let values: Vec<f64> = measured.iter().filter_map(|m| m.value(measure)).collect();
    ((!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64), values.len())
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    let files = files(args)?;
    if let Some(folder) = &args.wav {
        unwritten(&files, folder, args.force)?;
    }
    let codec = args.codec.open(None, session)?;
    let progress = session.console.progress();
    let (mut measured, mut problems) = (Vec::new(), Vec::new());
    for (index, file) in files.iter().enumerate() {
        session.cancel.check()?;
        match measure(file, &codec, args) {
            Ok(one) => measured.push(one),
            Err(error) if matches!(error.downcast_ref(), Some(CodecError::Device(_))) => return Err(error),
            Err(error) => {
                session.console.warning(&format!("skipped {}", super::sentence(&error)));
                problems.push(super::sentence(&error));
            }
        }
        progress.report("round trip", index as u64 + 1, Some(files.len() as u64), "");
    }
    if measured.is_empty() {
        bail!("no file could be measured; the first: {}", problems.first().map_or("", String::as_str));
    }
    let means = Measure::ALL.map(|measure| (measure, mean(&measured, measure)));
    if let (Some(stoi), _) = mean(&measured, Measure::Stoi)
        && stoi < POOR_ROUND_TRIP_STOI
    {
        session.console.warning(&format!(
            "the round trip is poor (STOI {stoi:.2}, below {POOR_ROUND_TRIP_STOI}): check weights and tap; what is decoded by this codec says \
             little about a predictor"
        ));
    }
    let mut rows = vec![["file", "s"].map(str::to_owned).into_iter().chain(Measure::ALL.map(Measure::title)).collect::<Vec<_>>()];
    for m in &measured {
        let numbers = Measure::ALL.iter().map(|measure| number(m.value(*measure)));
        rows.push([m.path.display().to_string(), format!("{:.2}", m.duration_sec)].into_iter().chain(numbers).collect());
    }
    // How many a mean is of, where that is not all of them.
    let counted = |mean: Option<f64>, n: usize| if n < measured.len() { format!("{} (n {n})", number(mean)) } else { number(mean) };
    let numbers = means.iter().map(|(_, (mean, n))| counted(*mean, *n));
    rows.push([format!("mean of {}", measured.len()), String::new()].into_iter().chain(numbers).collect());
    let mut mean: Map<String, Value> = means.iter().map(|(measure, (mean, _))| (measure.key().to_owned(), json!(mean))).collect();
    mean.insert("n".into(), json!(measured.len()));
    let missing: Map<String, Value> = means
        .iter()
        .filter(|(_, (_, n))| *n < measured.len())
        .map(|(measure, (_, n))| (measure.key().to_owned(), json!(measured.len() - n)))
        .collect();
    mean.insert("n_without".into(), missing.into());
    let means = Value::Object(mean);
    let json = json!({ "codec": codec.tag(), "files": measured, "mean": means, "problems": problems });
    Ok(Report { text: table(&rows), key_metrics: means, json })
}

fn files(args: &Args) -> anyhow::Result<Vec<PathBuf>> {
    let speakers = args.speakers.as_deref().map(input::speakers).transpose()?;
    let mut files = Vec::new();
    for path in &args.audio {
        if path.is_dir() {
            let found = scan_audio(path)?.into_iter().filter(|f| speakers.as_ref().is_none_or(|s| s.contains(&f.speaker)));
            files.extend(found.map(|f| f.path));
        } else {
            files.push(path.clone());
        }
    }
    if files.is_empty() {
        bail!("none of the sounds is by the speakers named");
    }
    Ok(files)
}

/// Names of a file's two sounds.
fn sounds(path: &Path, folder: &Path) -> [PathBuf; 2] {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    ["ref", "deg"].map(|kind| folder.join(format!("{stem}.{kind}.wav")))
}

/// Fails, before any work, where sounds would be written over others.
fn unwritten(files: &[PathBuf], folder: &Path, force: ForceArg) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for path in files {
        let both = sounds(path, folder);
        both.iter().try_for_each(|sound| force.check(sound))?;
        if !seen.insert(both) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            bail!("two of the files are called {stem} ({} is one), and --wav names sounds after them; rename one", path.display());
        }
    }
    Ok(())
}

fn measure(path: &Path, codec: &Codec, args: &Args) -> anyhow::Result<Measured> {
    let name = || path.display().to_string();
    let original = audio::resample(&audio::read(path)?, codec.sample_rate_hz())?;
    if original.duration_sec() < SHORTEST_SEC {
        bail!("{} is {:.4} s long; from {SHORTEST_SEC} s on there is something to measure", path.display(), original.duration_sec());
    }
    let mut decoded = codec.decode(&codec.encode(&original).with_context(name)?).with_context(name)?;
    // The last frame reaches past the end of the sound.
    decoded.samples.truncate(original.samples.len());
    if let Some(folder) = &args.wav {
        for (sound, clip) in sounds(path, folder).iter().zip([&original, &decoded]) {
            write_wav(sound, clip)?;
        }
    }
    Ok(Measured {
        path: path.to_owned(),
        duration_sec: original.duration_sec(),
        scores: scores(&original, &decoded).with_context(name)?.values(),
    })
}
