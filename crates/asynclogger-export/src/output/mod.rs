//! Batches become files.

mod arrow;
mod destination;
mod json_lines;
mod parquet;
mod sink;

pub use self::destination::{Begun, Destination, Directory};
pub(crate) use self::sink::{Facts, Sink, Style};
