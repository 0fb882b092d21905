//! The usual calls: the bytes of a record are there, for a log with times or without.

use super::{
    claim::Filled,
    ingest::Ingest,
    times::{NOTHING, STAMPS},
};
use crate::{LogError, Position};

impl Ingest {
    /// Appends these bytes as a record. This is the whole hot path: home, claim, copy, publish, release. The comparison of
    /// the length asks for the times, too.
    ///
    /// # Errors
    /// The record was refused, and counted.
    #[inline]
    pub(crate) fn append_bytes(&self, record: &[u8]) -> Result<Position, LogError> {
        let len = record.len();
        let appended = if len.wrapping_sub(1) < self.max_untimed {
            self.append_usual::<NOTHING>(len, |room| {
                room.copy_from_slice(record);
                Filled::Whole
            })
        } else if len.wrapping_sub(1) < self.max_stamped {
            self.append_usual::<STAMPS>(len, |room| {
                room.copy_from_slice(record);
                Filled::Whole
            })
        } else {
            return self.append_rarely(record);
        };
        // The closures always make a record, so the position is never `None`.
        appended.and_then(|position| position.ok_or(LogError::Closed))
    }

    /// [`append_bytes`](Ingest::append_bytes) with times of a clock, or with a length that is refused.
    #[cold]
    #[inline(never)]
    fn append_rarely(&self, record: &[u8]) -> Result<Position, LogError> {
        self.append(record.len(), |room| room.copy_from_slice(record))
    }

    /// [`append_bytes`](Ingest::append_bytes) with a number in front, which is part of the record. (One function for both
    /// would cost either of them some instructions, and so would the way of a record with a time in this function.)
    ///
    /// # Errors
    /// The record was refused, and counted.
    #[inline]
    pub(crate) fn append_numbered(&self, number: u32, record: &[u8]) -> Result<Position, LogError> {
        let len = size_of::<u32>() + record.len();
        if len.wrapping_sub(1) >= self.max_untimed {
            return self.append_numbered_timed(number, record);
        }
        let appended = self.append_usual::<NOTHING>(len, move |room| {
            put_numbered(room, number, record);
            Filled::Whole
        });
        appended.and_then(|position| position.ok_or(LogError::Closed))
    }

    /// [`append_numbered`](Ingest::append_numbered) with times, or with a length that is refused.
    #[inline(never)]
    fn append_numbered_timed(&self, number: u32, record: &[u8]) -> Result<Position, LogError> {
        let len = size_of::<u32>() + record.len();
        if len.wrapping_sub(1) >= self.max_stamped {
            return self.append_numbered_rarely(number, record);
        }
        let appended = self.append_usual::<STAMPS>(len, move |room| {
            put_numbered(room, number, record);
            Filled::Whole
        });
        appended.and_then(|position| position.ok_or(LogError::Closed))
    }

    /// [`append_numbered`](Ingest::append_numbered) with times of a clock, or with a length that is refused.
    #[cold]
    #[inline(never)]
    fn append_numbered_rarely(&self, number: u32, record: &[u8]) -> Result<Position, LogError> {
        self.append(size_of::<u32>() + record.len(), |room| put_numbered(room, number, record))
    }
}

/// Fills the room of a record that begins with a number.
#[inline(always)]
fn put_numbered(room: &mut [u8], number: u32, record: &[u8]) {
    let (front, bytes) = room.split_at_mut(size_of::<u32>());
    front.copy_from_slice(&number.to_le_bytes());
    bytes.copy_from_slice(record);
}
