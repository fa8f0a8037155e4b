//! `roundtrip`: what encoding and decoding alone does to a sound.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use driftscope_core::audio::{self, write_wav};
use driftscope_core::codec::Codec;
use driftscope_core::latents::scan_audio;
use driftscope_core::perceive::{mel_distance, si_sdr_db};
use serde_json::json;

use super::input::{self, CodecArgs};
use super::output::ForceArg;
use super::session::Session;
use super::table::{number, table};
use super::{JsonArg, Report};

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
    mel_distance: f64,
    si_sdr_db: f64,
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    let files = files(args)?;
    let codec = args.codec.open()?;
    let progress = session.console.progress();
    let (mut measured, mut problems) = (Vec::new(), Vec::new());
    for (index, file) in files.iter().enumerate() {
        session.cancel.check()?;
        match measure(file, &codec, args) {
            Ok(one) => measured.push(one),
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
    let mean = |of: fn(&Measured) -> f64| measured.iter().map(of).sum::<f64>() / measured.len() as f64;
    let means = json!({ "mel_distance": mean(|m| m.mel_distance), "si_sdr_db": mean(|m| m.si_sdr_db), "n": measured.len() });
    let mut rows = vec![["file", "s", "mel distance", "SI-SDR dB"].map(str::to_owned).to_vec()];
    for m in &measured {
        rows.push(vec![
            m.path.display().to_string(),
            format!("{:.2}", m.duration_sec),
            number(Some(m.mel_distance)),
            number(Some(m.si_sdr_db)),
        ]);
    }
    rows.push(vec![
        format!("mean of {}", measured.len()),
        String::new(),
        number(means["mel_distance"].as_f64()),
        number(means["si_sdr_db"].as_f64()),
    ]);
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

fn measure(path: &Path, codec: &Codec, args: &Args) -> anyhow::Result<Measured> {
    let name = || path.display().to_string();
    let original = audio::resample(&audio::read(path)?, codec.sample_rate_hz())?;
    let mut decoded = codec.decode(&codec.encode(&original).with_context(name)?).with_context(name)?;
    // The last frame reaches past the end of the sound.
    decoded.samples.truncate(original.samples.len());
    if let Some(folder) = &args.wav {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        for (kind, clip) in [("ref", &original), ("deg", &decoded)] {
            let out = folder.join(format!("{stem}.{kind}.wav"));
            args.force.check(&out)?;
            write_wav(&out, clip)?;
        }
    }
    Ok(Measured {
        path: path.to_owned(),
        duration_sec: original.duration_sec(),
        mel_distance: mel_distance(&original, &decoded).with_context(name)?,
        si_sdr_db: si_sdr_db(&original, &decoded).with_context(name)?,
    })
}
