//! What becomes of files that are over: names, compression, retention, and the thread that looks after them.

mod archivist;
#[cfg(feature = "zstd")]
pub(crate) mod compress;
#[cfg(feature = "zstd")]
mod inflate;
pub(super) mod names;
mod retention;

pub(crate) use self::archivist::Archivist;
pub(super) use self::{
    archivist::{ArchiveSettings, ArchivedSegment, WholeDirectory},
    names::{Existing, LastName, Lineage, LogName},
};
