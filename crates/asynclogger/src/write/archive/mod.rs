//! Archived files: names, compression, retention, and the thread that does the work.

mod archivist;
#[cfg(feature = "zstd")]
pub(crate) mod compress;
mod names;
mod over;
mod past;
mod renaming;
mod retention;

pub(crate) use self::{
    archivist::Archivist,
    over::{delete, finish, is_archived_name, open_listed, open_unwritten},
};
pub(super) use self::{
    archivist::{ArchiveSettings, ArchivedSegment, WholeDirectory},
    names::LogName,
    past::{check_numbers, full_name_of, last_segment, open_segment},
    renaming::{LastName, archived_link, link_to_archived, rename_to_archived, set_aside},
};
pub(super) use crate::format::Lineage;
