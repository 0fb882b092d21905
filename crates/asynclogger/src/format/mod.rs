//! The file format: bytes to values and back. The functions here are pure: no I/O, no clock, and no
//! allocation when encoding.
//!
//! `docs/format.md` is the specification, and the names here are the names used there.
#![deny(clippy::indexing_slicing)]

pub(crate) mod block;
mod bytes;
pub(crate) mod checksum;
pub(crate) mod column;
pub(crate) mod frame;
pub(crate) mod map_head;
pub(crate) mod metadata;
pub(crate) mod record;
#[cfg(feature = "zstd")]
pub(crate) mod seekable;
pub(crate) mod start;
pub(crate) mod time;
pub(crate) mod totals;

pub(crate) use self::{
    block::{BlockInfo, ChunkEntry},
    column::{Column, Scale},
    frame::{Kind, Lineage, Prefix, TIMED_VERSION, VERSION},
    map_head::{MAP_HEAD_LEN, MapHead},
    metadata::Metadata,
    start::Start,
    totals::{GivenUp, Totals},
};

/// The length of a sector, in bytes. Every header that a reader of the original format meets stands on a
/// sector boundary.
pub(crate) const SECTOR: usize = 512;
/// The smallest alignment `A` of a file, in bytes.
pub(crate) const MIN_ALIGN: usize = 4096;
/// The greatest alignment `A` of a file, in bytes.
pub(crate) const MAX_ALIGN: usize = 1 << 20;
/// Length of the shard header `[capacity][valid]` in front of every data part, in bytes.
pub(crate) const SHARD_HEADER: usize = 8;
/// Length of the prefix in front of every record, which holds the record's length, in bytes.
pub(crate) const RECORD_HEADER: usize = 4;
/// Length of a chunk, in bytes: each chunk of the data part has its own checksum.
pub(crate) const CHUNK: usize = 64 * 1024;
/// The most bytes that a shard's buffer can hold, header included.
pub(crate) const MAX_CAPACITY: usize = 1 << 30;

/// The magic bytes at the front of every frame of a compressed segment.
pub(crate) const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// The random id that all segments of one log share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LogId(pub(crate) [u8; 16]);

impl LogId {
    /// The id as its 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::fmt::Display for LogId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for LogId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogId({self})")
    }
}

/// The number of reasons for drops; [`Dropped`] has them in the order of the format.
pub(crate) const DROP_REASONS: usize = 5;

/// Numbers of records that were offered and refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// No buffer was free.
    pub full: u64,
    /// Every shard was claimed by another writer.
    pub busy: u64,
    /// The record was longer than a shard can hold.
    pub too_large: u64,
    /// The record had no bytes.
    pub empty: u64,
    /// The record was offered after `close`, or in a forked child.
    pub closed: u64,
}

impl Dropped {
    /// The sum over all reasons.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.to_array().iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    pub(crate) fn to_array(self) -> [u64; DROP_REASONS] {
        [self.full, self.busy, self.too_large, self.empty, self.closed]
    }

    pub(crate) fn from_array(counts: [u64; DROP_REASONS]) -> Dropped {
        let [full, busy, too_large, empty, closed] = counts;
        Dropped { full, busy, too_large, empty, closed }
    }

    /// Combines two counts reason by reason.
    pub(crate) fn zip(self, other: Dropped, combine: impl Fn(u64, u64) -> u64) -> Dropped {
        let mut counts = self.to_array();
        for (count, other) in counts.iter_mut().zip(other.to_array()) {
            *count = combine(*count, other);
        }
        Dropped::from_array(counts)
    }
}

/// `n` rounded up to a multiple of `unit`, a power of two; saturates at the top.
pub(crate) const fn round_up(n: usize, unit: usize) -> usize {
    n.saturating_add(unit - 1) & !(unit - 1)
}

/// Whether `align` can be the `A` of a file.
pub(crate) const fn is_valid_align(align: usize) -> bool {
    align.is_power_of_two() && align >= MIN_ALIGN && align <= MAX_ALIGN
}

#[cfg(test)]
mod tests;
