//! Counters and states of a logger: plain values, taken at one moment.

mod figures;
mod histogram;
mod prometheus;

use std::{fmt, path::PathBuf, time::Duration};

#[cfg(all(target_os = "linux", feature = "metrics"))]
pub(crate) use self::figures::{Family, Kind, Sample, families, families_of_manager, times};
pub use self::histogram::Histogram;
#[cfg(target_os = "linux")]
pub(crate) use self::{figures::Source, prometheus::render};
pub use crate::format::Dropped;

/// The I/O mode in effect. The one that was asked for is in the [`Config`](crate::Config).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoMode {
    /// Past the page cache.
    Direct,
    /// Through the page cache. The default, because buffered I/O promises less.
    #[default]
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

/// The interface of the kernel that writes the blocks.
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
/// `total_logs = accepted + dropped_logs` and `accepted = written + pending + lost` hold in every snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records offered.
    #[doc(alias = "TotalLogs")]
    pub total_logs: u64,
    /// Records refused, for any reason.
    #[doc(alias = "DroppedLogs")]
    pub dropped_logs: u64,
    /// Bytes written to the file: records, heads, tails, padding.
    #[doc(alias = "BytesWritten")]
    pub bytes_written: u64,
    /// Blocks written; each is one buffer of one shard. (This does not count calls of `flush`: many calls
    /// share a block, and most blocks are written without a call.)
    #[doc(alias = "Flushes")]
    pub flushes: u64,
    /// Failed attempts to write, to sync or to open a segment.
    #[doc(alias = "FlushErrors")]
    pub flush_errors: u64,
    /// Buffers sealed, each by a swap.
    #[doc(alias = "SetSwaps")]
    pub set_swaps: u64,
    /// Records that are part of a buffer or of the file.
    pub accepted: u64,
    /// Records refused, by reason.
    pub dropped: Dropped,
    /// Accepted records that are not written yet.
    pub pending: u64,
    /// Records whose write the device has acknowledged.
    pub written: u64,
    /// Records that a barrier covers: they survive a power cut.
    pub durable: u64,
    /// Accepted records that were given up; 0 unless the logger was dropped while its device took no writes.
    pub lost: u64,
    /// Bytes of the written records themselves.
    pub payload_bytes: u64,
    /// Whether direct I/O is in effect.
    pub io_mode: IoMode,
    /// The engine in effect.
    pub engine: EngineKind,
    /// `flush_errors` by their meaning, and the number of caught panics.
    pub errors: ErrorCounts,
}

/// A snapshot of a manager's counters since it was made.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ManagerStats {
    /// Sums over all events, including closed ones. Records of events that could not be opened are in
    /// `unopened` instead.
    pub total: Stats,
    /// Dropped records of events that could not be opened.
    pub unopened: u64,
    /// Events that are open.
    pub events: usize,
    /// Files that are open. An idle event has no open file.
    pub open_files: usize,
}

/// Failed operations, by the meaning of the system's error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorCounts {
    /// No space, or the quota is used up (`ENOSPC`, `EDQUOT`).
    pub space: u64,
    /// The file cannot become longer (`EFBIG`).
    pub limit: u64,
    /// The device failed (`EIO`).
    pub device: u64,
    /// The file system is read-only, shut down or gone (`EROFS`, `ENODEV`, `ENXIO`, `ESTALE` and others).
    pub gone: u64,
    /// The system does not support the operation as it was asked for (`EINVAL`, `EOPNOTSUPP`).
    pub invalid: u64,
    /// The operation was not possible at that moment (`EAGAIN`, `ENOMEM`, `ENOBUFS`, `EBUSY`, `EMFILE` and
    /// others).
    pub busy: u64,
    /// Any other error.
    pub other: u64,
    /// Panics of the flusher that were caught; the flusher continued.
    pub panics: u64,
}

/// The health of a logger. Asking for the health takes no lock and never waits, so it is possible at any time
/// and from any place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Health {
    /// The logger works as it was configured.
    #[default]
    Ok,
    /// The logger works, but not as it was configured, for one of these reasons:
    ///
    /// - a rotation failed, and the log stays in a segment that should be over;
    /// - the lock file was removed, and another writer holds the lock of the log now;
    /// - the log is in the failover directory;
    /// - the system refused something while the logger ran, so the logger writes through the page cache or by
    ///   `pwritev2`;
    /// - a barrier failed, and records are in doubt ([`Durability::None`](crate::Durability::None));
    /// - there is less memory than a crash-safe logger needs ([`Config::crash_safe`](crate::Config::crash_safe));
    /// - a panic was caught.
    Degraded,
    /// The last attempt to write, to sync or to open a segment failed, and is being repeated. Nothing is
    /// lost.
    Failing,
    /// The device has not answered for two seconds.
    Hung,
    /// This process is a forked child of the process that made the logger. Every record is refused and
    /// counted as [`Dropped::closed`](crate::Dropped::closed), and [`last_error`](crate::Logger::last_error)
    /// returns an error of the kind [`Forked`](crate::ErrorKind::Forked).
    Forked,
}

/// The durations of flushes. The flush of a block begins when the flusher notices the sealed buffer and ends
/// when the buffer is free again. The write is the part of the flush that the device took.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FlushMetrics {
    /// Blocks written.
    pub total_flushes: u64,
    /// Sum of the durations of all flushes.
    pub total_flush_duration: Duration,
    /// Mean duration of a flush.
    pub avg_flush_duration: Duration,
    /// Duration of the longest flush.
    pub max_flush_duration: Duration,
    /// Mean duration of a write.
    pub avg_write_duration: Duration,
    /// Duration of the longest write.
    pub max_write_duration: Duration,
    /// Share of the writes in the durations of the flushes, in percent, 0 to 100.
    pub write_percent: f64,
    /// Sealed buffers that wait to be written at this moment.
    pub flush_queue_depth: usize,
    /// Number of times that a writer needed a buffer and none was free.
    pub blocked_swaps: u64,
    /// How many flushes took how long.
    pub flush_times: Histogram,
    /// How many writes took how long. A write that was repeated counts each time that it succeeded.
    pub write_times: Histogram,
}

/// The state of one shard at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ShardStats {
    /// Number of the shard, from 0.
    pub shard_id: usize,
    /// Records that the shard accepted.
    pub write_count: u64,
    /// Bytes in the active buffer, header included; 0 if the shard has no active buffer.
    pub bytes_used: usize,
    /// Bytes that a buffer of the shard can hold, header included.
    pub capacity: usize,
    /// `bytes_used` as a share of `capacity`, in percent, 0 to 100.
    pub utilization_pct: f64,
}

/// What the path of the log held when the logger opened it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opened {
    /// Nothing, or an empty file: a new log begins.
    Created,
    /// A log that was closed cleanly; the logger continues it.
    Continued,
    /// The log of a process that died. What the process had left in memory was written first, and the logger
    /// continues the log. [`Logger::salvage`](crate::Logger::salvage) has the details.
    #[non_exhaustive]
    Salvaged {
        /// Records that were written out of the memory of dead processes.
        records: u64,
    },
    /// Another file. The logger renamed the file without changing its contents, and began a new one.
    #[non_exhaustive]
    SetAside {
        /// The new path of the old file.
        to: PathBuf,
        /// Why the logger could not continue the old file.
        reason: String,
    },
}

/// What dead processes had left in memory ([`Config::crash_safe`](crate::Config::crash_safe)), and what became
/// of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvage {
    /// The sessions that were written to the end, one for each dead process.
    pub sessions: Vec<Salvaged>,
    /// The files that could not be used. Nothing was changed in them.
    pub left_alone: Vec<LeftAlone>,
    /// The files whose owner lives. They were not touched.
    pub in_use: Vec<MapInUse>,
}

impl Salvage {
    /// Records that were written out of the memory of dead processes.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.sessions.iter().map(|session| session.records).sum()
    }
}

/// The session of one dead process, which was written to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvaged {
    /// The path of the log.
    pub log: PathBuf,
    /// The file in which the memory of the process was; it is removed.
    pub map: PathBuf,
    /// The file in which the session continued: the log's, wherever it was found; or a new one, if the process's file
    /// was gone.
    pub file: PathBuf,
    /// Records that were written now. The process may have written some of them already, without knowing that
    /// they were safe: they are in their place once.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records of the session that were safe before.
    pub safe: u64,
}

/// A file with the memory of a logger that lives, or that another process is salvaging.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapInUse {
    /// The path of the file.
    pub map: PathBuf,
    /// The path of the log.
    pub log: PathBuf,
    /// The process that made the file.
    pub pid: u32,
}

/// A file of a dead process that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftAlone {
    /// The path of the file.
    pub map: PathBuf,
    /// Why it could not be used.
    pub reason: String,
}

/// The place of a record in its log. Positions of one shard are ordered. A record has the same position when
/// it is logged and when it is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    pub(crate) session: u64,
    pub(crate) shard: u32,
    pub(crate) number: u64,
}

impl Position {
    /// The random id of the session, that is, of the run of the logger that wrote the record.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.session
    }

    /// The shard that took the record.
    #[must_use]
    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// The number of the record in its shard and session, from 0.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl PartialOrd for Position {
    /// Compares the numbers of two records of one shard and one session; other positions are not comparable.
    fn partial_cmp(&self, other: &Position) -> Option<std::cmp::Ordering> {
        let same = self.session == other.session && self.shard == other.shard;
        same.then(|| self.number.cmp(&other.number))
    }
}
