//! `pack-demo`: a store's latents as the one file that is compiled in. Only `assets/make.sh` calls it.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;

use super::input::{self, StoreArg};
use super::output::{ForceArg, write_beside};
use super::session::Session;
use super::{JsonArg, Report};

/// Pack a store's latents into the embedded demo
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
#[command(hide = true)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// File to write
    #[arg(long, value_name = "OUT.safetensors")]
    out: PathBuf,
    #[command(flatten)]
    force: ForceArg,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    args.force.check(&args.out)?;
    let (store, corpus) = input::corpus(&args.store, session)?;
    let codec = store.codec().with_context(|| format!("{} does not say which codec made it", store.path().display()))?;
    write_beside(&args.out, &crate::demo::pack(&corpus, codec)?)?;
    let text = format!("{}: {} utterances\n", args.out.display(), corpus.utterances.len());
    Ok(Report { text, json: json!({ "out": args.out }), ..Report::default() })
}
