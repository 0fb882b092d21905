//! One writer a log: a registry in the process, and lock files between processes.
//!
//! The lock is POSIX (`fcntl`): a forked child does not inherit it. It has a file of its own that nobody
//! else opens, since *any* close of a file gives up a process's POSIX locks on it; and the registry,
//! asked first, sees to it that we do not open it twice ourselves.
//!
//! A manager of events has one lock for its directory instead of one for each event, which would cost a
//! descriptor each: within the process the registry tells them apart, and another process finds the whole
//! directory in use. Both sides take their own lock first and look for the other's then, so of two that
//! come together at most one goes on.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::File,
    path::Path,
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, fcntl_lock},
    io::Errno,
    process::{Flock, FlockType, fcntl_getlk},
};

use super::Directory;
use crate::{
    Error, ErrorKind,
    mem::{OfProcess, PerProcess},
    sync::{GlobalMutex, GlobalMutexGuard as MutexGuard, PoisonError},
};

/// Of a manager of events. No lock of a log has such a name: those end in `.lock`.
const EVENTS: &str = ".asynclogger-events";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    directory: (u64, u64),
    name: OsString,
}

/// What this process writes. The one piece of global state, and only opening and closing touch it. A forked child
/// begins with none: it has none of its parent's locks, and may open what its parent has given up since.
static REGISTRY: PerProcess<GlobalMutex<BTreeSet<Entry>>> = PerProcess::new();

fn registry() -> MutexGuard<'static, BTreeSet<Entry>> {
    REGISTRY.get().lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    fn of(directory: &Directory, name: &OsStr) -> Result<Entry, Error> {
        Ok(Entry { directory: directory.identity()?, name: name.to_owned() })
    }

    /// Puts it into the registry; whether it was not there.
    fn enter(&self) -> bool {
        registry().insert(self.clone())
    }
}

fn in_use(who: &str, path: &Path) -> Error {
    Error::new(ErrorKind::InUse, format!("{who} writes this log")).at_path(path)
}

/// The right to write a log; given up on drop, by the process that has it.
///
/// A forked child has not inherited the lock, and must not close the file that it has inherited: that would give up
/// the lock that the child may have taken itself since.
#[derive(Debug)]
pub(crate) struct WriterLock(#[expect(dead_code, reason = "held for its drop")] OfProcess<Held>);

#[derive(Debug)]
struct Held {
    entry: Entry,
    file: Option<File>,
}

/// The right to write logs of events in a directory; given up on drop.
#[derive(Debug)]
pub(crate) struct EventsLock(#[expect(dead_code, reason = "held for its drop")] WriterLock);

impl WriterLock {
    /// Locks the log `base` of `directory`. `path` is for messages.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another logger writes it, in this process or another; those of the system.
    pub(crate) fn take(
        directory: &Directory,
        base: &OsStr,
        path: &Path,
    ) -> Result<WriterLock, Error> {
        let taken = WriterLock::take_file(directory, base, &lock_name(base), path)?;
        no_events_elsewhere(directory, path)?;
        Ok(taken)
    }

    fn take_file(
        directory: &Directory,
        base: &OsStr,
        name: &OsStr,
        path: &Path,
    ) -> Result<WriterLock, Error> {
        let entry = Entry::of(directory, base)?;
        if !entry.enter() {
            return Err(in_use("another logger of this process", path));
        }
        // From here on the entry is given up with the lock.
        let mut held = Held { entry, file: None };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file =
            File::from(directory.open_at(Path::new(name), flags, Mode::from_raw_mode(0o644))?);
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(in_use("another process", path)),
            Err(errno) => {
                let path = directory.path().join(name);
                return Err(Error::io("cannot lock", errno).at_path(&path));
            }
        }
        held.file = Some(file);
        Ok(WriterLock(OfProcess::new(held)))
    }
}

impl EventsLock {
    /// Locks `directory` for one manager of events. `path` is for messages.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if there is another, in this process or another; those of the system.
    pub(crate) fn take(directory: &Directory, path: &Path) -> Result<EventsLock, Error> {
        let name = OsStr::new(EVENTS);
        Ok(EventsLock(WriterLock::take_file(directory, name, name, path)?))
    }

    /// Locks the log `base` of an event in the directory, at the cost of no descriptor.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if a logger writes it, in this process or another; those of the system.
    pub(crate) fn take_event(
        &self,
        directory: &Directory,
        base: &OsStr,
        path: &Path,
    ) -> Result<WriterLock, Error> {
        let entry = Entry::of(directory, base)?;
        if !entry.enter() {
            return Err(in_use("another logger of this process", path));
        }
        let held = Held { entry, file: None };
        // Nobody of this process has it open: they would be in the registry.
        if is_locked(directory, &lock_name(base)) {
            return Err(in_use("a logger of another process", path));
        }
        Ok(WriterLock(OfProcess::new(held)))
    }
}

/// The name of the lock file of a logger; it stays when the logger is gone.
pub(crate) fn lock_name(base: &OsStr) -> OsString {
    let mut name = OsString::from(".");
    name.push(base);
    name.push(".lock");
    name
}

/// # Errors
/// [`ErrorKind::InUse`] if a manager of another process has the directory.
fn no_events_elsewhere(directory: &Directory, path: &Path) -> Result<(), Error> {
    let manager = Entry::of(directory, OsStr::new(EVENTS))?;
    // Held meanwhile: a manager of ours that comes now must find its lock file closed, or we would give
    // its lock up for it.
    let registry = registry();
    if !registry.contains(&manager) && is_locked(directory, OsStr::new(EVENTS)) {
        return Err(in_use("a manager of another process, which has this directory,", path));
    }
    Ok(())
}

/// Whether another process holds the lock of this name. A file that is not there, or not to be opened, is
/// nobody's.
fn is_locked(directory: &Directory, name: &OsStr) -> bool {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Ok(file) = directory.open_at(Path::new(name), flags, Mode::empty()) else {
        return false;
    };
    fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).is_ok_and(|holder| holder.is_some())
}

impl Drop for Held {
    fn drop(&mut self) {
        // The file first: who finds the entry gone may open it at once.
        self.file = None;
        registry().remove(&self.entry);
    }
}
