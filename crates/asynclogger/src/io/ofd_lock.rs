//! Locks of open files (`F_OFD_SETLK`), and the question about any lock (`F_OFD_GETLK`), which rustix does not have.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd},
};

/// What is asked of the one byte of [`lock_last_byte`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteLock {
    /// For one descriptor alone. The descriptor must be able to write.
    Exclusive,
    /// For any number of descriptors that can read.
    Shared,
    Unlocked,
}

/// Locks the last byte that a file could have, without waiting. Nothing else locks that byte alone: neither a program that
/// locks the whole file with `flock`, nor one that locks the bytes it reads.
///
/// # Errors
/// `EAGAIN` if another descriptor has locked the byte otherwise; the system's errors.
pub(super) fn lock_last_byte(file: &impl AsFd, lock: ByteLock) -> io::Result<()> {
    let kind = match lock {
        ByteLock::Exclusive => libc::F_WRLCK,
        ByteLock::Shared => libc::F_RDLCK,
        ByteLock::Unlocked => libc::F_UNLCK,
    };
    let lock = range(kind, i64::MAX - 1, 1);
    // SAFETY: the descriptor is open during the call, and the system reads this one structure alone.
    let answer = unsafe {
        libc::fcntl(file.as_fd().as_raw_fd(), libc::F_OFD_SETLK, std::ptr::from_ref(&lock))
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether this process has the POSIX lock on an open file. The usual question (`F_GETLK`) is answered as if the caller's
/// own lock did not exist. A lock of the descriptor (`F_OFD_GETLK`) would conflict with the own lock as with any other,
/// so this question names the process that has the lock. On a system that cannot answer, the lock counts as held.
pub(super) fn is_locked_by_this_process(file: &File) -> bool {
    let mut lock = range(libc::F_WRLCK, 0, 0);
    // SAFETY: the descriptor is open during the call, and the system writes to this one structure alone.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    answer != 0
        || (lock.l_type == libc::F_WRLCK as libc::c_short
            && lock.l_pid.unsigned_abs() == std::process::id())
}

/// A range of bytes, up to the end of all files if `len` is 0. The kernel wants no process id with these calls.
fn range(kind: libc::c_int, start: i64, len: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}
