//! What the system allows this process.

use rustix::process::{Resource, getrlimit};

/// Descriptors that the process may have open; `None`: any number.
pub(crate) fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}
