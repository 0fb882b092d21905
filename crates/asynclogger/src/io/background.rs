//! Background work must not slow other work: the thread's priority, and the page cache.

use std::{fs::File, num::NonZeroU64};

use rustix::{
    fs::{Advice, fadvise},
    process::setpriority_process,
};

/// The lowest priority.
const NICE: i32 = 19;

/// Lowers the priority of the calling thread for good.
///
/// The priority of the thread's I/O follows: the lowest of the usual class. The idle class would be too low: on a disk
/// that is busy for hours, old files would never be deleted, and the disk would fill.
pub(crate) fn yield_to_all_others() {
    // On Linux the call affects the calling thread alone. Lowering a priority needs no right. A failure is ignored: the
    // lower priority is a courtesy.
    let _ = setpriority_process(None, NICE);
}

/// Requests the first `len` bytes of the file, and does not wait for them: they are read soon.
pub(crate) fn want_soon(file: &File, len: u64) {
    // Advice only, as below.
    let _ = fadvise(file, 0, NonZeroU64::new(len), Advice::WillNeed);
}

/// Drops the first `len` bytes of the file from the page cache: they are not read again soon, and other data needs the
/// memory more.
#[cfg(feature = "zstd")]
pub(crate) fn forget_cached(file: &File, len: u64) {
    if let Some(len) = NonZeroU64::new(len) {
        // Advice only: a file system can ignore or refuse the call.
        let _ = fadvise(file, 0, Some(len), Advice::DontNeed);
    }
}
