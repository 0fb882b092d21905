//! Ships the archived segments of asynclogger's logs to an object store: each exactly once, whatever dies meanwhile.
//!
//! ```
//! use asynclogger::{Config, Logger, Rotation};
//! use asynclogger_ship::Shipper;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let shipper = Shipper::to("memory://bucket/logs")?; // or s3://, gs://, az://, file:///
//! let shipping = shipper.start(dir)?;
//! let config = Config::new(dir.join("app.log")).on_archived(shipping.on_archived());
//! let logger = Logger::new(config)?;
//! logger.log_bytes(b"one");
//! logger.rotate()?;
//! logger.close()?;
//! # drop(shipping);
//! # assert_eq!(Shipper::to("memory://bucket/logs")?.run(dir)?.left_alone, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # The way of a segment
//!
//! 1. [`Archive`](asynclogger::Archive) finds the segments that are over, by what they contain.
//! 2. The file is read once for its CRC32C, its counts and its times. From these follow the name and the metadata of the
//!    object, so that both are the same whenever the segment is shipped.
//! 3. The store is asked for both forms of the segment, plain and compressed. If one is there, the segment is shipped; an object of
//!    another segment is a conflict, and that segment is left alone.
//! 4. The file is sent in parts. Length, etag and the CRC32C of what was sent are compared.
//! 5. The journal, a file beside the segments, says so.
//! 6. A manifest lists the objects of the batch, and the segments that were lost before they were shipped.
//! 7. With [`delete_after_verify`](Shipper::delete_after_verify), the object was read back, and the file is deleted now.
//!
//! A shipper that dies between any two of these is continued by the next one. Without its journal the store is asked for each
//! segment that is still on the disk, and the manifests are read; nothing is shipped or listed twice.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod control;
mod error;
mod event;
mod existing;
mod facts;
mod fault;
mod journal;
mod layout;
mod manifest;
mod outlook;
mod run;
mod sending;
mod shipper;

pub use self::{
    error::{Error, ErrorKind},
    event::{Event, Health, Summary},
    layout::Layout,
    shipper::{Handle, OverLimit, Shipper, Shipping},
};
