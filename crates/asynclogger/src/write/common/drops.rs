//! Refused records, counted by reason.

use crate::{
    format::Dropped,
    sync::{AtomicU64, Ordering},
};

/// The reason why a record is refused; also the index into [`Drops`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    Full,
    Busy,
    TooLarge,
    Empty,
    Closed,
}

/// Refused records, in the order of [`Dropped`]. Any thread may count. All-zero bytes are a valid value: nothing
/// counted.
#[derive(Debug)]
pub(in crate::write) struct Drops([AtomicU64; 5]);

impl Drops {
    pub(in crate::write) fn new() -> Drops {
        Drops(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(in crate::write) fn of(dropped: Dropped) -> Drops {
        Drops(dropped.to_array().map(AtomicU64::new))
    }

    /// Counts a refused record. Relaxed, here and below: counts, no data.
    #[cold]
    pub(in crate::write) fn count(&self, reason: Reason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::write) fn get(&self) -> Dropped {
        Dropped::from_array(self.0.each_ref().map(|count| count.load(Ordering::Relaxed)))
    }
}
