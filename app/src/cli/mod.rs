//! The command line: one file a command, all of one shape.
//!
//! A command takes its arguments and a [`Session`] and gives a [`Report`]: a short text, the same as JSON, and what to keep in
//! the registry of runs. Only this file prints results, and only [`Console`] knows where they go: standard output holds results
//! and nothing else; progress, notices and the one sentence of a failure go to standard error.

mod battery;
mod console;
mod decode;
mod demo;
mod doctor;
mod encode;
mod evaluate;
mod fetch;
mod fit;
mod info;
mod inject;
mod input;
mod listen;
mod output;
mod pack;
mod perceive;
mod rollout;
mod roundtrip;
mod runs;
mod schedules;
mod session;
mod synth;
mod table;
mod window;

pub use console::Console;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use driftscope_core::engine::DeviceChoice;
use driftscope_core::job::Cancel;
use driftscope_core::run::Ending;
use serde_json::json;
use session::Session;

/// See and hear where an autoregressive rollout in continuous audio latents drifts.
#[derive(Debug, Parser)]
#[command(name = "driftscope", version, about, disable_help_subcommand = true)]
struct Cli {
    /// A latents store to open in the window; the embedded demo when none is named
    #[arg(value_name = "STORE")]
    project: Option<PathBuf>,
    /// Checkpoints (or folders of them) to open with the store, instead of those in `predictors/` beside it
    #[arg(long, value_name = "CKPT")]
    predictor: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Options that every command takes.
#[derive(Clone, Debug, clap::Args)]
struct Common {
    /// Where tensors are computed
    #[arg(long, global = true, value_enum, default_value_t = DeviceArg::Auto)]
    device: DeviceArg,
    /// The only source of randomness
    #[arg(long, global = true, default_value_t = 42, value_name = "N")]
    seed: u64,
    /// No progress and no notices; results and failures only
    #[arg(long, global = true)]
    quiet: bool,
    /// Folder of the registry of runs [default: $DRIFTSCOPE_RUNS, or the user's data folder]
    #[arg(long, global = true, value_name = "DIR")]
    runs: Option<PathBuf>,
}

/// `--device` as clap knows it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DeviceArg {
    Auto,
    Cpu,
    Gpu,
    Cuda,
}

impl From<DeviceArg> for DeviceChoice {
    fn from(arg: DeviceArg) -> Self {
        match arg {
            DeviceArg::Auto => Self::Auto,
            DeviceArg::Cpu => Self::Cpu,
            DeviceArg::Gpu => Self::Gpu,
            DeviceArg::Cuda => Self::Cuda,
        }
    }
}

/// Commands in the order of their use.
#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Doctor(doctor::Args),
    Fetch(fetch::Args),
    Encode(encode::Args),
    Info(info::Args),
    Decode(decode::Args),
    Roundtrip(roundtrip::Args),
    Perceive(perceive::Args),
    Battery(battery::Args),
    Listen(listen::Args),
    Fit(fit::Args),
    Evaluate(evaluate::Args),
    Inject(inject::Args),
    Rollout(rollout::Args),
    Synth(synth::Args),
    Runs(runs::Args),
    PackDemo(pack::Args),
}

impl Command {
    /// Where the JSON is wanted: `-` is standard output.
    fn json(&self) -> Option<&PathBuf> {
        let arg = match self {
            Self::Demo(args) => &args.json,
            Self::Doctor(args) => &args.json,
            Self::Fetch(args) => &args.json,
            Self::Encode(args) => &args.json,
            Self::Info(args) => &args.json,
            Self::Decode(args) => &args.json,
            Self::Roundtrip(args) => &args.json,
            Self::Perceive(args) => &args.json,
            Self::Battery(args) => &args.json,
            Self::Listen(args) => args.json(),
            Self::Fit(args) => &args.json,
            Self::Evaluate(args) => &args.json,
            Self::Inject(args) => &args.json,
            Self::Rollout(args) => &args.json,
            Self::Synth(args) => &args.json,
            Self::Runs(args) => &args.json,
            Self::PackDemo(args) => &args.json,
        };
        arg.json.as_ref()
    }

    /// Name and arguments for the registry; `None` for commands that only look.
    fn recorded(&self) -> Option<(&'static str, serde_json::Value)> {
        Some(match self {
            Self::Doctor(_)
            | Self::Fetch(_)
            | Self::Runs(_)
            | Self::Info(_)
            | Self::Decode(_)
            | Self::Perceive(_)
            | Self::Listen(_)
            | Self::PackDemo(_) => {
                return None;
            }
            Self::Demo(args) => ("demo", json!(args)),
            Self::Encode(args) => ("encode", json!(args)),
            Self::Roundtrip(args) => ("roundtrip", json!(args)),
            Self::Battery(args) => ("battery", json!(args)),
            Self::Fit(args) => (args.experiment(), json!(args)),
            Self::Evaluate(args) => ("evaluate", json!(args)),
            Self::Inject(args) => ("inject", json!(args)),
            Self::Rollout(args) => ("rollout", json!(args)),
            Self::Synth(args) => ("synth", json!(args)),
        })
    }

    fn run(&self, session: &Session) -> anyhow::Result<Report> {
        match self {
            Self::Demo(args) => demo::run(args, session),
            Self::Doctor(args) => doctor::run(args, session),
            Self::Fetch(args) => fetch::run(args, session),
            Self::Encode(args) => encode::run(args, session),
            Self::Info(args) => info::run(args, session),
            Self::Decode(args) => decode::run(args, session),
            Self::Roundtrip(args) => roundtrip::run(args, session),
            Self::Perceive(args) => perceive::run(args, session),
            Self::Battery(args) => battery::run(args, session),
            Self::Listen(args) => listen::run(args, session),
            Self::Fit(args) => fit::run(args, session),
            Self::Evaluate(args) => evaluate::run(args, session),
            Self::Inject(args) => inject::run(args, session),
            Self::Rollout(args) => rollout::run(args, session),
            Self::Synth(args) => synth::run(args, session),
            Self::Runs(args) => runs::run(args, session),
            Self::PackDemo(args) => pack::run(args, session),
        }
    }
}

/// `--json`, for commands whose result has numbers.
#[derive(Clone, Debug, Default, serde::Serialize, clap::Args)]
struct JsonArg {
    /// Write the result as JSON to a file, or to standard output when `-`
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
}

/// What a command gives back.
#[derive(Clone, Debug, Default)]
struct Report {
    /// A few lines for people.
    text: String,
    /// The whole result.
    json: serde_json::Value,
    /// A few numbers for the registry.
    key_metrics: serde_json::Value,
}

/// Parses `args` (program name first), runs the command, prints to `console`; the exit code: 0 done, 1 failed, 2 wrong usage.
pub fn run(args: impl IntoIterator<Item = OsString>, console: &mut Console, cancel: &Cancel) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let text = error.render().to_string();
            let usage = error.use_stderr();
            if usage {
                console.failure(text.trim_end());
            } else {
                console.result(&text);
            }
            return if usage { 2 } else { 0 };
        }
    };
    console.set_quiet(cli.common.quiet);
    let outcome = match (&cli.command, cli.project) {
        (Some(_), Some(_)) => {
            console.failure("driftscope: a store to open and a command exclude each other; name the store with --store after the command");
            return 2;
        }
        (Some(command), None) => execute(command, &cli.common, console, cancel),
        (None, Some(path)) if !path.exists() => {
            console.failure(&format!("driftscope: {} is neither a command (see --help) nor a store that is there", path.display()));
            return 2;
        }
        (None, project) => {
            let session = Session::new(&cli.common, console, cancel);
            window::run(project, cli.predictor, &session).map(|report| console.result(&report.text))
        }
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            console.failure(&format!("driftscope: {}", sentence(&error)));
            if error.is::<Usage>() { 2 } else { 1 }
        }
    }
}

/// What was asked for is nothing that can be asked for: the exit code is that of a wrong option.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Returns a [`Usage`] error with a formatted sentence.
macro_rules! usage {
    ($($sentence:tt)*) => {
        return Err($crate::cli::Usage(format!($($sentence)*)).into())
    };
}
use usage;

/// An error and its causes as one sentence; a cause whose words were said already is not said again.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        let cause = cause.trim_end();
        if !text.contains(cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(cause);
        }
    }
    text
}

/// Runs a command with its start and its end in the registry, and delivers its report.
fn execute(command: &Command, common: &Common, console: &mut Console, cancel: &Cancel) -> anyhow::Result<()> {
    let json_path = command.json();
    if let Some(path) = json_path.filter(|path| path.as_os_str() != "-") {
        output::refuse_other_than_report(path)?;
    }
    let session = Session::new(common, console, cancel);
    let run = command.recorded().and_then(|(experiment, config)| session.start_run(experiment, &config));
    let outcome = command.run(&session).and_then(|report| {
        match json_path {
            Some(path) if path.as_os_str() == "-" => console.result(&format!("{:#}\n", report.json)),
            Some(path) => {
                // First what cannot fail: a full disk must not cost what was computed.
                console.result(&report.text);
                output::write_beside(path, format!("{:#}\n", report.json).as_bytes())?;
            }
            None => console.result(&report.text),
        }
        Ok(report)
    });
    session.say_what_was_lost();
    if let Some(run) = run {
        let ending = match &outcome {
            Ok(_) => Ending::Completed,
            Err(_) if cancel.check().is_err() => Ending::Stopped,
            Err(error) => Ending::Failed(sentence(error)),
        };
        session.finish_run(run, &ending, outcome.as_ref().ok());
    }
    outcome.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("No such file").context("s.zarr: No such file").context("cannot open");
        assert_eq!(sentence(&error), "cannot open: s.zarr: No such file");
        let error = anyhow::anyhow!("s.zarr: No such file\n").context("No such file");
        assert_eq!(sentence(&error), "No such file: s.zarr: No such file");
    }
}
