//! The reader against files built by the encoders, whole and damaged in every way.
#![expect(clippy::indexing_slicing, reason = "tests")]

mod builder;
mod damage;
mod forged;
mod fuzzed;
mod live;
mod log_dir;
mod original;
mod round_trip;
mod segments;

pub(crate) use self::segments::read_segments;
