//! Which logs are written now: those of this process by a registry, those of others by their locks.
//!
//! The locks are POSIX (`fcntl`). *Any* close of a file gives up the process's POSIX locks on that file, so whoever looks
//! at a lock asks the registry first, and keeps the registry locked during the look. Otherwise a logger of this process
//! could lock the file while it is open for the look, and closing the file would give up the logger's lock.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::{
    fs::OFlags,
    process::{Flock, FlockType, fcntl_getlk},
};

use crate::{
    mem::PerProcess,
    sync::{GlobalMutex, GlobalMutexGuard, PoisonError},
};

/// The name of a manager's lock file. No log's lock file has this name: their names end in `.lock`.
pub(crate) const EVENTS: &str = ".asynclogger-events";

/// A log by its directory (device and inode) and its name without `.log`; or a manager, by the name [`EVENTS`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) directory: (u64, u64),
    pub(crate) name: OsString,
}

/// The logs that this process writes. The registry is the only global state of the library; only opening and closing a
/// log, and looks at locks, use the registry. A forked child begins with an empty registry: the child has none of its
/// parent's locks, and may open a log that its parent has given up since the fork.
static REGISTRY: PerProcess<GlobalMutex<BTreeSet<Entry>>> = PerProcess::new();

pub(crate) fn registry() -> GlobalMutexGuard<'static, BTreeSet<Entry>> {
    REGISTRY.get().lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of a logger's lock file; the file stays when the logger is gone.
pub(crate) fn lock_name(base: &OsStr) -> OsString {
    let mut name = OsString::from(".");
    name.push(base);
    name.push(".lock");
    name
}

/// Whether another process holds the lock on an open lock file. Only the right to read is needed.
///
/// # Errors
/// The system's errors: nobody knows whether the lock is held.
pub(crate) fn is_held_elsewhere(file: &File) -> io::Result<bool> {
    Ok(fcntl_getlk(file, &Flock::from(FlockType::WriteLock))?.is_some())
}

/// The state of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// A logger or a manager, of this process or another, has the lock.
    Held,
    /// Somebody had the lock, and nobody has it now.
    Free,
    /// There is no lock, or the lock cannot be looked at.
    Unknown,
}

/// Looks at the lock of the log with this name, without `.log`. `identity`: that of the directory.
pub(crate) fn look_at_log(directory: &Path, identity: (u64, u64), name: &OsStr) -> Lock {
    let entry = Entry { directory: identity, name: name.to_owned() };
    let registry = registry();
    match registry.contains(&entry) {
        true => Lock::Held,
        false => look_at(&directory.join(lock_name(name))),
    }
}

/// Looks at the lock of the manager that has this directory. The logs of a manager of this process are in the registry,
/// so the manager's own lock says nothing more of them: it counts as free.
pub(crate) fn look_at_manager(directory: &Path, identity: (u64, u64)) -> Lock {
    let entry = Entry { directory: identity, name: EVENTS.into() };
    let registry = registry();
    match registry.contains(&entry) {
        true => Lock::Free,
        false => look_at(&directory.join(EVENTS)),
    }
}

/// Looks at a lock that this process does not hold. The registry must be locked.
fn look_at(path: &Path) -> Lock {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = File::options().read(true).custom_flags(flags.bits() as i32).open(path);
    match opened.and_then(|file| is_held_elsewhere(&file)) {
        Ok(true) => Lock::Held,
        Ok(false) => Lock::Free,
        Err(_) => Lock::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::is_lock_name;

    #[test]
    fn the_names_of_locks_are_those_that_readers_do_not_open() {
        assert!(is_lock_name(EVENTS.as_bytes()));
        assert!(is_lock_name(lock_name(OsStr::new("app")).as_encoded_bytes()));
        for name in ["app.log", "app.lock", ".app.log", ".app.next"] {
            assert!(!is_lock_name(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_look_tells_held_free_and_unknown() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let found = path.metadata().expect("a directory");
        let identity = (found.dev(), found.ino());
        let app = OsStr::new("app");
        let looks = || look_at_log(path, identity, app);
        assert_eq!(looks(), Lock::Unknown);
        File::create(path.join(lock_name(app))).expect("made");
        assert_eq!(looks(), Lock::Free);
        let entry = Entry { directory: identity, name: app.to_owned() };
        assert!(registry().insert(entry.clone()));
        assert_eq!(looks(), Lock::Held);
        registry().remove(&entry);
        assert_eq!(looks(), Lock::Free);
        // Nobody is stopped by a pipe in the place of a lock.
        let pipe = path.join(EVENTS);
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        );
        made.expect("a pipe");
        assert_eq!(look_at_manager(path, identity), Lock::Free);
    }
}
