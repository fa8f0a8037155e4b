//! The YAML that an experiment is written in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::WebmushraError;
use crate::audio::{self, AudioClip};
use crate::disk;
use crate::listen::anchors::Anchor;
use crate::listen::plan::{Condition, Design, Loudness, Plan, Role, Settings, Stimulus, Stop};
use crate::listen::stimuli::{Draft, DraftItem};
use crate::listen::test::Test;

/// Trials a condition where the experiment has too few pages for any result: 12 of 16 right are p = .038.
const N_TRIALS: u32 = 16;
const ALPHA: f64 = 0.05;

/// A kind of page that has a design here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Many sounds beside a reference, 0 to 100.
    Mushra,
    /// Which of two is the reference?
    PairedComparison,
    /// Two sounds beside a reference, of which one is the reference: 1.0 to 5.0.
    Bs1116,
}

impl Kind {
    /// As `type` says it, and the name of the CSV.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mushra => "mushra",
            Self::PairedComparison => "paired_comparison",
            Self::Bs1116 => "bs1116",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Mushra, Self::PairedComparison, Self::Bs1116].into_iter().find(|kind| kind.name() == name)
    }
}

/// An experiment, as far as it is a listening test.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// `testname`.
    pub name: String,
    /// `testId`.
    pub id: String,
    /// What all its pages are.
    pub kind: Kind,
    /// In the order of the file.
    pub pages: Vec<ExperimentPage>,
    /// Pages before those that do not count, as this program writes them; 0 in a file of another origin.
    pub n_training: u32,
    /// What this program does otherwise, a sentence each.
    pub notes: Vec<String>,
}

/// One page: an item, or in a paired comparison an item under one condition after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct ExperimentPage {
    /// `id`.
    pub id: String,
    /// Relative to webMUSHRA's folder.
    pub reference: PathBuf,
    /// Condition and file, in the order of the file.
    pub stimuli: Vec<(String, PathBuf)>,
    /// Anchors that the page makes itself, the worse one first.
    pub anchors: Vec<Anchor>,
}

/// Reads a config.
///
/// # Errors
/// Where the file is no experiment, has pages of more than one kind or of none that is known here, or pages with other conditions than the
/// first one has.
pub fn read_experiment(path: &Path) -> Result<Experiment, WebmushraError> {
    let text = std::fs::read_to_string(path).map_err(|source| WebmushraError::Io { path: path.to_owned(), source })?;
    experiment(&text).map_err(|reason| WebmushraError::Config { path: path.to_owned(), reason })
}

pub(super) fn experiment(text: &str) -> Result<Experiment, String> {
    let config: Value = serde_saphyr::from_str(text).map_err(|e| format!("is no YAML ({e})"))?;
    let name = config.get("testname").and_then(plain).unwrap_or_default();
    let id = config.get("testId").and_then(plain).ok_or("is no experiment of webMUSHRA: it has no testId")?;
    let entries = config.get("pages").and_then(Value::as_array).ok_or("is no experiment of webMUSHRA: it has no pages")?;
    let mut found = Found::default();
    found.entries(entries)?;

    let kinds: BTreeSet<Kind> = found.pages.iter().map(|(kind, _)| *kind).collect();
    let kind = match *kinds.iter().collect::<Vec<_>>() {
        [kind] => *kind,
        [] => return Err("has no page of type mushra, paired_comparison or bs1116".to_owned()),
        _ => {
            let names: Vec<_> = kinds.into_iter().map(Kind::name).collect();
            return Err(format!("has pages of type {}; a plan asks one kind of question, so split the file", names.join(" and ")));
        }
    };
    let pages: Vec<ExperimentPage> = found.pages.into_iter().map(|(_, page)| page).collect();
    same_conditions(&pages)?;
    let mut notes: Vec<String> = found.left_out.iter().map(|(what, n)| format!("left out: {n} of type {what}")).collect();
    if found.unforced {
        notes.push("an undecided answer was allowed; here one of the two is to be chosen".to_owned());
    }
    notes.push("trials come in an order of their own for every listener, whether or not the file asks for it".to_owned());
    Ok(Experiment { name, id, kind, pages, n_training: found.n_training, notes })
}

/// Pages of nested groups, one after the other.
#[derive(Default)]
struct Found {
    pages: Vec<(Kind, ExperimentPage)>,
    left_out: BTreeMap<String, u32>,
    n_training: u32,
    unforced: bool,
}

impl Found {
    fn entries(&mut self, entries: &[Value]) -> Result<(), String> {
        for entry in entries {
            match entry {
                Value::Array(group) => self.entries(group)?,
                Value::Object(page) => self.page(page)?,
                Value::String(word) if word == "random" => {}
                other => return Err(format!("has {other} among its pages; there are pages, groups of them, and the word random")),
            }
        }
        Ok(())
    }

    fn page(&mut self, page: &Map<String, Value>) -> Result<(), String> {
        let id = page.get("id").and_then(plain);
        let named = || id.clone().map_or_else(|| "a page without id".to_owned(), |id| format!("page \"{id}\""));
        let kind = page.get("type").and_then(plain).ok_or_else(|| format!("{} has no type", named()))?;
        let Some(kind) = Kind::named(&kind) else {
            *self.left_out.entry(kind).or_default() += 1;
            return Ok(());
        };
        if id.as_ref().is_some_and(|id| id.starts_with(TRAINING)) {
            self.n_training += 1;
            return Ok(());
        }
        let file = |value: &Value| plain(value).map(PathBuf::from);
        let reference = page.get("reference").and_then(file).ok_or_else(|| format!("{} has no reference", named()))?;
        let stimuli = page.get("stimuli").and_then(Value::as_object).ok_or_else(|| format!("{} has no stimuli", named()))?;
        let stimuli = stimuli.iter().map(|(name, value)| Some((name.clone(), file(value)?))).collect::<Option<Vec<_>>>();
        let makes = |key: &str| page.get(key).and_then(Value::as_bool) == Some(true);
        let anchors = [(Anchor::Low, "createAnchor35"), (Anchor::Mid, "createAnchor70")];
        let page_read = ExperimentPage {
            reference,
            stimuli: stimuli.ok_or_else(|| format!("{} has a stimulus without a file", named()))?,
            anchors: anchors.into_iter().filter(|(_, key)| makes(key)).map(|(anchor, _)| anchor).collect(),
            id: id.clone().ok_or("has a page without id; results could not tell which it was")?,
        };
        if self.pages.iter().any(|(_, other)| other.id == page_read.id) {
            return Err(format!("has two pages with the id \"{}\"; results could not tell them apart", page_read.id));
        }
        self.unforced |= kind == Kind::PairedComparison && page.get("unforced").is_some_and(|v| !v.is_null());
        self.pages.push((kind, page_read));
        Ok(())
    }
}

/// A scalar as the text that it was.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        _ => None,
    }
}

fn same_conditions(pages: &[ExperimentPage]) -> Result<(), String> {
    let names = |page: &ExperimentPage| {
        let anchors = page.anchors.iter().map(|a| a.name().to_owned());
        page.stimuli.iter().map(|(name, _)| name.clone()).chain(anchors).collect::<BTreeSet<_>>()
    };
    let listed = |page: &ExperimentPage| names(page).into_iter().collect::<Vec<_>>().join(", ");
    let Some(first) = pages.first() else { return Ok(()) };
    match pages.iter().find(|page| names(page) != names(first)) {
        Some(other) => Err(format!(
            "page \"{}\" has the conditions {} and page \"{}\" {}; a plan has the same for every item",
            first.id,
            listed(first),
            other.id,
            listed(other)
        )),
        None => Ok(()),
    }
}

impl Experiment {
    /// A test made of it: its sounds are read from below `root`, webMUSHRA's folder; anchors are made here. The level of the sounds is left
    /// as it is.
    pub fn draft(&self, root: &Path, seed: u64) -> Result<Draft, WebmushraError> {
        let first = &self.pages[0];
        let condition = |name: &str, role| Condition::new(name, "", role);
        let mut conditions = vec![condition("reference", Role::Reference)];
        let role = |name: &str| if Anchor::ALL.iter().any(|anchor| anchor.name() == name) { Role::Anchor } else { Role::Tested };
        conditions.extend(first.stimuli.iter().map(|(name, _)| condition(name, role(name))));
        conditions.extend(first.anchors.iter().map(|anchor| condition(anchor.name(), Role::Anchor)));
        let items = self.pages.iter().map(|page| item(page, first, root)).collect::<Result<Vec<_>, _>>()?;
        let n_pages = items.len() as u32;
        let n_trials = if 0.5_f64.powf(f64::from(n_pages)) <= ALPHA { n_pages } else { N_TRIALS };
        let design = match self.kind {
            Kind::Mushra => Design::Mushra,
            Kind::Bs1116 => Design::TripleStimulus,
            Kind::PairedComparison => Design::Abx { stop: Stop::Fixed { n_trials }, alpha: ALPHA },
        };
        let title = if self.name.is_empty() { self.id.clone() } else { self.name.clone() };
        let mut settings = Settings { loudness: Loudness::Unmatched, ..Settings::default() };
        if self.n_training > 0 {
            settings.n_training = self.n_training;
        }
        let provenance = BTreeMap::from([("webmushra".to_owned(), self.id.clone())]);
        Ok(Draft { title, design, conditions, axis: None, items, recipe: None, seed, settings, provenance })
    }
}

/// The page's sounds in the order of the first page's conditions.
fn item(page: &ExperimentPage, first: &ExperimentPage, root: &Path) -> Result<DraftItem, WebmushraError> {
    let reference = audio::read(&root.join(&page.reference))?;
    let mut sounds = vec![Some(reference.clone())];
    for (name, _) in &first.stimuli {
        let file = page.stimuli.iter().find(|(other, _)| other == name).map(|(_, file)| file);
        sounds.push(file.map(|file| audio::read(&root.join(file))).transpose()?);
    }
    // Where a rate leaves no anchor, the test refuses the item that lacks it and says so.
    sounds.extend(first.anchors.iter().map(|anchor| anchor.of(&reference)));
    Ok(DraftItem { id: page.id.clone(), speaker: String::new(), sounds })
}

/// The `type` of the pages that ask what the plan asks.
pub(super) fn kind_of(plan: &Plan) -> Result<Kind, WebmushraError> {
    match plan.design {
        Design::Mushra => Ok(Kind::Mushra),
        Design::TripleStimulus => Ok(Kind::Bs1116),
        Design::Abx { stop: Stop::Fixed { .. }, .. } | Design::Equivalence { .. } => Ok(Kind::PairedComparison),
        Design::Abx { .. } => Err(WebmushraError::NoPage("webMUSHRA has no test that ends by its answers; plan a fixed number of trials")),
        Design::Preference { .. } => {
            Err(WebmushraError::NoPage("webMUSHRA's comparison of two asks which one is the reference, and a preference test has none"))
        }
        Design::Threshold { .. } => Err(WebmushraError::NoPage("webMUSHRA has no adaptive test")),
    }
}

/// The id of a page: the item's, with the round it comes in where it comes more than once.
pub(super) fn page_id(item: &str, round: u32) -> String {
    if round == 0 { item.to_owned() } else { format!("{item} ({})", round + 1) }
}

/// What a page of training is called; results leave it out.
pub(super) const TRAINING: &str = "training-";

/// Writes a plan as an experiment: `configs/ID.yaml` and the sounds, with their gains in the samples, in `configs/resources/audio/ID/`.
/// The folder's content goes into webMUSHRA's, since the file names are relative to that. Nothing may be there before.
pub fn export_experiment(test: &Test, folder: &Path) -> Result<PathBuf, WebmushraError> {
    let kind = kind_of(test.plan())?;
    if folder.exists() {
        return Err(WebmushraError::Exists(folder.to_owned()));
    }
    let id = format!("listening-{}", &test.hash()[..8]);
    let config = PathBuf::from(format!("configs/{id}.yaml"));
    let yaml = serde_saphyr::to_string(&experiment_of(test, kind, &id))
        .map_err(|e| WebmushraError::Config { path: config.clone(), reason: e.to_string() })?;

    let beside = disk::name_beside(folder);
    let write = || -> Result<(), WebmushraError> {
        for stimulus in test.plan().items.iter().flat_map(|item| &item.stimuli).flatten() {
            let clip = test.sound(stimulus)?;
            let gain = 10_f64.powf(stimulus.gain_db / 20.0) as f32;
            let samples = clip.samples.iter().map(|sample| sample * gain).collect();
            audio::write_wav(&beside.join(sound_file(&id, stimulus)), &AudioClip { samples, ..clip })?;
        }
        let failed = |source| WebmushraError::Io { path: folder.to_owned(), source };
        std::fs::create_dir_all(beside.join("configs")).map_err(failed)?;
        std::fs::write(beside.join(&config), yaml).map_err(failed)?;
        std::fs::rename(&beside, folder).map_err(failed)
    };
    write().inspect_err(|_| {
        // What is left is of no use; why it is, is what is said.
        let _ = std::fs::remove_dir_all(&beside);
    })?;
    Ok(folder.join(config))
}

fn sound_file(id: &str, stimulus: &Stimulus) -> String {
    format!("configs/resources/audio/{id}/{}.wav", &stimulus.hash[..12])
}

fn experiment_of(test: &Test, kind: Kind, id: &str) -> Value {
    let plan = test.plan();
    let page = |page_id: String, item: usize| {
        let sounds = plan.conditions.iter().zip(&plan.items[item].stimuli);
        let named: Vec<(&str, String)> =
            sounds.filter_map(|(c, stimulus)| Some((c.name.as_str(), sound_file(id, stimulus.as_ref()?)))).collect();
        let (reference, stimuli) = named.split_first().map_or((String::new(), &named[..]), |((_, file), rest)| (file.clone(), rest));
        let stimuli: Map<String, Value> = stimuli.iter().map(|(name, file)| ((*name).to_owned(), json!(file))).collect();
        json!({
            "type": kind.name(),
            "id": page_id,
            "name": plan.title,
            "content": question(kind),
            "showWaveform": false,
            "enableLooping": true,
            "strict": false,
            "reference": reference,
            "createAnchor35": false,
            "createAnchor70": false,
            "randomize": true,
            "showConditionNames": false,
            "stimuli": stimuli,
        })
    };
    let n_items = plan.items.len().max(1);
    let n_rounds = match plan.design {
        Design::Abx { stop: Stop::Fixed { n_trials }, .. } | Design::Equivalence { n_trials, .. } => n_trials.div_ceil(n_items as u32),
        _ => 1,
    };
    let training = (0..plan.settings.n_training).map(|n| page(format!("{TRAINING}{}", n + 1), n as usize % n_items));
    let scored = (0..n_rounds).flat_map(|round| (0..plan.items.len()).map(move |item| (round, item)));
    let scored = scored.map(|(round, item)| page(page_id(&plan.items[item].id, round), item));
    let mut pages: Vec<Value> = training.collect();
    pages.push(std::iter::once(json!("random")).chain(scored).collect());
    let listener = json!({ "type": "text", "label": "Name", "name": "listener", "optional": false });
    pages.push(json!({
        "type": "finish", "name": "Thank you", "content": "That was all. Please say who you are, and send the results.",
        "showResults": false, "writeResults": true, "questionnaire": [listener],
    }));
    json!({
        "testname": plan.title,
        "testId": id,
        "bufferSize": 2048,
        "stopOnErrors": true,
        "showButtonPreviousPage": false,
        "remoteService": "service/write.php",
        "pages": pages,
    })
}

fn question(kind: Kind) -> &'static str {
    match kind {
        Kind::Mushra => "How good is each sound beside the reference? One of them is the reference itself.",
        Kind::PairedComparison => "Which of the two is the reference?",
        Kind::Bs1116 => "How much is each of the two impaired against the reference? One of them is the reference itself.",
    }
}
