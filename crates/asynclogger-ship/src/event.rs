//! What a shipper tells while it works.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use crate::Error;

/// One thing that a shipper did, or could not do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A segment is in the store.
    #[non_exhaustive]
    Shipped {
        /// The file.
        path: PathBuf,
        /// The name of the object.
        key: String,
        /// Length of the object, in bytes.
        bytes: u64,
        /// Records in the segment.
        records: u64,
        /// The object was there before: from an earlier run.
        was_there: bool,
    },
    /// A manifest is in the store.
    #[non_exhaustive]
    Manifest {
        /// The name of the object.
        key: String,
        /// The number of objects that it lists.
        files: u64,
        /// The number of gaps that it lists.
        gaps: u64,
    },
    /// Segments were lost before they were shipped; the next manifest says so.
    #[non_exhaustive]
    Gap {
        /// The id of the log, in hex digits.
        log: String,
        /// The first number.
        from_segment: u64,
        /// The last number.
        to_segment: u64,
        /// Why.
        reason: String,
    },
    /// The file of a segment that is in the store was deleted.
    #[non_exhaustive]
    Deleted {
        /// The file.
        path: PathBuf,
    },
    /// A segment is not shipped, or its file not deleted, in this run; the others go on.
    #[non_exhaustive]
    LeftAlone {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Error,
    },
    /// The active file of a log got no archived name, and so is not shipped: a logger writes it, for example.
    #[non_exhaustive]
    NotFinished {
        /// Why.
        error: Error,
    },
    /// The store does not take anything now; the shipper tries again.
    #[non_exhaustive]
    Waiting {
        /// Why.
        error: Error,
        /// When the next attempt is made.
        delay: Duration,
    },
}

/// What a run has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Segments that were brought to the store.
    pub shipped: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Segments that were in the store before.
    pub were_there: u64,
    /// Manifests.
    pub manifests: u64,
    /// Files that were deleted since they are in the store.
    pub deleted: u64,
    /// Segments that were declared as lost.
    pub lost: u64,
    /// Segments that could not be shipped, or not be deleted.
    pub left_alone: u64,
}

/// How a shipper is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Health {
    /// The last request was answered.
    #[default]
    Good,
    /// The store cannot be reached, and the shipper tries again and again; segments wait on the disk.
    #[non_exhaustive]
    Degraded {
        /// Since when.
        since: SystemTime,
        /// The last error.
        error: Error,
    },
    /// Somebody has to do something: the store refuses the credentials, a segment was left alone, the disk is over its limit,
    /// or the shipper has ended.
    #[non_exhaustive]
    Failing {
        /// Since when.
        since: SystemTime,
        /// The error.
        error: Error,
    },
}
