//! Records as columns of Arrow.
//!
//! The columns are the same for every format of this crate, and only signed integers, so that Spark, DuckDB, Polars and
//! DataFusion read them alike:
//!
//! | column | type | |
//! |---|---|---|
//! | `event` | Utf8 | the name of the logger or event; left out where a path has it |
//! | `ts` | Timestamp(µs, UTC) | the time of the record, rounded down; null in files of the original |
//! | `ts_ns` | Int64 | the same time, in nanoseconds since 1970 |
//! | `session` | Utf8 | the run of the logger: 16 hexadecimal digits, since the number uses all 64 bits |
//! | `shard` | Int32 | the shard that took the record |
//! | `seq` | Int64 | the number of the record in its shard and session; in a file of the original, in the file |
//! | `host` | Utf8 | the machine that wrote the log, if the caller knows |
//! | `file` | Utf8 | the file that the record was read from |
//! | `block` | Int64 | the offset of the record's block in that file, in bytes, before compression |
//! | `payload` | Binary | the bytes that were logged |
//!
//! The time of a record is that of its log call, if its log has times; else the time when its block was sealed.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../asynclogger/tests/golden/v1.log");
//! use asynclogger::read::LogDir;
//! use asynclogger_export::batches::{BatchBuilder, Columns};
//!
//! let mut log = LogDir::open(path)?;
//! let mut rows = BatchBuilder::new(Columns::new());
//! let source = rows.source(b"v1", None, path);
//! while let Some(block) = log.next_block()? {
//!     rows.append_block(source, &block)?;
//! }
//! assert_eq!(rows.finish()?.num_rows(), 2);
//! # Ok(())
//! # }
//! ```

mod builder;
mod by_time;
mod columns;
mod words;

pub use self::{
    builder::{BatchBuilder, Full, Origin, SourceId, to_nanoseconds},
    by_time::ByTime,
    columns::{Columns, Strings},
};
