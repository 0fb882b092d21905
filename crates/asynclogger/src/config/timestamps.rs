//! Whether records have times.

use super::Config;

/// Whether each record gets the time of its log call: for [`Config::timestamps`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timestamps {
    /// Records have no times of their own; a block has the time when it was sealed. The default.
    #[default]
    Off,
    /// Each record has the time of its log call.
    On,
}

impl Timestamps {
    pub(crate) fn is_on(self) -> bool {
        self == Timestamps::On
    }
}

impl Config {
    /// Gives each record the time of its log call, which [`Record::time`](crate::read::Record::time) returns. Readers
    /// of the original's format do not see the times. Default: off.
    ///
    /// The time is read from the processor's counter where the kernel reads its own time from it, and from the system's
    /// clock elsewhere. It has a resolution of 64 counts, some 25 nanoseconds, and never goes back within a shard by that
    /// counter. The wall clock is read once for each buffer: when it is set, the records of the next buffer show that.
    /// A time costs four bytes for each record, in memory and in the file, and a buffer is sealed early if its records
    /// are shorter than 28 bytes on average.
    ///
    /// The records of a manager's events have times with a resolution of 64 nanoseconds. Those of a thread never go back,
    /// in one event and from one to another. The records of different threads are in an event's file in the order in which
    /// the flusher sorted them, and so are their times. [`ByTime`](crate::read::ByTime) delivers them by their times.
    pub fn timestamps(mut self, timestamps: Timestamps) -> Config {
        self.timestamps = timestamps;
        self
    }

    /// The largest number of bytes of header and records in a block of a logger, so that a file with one block stays
    /// within the size limit.
    pub(crate) fn block_limit(&self, align: usize) -> usize {
        self.rotation.block_limit(self.shard_capacity(), align, self.timestamps.is_on())
    }

    /// Whether a file of `size` bytes of a logger has no room for one more session with its longest block, while a new file
    /// has that room.
    pub(crate) fn is_used_up(&self, size: u64, align: usize) -> bool {
        let longest = self.block_limit(align);
        self.rotation.is_used_up(size, longest, align, self.timestamps.is_on())
    }
}
