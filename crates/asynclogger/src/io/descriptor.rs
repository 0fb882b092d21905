//! No descriptor of ours is a standard one.
//!
//! A program may have closed its standard input, output or error. The system gives out the lowest number that is
//! free: a log's file would become the standard error, and whatever is printed would be written into the log.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// The lowest number that we use.
const LOWEST: i32 = 3;

/// The same file by a descriptor that is not a standard one. Everything that the library opens goes through this,
/// before anything is done with it.
///
/// # Errors
/// If the system has no other descriptor for us.
pub(super) fn above_standard(opened: OwnedFd) -> Result<OwnedFd, Errno> {
    if opened.as_raw_fd() >= LOWEST { Ok(opened) } else { fcntl_dupfd_cloexec(&opened, LOWEST) }
}

/// Calls what opens something by itself: the standard descriptors that are free are taken meanwhile, by something
/// that can neither be read nor written.
#[cfg(feature = "io-uring")]
pub(super) fn with_standard_taken<T>(open: impl FnOnce() -> T) -> T {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let take = || openat(CWD, "/", flags, Mode::empty()).ok();
    // The first one that is not a standard one is not needed: there is no lower one left.
    let _taken: Vec<_> =
        std::iter::from_fn(take).take_while(|fd| fd.as_raw_fd() < LOWEST).collect();
    open()
}
