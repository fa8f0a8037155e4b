//! `listen webmushra` and `listen versa`: tests, answers and sounds to and from other programs.

use std::path::{Path, PathBuf};

use driftscope_core::listen::statistics::{self, ConditionSummary, Rating, Resampling, Tally};
use driftscope_core::listen::webmushra::{self, Row, Said};
use driftscope_core::listen::{Log, Plan, Test, check, versa};
use serde_json::{Value, json};

use super::super::output::{ForceArg, refuse_folder, write_beside};
use super::super::session::Session;
use super::super::{JsonArg, Report};

/// Take tests and answers from webMUSHRA, or bring them there
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct WebmushraArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, serde::Serialize, clap::Subcommand)]
enum What {
    Import(ImportArgs),
    Export(ExportArgs),
    Results(ResultsArgs),
    Table(TableArgs),
}

/// Make a test of an experiment's mushra, paired_comparison or bs1116 pages
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
struct ImportArgs {
    /// The experiment
    #[arg(value_name = "CONFIG.yaml")]
    config: PathBuf,
    /// webMUSHRA's folder, which the files in the experiment are relative to
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// New folder of the test
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    json: JsonArg,
}

/// Write a test as an experiment of webMUSHRA, with its sounds
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
struct ExportArgs {
    /// A test's folder, or its plan.json
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// New folder; what is in it belongs into webMUSHRA's
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    json: JsonArg,
}

/// Tell what webMUSHRA's mushra.csv, paired_comparison.csv or bs1116.csv says
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
struct ResultsArgs {
    /// The table
    #[arg(value_name = "RESULTS.csv")]
    file: PathBuf,
    /// The test's folder, or its plan.json
    #[arg(long, value_name = "PLAN")]
    plan: PathBuf,
    #[command(flatten)]
    json: JsonArg,
}

/// Write our answers as webMUSHRA would have
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
struct TableArgs {
    /// A test's folder, or its plan.json
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// The table
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
    #[command(flatten)]
    force: ForceArg,
    #[command(flatten)]
    json: JsonArg,
}

/// Lay out a test's sounds for VERSA, whose measures need large models
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct VersaArgs {
    /// A test's folder, or its plan.json
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// New folder for them
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

impl WebmushraArgs {
    pub(super) fn json(&self) -> &JsonArg {
        match &self.what {
            What::Import(args) => &args.json,
            What::Export(args) => &args.json,
            What::Results(args) => &args.json,
            What::Table(args) => &args.json,
        }
    }
}

pub(super) fn webmushra(args: &WebmushraArgs, session: &Session) -> anyhow::Result<Report> {
    match &args.what {
        What::Import(args) => import(args, session),
        What::Export(args) => export(args),
        What::Results(args) => results(args),
        What::Table(args) => table(args),
    }
}

fn import(args: &ImportArgs, session: &Session) -> anyhow::Result<Report> {
    let experiment = webmushra::read_experiment(&args.config)?;
    let (test, of_sounds) = experiment.draft(&args.root, session.seed)?.write(&args.out)?;
    let advice = check(test.plan()).advice;
    let notes: Vec<String> = experiment.notes.into_iter().chain(of_sounds).collect();
    for note in &notes {
        session.console.notice(note);
    }
    let text = format!("{}: {}\n", args.out.display(), super::described(test.plan()));
    Ok(Report { text, json: json!({ "folder": args.out, "plan": test.hash(), "notes": notes, "advice": advice }), ..Report::default() })
}

fn export(args: &ExportArgs) -> anyhow::Result<Report> {
    let test = Test::open(&args.plan)?;
    let config = webmushra::export_experiment(&test, &args.out)?;
    let name = config.file_name().unwrap_or_default().to_string_lossy();
    let text = format!("{}: copy what is in it into webMUSHRA's folder, and open webMUSHRA with ?config={name}\n", args.out.display());
    Ok(Report { text, json: json!({ "config": config, "plan": test.hash() }), ..Report::default() })
}

fn results(args: &ResultsArgs) -> anyhow::Result<Report> {
    let test = Test::open(&args.plan)?;
    let rows = webmushra::read_results(&args.file, test.plan())?;
    let (text, json) = told(test.plan(), &rows, &args.file)?;
    Ok(Report { text, json, ..Report::default() })
}

/// Every condition in a line.
fn told(plan: &Plan, rows: &[Row], file: &Path) -> anyhow::Result<(String, Value)> {
    let name = |condition: usize| plan.conditions[condition].name.as_str();
    match rows.first().map(|row| row.said) {
        None => anyhow::bail!("{}: holds no answer", file.display()),
        Some(Said::Choice { .. }) => {
            let mut text = String::new();
            let mut conditions = serde_json::Map::new();
            for (condition, [n_right, n_wrong, n_undecided]) in webmushra::tallies(rows) {
                // Who is undecided would have guessed: half of them right, in a whole number against what is to be shown.
                let tally = Tally::new(n_right + n_undecided / 2, n_right + n_wrong + n_undecided)?;
                let result = statistics::abx(tally, 0.05)?;
                let (n, p) = (tally.n_trials(), result.p_value);
                text.push_str(&format!("{}: {} of {n} right ({n_undecided} undecided), p = {p:.1e}\n", name(condition), tally.n_right()));
                conditions.insert(name(condition).to_owned(), serde_json::to_value(result)?);
            }
            Ok((text, conditions.into()))
        }
        Some(Said::Rating(_)) => summaries(plan, &webmushra::ratings(rows).1, "rated"),
        Some(Said::Grades { .. }) => summaries(plan, &statistics::difference_grades(&webmushra::grades(rows).1), "difference grade"),
    }
}

fn summaries(plan: &Plan, ratings: &[Rating], what: &str) -> anyhow::Result<(String, Value)> {
    let resampling = Resampling { seed: plan.seed, ..Resampling::default() };
    let mut text = String::new();
    let mut conditions = serde_json::Map::new();
    for summary in statistics::summarize(ratings, resampling)? {
        let ConditionSummary { condition, n_ratings, n_listeners, mean, interval, .. } = summary;
        let name = &plan.conditions[condition].name;
        let between = interval.map_or_else(String::new, |i| format!(" [{:.2}, {:.2}]", i.low, i.high));
        text.push_str(&format!("{name}: {what} {mean:.2}{between}, {n_ratings} answers of {n_listeners} listeners\n"));
        conditions.insert(name.clone(), serde_json::to_value(summary)?);
    }
    Ok((text, conditions.into()))
}

fn table(args: &TableArgs) -> anyhow::Result<Report> {
    refuse_folder(&args.out)?;
    args.force.check(&args.out)?;
    let test = Test::open(&args.plan)?;
    let logs = test.log_paths()?.iter().map(|path| Log::verify(path, &test)).collect::<Result<Vec<_>, _>>()?;
    // An unfinished test is nobody's business but the listener's.
    let finished: Vec<Log> = logs.into_iter().filter(|log| log.is_finished).collect();
    let id = format!("listening-{}", &test.hash()[..8]);
    write_beside(&args.out, webmushra::results_csv(test.plan(), &id, &finished)?.as_bytes())?;
    let text = format!("{}: the answers of {} listeners\n", args.out.display(), finished.len());
    Ok(Report { text, json: json!({ "table": args.out, "n_listeners": finished.len() }), ..Report::default() })
}

pub(super) fn for_versa(args: &VersaArgs) -> anyhow::Result<Report> {
    let folders = versa::export_versa(&Test::open(&args.plan)?, &args.out)?;
    let text = format!("{}: score.sh FOLDER-OF-VERSA scores the sounds of {} folders\n", args.out.display(), folders.len());
    Ok(Report { text, json: json!({ "folders": folders }), ..Report::default() })
}
