//! One look at a file: the bytes of a segment whichever form the file has, and what its metadata say: whose it
//! is, where it begins and ends, and when.
//!
//! Below both sides: the one that writes and the one that reads ask here, so that they never differ about what
//! a file is. Nothing here writes.
#![deny(clippy::indexing_slicing)]

#[cfg(feature = "zstd")]
mod compressed;
mod origin;
mod place;
mod positioned;
mod regular;
mod source;

#[cfg(feature = "zstd")]
#[cfg(any(test, fuzzing))]
pub(crate) use self::compressed::Compressed;
#[cfg(feature = "zstd")]
pub(crate) use self::{compressed::Finding, positioned::read_full};
pub(crate) use self::{
    origin::{Origin, Tally},
    place::{Body, Ids, Part, Place, later_version, look},
    regular::{Identity, is_gone, is_prepared_name},
    source::{Packing, Source, is_compressed_name},
};
