//! Reading logs: [`Reader`] reads one file, [`LogDir`] reads all files of a log, and [`verify`] checks a
//! file.
//!
//! Nothing here writes to files: they are opened for reading only. ([`repair`] writes to what its caller gives it.) Whatever bytes a file has, the reader reaches an
//! end, takes no more memory than the largest block of the file, and delivers only records under a valid
//! checksum. The [`Report`] lists damaged and missing parts, and the number of lost records as exactly as the
//! file shows it.
//!
//! The records of one shard come in the order in which they were logged, each once. Records of different
//! shards have no order, unless [`LogDir::by_time`] or [`ByTime`] merges them into one.
//!
//! ```
//! # fn main() -> Result<(), asynclogger::Error> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1.log");
//! let mut reader = asynclogger::read::Reader::open(path)?;
//! while let Some(record) = reader.next_record()? {
//!     println!("{:?}: {} bytes", record.position(), record.bytes().len());
//! }
//! assert_eq!(reader.report().records, 2);
//! # Ok(())
//! # }
//! ```
#![deny(clippy::indexing_slicing)]

mod ahead;
mod block;
mod by_time;
mod gaps;
mod heads;
mod history;
mod ledger;
mod listed;
mod listing;
mod loaded;
mod log_dir;
mod log_report;
mod missing;
mod native;
mod opening;
mod options;
mod original;
mod partial;
mod promise;
mod reader;
mod records;
mod repair;
mod report;
mod scan;
mod segments;
mod selection;
mod state;
mod step;
mod suspects;
mod times;
mod verdict;
mod writer;

pub use self::{
    by_time::{ByTime, LogRecord},
    heads::{Head, HeadKind},
    log_dir::LogDir,
    log_report::LogReport,
    opening::verify,
    options::ReadOptions,
    reader::{IntoRecords, Reader},
    records::{Block, BlockRecords, OwnedRecord, Record},
    repair::{Repaired, repair},
    report::{
        Damage, DamageKind, Declared, Ending, Format, Layout, Loss, Report, SessionReport,
        SessionState,
    },
    scan::Scan,
    segments::Segment,
};
pub use crate::probe::ReadAt;

/// Internal parts, for the bodies of the fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod parts {
    pub(crate) use super::{
        block::{Checked, check, without_delivered},
        history::History,
        repair::repair_file,
    };
}

#[cfg(test)]
pub(crate) mod tests;
