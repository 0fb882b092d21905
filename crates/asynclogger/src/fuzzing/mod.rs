//! The bodies of the fuzz targets of `fuzz/`. They are here so that they reach private items and that an
//! ordinary test can replay their corpora. They are not part of the library's interface.
//!
//! Each target makes a small file from its input, reads the file, and compares the result with the known
//! facts: the written records, the damage, or the result of another, simpler reader.
#![expect(clippy::indexing_slicing, reason = "a panic is a finding")]

mod chunks;
#[cfg(feature = "zstd")]
mod compressed;
mod damage;
mod input;
mod live;
mod log;
mod metadata;
mod original;
mod read;
mod reading;
mod repair;
mod segment;
mod verify;

#[cfg(feature = "zstd")]
pub use self::compressed::compressed_segment;
pub use self::{
    chunks::check_block, live::live_segment, log::read_log, metadata::decode_metadata,
    original::original_layout, read::read_segment, repair::repair_segment, verify::verify_segment,
};

/// The function of a target: it panics if the input is a finding.
pub type Target = fn(&[u8]);

/// The targets, by the names of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("decode_metadata", decode_metadata),
    ("check_block", check_block),
    ("read_segment", read_segment),
    ("verify_segment", verify_segment),
    ("repair_segment", repair_segment),
    ("live_segment", live_segment),
    ("read_log", read_log),
    ("original_layout", original_layout),
    #[cfg(feature = "zstd")]
    ("compressed_segment", compressed_segment),
];

#[cfg(test)]
mod replay;
