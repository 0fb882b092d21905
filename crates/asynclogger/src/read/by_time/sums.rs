//! The checksums by which the bytes of a block are checked when they are read again.

use crate::format::{CHUNK, ChunkEntry, checksum::crc32c};

/// How many bytes of an event's block have one checksum: about as many as its shortest pieces. With the checksums of the
/// file each piece would have to be read with the whole chunk around it.
const UNIT: usize = 4096;

/// The checksums of a data part. There are none for files of the original.
#[derive(Debug, Default)]
pub(super) struct Sums {
    sums: Vec<u32>,
    unit: usize,
    /// The length of the data part.
    len: usize,
}

impl Sums {
    /// The checksums in the head of a block.
    pub(super) fn of_table(table: &[ChunkEntry], len: usize) -> Sums {
        Sums { sums: table.iter().map(|entry| entry.crc).collect(), unit: CHUNK, len }
    }

    /// The checksums of data that is in memory. Parts of it that were damaged when they were read have checksums, too, but
    /// no records.
    pub(super) fn of_data(data: &[u8]) -> Sums {
        Sums { sums: data.chunks(UNIT).map(crc32c).collect(), unit: UNIT, len: data.len() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// How many bytes have one checksum.
    pub(super) fn unit(&self) -> usize {
        self.unit
    }

    /// The bytes to read for a run, so that all of them can be checked.
    pub(super) fn around(&self, (from, to): (usize, usize)) -> (usize, usize) {
        if self.is_empty() {
            return (from, to);
        }
        (from / self.unit * self.unit, to.next_multiple_of(self.unit).min(self.len))
    }

    /// The checksum of the bytes from `at` on.
    pub(super) fn of(&self, at: usize) -> Option<u32> {
        self.sums.get(at.checked_div(self.unit)?).copied()
    }
}
