//! Keeps the library's descriptors off the three standard numbers.
//!
//! A program may have closed its standard input, output or error. The system gives out the lowest free number: a log's
//! file would become the standard error, and everything the program prints would go into the log.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// The lowest descriptor number that the library uses.
const LOWEST: i32 = 3;

/// Moves a descriptor above the standard numbers. Each descriptor that the library opens goes through this function
/// before its first use.
///
/// # Errors
/// If the system gives no other descriptor.
pub(super) fn above_standard(opened: OwnedFd) -> Result<OwnedFd, Errno> {
    if opened.as_raw_fd() >= LOWEST { Ok(opened) } else { fcntl_dupfd_cloexec(&opened, LOWEST) }
}

/// Calls `open`, which opens descriptors by itself. Meanwhile the free standard numbers are taken by a path descriptor,
/// which can be neither read nor written.
#[cfg(feature = "io-uring")]
pub(super) fn with_standard_taken<T>(open: impl FnOnce() -> T) -> T {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let take = || openat(CWD, "/", flags, Mode::empty()).ok();
    // The loop ends at the first descriptor above the standard numbers: no lower number is free then.
    let _taken: Vec<_> =
        std::iter::from_fn(take).take_while(|fd| fd.as_raw_fd() < LOWEST).collect();
    open()
}
