//! The system calls for locks on ranges of a file (`fcntl`). rustix has them for whole files only, and its question about
//! a lock panics if a descriptor, not a process, has the lock.
//!
//! A file that is being written has a mark on the last byte that a file could have, and the lock on a log is on all bytes
//! before: so a log that somebody renames to the name of a lock file is not locked by its mark.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd},
};

/// The last byte that a file could have.
const LAST: i64 = i64::MAX - 1;

/// What is asked of the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteLock {
    /// For one descriptor alone. The descriptor must be able to write.
    Exclusive,
    /// For any number of descriptors that can read.
    Shared,
    Unlocked,
}

/// Locks the last byte for this descriptor (`F_OFD_SETLK`), without waiting. Nothing else locks that byte alone: neither a
/// program that locks the whole file with `flock`, nor one that locks the bytes it reads.
///
/// # Errors
/// `EAGAIN` if another descriptor has locked the byte otherwise; the system's errors.
pub(crate) fn lock_last_byte(file: &impl AsFd, lock: ByteLock) -> io::Result<()> {
    let kind = match lock {
        ByteLock::Exclusive => libc::F_WRLCK,
        ByteLock::Shared => libc::F_RDLCK,
        ByteLock::Unlocked => libc::F_UNLCK,
    };
    call(file, libc::F_OFD_SETLK, kind, LAST, 1).map(drop)
}

/// Takes the POSIX lock on a file for this process, without waiting. Returns whether it was free.
///
/// # Errors
/// The system's errors.
pub(crate) fn lock_for_process(file: &impl AsFd) -> io::Result<bool> {
    match call(file, libc::F_SETLK, libc::F_WRLCK, 0, LAST) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Whether anything but this process has the lock on an open file. Only the right to read is needed.
///
/// # Errors
/// The system's errors: nobody knows whether the lock is held.
pub(crate) fn is_held_elsewhere(file: &File) -> io::Result<bool> {
    Ok(call(file, libc::F_GETLK, libc::F_WRLCK, 0, LAST)?.l_type != libc::F_UNLCK as libc::c_short)
}

/// Whether this process has the POSIX lock on an open file. The usual question (`F_GETLK`) is answered as if the caller's
/// own lock did not exist. A lock of the descriptor (`F_OFD_GETLK`) would conflict with the own lock as with any other,
/// so this question names the process that has the lock. On a system that cannot answer, the lock counts as held.
pub(crate) fn is_locked_by_this_process(file: &File) -> bool {
    call(file, libc::F_OFD_GETLK, libc::F_WRLCK, 0, LAST).map_or(true, |lock| {
        lock.l_type == libc::F_WRLCK as libc::c_short
            && lock.l_pid.unsigned_abs() == std::process::id()
    })
}

/// One call about `len` bytes from `start` on; returns the lock as the system has left it.
fn call(
    file: &impl AsFd,
    command: libc::c_int,
    kind: libc::c_int,
    start: i64,
    len: i64,
) -> io::Result<libc::flock> {
    let mut lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        // The kernel wants no process id.
        l_pid: 0,
    };
    // SAFETY: the descriptor is open during the call, and the system reads and writes this one structure alone.
    let answer = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, &raw mut lock) };
    if answer == 0 { Ok(lock) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log that is written has the name of a lock file: neither its mark is a lock, nor a lock is a mark.
    #[test]
    fn the_mark_of_a_file_and_its_lock_do_not_meet() {
        let temp = tempfile::NamedTempFile::new().expect("a file");
        let open = || File::options().read(true).write(true).open(temp.path()).expect("the file");
        let (written, other) = (open(), open());
        lock_last_byte(&written, ByteLock::Exclusive).expect("marked");
        assert!(lock_last_byte(&other, ByteLock::Shared).is_err());
        assert!(!is_held_elsewhere(&other).expect("an answer"));
        assert!(lock_for_process(&other).expect("an answer"));
        assert!(is_locked_by_this_process(&other));
        lock_last_byte(&written, ByteLock::Unlocked).expect("unlocked");
        lock_last_byte(&written, ByteLock::Exclusive).expect("marked beside the lock");
    }

    /// Foreign programs lock descriptors, too. The system then names no process.
    #[test]
    fn a_lock_of_a_descriptor_is_a_lock() {
        let temp = tempfile::NamedTempFile::new().expect("a file");
        let open = || File::options().read(true).write(true).open(temp.path()).expect("the file");
        let (foreign, ours) = (open(), open());
        call(&foreign, libc::F_OFD_SETLK, libc::F_WRLCK, 0, 0).expect("locked");
        assert!(is_held_elsewhere(&ours).expect("an answer"));
        assert!(!lock_for_process(&ours).expect("an answer"));
        assert!(!is_locked_by_this_process(&ours));
    }
}
