//! `fit`: trains a predictor on a store, or the embedded codec on audio.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use driftscope_core::audio;
use driftscope_core::codec::DemoCodec;
use driftscope_core::codec::demo::{DemoCodecConfig, SpeechClip, fit_codec};
use driftscope_core::latents::scan_audio;
use driftscope_core::predict::{PredictorConfig, PredictorKind, fit_predictor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::output::{ForceArg, refuse_folder, writable_folder, write_beside};
use super::session::Session;
use super::{JsonArg, Report, input};

/// Train a predictor on the training side of a store, or the demo codec on audio
#[derive(Clone, Debug, Serialize, clap::Args)]
pub(super) struct Args {
    /// What to train
    #[arg(value_enum)]
    kind: Kind,
    /// Latents store (predictors)
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Folder of audio files (demo-codec)
    #[arg(long, value_name = "DIR")]
    audio: Option<PathBuf>,
    /// Speakers to leave out: a text file, one a line (demo-codec)
    #[arg(long, value_name = "FILE")]
    held_out: Option<PathBuf>,
    /// Settings; what the file leaves out keeps its default
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// One setting, over the file's: `hidden_dim=256`
    #[arg(long, value_name = "A.B=V")]
    set: Vec<String>,
    /// Checkpoint to write
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    #[command(flatten)]
    force: ForceArg,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

/// What can be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// Mixture density network over Δ
    Mdn,
    /// Direction ~ von Mises-Fisher, magnitude ~ LogNormal
    Vmf,
    /// Ridge regression in closed form
    Linear,
    /// The embedded codec
    DemoCodec,
}

impl Args {
    /// Name in the registry.
    pub(super) fn experiment(&self) -> &'static str {
        match self.kind {
            Kind::Mdn => "fit mdn",
            Kind::Vmf => "fit vmf",
            Kind::Linear => "fit linear",
            Kind::DemoCodec => "fit demo-codec",
        }
    }
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    refuse_folder(&args.out)?;
    args.force.check(&args.out)?;
    writable_folder(args.out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    match args.kind {
        Kind::Mdn => predictor(PredictorKind::Mdn, args, session),
        Kind::Vmf => predictor(PredictorKind::Vmf, args, session),
        Kind::Linear => predictor(PredictorKind::Linear, args, session),
        Kind::DemoCodec => codec(args, session),
    }
}

fn predictor(kind: PredictorKind, args: &Args, session: &Session) -> anyhow::Result<Report> {
    let Some(store) = args.store.clone() else {
        super::usage!("fit {} needs the latents to train on; name their store with --store", args.experiment().trim_start_matches("fit "));
    };
    let config = PredictorConfig { kind, ..settings::<PredictorConfig>(args.config.as_deref(), &args.set)? };
    let (_, corpus) = input::corpus(&input::StoreArg { store }, session)?;
    let state = args.out.with_added_extension("state");
    let predictor = fit_predictor(&session.job()?, &corpus, &config, Some(&state)).map_err(|e| keeping(e.into(), &state, session))?;
    predictor.save(&args.out)?;
    remove_state(&state)?;
    let info = &predictor.info;
    let text = format!(
        "fitted {} (W {}, k {}, D {}) in {} steps → {}\n",
        info.kind,
        info.window,
        info.horizon,
        info.dim,
        info.provenance.steps,
        args.out.display()
    );
    let json = json!({ "checkpoint": args.out, "config": config, "info": info });
    Ok(Report { text, key_metrics: json!({ "steps": info.provenance.steps, "checkpoint": args.out }), json })
}

fn codec(args: &Args, session: &Session) -> anyhow::Result<Report> {
    let Some(folder) = &args.audio else {
        super::usage!("fit demo-codec needs speech to train on; name its folder with --audio");
    };
    let mut config = settings::<DemoCodecConfig>(args.config.as_deref(), &args.set)?;
    if let Some(file) = &args.held_out {
        config.held_out_speakers.extend(input::speakers(file)?);
    }
    let mut clips = Vec::new();
    for file in scan_audio(folder)? {
        session.cancel.check()?;
        match audio::read(&file.path) {
            Ok(clip) => clips.push(SpeechClip { speaker: file.speaker, clip }),
            Err(error) => session.console.warning(&format!("left out: {error}")),
        }
    }
    let state = args.out.with_added_extension("state");
    let bytes = fit_codec(&session.job()?, &clips, &config, Some(&state))?;
    write_beside(&args.out, &bytes)?;
    remove_state(&state)?;
    let codec = DemoCodec::from_bytes(&bytes, &args.out.display().to_string())?;
    let provenance = &codec.header().provenance;
    let text = format!(
        "fitted the demo codec (D {}) on {} utterances, {:.1} min, in {} steps → {} ({:.1} MB)\n",
        codec.dim(),
        provenance.n_utterances,
        provenance.seconds / 60.0,
        provenance.steps,
        args.out.display(),
        bytes.len() as f64 / 1e6
    );
    let json = json!({ "weights": args.out, "codec": codec.tag(), "header": codec.header() });
    Ok(Report { text, key_metrics: json!({ "steps": provenance.steps, "weights": args.out }), json })
}

/// The state serves to resume; beside a finished checkpoint it would only be resumed by mistake.
fn remove_state(state: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(state) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{}: cannot be removed", state.display()))
        }
        _ => Ok(()),
    }
}

/// Defaults, then the file, then each `--set`; an unknown name is an error that names it.
fn settings<Config: DeserializeOwned + Serialize + Default>(file: Option<&Path>, set: &[String]) -> anyhow::Result<Config> {
    let mut table = match file {
        None => toml::Table::new(),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
            text.parse::<toml::Table>().with_context(|| format!("{}: not TOML", path.display()))?
        }
    };
    for assignment in set {
        let Some((name, value)) = assignment.split_once('=') else {
            super::usage!("--set {assignment}: no '='; write it as NAME=VALUE, for one hidden_dim=256");
        };
        assign(&mut table, name.trim(), value.trim())?;
    }
    // Over the defaults of the whole: a group that is named in part would else take those of the group's type.
    let mut whole = toml::Table::try_from(Config::default()).context("defaults are no TOML")?;
    lay(&mut whole, table);
    whole.try_into().map_err(|error: toml::de::Error| super::Usage(format!("the settings do not fit: {error}")).into())
}

/// Lays `over` on `under`, group by group.
fn lay(under: &mut toml::Table, over: toml::Table) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => lay(under, over),
            (_, value) => {
                under.insert(name, value);
            }
        }
    }
}

/// Sets `a.b.c` in nested tables. A value that is no TOML value is taken as text.
fn assign(table: &mut toml::Table, name: &str, value: &str) -> anyhow::Result<()> {
    if let Some((head, rest)) = name.split_once('.') {
        let inner = table.entry(head).or_insert_with(|| toml::Table::new().into());
        let inner = inner.as_table_mut().with_context(|| format!("--set {name}: {head} is a value, not a group of settings"))?;
        return assign(inner, rest, value);
    }
    let parsed = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut t| t.remove("v"));
    table.insert(name.to_owned(), parsed.unwrap_or_else(|| value.into()));
    Ok(())
}

/// A stop, with what it leaves behind.
fn keeping(error: anyhow::Error, state: &Path, session: &Session) -> anyhow::Error {
    if session.cancel.check().is_err() && state.exists() {
        return error.context(format!("{} keeps what was done; the same command goes on from there", state.display()));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_from_defaults_file_and_command_line_in_this_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fit.toml");
        std::fs::write(&file, "hidden_dim = 64\nmax_steps = 5\n").unwrap();
        let config: PredictorConfig = settings(Some(&file), &["max_steps=9".into(), "learning_rate=2e-3".into()]).unwrap();
        assert_eq!((config.hidden_dim, config.max_steps, config.learning_rate), (64, 9, 2e-3));
        assert_eq!(config.window, PredictorConfig::default().window);
    }

    #[test]
    fn a_group_that_is_named_in_part_keeps_the_rest_of_this_configs_defaults() {
        let config: DemoCodecConfig = settings(None, &["fit.steps=9".into(), "network.n_bins=513".into()]).unwrap();
        let defaults = DemoCodecConfig::default();
        assert_ne!(defaults.fit.learning_rate, driftscope_core::fit::FitConfig::default().learning_rate);
        assert_eq!((config.fit.steps, config.fit.learning_rate), (9, defaults.fit.learning_rate));
        assert_eq!((config.network.n_bins, config.network.width), (513, defaults.network.width));
    }

    #[test]
    fn bad_settings_are_named() {
        for (set, expected) in [("hiden_dim=3", "hiden_dim"), ("hidden_dim", "no '='"), ("hidden_dim=wide", "hidden_dim")] {
            let error = settings::<PredictorConfig>(None, &[set.into()]).unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{set}: {error:#}");
        }
    }
}
