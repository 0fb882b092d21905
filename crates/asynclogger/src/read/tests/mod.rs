//! The reader against files built by the encoders, whole and damaged in every way.
#![expect(clippy::indexing_slicing, reason = "tests")]

mod builder;
mod by_time;
#[cfg(all(feature = "zstd", target_os = "linux"))]
mod compressed;
mod damage;
mod forged;
mod fuzzed;
mod given;
mod heads;
#[cfg(target_os = "linux")]
mod hostile;
mod live;
mod log_dir;
mod original;
mod repair;
mod round_trip;
#[cfg(not(loom))]
mod segments;
mod selection;
mod times;

#[cfg(not(loom))]
pub(crate) use self::segments::read_segments;
