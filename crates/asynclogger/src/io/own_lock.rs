//! Asks the system whether this process still has a POSIX lock of its own.

use std::{fs::File, os::fd::AsRawFd};

/// Whether this process has the POSIX lock on an open file. The usual question (`F_GETLK`) is answered as if the caller's
/// own lock did not exist. A lock of the descriptor (`F_OFD_GETLK`) would conflict with the own lock as with any other,
/// so this question names the process that has the lock. On a system that cannot answer, the lock counts as held.
pub(super) fn is_locked_by_this_process(file: &File) -> bool {
    // All zero: the question is about the whole file, and the kernel wants no process id.
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open during the call, and the system writes to this one structure alone.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    answer != 0
        || (lock.l_type == libc::F_WRLCK as libc::c_short
            && lock.l_pid.unsigned_abs() == std::process::id())
}
