//! The part of a block that is in memory.

use super::sums::Sums;
use crate::{Error, ErrorKind, format::checksum::crc32c, probe::Source};

/// How far a plain file is read at a time.
const PLAIN_STEP: u64 = 256 << 10;
/// How far a compressed file is read at a time: its frames are as long as this, so each is decompressed once for each
/// block in it.
const COMPRESSED_STEP: u64 = 2 << 20;
/// With more pieces than this at a time, each has a smaller part of its data in memory, down to what has one checksum.
const MANY: usize = 64;

/// A part of the data of one block: what has the current record, from one checksum to another. The block was checked when it was read first; its bytes are checked again, since
/// they are read again.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// Offset of the first byte, in the data part.
    at: usize,
    /// The bytes up to here, in the data part, are good.
    good: usize,
    /// Where the parts with checksums end that have the current run, in the data part.
    end: usize,
}

impl Window {
    /// Moves to a run.
    pub(super) fn begin(&mut self, run: (usize, usize), sums: &Sums) {
        self.bytes.clear();
        (self.at, self.end) = sums.around(run);
        self.good = self.at;
    }

    /// The bytes of a range of the data part, if they are here.
    #[inline]
    pub(super) fn get(&self, from: usize, to: usize) -> Option<&[u8]> {
        let bytes = self.bytes.get(from.checked_sub(self.at)?..to.checked_sub(self.at)?);
        bytes.filter(|_| to <= self.good)
    }

    #[cfg(test)]
    pub(super) fn in_memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Reads on, and forgets the bytes before `keep`. `turns` is the number of windows.
    pub(super) fn extend(
        &mut self,
        source: &mut Source,
        data_at: u64,
        keep: usize,
        (sums, turns): (&Sums, usize),
    ) -> Result<(), Error> {
        // The bytes behind the last good one are still to be checked.
        let gone = keep.min(self.good).saturating_sub(self.at).min(self.bytes.len());
        self.bytes.drain(..gone);
        self.at += gone;
        let from = self.at + self.bytes.len();
        let has_frames = source.is_compressed();
        let step = if has_frames { COMPRESSED_STEP } else { PLAIN_STEP };
        let shrunk = step >> (turns / MANY).checked_ilog2().map_or(0, |log| log + 1);
        let step = shrunk.max(sums.unit() as u64);
        let offset = data_at.saturating_add(from as u64);
        let step = if has_frames { step - offset % step } else { step };
        let len = self.end.saturating_sub(from).min(step as usize);
        let before = self.bytes.len();
        if self.bytes.capacity() / 2 > before + len {
            self.bytes.shrink_to(before + len);
        }
        self.bytes.reserve_exact(len);
        self.bytes.resize(before + len, 0);
        let new = self.bytes.get_mut(before..).unwrap_or_default();
        if len == 0 || source.read_at(offset, new)? < len {
            self.bytes.truncate(before);
            return Err(changed().at_path(source.path()).at_offset(offset));
        }
        self.check(from + len, sums)
            .ok_or_else(|| changed().at_path(source.path()).at_offset(data_at + self.good as u64))
    }

    /// Checks what is complete up to `to`; `None` if something of that is damaged.
    fn check(&mut self, to: usize, sums: &Sums) -> Option<()> {
        if sums.is_empty() {
            self.good = to;
        }
        while self.good < to {
            let end = (self.good + sums.unit()).min(self.end);
            if to < end {
                break;
            }
            let part = self.bytes.get(self.good - self.at..end - self.at)?;
            if crc32c(part) != sums.of(self.good)? {
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
