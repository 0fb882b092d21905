//! The usual calls: the bytes of a record are there, for a log with times or without.

use super::{
    claim::Filled,
    ingest::Ingest,
    times::{NOTHING, STAMPS, Source},
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

    /// Whether records have times that are taken from [`Counter::Stamps`](crate::mem::Counter): then the usual way is that
    /// of [`STAMPS`], else that of [`NOTHING`].
    #[inline(always)]
    pub(crate) fn takes_stamps(&self) -> bool {
        self.max_stamped > 0
    }

    /// Whether a record of this length takes the usual way of this `SOURCE`: if not, its length is refused, or its time is
    /// one of a clock.
    #[inline(always)]
    pub(crate) fn is_usual<const SOURCE: Source>(&self, len: usize) -> bool {
        let max = if SOURCE == STAMPS { self.max_stamped } else { self.max_untimed };
        len.wrapping_sub(1) < max
    }

    /// [`append`](Ingest::append) of a record that [takes the usual way](Ingest::is_usual). The caller has asked for the
    /// source before anything else: one function for both sources would cost either of them some instructions. And each
    /// caller has a `fill` of its own: then the compiler makes one function of all that follows.
    ///
    /// # Errors
    /// The record was refused, and counted.
    #[inline(always)]
    pub(crate) fn append_usually<const SOURCE: Source>(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Position, LogError> {
        let appended = self.append_usual::<SOURCE>(len, move |room| {
            fill(room);
            Filled::Whole
        });
        appended.and_then(|position| position.ok_or(LogError::Closed))
    }
}
