//! A record with the name of its log.

use crate::read::records::Record;

/// A record of a [`ByTime`](super::ByTime), and where it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRecord<'a> {
    pub(super) record: Record<'a>,
    pub(super) log: usize,
    pub(super) segment: u64,
}

impl<'a> LogRecord<'a> {
    /// The record.
    #[must_use]
    pub fn record(&self) -> Record<'a> {
        self.record
    }

    /// The index of its log in [`ByTime::logs`](super::ByTime::logs).
    #[must_use]
    pub fn log(&self) -> usize {
        self.log
    }

    /// The number of its segment; 0 in files of the original.
    #[must_use]
    pub fn segment(&self) -> u64 {
        self.segment
    }
}
