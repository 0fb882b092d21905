//! The column of times in the head of a block: one number for each record, and the scale that makes times of them.

use super::{
    bytes::{Put, Take},
    time::saturated,
};

/// Length of the scale, in bytes.
pub(crate) const SCALE_LEN: usize = 40;
/// Length of an entry of the column, in bytes.
pub(crate) const TIME_LEN: usize = 4;
/// The most records of a block with times: the head, which has the column, is at most 16 MiB long.
pub(crate) const MAX_TIMES: usize = 2 << 20;
const MAX_SHIFT: u32 = 31;
const LEAST_TIMES: usize = 64;

/// Length of a column of this number of entries.
pub(crate) const fn column_len(records: usize) -> usize {
    TIME_LEN * records
}

/// Bytes of header and records for each entry of a buffer's column.
pub(crate) const BYTES_A_TIME: usize = 32;

/// The most times of a buffer with this many bytes of header and records: one for 32 bytes. A buffer of shorter records
/// is sealed when it has so many.
pub(crate) const fn times_upto(bytes: usize) -> usize {
    let times = bytes / BYTES_A_TIME;
    if times < LEAST_TIMES {
        LEAST_TIMES
    } else if times > MAX_TIMES {
        MAX_TIMES
    } else {
        times
    }
}

/// The scale of a column: the time of a record is `base` plus its entry times `unit`.
///
/// A block has a scale of its own, since the wall clock can be set, and the rate of a counter is known only
/// afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Scale {
    /// The time of entry 0 by the wall clock, in nanoseconds since the epoch.
    pub(crate) base: i64,
    /// The same moment by the system's clock that is never set, in nanoseconds.
    pub(crate) clock: u64,
    /// The same moment by the counter of the session, which never goes back.
    pub(crate) counter: u64,
    /// Length of a unit, in 2^-32 nanoseconds.
    pub(crate) unit: u64,
    /// The greatest entry.
    pub(crate) last: u32,
    /// A unit is two to this power counts of the counter.
    pub(crate) shift: u32,
}

impl Scale {
    /// A unit is shorter than this, in 2^-32 nanoseconds: then no time overflows.
    pub(crate) const MAX_UNIT: u64 = 1 << 52;

    /// Writes the scale to the end of a head or tail.
    pub(crate) fn encode(&self, block: &mut [u8]) {
        let start = block.len().saturating_sub(SCALE_LEN);
        let mut put = Put(block.get_mut(start..).unwrap_or_default());
        put.i64(self.base);
        put.u64(self.clock);
        put.u64(self.counter);
        put.u64(self.unit);
        put.u32(self.last);
        put.u32(self.shift);
    }

    /// The scale at the end of a head or tail; `None` if it makes no sense.
    pub(crate) fn decode(block: &[u8]) -> Option<Scale> {
        let mut take = Take(block.get(block.len().checked_sub(SCALE_LEN)?..)?);
        let scale = Scale {
            base: take.i64()?,
            clock: take.u64()?,
            counter: take.u64()?,
            unit: take.u64()?,
            last: take.u32()?,
            shift: take.u32()?,
        };
        (scale.unit < Scale::MAX_UNIT && scale.shift <= MAX_SHIFT).then_some(scale)
    }

    /// The time of an entry, in nanoseconds since the epoch.
    #[inline]
    pub(crate) fn time(&self, entry: u32) -> i64 {
        let since = (u128::from(self.unit) * u128::from(entry)) >> 32;
        saturated(i128::from(self.base) + since.cast_signed())
    }
}

/// The encoded column of a verified head or tail; empty if the column is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Column<'a>(pub(super) &'a [u8]);

impl<'a> Column<'a> {
    /// The column of these bytes.
    pub(crate) fn of(bytes: &'a [u8]) -> Column<'a> {
        Column(bytes)
    }

    /// The entry of the record with this index; `None` if the column is shorter.
    #[inline]
    pub(crate) fn entry(&self, index: usize) -> Option<u32> {
        let at = self.0.len().checked_sub(column_len(index.checked_add(1)?))?;
        self.0.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
    }

    /// The entries, in the order of the records. In memory the column grows towards the front, away from the
    /// records, so the last entry is the first.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        let four = self.0.rchunks_exact(TIME_LEN);
        four.map(|entry| entry.first_chunk().copied().map_or(0, u32::from_le_bytes))
    }
}

/// The bytes of a column with these entries.
pub(crate) fn column_of(entries: &[u32]) -> Vec<u8> {
    entries.iter().rev().flat_map(|entry| entry.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_scale_makes_a_time() {
        let scale = Scale { base: i64::MAX, unit: Scale::MAX_UNIT - 1, ..Scale::default() };
        assert_eq!((scale.time(0), scale.time(u32::MAX)), (i64::MAX, i64::MAX));
        let scale = Scale { base: i64::MIN, ..scale };
        // Just short of 52 days.
        assert_eq!(scale.time(u32::MAX) - i64::MIN, (1 << 52) - (1 << 20) - 1);
    }

    #[test]
    fn a_unit_is_a_fraction_of_a_nanosecond_or_many() {
        let scale = Scale { base: 1000, unit: 3 << 31, ..Scale::default() };
        assert_eq!([0, 1, 2, 3].map(|entry| scale.time(entry)), [1000, 1001, 1003, 1004]);
        let scale = Scale { base: -5, unit: 7 << 32, ..scale };
        assert_eq!(scale.time(1), 2);
    }

    #[test]
    fn entries_stand_in_reverse() {
        let bytes = column_of(&[1, 2, 0x0403_0201]);
        assert_eq!(bytes, [1, 2, 3, 4, 2, 0, 0, 0, 1, 0, 0, 0]);
        assert!(Column(&bytes).entries().eq([1, 2, 0x0403_0201]));
        let one_by_one = [0, 1, 2, 3, usize::MAX].map(|index| Column(&bytes).entry(index));
        assert_eq!(one_by_one, [Some(1), Some(2), Some(0x0403_0201), None, None]);
        assert_eq!(Column(&[]).entries().len(), 0);
    }
}
