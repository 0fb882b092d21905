//! Logs of `asynclogger` as Parquet, Arrow and JSON Lines: what Spark, DuckDB, Polars and DataFusion read.
//!
//! [`Export`] writes whole logs to files, in the directories that engines expect; [`batches`] has the records in memory.
//!
//! Features: `parquet` (on by default: the files). Without the feature there is [`batches`] alone, for programs that have
//! Arrow in memory only.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

pub mod batches;
#[cfg(feature = "parquet")]
mod budget;
#[cfg(feature = "parquet")]
mod decode;
#[cfg(feature = "parquet")]
mod error;
#[cfg(feature = "parquet")]
mod export;
#[cfg(feature = "parquet")]
mod facts;
#[cfg(feature = "parquet")]
mod open_files;
#[cfg(feature = "parquet")]
mod output;
#[cfg(feature = "parquet")]
mod partition;

#[cfg(feature = "parquet")]
pub use self::{
    decode::{Decode, MessageType},
    error::{Error, ErrorKind},
    export::{Export, Exported, Format, MAX_JOBS, Progress, WrittenFile},
    output::{Begun, Destination, Directory},
    partition::Partition,
};
