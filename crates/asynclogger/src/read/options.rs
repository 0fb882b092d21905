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
    /// The defaults: all records that are written by now, in the layout that the file itself shows.
    pub fn new() -> ReadOptions {
        ReadOptions::default()
    }

    /// Reads any file by this rule for files of the original: without checksums, without numbers, without
    /// exact losses. `Layout::Auto`, the default, uses such a rule only for files of the original.
    pub fn layout(mut self, layout: Layout) -> ReadOptions {
        self.layout = layout;
        self
    }

    /// Whether the reader follows a file that is being written. A logger has several writes in flight, which
    /// can finish in any order, so the file can have a hole before its last block for a moment. A following
    /// reader returns `None` at a hole near the end and finds the hole filled at a later call. A hole that
    /// stays is passed over once 256 MiB, an end or the start of a session follow it. Default: false.
    ///
    /// To follow a [`LogDir`](super::LogDir) over a rotation, call [`refresh`](super::LogDir::refresh) when
    /// no further record comes.
    pub fn follow(mut self, follow: bool) -> ReadOptions {
        self.follow = follow;
        self
    }

    /// Selects only the records that were logged at `time` or later, if they have times of their own; of other
    /// blocks, those that were sealed at `time` or later. Such a block holds records that were logged in the flush
    /// interval before the block was sealed, or in less. Of blocks without a selected record only the heads are read; the
    /// blocks are not checked, and are counted in [`Report::skipped_blocks`](super::Report::skipped_blocks). Records that
    /// are not selected are counted in [`Report::skipped_records`](super::Report::skipped_records), in any block. A file
    /// of the original has no times and is read as a whole.
    ///
    /// A clock can be set back, so the time of a block says nothing about the times of its neighbours: the
    /// head of every block of the log is read. Damage and losses in segments before the first selected block
    /// are not reported.
    pub fn since(mut self, time: SystemTime) -> ReadOptions {
        self.selection.since = Some(to_nanoseconds(time));
        self
    }

    /// Selects only the records that were logged, or the blocks that were sealed, before `time`; see [`since`](ReadOptions::since).
    pub fn until(mut self, time: SystemTime) -> ReadOptions {
        self.selection.until = Some(to_nanoseconds(time));
        self
    }
}
