//! A damaged file becomes a whole one.

mod before;
mod parts;

use std::{io::Write, path::Path};

use self::{before::Before, parts::Parts};
use super::{
    loaded::Loaded,
    reader::Reader,
    report::{Ending, Format, Report},
    step::Step,
};
use crate::{
    Error, ErrorKind,
    format::{SECTOR, SHARD_HEADER, round_up},
    probe::Source,
};

/// How many bytes of a whole file are copied at a time.
const PIECE: usize = 1 << 20;

/// The result of a [`repair`].
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Repaired {
    /// The report on the damaged file: what is kept, and what is lost.
    pub source: Report,
    /// Whether the file is whole, and was copied byte for byte (a compressed file: as the plain file that it was).
    pub is_copy: bool,
    /// The number of bytes that were written.
    pub bytes: u64,
}

/// Writes everything that can be read of the file at `path` to `out`, as the bytes of a whole file: each record with its
/// position and its time, in the same order; sessions, declared drops, salvaged records. The file at `path` is not
/// touched.
///
/// What is written passes [`verify`](super::verify), unless the numbers of a damaged file contradict each other. The new
/// file says that it was repaired, and how many records of each session had been lost: see
/// [`SessionReport::given_up`](super::SessionReport::given_up). It is a log of its own, with another id than the damaged
/// one, so that it is not taken for a segment of that log: the blocks in it are other ones. The id follows from the
/// damaged file's, so the same file is always repaired to the same bytes. A file that is whole is copied, with its id. A
/// file of the original stays one.
///
/// # Errors
///
/// The same as [`Reader::open`] and [`Reader::next_record`]; `Io` if `out` refuses bytes.
pub fn repair(path: impl AsRef<Path>, out: impl Write) -> Result<Repaired, Error> {
    let path = path.as_ref();
    repair_file(|| Reader::open(path), out)
}

/// The same as [`repair`], for a file that `open` opens: twice, if it is damaged.
pub(crate) fn repair_file(
    open: impl Fn() -> Result<Reader, Error>,
    out: impl Write,
) -> Result<Repaired, Error> {
    let mut reader = open()?;
    let mut out = Out { out, written: 0 };
    let before = Before::read(&mut reader)?;
    let report = reader.report().clone();
    if report.is_whole() && report.ending != Ending::Torn {
        copy(&mut reader.source, report.file_bytes, &mut out)?;
        return Ok(Repaired { source: report, is_copy: true, bytes: out.written });
    }
    // The id, the name, and what shows the records in earlier segments can stand behind the damage, so the first reading
    // has to be over before anything is written.
    let mut reader = open()?;
    let mut parts = Parts::new(report.log_id.unwrap_or_default(), report.name, before);
    let is_native = matches!(report.format, Format::Native { .. });
    loop {
        let step = reader.step()?;
        match (step, reader.seen()) {
            (Step::End, _) => break,
            (Step::Block, (_, loaded)) if !is_native => shard(loaded, &mut out)?,
            (step, (Some(part), loaded)) => {
                let loaded = (step == Step::Block).then_some(loaded);
                parts.take(part, loaded, reader.report(), &mut out)?;
            }
            (_, (None, _)) => {}
        }
    }
    parts.finish(reader.report(), &mut out)?;
    Ok(Repaired { source: reader.report().clone(), is_copy: false, bytes: out.written })
}

/// Where the bytes go.
struct Out<W> {
    out: W,
    written: u64,
}

impl<W: Write> Out<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out
            .write_all(bytes)
            .map_err(|error| Error::io("cannot write the repaired file", error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

fn copy<W: Write>(source: &mut Source, len: u64, out: &mut Out<W>) -> Result<(), Error> {
    let mut piece = Vec::new();
    while out.written < len {
        let left = usize::try_from(len - out.written).unwrap_or(PIECE).min(PIECE);
        source.fill(out.written, left, &mut piece)?;
        if piece.is_empty() {
            let text = "the file became shorter while it was copied";
            return Err(Error::new(ErrorKind::Moved, text).at_path(source.path()));
        }
        out.write(&piece)?;
    }
    Ok(())
}

/// Writes the records of a shard of the original, so that both rules of stepping lead to the next one.
fn shard<W: Write>(loaded: &Loaded, out: &mut Out<W>) -> Result<(), Error> {
    let mut data = vec![0; SHARD_HEADER];
    for run in &loaded.runs {
        data.extend_from_slice(loaded.data.get(run.start..run.end).unwrap_or_default());
    }
    let valid = (data.len() - SHARD_HEADER) as u32;
    data.resize(round_up(data.len(), SECTOR), 0);
    let header = [(data.len() as u32).to_le_bytes(), valid.to_le_bytes()].concat();
    if let Some(place) = data.get_mut(..SHARD_HEADER) {
        place.copy_from_slice(&header);
    }
    if valid > 0 { out.write(&data) } else { Ok(()) }
}
