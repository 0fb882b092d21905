//! The native half of `pyasynclogger`: reads logs by the core library, and hands out records and Arrow batches.
//!
//! The Python half (`python/pyasynclogger`) has the public names, the conversion of times, the errors and Spark.

mod batches;
mod chunk;
mod error;
mod part;
mod plan;
mod position;
mod reader;
mod report;
mod rows;
mod sources;
mod times;
mod walk;

use pyo3::prelude::*;

/// The native module.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{
        batches::Batches,
        plan::plan,
        position::Position,
        reader::{Reader, open, open_parts},
    };
}
