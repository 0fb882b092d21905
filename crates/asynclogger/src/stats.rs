//! What a logger tells of itself: plain values, taken at one moment.

use std::{fmt, path::PathBuf, time::Duration};

pub use crate::format::Dropped;

/// How blocks reach the file: what was asked for is in the config, this is what is in effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoMode {
    /// Past the page cache.
    #[default]
    Direct,
    /// Through the page cache.
    Buffered,
}

impl fmt::Display for IoMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            IoMode::Direct => "direct",
            IoMode::Buffered => "buffered",
        })
    }
}

/// The interface of the kernel that is in effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineKind {
    /// `pwritev2`, one block at a time.
    #[default]
    Pwritev2,
    /// io_uring, several blocks at a time.
    IoUring,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            EngineKind::Pwritev2 => "pwritev2",
            EngineKind::IoUring => "io_uring",
        })
    }
}

/// A snapshot of a logger's counters since it was opened.
///
/// `total_logs = accepted + dropped_logs` and `accepted = written + pending + lost`, always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records offered.
    pub total_logs: u64,
    /// Records refused, for any reason.
    pub dropped_logs: u64,
    /// Bytes written to the file: records, heads, tails, padding.
    pub bytes_written: u64,
    /// Blocks written.
    pub flushes: u64,
    /// Failed attempts to write, to sync, or to open a segment.
    pub flush_errors: u64,
    /// Buffers sealed, each by a swap.
    pub set_swaps: u64,
    /// Records that are part of a buffer or of the file.
    pub accepted: u64,
    /// Records refused, by reason.
    pub dropped: Dropped,
    /// Accepted and not yet written.
    pub pending: u64,
    /// Acknowledged by the device.
    pub written: u64,
    /// Covered by a barrier: these survive a power cut.
    pub durable: u64,
    /// Accepted but given up; 0 unless the logger was dropped while its device took nothing.
    pub lost: u64,
    /// Bytes of the written records themselves.
    pub payload_bytes: u64,
    /// Whether direct I/O is in effect.
    pub direct: IoMode,
    /// The engine in effect.
    pub engine: EngineKind,
    /// `flush_errors` by what they mean, and panics that were caught.
    pub errors: ErrorCounts,
}

/// A snapshot of a manager's counters since it was made.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ManagerStats {
    /// Sums over all events, those that were closed too. Records of events that could not be opened are not
    /// among them.
    pub total: Stats,
    /// Records of events that could not be opened: each is dropped, and counted here.
    pub unopened: u64,
    /// Events that are open.
    pub events: usize,
    /// Files that are open: idle events give theirs back.
    pub open_files: usize,
}

/// Failed operations, by what the system's error means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorCounts {
    /// No space, or the quota is used up (`ENOSPC`, `EDQUOT`).
    pub space: u64,
    /// The file may not become longer (`EFBIG`).
    pub limit: u64,
    /// The device failed (`EIO`).
    pub device: u64,
    /// The file system is read-only, shut down or gone (`EROFS`, `ENODEV`, `ENXIO`, `ESTALE` and others).
    pub gone: u64,
    /// Refused as it was asked (`EINVAL`, `EOPNOTSUPP`).
    pub invalid: u64,
    /// Not at that moment (`EAGAIN`, `ENOMEM`, `ENOBUFS`, `EBUSY`, `EMFILE` and others).
    pub busy: u64,
    /// Any other.
    pub other: u64,
    /// The flusher panicked, was caught, and went on.
    pub panics: u64,
}

/// How a logger is. It can be asked at any time and from any place: no lock, no wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Health {
    /// All is as it was meant to be.
    #[default]
    Ok,
    /// It works, otherwise than it was meant to: in the other directory, through the page cache or by
    /// `pwritev2` since something was refused while running, with records in doubt after a failed barrier
    /// ([`Durability::None`](crate::Durability::None)), or after a panic that was caught.
    Degraded,
    /// The last attempt failed; it is being repeated. Nothing is lost by that.
    Failing,
    /// The device has not answered for two seconds.
    Hung,
    /// This process is a forked child of the one that made the logger: every record is refused, and counted as closed.
    /// [`last_error`](crate::Logger::last_error) says so, too.
    Forked,
}

/// How long flushes took. A flush is the way of one block from its seal being noticed to its buffer being
/// free again; the write is the part of it that the device took.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FlushMetrics {
    /// Blocks written.
    pub total_flushes: u64,
    /// All flushes together.
    pub total_flush_duration: Duration,
    /// Mean of a flush.
    pub avg_flush_duration: Duration,
    /// Longest flush.
    pub max_flush_duration: Duration,
    /// Mean of a write.
    pub avg_write_duration: Duration,
    /// Longest write.
    pub max_write_duration: Duration,
    /// Share of the writes in the flushes, 0 to 100.
    pub write_percent: f64,
    /// Sealed buffers waiting to be written, now.
    pub flush_queue_depth: usize,
    /// How often a writer needed a buffer and none was free.
    pub blocked_swaps: u64,
}

/// One shard, now.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ShardStats {
    /// Number of the shard, from 0.
    pub shard_id: usize,
    /// Records accepted by it.
    pub write_count: u64,
    /// Bytes in its active buffer, header included; 0 without one.
    pub bytes_used: usize,
    /// Bytes its buffer can hold.
    pub capacity: usize,
    /// `bytes_used` of `capacity`, 0 to 100.
    pub utilization_pct: f64,
}

/// What opening found at the path of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opened {
    /// Nothing, or an empty file: the log begins here.
    Created,
    /// A log that was closed cleanly: it is continued.
    Continued,
    /// Something else: it was renamed, untouched, and a new file begun.
    SetAside {
        /// Where it is now.
        to: PathBuf,
        /// Why it could not be continued.
        reason: String,
    },
}

/// The place of a record in its log. Positions of one shard are ordered; the same record has the same
/// position when it is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    pub(crate) session: u64,
    pub(crate) shard: u32,
    pub(crate) number: u64,
}

impl Position {
    /// The run of the logger that wrote the record; random.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// The shard it went through.
    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// Its number in that shard and session, from 0.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl PartialOrd for Position {
    /// Ordered within one shard of one session; otherwise not comparable.
    fn partial_cmp(&self, other: &Position) -> Option<std::cmp::Ordering> {
        let same = self.session == other.session && self.shard == other.shard;
        same.then(|| self.number.cmp(&other.number))
    }
}
