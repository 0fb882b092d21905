//! How a file, or a log with all its segments, is to be read.

use std::time::SystemTime;

use super::{report::Layout, selection::Selection};
use crate::format::time::to_nanoseconds;

/// How a file, or a log with all its segments, is to be read.
///
/// ```
/// # fn main() -> Result<(), asynclogger::Error> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1.log");
/// use asynclogger::read::ReadOptions;
/// use std::time::{Duration, SystemTime};
///
/// let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
/// let mut log = ReadOptions::new().since(an_hour_ago).open_log(path)?;
/// while let Some(record) = log.next_record()? {
///     println!("{:?}: {} bytes", record.time(), record.bytes().len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ReadOptions {
    pub(super) layout: Layout,
    pub(super) follow: bool,
    pub(super) selection: Selection,
}

impl ReadOptions {
    /// The defaults: all records, as far as they are written now, by the layout that the file itself shows.
    pub fn new() -> ReadOptions {
        ReadOptions::default()
    }

    /// Reads the file by this rule of the original's files, whatever it is: without checksums, numbers and
    /// exact losses. `Layout::Auto`, the default, does that only with files of the original.
    pub fn layout(mut self, layout: Layout) -> ReadOptions {
        self.layout = layout;
        self
    }

    /// Whether the file is followed while it is written; off by default. A logger has several writes in
    /// flight, which may finish in any order, so that for a moment there is a hole before the last block.
    /// Who follows gets `None` at a hole near the end and finds it filled at a later call; a hole that stays
    /// is passed over once 256 MiB, an end or a start of a session are behind it.
    ///
    /// To follow a [`LogDir`](super::LogDir) over a rotation, call [`refresh`](super::LogDir::refresh) when there is no further record.
    pub fn follow(mut self, follow: bool) -> ReadOptions {
        self.follow = follow;
        self
    }

    /// Asks for the blocks only that were sealed at this time or later. Records have no time of their own: a block holds what was logged before it was
    /// sealed, for the flush interval of its logger or less. Other blocks are passed over by their heads,
    /// unread and unchecked, and counted in [`Report::skipped_blocks`](super::Report::skipped_blocks). Files of the original have no times:
    /// all of them is read.
    ///
    /// A clock may be set back, so the time of a block says nothing of its neighbours: of each block of a log the head
    /// is read. Damage and losses in the segments before the first block that is chosen are not reported.
    pub fn since(mut self, time: SystemTime) -> ReadOptions {
        self.selection.since = Some(to_nanoseconds(time));
        self
    }

    /// Asks for the blocks only that were sealed before this time; see [`since`](ReadOptions::since).
    pub fn until(mut self, time: SystemTime) -> ReadOptions {
        self.selection.until = Some(to_nanoseconds(time));
        self
    }
}
