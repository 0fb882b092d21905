//! Which logs are written now: those of this process by a registry, those of others by their locks.
//!
//! The locks are POSIX (`fcntl`). *Any* close of a file gives up the process's POSIX locks on that file, so whoever looks
//! at a lock asks the registry first, and keeps the registry locked during the look. Otherwise a logger of this process
//! could lock the file while it is open for the look, and closing the file would give up the logger's lock.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::File,
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

/// Whether another process holds the lock on an open lock file.
pub(crate) fn is_held_elsewhere(file: &File) -> bool {
    fcntl_getlk(file, &Flock::from(FlockType::WriteLock)).is_ok_and(|holder| holder.is_some())
}

/// What the locks of a directory say of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// A logger, of this process or another, writes the log; or a manager of another process has the directory.
    Held,
    /// The log has had a lock, and nobody holds that lock.
    Free,
    /// There is no lock, or the lock cannot be looked at.
    Unknown,
}

/// Looks at the locks of the log with one of these names. `identity`: that of the directory.
pub(crate) fn look(directory: &Path, identity: (u64, u64), names: &[&OsStr]) -> Lock {
    let registry = registry();
    let is_ours =
        |name: &OsStr| registry.contains(&Entry { directory: identity, name: name.to_owned() });
    if names.iter().any(|name| is_ours(name)) {
        return Lock::Held;
    }
    let mut found: Vec<_> =
        names.iter().map(|name| look_at(&directory.join(lock_name(name)))).collect();
    found.push(match is_ours(OsStr::new(EVENTS)) {
        // A manager of this process has each of its logs in the registry.
        true => Lock::Free,
        false => look_at(&directory.join(EVENTS)),
    });
    [Lock::Held, Lock::Free].into_iter().find(|lock| found.contains(lock)).unwrap_or(Lock::Unknown)
}

/// Looks at a lock that this process does not hold. The registry must be locked.
fn look_at(path: &Path) -> Lock {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = File::options().read(true).custom_flags(flags.bits() as i32).open(path);
    match opened {
        Ok(file) if is_held_elsewhere(&file) => Lock::Held,
        Ok(_) => Lock::Free,
        Err(_) => Lock::Unknown,
    }
}
