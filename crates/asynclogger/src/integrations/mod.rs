//! The facades that Rust programs log through, `log` and `tracing`: their records become records of a log.
//!
//! Nothing here logs its own errors: a record that a log refuses is counted by the log.

mod destination;
mod guard;
mod json;
#[cfg(feature = "log")]
pub mod log;
#[cfg(feature = "tracing")]
pub mod tracing;

use std::cell::Cell;

pub use self::{destination::Destination, guard::FlushGuard};

/// The memory that a thread keeps for its next record. A longer record gets memory of its own.
const KEPT: usize = 64 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `encode` with empty memory that the thread reuses. `encode` may log, too: a value's `Debug` can.
fn with_scratch(encode: impl FnOnce(&mut Vec<u8>)) {
    // At the end of a thread its memory may be gone.
    let mut bytes = SCRATCH.try_with(Cell::take).unwrap_or_default();
    bytes.clear();
    encode(&mut bytes);
    if bytes.capacity() <= KEPT {
        let _ = SCRATCH.try_with(|scratch| scratch.set(bytes));
    }
}
