//! Reading logs: one file with [`Reader`], all files of a log with [`LogDir`], checking with [`verify`].
//!
//! Nothing here writes: files are opened for reading only. Whatever the bytes are, a reader ends, takes no
//! more memory than the largest block of the file, and delivers no record that is not under a good checksum.
//! What is damaged or missing is in the [`Report`], with the number of records lost as exactly as the file
//! tells it.
//!
//! The records of one shard come in the order in which they were logged, each once. There is no order
//! between shards.
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

mod block;
mod gaps;
mod history;
mod ledger;
mod listed;
mod listing;
mod loaded;
mod log_dir;
mod log_report;
mod missing;
mod native;
mod options;
mod original;
mod partial;
mod promise;
mod reader;
mod records;
mod report;
mod resync;
mod scan;
mod segments;
mod selection;
mod suspects;
mod verdict;

pub use self::{
    log_dir::LogDir,
    log_report::LogReport,
    options::ReadOptions,
    reader::{IntoRecords, Reader, verify},
    records::{Block, BlockRecords, OwnedRecord, Record},
    report::{Damage, DamageKind, Declared, Ending, Format, Layout, Loss, Report, SessionReport},
    scan::Scan,
    segments::Segment,
};

/// The parts below the interface, for the bodies of the fuzz targets.
#[cfg(any(test, fuzzing))]
pub(crate) mod parts {
    pub(crate) use super::{
        block::{Checked, check, without_delivered},
        history::History,
    };
}

#[cfg(test)]
pub(crate) mod tests;
