//! `listen make`: a test of folders of sounds, one folder a condition and the same names in each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use driftscope_core::audio;
use driftscope_core::latents::scan_audio;
use driftscope_core::listen::{Condition, Design, Draft, DraftItem, Loudness, Role, Settings, Stop, check};
use serde_json::json;

use super::super::session::Session;
use super::super::{JsonArg, Report};

/// Make a test of folders of sounds: a folder a condition, the same file names in each
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    /// Sounds as they should be; for every design but preference
    #[arg(long, value_name = "DIR")]
    reference: Option<PathBuf>,
    /// Conditions and their folders; the one that is easiest to hear last, for the training
    #[arg(long, value_name = "NAME=DIR,…", value_delimiter = ',', required = true)]
    conditions: Vec<String>,
    /// What is asked
    #[arg(long, value_enum)]
    design: DesignArg,
    /// Scored trials a condition (or pair) and listener; at most so many in a sequential test
    #[arg(long, value_name = "N", default_value_t = 16)]
    trials: u32,
    /// Level of the test
    #[arg(long, value_name = "P", default_value_t = 0.05)]
    alpha: f64,
    /// Proportion of right answers: worth finding (sequential), or too many to be the same (equivalence) [default: .8, .75]
    #[arg(long, value_name = "P")]
    proportion: Option<f64>,
    /// Chance of missing that proportion (sequential)
    #[arg(long, value_name = "P", default_value_t = 0.2)]
    beta: f64,
    /// "No preference" may be answered
    #[arg(long)]
    ties: bool,
    /// MUSHRA without anchors at 3.5 and 7 kHz
    #[arg(long)]
    no_anchors: bool,
    /// Leave level differences as they are
    #[arg(long)]
    unmatched: bool,
    /// Trials before the scored ones whose answer is shown
    #[arg(long, value_name = "N", default_value_t = 3)]
    training: u32,
    /// For people [default: name of the new folder]
    #[arg(long)]
    title: Option<String>,
    /// New folder of the test
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
enum DesignArg {
    /// A, B, and X, which is one of them
    Abx,
    /// The same, ended as soon as the answers decide (Wald)
    Sequential,
    /// The same trials: is it the same as the reference?
    Equivalence,
    /// A or B, without a reference
    Preference,
    /// All conditions rated at once beside the reference (BS.1534-3)
    Mushra,
    /// Two graded beside the reference, for small impairments (BS.1116-3)
    Triple,
}

impl Args {
    fn design(&self) -> Design {
        let (n_trials, alpha) = (self.trials, self.alpha);
        match self.design {
            DesignArg::Abx => Design::Abx { stop: Stop::Fixed { n_trials }, alpha },
            DesignArg::Sequential => {
                let stop = Stop::Sequential { p1: self.proportion.unwrap_or(0.8), beta: self.beta, max_trials: n_trials };
                Design::Abx { stop, alpha }
            }
            DesignArg::Equivalence => Design::Equivalence { n_trials, margin: self.proportion.unwrap_or(0.75), alpha },
            DesignArg::Preference => Design::Preference { n_trials, ties: self.ties },
            DesignArg::Mushra => Design::Mushra,
            DesignArg::Triple => Design::TripleStimulus,
        }
    }

    /// Name, folder and role of each condition, the reference first.
    fn folders(&self) -> anyhow::Result<Vec<(String, PathBuf, Role)>> {
        let mut folders = Vec::new();
        match (&self.reference, self.design == DesignArg::Preference) {
            (Some(folder), false) => folders.push(("reference".to_owned(), folder.clone(), Role::Reference)),
            (None, true) => {}
            (None, false) => crate::cli::usage!("this design compares with a reference; name its folder with --reference"),
            (Some(_), true) => crate::cli::usage!("a preference test has no reference; give its folder as one of the --conditions"),
        }
        for condition in &self.conditions {
            let Some((name, folder)) = condition.split_once('=').filter(|(name, folder)| !name.is_empty() && !folder.is_empty()) else {
                crate::cli::usage!("\"{condition}\" is no condition; write NAME=DIR");
            };
            folders.push((name.to_owned(), folder.into(), Role::Tested));
        }
        Ok(folders)
    }
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    let folders = args.folders()?;
    if let Some((name, ..)) = folders.iter().enumerate().find_map(|(i, f)| folders[..i].iter().any(|other| other.0 == f.0).then_some(f)) {
        bail!("two of the conditions are called \"{name}\"; give each a name of its own");
    }
    if args.ties && !matches!(args.design, DesignArg::Preference) {
        crate::cli::usage!("--ties is for a preference test");
    }
    let condition =
        |(name, folder, role): &(String, PathBuf, Role)| Condition::new(name, format!("the sounds of {}", folder.display()), *role);
    let out = args.out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut draft = Draft {
        title: args.title.clone().unwrap_or(out),
        design: args.design(),
        conditions: folders.iter().map(condition).collect(),
        recipe: None,
        axis: None,
        items: items(&folders, session)?,
        seed: session.seed,
        settings: Settings {
            loudness: if args.unmatched { Loudness::Unmatched } else { Loudness::Matched },
            n_training: args.training,
            ..Settings::default()
        },
        provenance: BTreeMap::from([("version".to_owned(), super::PROGRAM.to_owned())]),
    };
    if args.design == DesignArg::Mushra && !args.no_anchors {
        draft.add_anchors()?;
    }
    let (test, notes) = draft.write(&args.out)?;
    for note in &notes {
        session.console.notice(note);
    }
    let advice = check(test.plan()).advice;
    for sentence in &advice {
        session.console.notice(&format!("advice: {sentence}"));
    }
    let text = format!("{}: {}\n", args.out.display(), super::described(test.plan()));
    let json = json!({ "folder": args.out, "plan": test.hash(), "n_scored": test.plan().n_scored(), "notes": notes, "advice": advice });
    Ok(Report { text, json, ..Report::default() })
}

/// A sound that is in every folder is an item; others are named and left out.
fn items(folders: &[(String, PathBuf, Role)], session: &Session) -> anyhow::Result<Vec<DraftItem>> {
    let mut found: BTreeMap<String, (String, Vec<PathBuf>)> = BTreeMap::new();
    for (_, folder, _) in folders {
        for file in scan_audio(folder)? {
            found.entry(file.utterance_id).or_insert_with(|| (file.speaker, Vec::new())).1.push(file.path);
        }
    }
    let (whole, partial): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, (_, paths))| paths.len() == folders.len());
    for (id, (_, paths)) in &partial {
        session.console.warning(&format!("left out: {id} is in {} of the {} folders", paths.len(), folders.len()));
    }
    if whole.is_empty() {
        bail!("no sound has the same name in all of the folders, so there is nothing to compare");
    }
    let clip = |path: &PathBuf| audio::read(Path::new(path)).map(Some);
    whole
        .into_iter()
        .map(|(id, (speaker, paths))| Ok(DraftItem { id, speaker, sounds: paths.iter().map(clip).collect::<Result<_, _>>()? }))
        .collect()
}
