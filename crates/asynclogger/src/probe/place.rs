//! The part at an offset of a native file: a valid metadata block that belongs there, one that does not, or
//! none.

use super::source::Source;
use crate::{
    Error, ErrorKind, LogId,
    format::{
        BlockInfo, ChunkEntry, MIN_ALIGN, Metadata, Prefix, Totals,
        metadata::{self, Invalid},
    },
};

/// The ids that a metadata block must carry to belong to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) log_id: LogId,
    pub(crate) segment: u64,
    pub(crate) align: u32,
}

/// A valid metadata block with memory of its own, independent of the buffer that it was read into.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) prefix: Prefix,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Start {
        previous: u64,
        first_sequence: u64,
        name: Vec<u8>,
    },
    /// `times` is the column of times, if it is in this part.
    Block {
        info: BlockInfo,
        table: Vec<ChunkEntry>,
        times: Vec<u32>,
        is_tail: bool,
    },
    Totals {
        totals: Totals,
        is_end: bool,
    },
}

/// The result of a look at an offset.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and nearly always a part")]
pub(crate) enum Place {
    /// A valid metadata block, which may belong somewhere else; see [`Part::belongs`].
    Valid(Part),
    /// A valid metadata block of a later version.
    Later(u32),
    /// No valid metadata block.
    Nothing,
}

impl Part {
    /// Whether the part stands in its own place in the file with these ids. Without ids only the offset is
    /// compared.
    pub(crate) fn belongs(&self, ids: Option<&Ids>) -> bool {
        let same =
            |ids: &Ids| ids.log_id == self.prefix.log_id && ids.segment == self.prefix.segment;
        self.prefix.offset == self.offset && ids.is_none_or(same)
    }

    /// Whether the part belongs to another file.
    pub(crate) fn is_foreign(&self, ids: Option<&Ids>) -> bool {
        ids.is_some_and(|ids| {
            ids.log_id != self.prefix.log_id || ids.segment != self.prefix.segment
        })
    }

    /// The offset where the block or other part begins; `None` if that is before the beginning of the file.
    pub(crate) fn begin(&self) -> Option<u64> {
        match &self.body {
            Body::Block { info, is_tail: true, .. } => {
                self.offset.checked_sub(u64::from(info.head_len) + u64::from(info.data_len))
            }
            _ => Some(self.offset),
        }
    }

    /// The number of bytes, from the offset of the part on, that the part covers.
    pub(crate) fn claimed_len(&self) -> u64 {
        match &self.body {
            Body::Block { info, is_tail: false, .. } => info.block_len(),
            _ => self.size,
        }
    }

    pub(crate) fn ids(&self) -> Ids {
        let Prefix { log_id, segment, align, .. } = self.prefix;
        Ids { log_id, segment, align }
    }
}

/// Looks for a metadata block at `offset`. `buffer` receives the bytes.
pub(crate) fn look(source: &mut Source, offset: u64, buffer: &mut Vec<u8>) -> Result<Place, Error> {
    source.fill(offset, MIN_ALIGN, buffer)?;
    let Some((size, _)) = metadata::peek(buffer) else { return Ok(Place::Nothing) };
    let end = offset.checked_add(size as u64);
    if end.is_none_or(|end| end > source.len()) {
        return Ok(Place::Nothing);
    }
    if size > buffer.len() {
        source.fill(offset, size, buffer)?;
    }
    Ok(match metadata::decode(buffer) {
        Ok((prefix, metadata)) => {
            let part = |body| Part { offset, size: size as u64, prefix, body };
            body_of(metadata).map_or(Place::Nothing, |body| Place::Valid(part(body)))
        }
        Err(Invalid::Version(version)) => Place::Later(version),
        Err(_) => Place::Nothing,
    })
}

/// Copies the body; `None` if the chunk table, or the column of times, contradicts the fields of the block.
fn body_of(metadata: Metadata<'_>) -> Option<Body> {
    let (info, table, column, is_tail) = match metadata {
        Metadata::Start(start) => {
            let (previous, first_sequence) = (start.previous, start.first_sequence);
            return Some(Body::Start { previous, first_sequence, name: start.name.to_vec() });
        }
        Metadata::Note(totals) => return Some(Body::Totals { totals, is_end: false }),
        Metadata::End(totals) => return Some(Body::Totals { totals, is_end: true }),
        Metadata::Head(info, table, column) => (info, table, column, false),
        Metadata::Tail(info, table, column) => (info, table, column, true),
    };
    let table: Vec<ChunkEntry> = table.entries().collect();
    let times: Vec<u32> = column.entries().collect();
    let fits = info.fits(&table) && info.fits_times(&times);
    fits.then_some(Body::Block { info, table, times, is_tail })
}

/// The error for a part of a later version, in a place where the next part of the file has to be.
pub(crate) fn later_version(source: &Source, version: u32, offset: u64) -> Error {
    let text = format!("a log of version {version}, which this library does not know");
    Error::new(ErrorKind::UnsupportedVersion, text).at_path(source.path()).at_offset(offset)
}
