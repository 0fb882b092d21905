//! Limits that the system sets for this process.

use std::path::Path;

use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};

use crate::Error;

/// The number of descriptors that the process may have open; `None`: unlimited.
pub(crate) fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The number of bytes that a file of the process may have; `None`: unlimited.
pub(crate) fn file_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// # Errors
/// `EFBIG` if no file of the process may have `needed` bytes.
pub(crate) fn check_file_limit(path: &Path, needed: u64) -> Result<(), Error> {
    match file_limit() {
        Some(limit) if limit < needed => {
            let what = format!(
                "a file of this process may have {limit} bytes (RLIMIT_FSIZE, `ulimit -f`), and the log needs at \
                 least {needed}: raise the limit"
            );
            Err(Error::io(what, Errno::FBIG).at_path(path))
        }
        _ => Ok(()),
    }
}
