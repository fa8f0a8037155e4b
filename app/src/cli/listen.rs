//! `listen`: listening tests without the window: made of folders of sounds, checked, their logs verified, their results told.

mod exchange;
mod make;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use driftscope_core::figure;
use driftscope_core::listen::{Log, Plan, Results, Test, bundle};
use serde_json::json;

use super::output::{ForceArg, refuse_folder, writable_folder, write_beside};
use super::session::Session;
use super::{JsonArg, Report};
use crate::listening::{self, PROGRAM};

/// Make listening tests, check them, verify their logs, tell their results
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, serde::Serialize, clap::Subcommand)]
enum What {
    Make(make::Args),
    Check(CheckArgs),
    Bundle(BundleArgs),
    Import(ImportArgs),
    Verify(VerifyArgs),
    Results(ResultsArgs),
    Webmushra(exchange::WebmushraArgs),
    Versa(exchange::VersaArgs),
}

/// Check a plan and its sounds, against the standards too
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
struct CheckArgs {
    /// A test's folder, or its plan.json
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Fail where the standards say otherwise, too
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    json: JsonArg,
}

/// Write a test as a folder that opens in any browser, for listeners elsewhere
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
struct BundleArgs {
    /// A test's folder, or its plan.json
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Listeners who can take part, each with an order of trials of their own
    #[arg(long, value_name = "N", default_value_t = 20)]
    seats: u32,
    /// New folder for it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    json: JsonArg,
}

/// Take the answers of a listener elsewhere into a test
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
struct ImportArgs {
    /// What the page of a bundle saved
    #[arg(value_name = "ANSWERS.json")]
    file: PathBuf,
    /// The test's folder, or its plan.json
    #[arg(long, value_name = "PLAN")]
    plan: PathBuf,
    #[command(flatten)]
    json: JsonArg,
}

/// Say whether a log was touched after it was written
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
struct VerifyArgs {
    /// A listener's log
    #[arg(value_name = "LOG.jsonl")]
    file: PathBuf,
    /// The test's folder, or its plan.json [default: the one beside the log]
    #[arg(long, value_name = "PLAN")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

/// Tell what a test proved, of all listeners who have finished it
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
struct ResultsArgs {
    /// A test's folder, or its plan.json
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Write every answer as a row of CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Folder for a figure as PDF, SVG, PNG and CSV
    #[arg(long, value_name = "DIR")]
    figures: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArg,
    #[command(flatten)]
    json: JsonArg,
}

impl Args {
    pub(super) fn json(&self) -> &JsonArg {
        match &self.what {
            What::Make(args) => &args.json,
            What::Check(args) => &args.json,
            What::Bundle(args) => &args.json,
            What::Import(args) => &args.json,
            What::Verify(args) => &args.json,
            What::Results(args) => &args.json,
            What::Webmushra(args) => args.json(),
            What::Versa(args) => &args.json,
        }
    }
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    match &args.what {
        What::Make(args) => make::run(args, session),
        What::Check(args) => check(args),
        What::Bundle(args) => give_away(args),
        What::Import(args) => import(args),
        What::Verify(args) => verify(args),
        What::Results(args) => results(args),
        What::Webmushra(args) => exchange::webmushra(args, session),
        What::Versa(args) => exchange::for_versa(args),
    }
}

fn check(args: &CheckArgs) -> anyhow::Result<Report> {
    let test = Test::open(&args.plan)?;
    let plan = test.plan();
    let stimuli = || plan.items.iter().flat_map(|item| &item.stimuli).flatten();
    for stimulus in stimuli() {
        test.sound(stimulus)?;
    }
    let advice = driftscope_core::listen::check(plan).advice;
    if args.strict && !advice.is_empty() {
        bail!("{}: {}", args.plan.display(), advice.join("; "));
    }
    let mut text = format!("{}; its {} sounds are as the plan was made\n", described(plan), stimuli().count());
    for sentence in &advice {
        text.push_str(&format!("advice: {sentence}\n"));
    }
    let json =
        json!({ "plan": test.hash(), "title": plan.title, "n_scored": plan.n_scored(), "n_sounds": stimuli().count(), "advice": advice });
    Ok(Report { text, json, ..Report::default() })
}

/// "a test": 3 conditions, 5 items, 32 scored trials a listener
fn described(plan: &Plan) -> String {
    let (n_conditions, n_items) = (plan.conditions.len(), plan.items.len());
    format!("\"{}\": {n_conditions} conditions, {n_items} items, {} scored trials a listener", plan.title, plan.n_scored())
}

fn give_away(args: &BundleArgs) -> anyhow::Result<Report> {
    let test = Test::open(&args.plan)?;
    bundle::write_bundle(&test, args.seats, &args.out)?;
    let text = format!("{}: open index.html; {} listeners can take part\n", args.out.display(), args.seats);
    Ok(Report { text, json: json!({ "folder": args.out, "plan": test.hash(), "seats": args.seats }), ..Report::default() })
}

fn import(args: &ImportArgs) -> anyhow::Result<Report> {
    let test = Test::open(&args.plan)?;
    let log = driftscope_core::listen::import(&args.file, &test, PROGRAM)?;
    Ok(described_log(&log, &test))
}

fn verify(args: &VerifyArgs) -> anyhow::Result<Report> {
    let beside = || args.file.parent().unwrap_or(Path::new("")).join("plan.json");
    let plan = args.plan.clone().unwrap_or_else(beside);
    let test =
        Test::open(&plan).with_context(|| format!("{}: cannot be verified without its plan; name it with --plan", args.file.display()))?;
    Ok(described_log(&Log::verify(&args.file, &test)?, &test))
}

/// What may be said of a log before the end of a test.
fn described_log(log: &Log, test: &Test) -> Report {
    let (n_scored, n_voided) = (log.scored().count(), log.n_voided());
    let state = if log.is_finished { "finished" } else { "not finished" };
    let path = log.path.display();
    let mut text = format!(
        "{path}: as it was written; {}, {state}: {n_scored} answers that count of {} at most, {n_voided} voided; receipt {}\n",
        log.listener,
        test.plan().n_scored(),
        log.receipt
    );
    if log.n_cut_bytes > 0 {
        text.push_str(&format!("its last line was cut off after {} bytes, as by a crash\n", log.n_cut_bytes));
    }
    let json = json!({
        "log": log.path, "plan": test.hash(), "listener": log.listener, "finished": log.is_finished, "n_scored": n_scored,
        "n_voided": n_voided, "n_cut_bytes": log.n_cut_bytes, "receipt": log.receipt,
    });
    Report { text, json, ..Report::default() }
}

fn results(args: &ResultsArgs) -> anyhow::Result<Report> {
    if let Some(path) = &args.csv {
        refuse_folder(path)?;
        args.force.check(path)?;
    }
    if let Some(folder) = &args.figures {
        args.force.check(&folder.join("listening.svg"))?;
        writable_folder(folder)?;
    }
    let test = Test::open(&args.plan)?;
    let results = Results::of(&test)?;
    if let Some(path) = &args.csv {
        write_beside(path, results.csv().as_bytes())?;
    }
    if let Some(folder) = &args.figures {
        figure::write(&listening::figure(&test, &results), folder)?;
    }
    Ok(Report { text: results.summary(), json: serde_json::to_value(&results)?, ..Report::default() })
}
