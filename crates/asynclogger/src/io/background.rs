//! Work that must not be felt by anybody else: the thread's priority, and the page cache.

#[cfg(feature = "zstd")]
use std::{fs::File, num::NonZeroU64};

#[cfg(feature = "zstd")]
use rustix::fs::{Advice, fadvise};
use rustix::process::setpriority_process;

/// The lowest priority.
const NICE: i32 = 19;

/// Lowers the priority of the calling thread for good.
///
/// That of its I/O follows: the lowest of the usual class. Not the idle class: a disk that is busy for
/// hours would then never have its old files deleted, and would fill.
pub(crate) fn yield_to_all_others() {
    // Of the calling thread alone, on Linux. Lowering needs no right; if it fails, it was no more than
    // courtesy.
    let _ = setpriority_process(None, NICE);
}

/// The first `len` bytes of the file will not be read again soon: others need the memory more.
#[cfg(feature = "zstd")]
pub(crate) fn forget_cached(file: &File, len: u64) {
    if let Some(len) = NonZeroU64::new(len) {
        // Advice; a file system may take none.
        let _ = fadvise(file, 0, Some(len), Advice::DontNeed);
    }
}
