//! Memory of a thread for its next record.

use std::cell::Cell;

/// The memory that a thread keeps for its next record. A longer record gets memory of its own.
const KEPT: usize = 64 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `encode` with empty memory that the thread reuses. `encode` may log, too: a value's `Debug` can.
pub(super) fn with_scratch(encode: impl FnOnce(&mut Vec<u8>)) {
    // At the end of a thread its memory may be gone.
    let mut bytes = SCRATCH.try_with(Cell::take).unwrap_or_default();
    bytes.clear();
    encode(&mut bytes);
    if bytes.capacity() <= KEPT {
        let _ = SCRATCH.try_with(|scratch| scratch.set(bytes));
    }
}
