//! An asynchronous logger for raw records: it never blocks the caller unless asked to, never loses a record
//! without writing down the loss, and says which records are on the medium.
//!
//! ```
//! # fn main() -> Result<(), asynclogger::Error> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("requests.log");
//! use asynclogger::{Config, Logger, read::Reader};
//!
//! let logger = Logger::new(Config::new(&path))?;
//! logger.log_bytes(b"\x0a\x03abc");
//! logger.flush()?; // durable from here on
//! let stats = logger.close()?;
//! assert_eq!((stats.accepted, stats.durable, stats.dropped_logs), (1, 1, 0));
//!
//! let mut reader = Reader::open(&path)?;
//! while let Some(record) = reader.next_record()? {
//!     assert_eq!(record.bytes(), b"\x0a\x03abc");
//! }
//! assert!(reader.report().is_whole());
//! # Ok(())
//! # }
//! ```
//!
//! A log call claims a shard with one compare-and-swap, copies the record into the shard's buffer, and gives
//! the shard back with one store. One thread writes full buffers, which *are* the blocks of the file, past
//! the page cache. See [`Logger`] for calls, [`Config`] for settings, [`Overflow`] for what happens when no
//! buffer is free, [`Durability`] for when records survive a power cut, [`read`] for reading.
//!
//! Writing needs Linux; reading does not.
//!
//! Features: `io-uring` (on by default; without the feature, and where the system refuses io_uring,
//! `pwritev2` writes the blocks), `local-time` ([`Rotation::local_time`]), `zstd` (writes
//! [`Compression::Zstd`] and reads the compressed files; brings a C library), `log` and `tracing` (modules of these names:
//! the facades' records go to a log), `async` (`Logger::flush_async`, `wait_durable_async`).
#![deny(unsafe_code)]
// Only Linux has the writing side; what serves that side alone is idle elsewhere.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

#[cfg(target_os = "linux")]
mod archive;
mod config;
mod error;
mod format;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(target_os = "linux", any(feature = "log", feature = "metrics", feature = "tracing")))]
mod integrations;
#[cfg(target_os = "linux")]
mod io;
#[cfg(target_os = "linux")]
mod locks;
#[cfg(target_os = "linux")]
mod logger;
#[cfg(target_os = "linux")]
mod manager;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "mapped memory")]
mod mem;
mod probe;
pub mod read;
#[cfg(target_os = "linux")]
mod salvage;
mod stats;
#[cfg(target_os = "linux")]
mod sync;
#[cfg(target_os = "linux")]
mod write;

#[cfg(all(target_os = "linux", feature = "async"))]
#[cfg_attr(docsrs, doc(cfg(feature = "async")))]
pub use crate::logger::Flushing;
#[cfg(target_os = "linux")]
#[cfg_attr(docsrs, doc(cfg(target_os = "linux")))]
pub use crate::{
    archive::{Archive, ArchivedSegment, Finished, SegmentContent},
    logger::{Logger, RecordWriter},
    manager::{EventLogger, LoggerManager},
    salvage::{Salvager, salvage},
};
pub use crate::{
    config::{
        Archived, Boundary, Compression, Config, CrashSafe, DirectIo, Durability, Engine, Overflow,
        Retention, Rotation, Timestamps, WhenFull,
    },
    error::{Error, ErrorKind, LogError},
    format::LogId,
    stats::{
        Dropped, EngineKind, ErrorCounts, FlushMetrics, Health, Histogram, IoMode, LeftAlone,
        ManagerStats, MapInUse, Opened, Position, Salvage, Salvaged, ShardStats, Stats,
    },
};

#[cfg(all(target_os = "linux", feature = "log"))]
#[cfg_attr(docsrs, doc(cfg(feature = "log")))]
pub use crate::integrations::log;
#[cfg(all(target_os = "linux", feature = "metrics"))]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use crate::integrations::metrics;
#[cfg(all(target_os = "linux", feature = "tracing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use crate::integrations::tracing;
#[cfg(all(target_os = "linux", any(feature = "log", feature = "tracing")))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "log", feature = "tracing"))))]
pub use crate::integrations::{Destination, FlushGuard};

/// The example in the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The lines that other loggers' lines become, compiled.
#[cfg(all(doctest, target_os = "linux", feature = "log", feature = "tracing"))]
#[doc = include_str!("../../../docs/migrating.md")]
struct Migrating;
