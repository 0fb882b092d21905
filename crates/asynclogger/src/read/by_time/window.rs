//! The part of a block that is in memory.

use crate::{
    Error, ErrorKind,
    format::{CHUNK, ChunkEntry, checksum::crc32c},
    probe::Source,
};

/// How far a plain file is read at a time.
const PLAIN_STEP: u64 = 256 << 10;
/// How far a compressed file is read at a time: its frames are as long as this, so each is decompressed once for each
/// block in it.
const COMPRESSED_STEP: u64 = 2 << 20;
/// With more pieces than this at a time, each has a smaller part of its data in memory.
const MANY: usize = 64;

/// A part of the data of one block. The block was checked when it was read first; its bytes are checked again, since
/// they are read again.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// Offset of the first byte, in the data part.
    at: usize,
    /// The bytes up to here, in the data part, are good.
    good: usize,
    /// Where the chunks of the current run end, in the data part.
    end: usize,
}

impl Window {
    /// Moves to the chunks of a run, in a data part of this length. Without a length there are no checksums.
    pub(super) fn begin(&mut self, (from, to): (usize, usize), data_len: Option<usize>) {
        self.bytes.clear();
        self.at = from / CHUNK * CHUNK;
        self.good = self.at;
        self.end = data_len.map_or(to, |len| to.next_multiple_of(CHUNK).min(len));
    }

    /// The bytes of a range of the data part, if they are here.
    #[inline]
    pub(super) fn get(&self, from: usize, to: usize) -> Option<&[u8]> {
        let bytes = self.bytes.get(from.checked_sub(self.at)?..to.checked_sub(self.at)?);
        bytes.filter(|_| to <= self.good)
    }

    /// Reads on, and forgets the bytes before `keep`. `table` has the checksums; it is empty if there are none. `turns` is the
    /// number of windows.
    pub(super) fn extend(
        &mut self,
        source: &mut Source,
        data_at: u64,
        keep: usize,
        (table, turns): (&[ChunkEntry], usize),
    ) -> Result<(), Error> {
        // The bytes behind the last good one are still to be checked.
        let gone = keep.min(self.good).saturating_sub(self.at).min(self.bytes.len());
        self.bytes.drain(..gone);
        self.at += gone;
        let from = self.at + self.bytes.len();
        let step = if source.is_compressed() { COMPRESSED_STEP } else { PLAIN_STEP };
        let step =
            (step >> (turns / MANY).checked_ilog2().map_or(0, |log| log + 1)).max(CHUNK as u64);
        let offset = data_at.saturating_add(from as u64);
        let to_boundary = step - offset % step;
        let len = self.end.saturating_sub(from).min(to_boundary as usize);
        let before = self.bytes.len();
        self.bytes.reserve_exact(len);
        self.bytes.resize(before + len, 0);
        let new = self.bytes.get_mut(before..).unwrap_or_default();
        if len == 0 || source.read_at(offset, new)? < len {
            self.bytes.truncate(before);
            return Err(changed().at_path(source.path()).at_offset(offset));
        }
        self.check(from + len, table)
            .ok_or_else(|| changed().at_path(source.path()).at_offset(data_at + self.good as u64))
    }

    /// Checks the complete chunks up to `to`; `None` if one of them is damaged.
    fn check(&mut self, to: usize, table: &[ChunkEntry]) -> Option<()> {
        if table.is_empty() {
            self.good = to;
        }
        while self.good < to {
            let end = (self.good + CHUNK).min(self.end);
            if to < end {
                break;
            }
            let chunk = self.bytes.get(self.good - self.at..end - self.at)?;
            let entry = table.get(self.good / CHUNK)?;
            if crc32c(chunk) != entry.crc {
                return None;
            }
            self.good = end;
        }
        Some(())
    }
}

/// The error for a block that is not what it was.
pub(super) fn changed() -> Error {
    Error::new(ErrorKind::Io, "the block changed while it was read")
}
