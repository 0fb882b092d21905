//! Limits that the system sets for this process.

use rustix::process::{Resource, getrlimit};

/// The number of descriptors that the process may have open; `None`: unlimited.
pub(crate) fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The number of bytes that a file of the process may have; `None`: unlimited.
pub(crate) fn file_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}
