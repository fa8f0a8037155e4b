//! The index beside a store: one row per utterance in a Parquet file.
//!
//! Columns `utterance_id` (text), `speaker_id` (number or text), `n_frames`, `duration_sec`, and `audio_path` or `path_audio`; other
//! columns are not read. The order of rows is kept: it is the order in which everything else counts utterances.

use std::collections::HashMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::layout::speaker_number;
use super::{StoreError, Utterance};
use crate::disk;

/// The index of the store at `store`, where there is one: `NAME_index.parquet` beside `NAME.zarr`; every `latents….zarr` may share
/// `latents_index.parquet`.
pub(super) fn beside(store: &Path) -> Option<PathBuf> {
    let shared = store.with_file_name("latents_index.parquet");
    let is_latents = store.file_name().is_some_and(|n| n.to_string_lossy().starts_with("latents"));
    [Some(own(store)), is_latents.then_some(shared)].into_iter().flatten().find(|p| p.is_file())
}

/// `NAME_index.parquet` beside `NAME.zarr`.
pub(super) fn own(store: &Path) -> PathBuf {
    let stem = store.file_stem().unwrap_or_default().to_string_lossy();
    store.with_file_name(format!("{stem}_index.parquet"))
}

/// Rows in file order; ids are unique. `n_frames` and `duration_sec` are 0 where the file does not say.
pub(super) fn read(path: &Path) -> Result<Vec<Utterance>, StoreError> {
    // The reader panics on some damaged pages; to a user that is one more file that cannot be read.
    catch_unwind(AssertUnwindSafe(|| read_rows(path)))
        .unwrap_or_else(|_| Err(StoreError::Index { path: path.into(), reason: "its pages are damaged".to_owned() }))
}

fn read_rows(path: &Path) -> Result<Vec<Utterance>, StoreError> {
    let refuse = |reason: String| StoreError::Index { path: path.into(), reason };
    let file = File::open(path).map_err(|source| StoreError::Io { path: path.into(), source })?;
    let reader = SerializedFileReader::new(file).map_err(|e| refuse(e.to_string()))?;
    let column = |name: &str| column(&reader, name).map_err(|e| refuse(format!("column {name}: {e}")));
    let needed = |name: &str| column(name)?.ok_or_else(|| refuse(format!("no column {name}")));
    let n_rows = reader.metadata().file_metadata().num_rows().max(0) as usize;
    let optional = |name: &str| Ok::<_, StoreError>(column(name)?.unwrap_or_else(|| vec![Cell::Null; n_rows]));
    let (ids, speakers) = (needed("utterance_id")?, needed("speaker_id")?);
    let (frames, durations) = (optional("n_frames")?, optional("duration_sec")?);
    let paths = match column("audio_path")? {
        Some(paths) => paths,
        None => optional("path_audio")?,
    };
    let mut rows = Vec::with_capacity(ids.len());
    for ((((id, speaker), frames), duration), path) in ids.into_iter().zip(speakers).zip(frames).zip(durations).zip(paths) {
        let row = rows.len() + 1;
        let text = |cell: Cell, name: &str| cell.text().ok_or_else(|| refuse(format!("row {row} has no {name}")));
        rows.push(Utterance {
            id: text(id, "utterance_id")?,
            speaker: text(speaker, "speaker_id")?,
            n_frames: frames.number().filter(|&n| n >= 0.0).unwrap_or_default() as usize,
            duration_sec: duration.number().filter(|d| d.is_finite()).unwrap_or_default(),
            audio_path: path.text().map(PathBuf::from),
        });
    }
    refuse_duplicates(path, &rows)?;
    Ok(rows)
}

fn refuse_duplicates(path: &Path, rows: &[Utterance]) -> Result<(), StoreError> {
    let mut row_of: HashMap<&str, usize> = HashMap::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        if let Some(first) = row_of.insert(&row.id, i + 1) {
            let utterance = row.id.clone();
            return Err(StoreError::DuplicateUtterance { path: path.into(), utterance, first, second: i + 1 });
        }
    }
    Ok(())
}

/// Writes the index as the peer does (snappy; speakers as numbers where all are), beside and renamed.
pub(super) fn write(path: &Path, rows: &[Utterance]) -> Result<(), StoreError> {
    disk::write_beside(path, |file| write_rows(file, rows).map_err(std::io::Error::other))
        .map_err(|source| StoreError::Io { path: path.into(), source })
}

fn write_rows(file: &mut (impl std::io::Write + Send), rows: &[Utterance]) -> Result<(), ParquetError> {
    let speakers: Option<Vec<i64>> = rows.iter().map(|r| speaker_number(&r.speaker)).collect();
    let speaker_type = if speakers.is_some() { "INT64 speaker_id" } else { "BYTE_ARRAY speaker_id (UTF8)" };
    let schema = parse_message_type(&format!(
        "message schema {{ REQUIRED BYTE_ARRAY utterance_id (UTF8); REQUIRED {speaker_type}; REQUIRED INT64 n_frames;
         REQUIRED DOUBLE duration_sec; REQUIRED BYTE_ARRAY audio_path (UTF8); }}"
    ))?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let texts = |text: fn(&Utterance) -> String| rows.iter().map(|r| ByteArray::from(text(r).into_bytes())).collect::<Vec<_>>();
    write_column::<ByteArrayType>(&mut group, &texts(|r| r.id.clone()))?;
    match speakers {
        Some(numbers) => write_column::<Int64Type>(&mut group, &numbers)?,
        None => write_column::<ByteArrayType>(&mut group, &texts(|r| r.speaker.clone()))?,
    }
    write_column::<Int64Type>(&mut group, &rows.iter().map(|r| r.n_frames as i64).collect::<Vec<_>>())?;
    write_column::<DoubleType>(&mut group, &rows.iter().map(|r| r.duration_sec).collect::<Vec<_>>())?;
    let path_text = |r: &Utterance| r.audio_path.as_ref().map_or_else(String::new, |p| p.to_string_lossy().into_owned());
    write_column::<ByteArrayType>(&mut group, &texts(path_text))?;
    group.close()?;
    writer.close()?;
    Ok(())
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl std::io::Write + Send>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("fewer columns than values".into()))?;
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

/// One value of a column.
#[derive(Clone)]
enum Cell {
    Null,
    Text(String),
    Whole(i64),
    Real(f64),
}

impl Cell {
    /// As text; null and empty are `None`, a whole number has no decimals.
    fn text(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text).filter(|t| !t.is_empty()),
            Self::Whole(number) => Some(number.to_string()),
            Self::Real(number) => Some(number.to_string()).filter(|_| number.is_finite()),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Null | Self::Text(_) => None,
            Self::Whole(number) => Some(*number as f64),
            Self::Real(number) => Some(*number),
        }
    }
}

/// All cells of one flat column; `None` where the file has no such column.
fn column(reader: &SerializedFileReader<File>, name: &str) -> Result<Option<Vec<Cell>>, ParquetError> {
    let schema = reader.metadata().file_metadata().schema_descr();
    let Some(position) = schema.columns().iter().position(|c| c.path().parts() == [name]) else { return Ok(None) };
    let mut cells = Vec::new();
    for i in 0..reader.num_row_groups() {
        let group = reader.get_row_group(i)?;
        let n_rows = group.metadata().num_rows().max(0) as usize;
        let utf8 = |v: ByteArray| Ok(Cell::Text(v.as_utf8()?.to_owned()));
        cells.extend(match group.get_column_reader(position)? {
            ColumnReader::ByteArrayColumnReader(r) => cells_of(r, n_rows, utf8)?,
            ColumnReader::Int64ColumnReader(r) => cells_of(r, n_rows, |v| Ok(Cell::Whole(v)))?,
            ColumnReader::Int32ColumnReader(r) => cells_of(r, n_rows, |v| Ok(Cell::Whole(v.into())))?,
            ColumnReader::DoubleColumnReader(r) => cells_of(r, n_rows, |v| Ok(Cell::Real(v)))?,
            ColumnReader::FloatColumnReader(r) => cells_of(r, n_rows, |v| Ok(Cell::Real(v.into())))?,
            _ => return Err(ParquetError::General("is neither text nor number".into())),
        });
    }
    Ok(Some(cells))
}

fn cells_of<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    n_rows: usize,
    cell: impl Fn(T::T) -> Result<Cell, ParquetError>,
) -> Result<Vec<Cell>, ParquetError> {
    let (mut values, mut is_present) = (Vec::new(), Vec::new());
    let mut n_read = 0;
    while n_read < n_rows {
        let (n, _, _) = reader.read_records(n_rows - n_read, Some(&mut is_present), None, &mut values)?;
        if n == 0 {
            return Err(ParquetError::EOF(format!("ends after {n_read} of {n_rows} rows")));
        }
        n_read += n;
    }
    // A required column has no definition levels: every row has its value.
    is_present.resize(n_rows, 1);
    let mut values = values.into_iter();
    is_present.into_iter().map(|level| if level > 0 { values.next().map_or(Ok(Cell::Null), &cell) } else { Ok(Cell::Null) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utterance(id: &str, speaker: &str) -> Utterance {
        let audio_path = (speaker != "9").then(|| PathBuf::from("a b/ü.flac"));
        Utterance { id: id.into(), speaker: speaker.into(), n_frames: 7, duration_sec: 0.56, audio_path }
    }

    #[test]
    fn rows_come_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latents_index.parquet");
        for speakers in [["103", "9"], ["p225", "007"]] {
            let rows = vec![utterance("z", speakers[0]), utterance("a", speakers[1])];
            write(&path, &rows).unwrap();
            assert_eq!(read(&path).unwrap(), rows);
        }
    }

    #[test]
    fn bad_indexes_are_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latents_index.parquet");
        write(&path, &[utterance("a", "1"), utterance("b", "1"), utterance("a", "2")]).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.ends_with("utterance a stands in rows 1 and 3; an id may stand there once"), "{message}");
        write(&path, &[utterance("", "1")]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("(row 1 has no utterance_id)"));
        std::fs::write(&path, "utterance_id,speaker_id\na,1\n").unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("not a usable index") && message.contains("must be a Parquet file with the columns"), "{message}");
    }

    #[test]
    fn an_index_belongs_to_its_store() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("latents_index.parquet"), "").unwrap();
        for (store, index) in
            [("latents.zarr", Some("latents_index.parquet")), ("latents.v3.zarr", Some("latents_index.parquet")), ("pca.zarr", None)]
        {
            assert_eq!(beside(&at(store)), index.map(at), "{store}");
        }
        std::fs::write(at("pca_index.parquet"), "").unwrap();
        assert_eq!(beside(&at("pca.zarr")), Some(at("pca_index.parquet")));
    }
}
