//! The bodies of the fuzz targets of `fuzz/`, here so that they reach what is private and that an ordinary
//! test replays their corpora. No part of the library's interface.
//!
//! Each makes a small file out of its bytes and holds what is read of it against what is known of the file:
//! what was written, what happened to it, or what another, simpler reader finds.
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
mod segment;
mod verify;

#[cfg(feature = "zstd")]
pub use self::compressed::compressed_segment;
pub use self::{
    chunks::check_block, live::live_segment, log::read_log, metadata::decode_metadata,
    original::original_layout, read::read_segment, verify::verify_segment,
};

/// What a target does with an input: it panics, if that is a finding.
pub type Target = fn(&[u8]);

/// The targets, by the names of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("decode_metadata", decode_metadata),
    ("check_block", check_block),
    ("read_segment", read_segment),
    ("verify_segment", verify_segment),
    ("live_segment", live_segment),
    ("read_log", read_log),
    ("original_layout", original_layout),
    #[cfg(feature = "zstd")]
    ("compressed_segment", compressed_segment),
];

#[cfg(test)]
mod replay;
