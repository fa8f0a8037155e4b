//! Where weights of codecs are: in the Hugging Face cache of this machine, or where they were named before. Found here, never
//! downloaded; that is `driftscope fetch`.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use driftscope_core::codec::{Codec, CodecError, CodecKind, CodecOptions};
use driftscope_core::disk::write_beside;
use driftscope_core::latents::CodecTag;
use safetensors::tensor::Metadata;
use serde::de::DeserializeOwned;

use crate::open::data_folder;

/// A file of weights in a repository of huggingface.co.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    /// Whose weights.
    pub(crate) codec: CodecKind,
    /// `owner/name`.
    pub(crate) repository: &'static str,
    /// Path inside it.
    pub(crate) file: String,
    /// In millions of bytes, where the publication says it: what is known of it without a network.
    pub(crate) about_mb: Option<u32>,
    /// As its page states it.
    pub(crate) license: &'static str,
    /// What else one should know before asking for it.
    pub(crate) note: &'static str,
    /// Whether its terms must be accepted there first.
    pub(crate) is_gated: bool,
}

/// Bytes before a safetensors header, which say how long it is.
const N_LENGTH: u64 = 8;
/// As the format has it.
const LONGEST_HEADER: u64 = 100_000_000;

/// What is published of a codec, the fullest first; nothing of the one that is compiled in. CALM has one codec for each language.
pub(crate) fn published(codec: CodecKind, language: &str) -> Vec<Published> {
    let plain = |repository, mb, license| {
        let file = "model.safetensors".to_owned();
        vec![Published { codec, repository, file, about_mb: Some(mb), license, note: "", is_gated: false }]
    };
    let calm = |repository, note, is_gated| {
        let license = "CC-BY-4.0, with a list of prohibited uses (cloning a voice without consent)";
        let file = format!("languages/{language}/model.safetensors");
        Published { codec, repository, file, about_mb: None, license, note, is_gated }
    };
    match codec {
        CodecKind::Demo => Vec::new(),
        CodecKind::Mimi => plain("kyutai/mimi", 385, "CC-BY-4.0"),
        CodecKind::Encodec => plain("facebook/encodec_24khz", 93, "as its page states it; the code is MIT"),
        CodecKind::Calm => vec![
            calm("kyutai/pocket-tts", "the codec is part of a text-to-speech model", true),
            calm("kyutai/pocket-tts-without-voice-cloning", "its encoder is empty: it decodes only", false),
        ],
    }
}

/// The language of CALM's codec where none is named.
pub(crate) const DEFAULT_LANGUAGE: &str = "english";

impl Published {
    /// Its file in a cache folder: of the revision that `refs/main` names, else of the one that came last.
    pub(crate) fn in_cache(&self, hub: &Path) -> Option<PathBuf> {
        let repository = hub.join(format!("models--{}", self.repository.replace('/', "--")));
        let snapshots = repository.join("snapshots");
        let main = std::fs::read_to_string(repository.join("refs/main")).unwrap_or_default();
        // An empty or damaged reference must not lead out of the snapshots.
        let is_revision = !main.trim().is_empty() && main.trim().bytes().all(|b| b.is_ascii_hexdigit());
        let current = is_revision.then(|| snapshots.join(main.trim()).join(&self.file)).filter(|p| p.is_file());
        current.or_else(|| {
            let all = std::fs::read_dir(&snapshots).into_iter().flatten().flatten().map(|entry| entry.path().join(&self.file));
            let dated = all.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)));
            dated.max().map(|(_, path)| path)
        })
    }
}

/// The weights of a codec that the cache of this machine holds.
pub(crate) fn found(codec: CodecKind) -> Option<PathBuf> {
    let hub = hub()?;
    published(codec, DEFAULT_LANGUAGE).iter().find_map(|published| published.in_cache(&hub))
}

/// Why a file cannot be weights, the rest of a sentence after its name: it does not begin as safetensors do, or it ends too early.
pub(crate) fn flaw(path: &Path) -> Option<String> {
    let header = File::open(path).and_then(|file| Ok((file.metadata()?.len(), read_header(file)?)));
    match header {
        Err(error) => Some(format!("cannot be read ({error})")),
        Ok((_, None)) => Some("does not begin as safetensors do".to_owned()),
        Ok((n_there, Some(n_bytes))) if n_there < n_bytes => Some(format!("ends after {n_there} of {n_bytes} bytes")),
        Ok(_) => None,
    }
}

/// Bytes of the whole file, as its header says; `None` where it has none.
fn read_header(mut file: impl Read) -> std::io::Result<Option<u64>> {
    let mut length = Vec::new();
    file.by_ref().take(N_LENGTH).read_to_end(&mut length)?;
    let Some(length) = <[u8; 8]>::try_from(&*length).ok().map(u64::from_le_bytes).filter(|n| *n <= LONGEST_HEADER) else { return Ok(None) };
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    let metadata = serde_json::from_slice::<Metadata>(&header).ok();
    Ok(metadata.map(|metadata| N_LENGTH + length + metadata.data_len() as u64))
}

/// Opens a codec from a file that the user named, and remembers where it is, so that the stores it makes find it again.
pub(crate) fn open(kind: CodecKind, path: &Path, options: &CodecOptions) -> Result<Codec, CodecError> {
    let codec = Codec::open(kind, path, options)?;
    let mut known = remembered();
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if known.insert(codec.tag().weights_hash, path.clone()) != Some(path) {
        // Forgetting it costs a `--weights` later, not this work.
        let _ = keep(&known);
    }
    Ok(codec)
}

/// The codec that made a store's latents, where its weights are on this machine.
pub(crate) fn codec_of(tag: &CodecTag) -> Option<Codec> {
    let open = |kind, path: PathBuf| Codec::open(kind, &path, &chosen(tag)).ok().filter(|codec| codec.tag() == *tag);
    let kind: CodecKind = tag.codec.parse().ok()?;
    let embedded = (kind == CodecKind::Demo).then(Codec::embedded).and_then(Result::ok).filter(|codec| codec.tag() == *tag);
    embedded.or_else(|| open(kind, named_before(tag)?)).or_else(|| open(kind, found(kind)?))
}

/// The weights that made a store's latents, if they were named on this machine and are still there.
pub(crate) fn named_before(tag: &CodecTag) -> Option<PathBuf> {
    remembered().remove(&tag.weights_hash).filter(|path| path.is_file())
}

/// Files of weights that were named before, by their hash.
fn remembered() -> BTreeMap<String, PathBuf> {
    std::fs::read(memory()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn keep(known: &BTreeMap<String, PathBuf>) -> std::io::Result<()> {
    std::fs::create_dir_all(data_folder())?;
    let text = serde_json::to_vec_pretty(known)?;
    write_beside(&memory(), |file| file.write_all(&text))
}

fn memory() -> PathBuf {
    data_folder().join("weights.json")
}

/// What of a codec was chosen for a store, from the words of its tap; words that are no choice are passed over.
pub(crate) fn chosen(tag: &CodecTag) -> CodecOptions {
    let mut options = CodecOptions::default();
    for word in tag.tap.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        options.tap = named(word).unwrap_or(options.tap);
        options.frames = named(word).or_else(|_| named(&format!("mean-{word}"))).unwrap_or(options.frames);
        options.end = named(word).unwrap_or(options.end);
        options.gelu = named(word).ok().or(options.gelu);
    }
    options
}

/// A variant by the name that files give it.
pub(crate) fn named<T: DeserializeOwned>(name: &str) -> Result<T, String> {
    serde_json::from_value(name.into()).map_err(|e| e.to_string())
}

/// The folder that `huggingface_hub` and `hf-hub` keep repositories in; `None` without a home folder.
pub(crate) fn hub() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("HF_HUB_CACHE")
        .or_else(|| set("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| set("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("huggingface/hub")))
        .or_else(|| Some(directories::BaseDirs::new()?.home_dir().join(".cache/huggingface/hub")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use driftscope_core::codec::{EncodecFrames, EndPadding, Gelu, Tap};

    use super::*;

    #[test]
    fn choices_are_read_from_the_tap() {
        let of = |tap: &str| chosen(&CodecTag { codec: "encodec".into(), tap: tap.into(), weights_hash: String::new() });
        for plain in ["", "continuous", "posterior-mean", "pre-quantizer output"] {
            assert_eq!(of(plain), CodecOptions::default(), "{plain}");
        }
        let options = CodecOptions {
            tap: Tap::Dequantized,
            frames: EncodecFrames::MeanRepeated,
            end: EndPadding::Layers,
            gelu: Some(Gelu::Tanh),
            ..CodecOptions::default()
        };
        assert_eq!(of("dequantized, mean-repeated, layers, tanh"), options);
        assert_eq!(of("continuous, mean of 6, interpolated").frames, EncodecFrames::MeanInterpolated);
        assert_eq!(of("continuous, 6 stacked").frames, EncodecFrames::Stacked);
    }

    #[test]
    fn the_revision_of_main_else_the_last() {
        let hub = tempfile::tempdir().unwrap();
        let mimi = &published(CodecKind::Mimi, DEFAULT_LANGUAGE)[0];
        assert_eq!(mimi.in_cache(hub.path()), None);
        let repository = hub.path().join("models--kyutai--mimi");
        let file = |revision: &str| repository.join("snapshots").join(revision).join("model.safetensors");
        for revision in ["aaaa", "bbbb"] {
            fs::create_dir_all(file(revision).parent().unwrap()).unwrap();
        }
        fs::write(file("aaaa"), "").unwrap();
        assert_eq!(mimi.in_cache(hub.path()), Some(file("aaaa")), "without a reference");
        fs::write(file("bbbb"), "").unwrap();
        fs::create_dir(repository.join("refs")).unwrap();
        for (reference, revision) in [("aaaa\n", "aaaa"), ("bbbb", "bbbb")] {
            fs::write(repository.join("refs/main"), reference).unwrap();
            assert_eq!(mimi.in_cache(hub.path()), Some(file(revision)));
        }
        for elsewhere in ["", "../../x", "cccc"] {
            fs::write(repository.join("refs/main"), elsewhere).unwrap();
            assert!(mimi.in_cache(hub.path()).unwrap().starts_with(repository.join("snapshots")), "{elsewhere:?}");
        }
    }

    #[test]
    fn what_is_no_weights_is_told_from_them() {
        let folder = tempfile::tempdir().unwrap();
        let header = br#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let whole = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat();
        let cut = whole[..whole.len() - 3].to_vec();
        for (bytes, flaw_of) in [
            (whole.clone(), None),
            (cut, Some("ends after 67 of 70 bytes")),
            (whole[..20].to_vec(), Some("does not begin as safetensors do")),
            (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), Some("does not begin as safetensors do")),
            (b"text".to_vec(), Some("does not begin as safetensors do")),
            (Vec::new(), Some("does not begin as safetensors do")),
        ] {
            let path = folder.path().join("model.safetensors");
            fs::write(&path, &bytes).unwrap();
            assert_eq!(flaw(&path).as_deref(), flaw_of, "{} bytes", bytes.len());
        }
        assert!(flaw(folder.path()).unwrap().starts_with("cannot be read ("));
    }

    #[test]
    fn every_codec_but_the_embedded_one_is_published() {
        for codec in CodecKind::ALL {
            assert_eq!(published(codec, "french").is_empty(), codec == CodecKind::Demo);
        }
        assert_eq!(published(CodecKind::Calm, "french")[0].file, "languages/french/model.safetensors");
    }
}
