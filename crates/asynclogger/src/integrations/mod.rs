//! The facades that Rust programs log and measure through: records of `log` and `tracing` become records of a log, and the
//! figures of a log reach `metrics`.
//!
//! Nothing here logs its own errors: a record that a log refuses is counted by the log.

#[cfg(any(feature = "log", feature = "tracing"))]
mod destination;
#[cfg(any(feature = "log", feature = "tracing"))]
mod guard;
#[cfg(any(feature = "log", feature = "tracing"))]
mod json;
#[cfg(feature = "log")]
pub mod log;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(any(feature = "log", feature = "tracing"))]
mod scratch;
#[cfg(feature = "tracing")]
pub mod tracing;

#[cfg(any(feature = "log", feature = "tracing"))]
pub use self::{destination::Destination, guard::FlushGuard};
