//! A look at a single file: the bytes of a segment, plain or compressed, and the facts in its metadata: the
//! log that it belongs to, and the times of its beginning and its end.
//!
//! The writing side and the reading side both use this module, so that they never differ about what a file
//! is. Nothing here writes.
#![deny(clippy::indexing_slicing)]

#[cfg(feature = "zstd")]
mod compressed;
mod origin;
mod place;
mod positioned;
mod regular;
mod search;
mod source;

#[cfg(feature = "zstd")]
#[cfg(any(test, fuzzing))]
pub(crate) use self::compressed::Compressed;
pub use self::positioned::ReadAt;
#[cfg(feature = "zstd")]
pub(crate) use self::{compressed::Finding, positioned::read_full};
pub(crate) use self::{
    origin::{Origin, Tally},
    place::{Body, Ids, Part, Place, later_version, look},
    positioned::Given,
    regular::{Identity, has_log_name, is_gone, is_lock_name, is_prepared_name},
    search::{Found, Search, Skipped},
    source::{Packing, Source, is_compressed_name},
};
