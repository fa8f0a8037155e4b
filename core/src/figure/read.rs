//! What a figure's file says of itself: provenance, and the view that it shows.
//!
//! Of an SVG and of a PNG only what stands before the drawing is read; of a PDF the whole file, since its parts may lie anywhere.
//! Nothing is drawn, and no more than [`LONGEST`] bytes are read of any file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek};
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::{Origin, png::ORIGIN};

/// Most bytes that are read of a file: many times what a figure has.
const LONGEST: u64 = 32 << 20;

/// Why a file says nothing of itself.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused.
    #[error("{path} could not be read: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Another program's file, or another kind of file.
    #[error("{0} is not a figure that Driftscope wrote: name an SVG, PNG or PDF with Driftscope's provenance in it")]
    Foreign(PathBuf),
    /// It ends, or breaks, before its provenance does.
    #[error("{0} is cut short or damaged: its provenance is not all there; use another copy, or write the figure again")]
    Damaged(PathBuf),
}

/// Reads back what [`write_with_view`](super::write_with_view) put into an SVG, PNG or PDF. The format is told by its content.
pub fn read_provenance(path: &Path) -> Result<Origin, ReadError> {
    let found = File::open(path).map_err(Fault::Unreadable).and_then(|file| read(BufReader::new(file)));
    found.map_err(|fault| match fault {
        Fault::Unreadable(error) => ReadError::Unreadable { path: path.to_owned(), reason: error.to_string() },
        Fault::Foreign => ReadError::Foreign(path.to_owned()),
        Fault::Damaged => ReadError::Damaged(path.to_owned()),
    })
}

#[derive(Debug)]
enum Fault {
    Unreadable(io::Error),
    Foreign,
    Damaged,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

fn read(mut file: impl BufRead + Seek) -> Result<Origin, Fault> {
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
    let start = file.fill_buf()?;
    let is = |magic: &[u8]| start.starts_with(magic);
    if is(PNG) {
        return parse(from_png(file)?.as_bytes());
    }
    if is(b"%PDF-") {
        return from_pdf(file);
    }
    if is(b"<svg") || is(b"<?xml") || is(b"\xef\xbb\xbf<") {
        return parse(from_svg(file)?.as_bytes());
    }
    // A few bytes of one of these are a copy that was cut off at once.
    let is_beginning = !start.is_empty() && [PNG, b"%PDF-", b"<svg"].iter().any(|magic| magic.starts_with(start));
    Err(if is_beginning { Fault::Damaged } else { Fault::Foreign })
}

/// The first JSON value; what follows it is not looked at.
fn parse(json: &[u8]) -> Result<Origin, Fault> {
    match serde_json::Deserializer::from_slice(json).into_iter().next() {
        Some(Ok(origin)) => Ok(origin),
        Some(Err(error)) if error.is_eof() => Err(Fault::Damaged),
        _ => Err(Fault::Foreign),
    }
}

fn from_png(file: impl BufRead + Seek) -> Result<String, Fault> {
    let decoder = png::Decoder::new_with_limits(file, png::Limits { bytes: LONGEST as usize });
    // Stops at the first pixel; ours has its texts before that.
    let reader = decoder.read_info().map_err(|error| match error {
        png::DecodingError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => Fault::Unreadable(error),
        _ => Fault::Damaged,
    })?;
    let text = reader.info().utf8_text.iter().find(|text| text.keyword == ORIGIN).ok_or(Fault::Foreign)?;
    text.get_text().map_err(|_| Fault::Damaged)
}

fn from_svg(file: impl BufRead) -> Result<String, Fault> {
    const END: &[u8] = b"</metadata>";
    let mut file = file.take(LONGEST);
    let mut text = Vec::new();
    while !text.ends_with(END) {
        if file.read_until(b'>', &mut text)? == 0 {
            let is_whole = memmem::rfind(&text, b"</svg").is_some() || file.limit() == 0;
            return Err(if is_whole { Fault::Foreign } else { Fault::Damaged });
        }
    }
    let start = memmem::find(&text, b"<metadata").ok_or(Fault::Foreign)?;
    let element = std::str::from_utf8(&text[start..]).map_err(|_| Fault::Damaged)?;
    let document = roxmltree::Document::parse(element).map_err(|_| Fault::Foreign)?;
    Ok(document.descendants().filter(roxmltree::Node::is_text).filter_map(|node| node.text()).collect())
}

/// Ours is an attachment that is not compressed; of others there may be any number.
fn from_pdf(file: impl BufRead) -> Result<Origin, Fault> {
    const ATTACHMENT: &[u8] = b"/EmbeddedFile";
    const STREAM: &[u8] = b"stream";
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    for at in memmem::find_iter(&bytes, ATTACHMENT) {
        let rest = &bytes[at + ATTACHMENT.len()..];
        let is_attachment = rest.first().is_none_or(|next| !next.is_ascii_alphanumeric());
        let Some(start) = memmem::find(rest, STREAM).filter(|_| is_attachment) else { continue };
        match parse(&rest[start + STREAM.len()..]) {
            Err(Fault::Foreign) => {}
            found => return found,
        }
    }
    let is_whole = memmem::rfind(&bytes, b"%%EOF").is_some() || bytes.len() as u64 == LONGEST;
    Err(if is_whole { Fault::Foreign } else { Fault::Damaged })
}

#[cfg(test)]
mod tests;
