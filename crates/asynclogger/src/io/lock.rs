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
    io,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, fcntl_lock, flock, fstat},
    io::Errno,
    process::{Flock, FlockType, fcntl_getlk},
};

use super::Directory;
use crate::{
    Error, ErrorKind,
    mem::{OfProcess, PerProcess},
    sync::{Arc, GlobalMutex, GlobalMutexGuard as MutexGuard, Mutex, PoisonError, lock},
};

/// Of a manager of events. No lock of a log has such a name: those end in `.lock`.
const EVENTS: &str = ".asynclogger-events";

/// A lock file older than this gets the time of now.
const TOUCHED_AFTER: Duration = Duration::from_secs(60);
/// How often the lock of a manager is looked after.
const KEPT_EVERY: Duration = Duration::from_secs(1);

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
/// A lock file is only a name in a directory, and whoever cleans that up may remove it: the lock that is held on the
/// file then says nothing to the next writer, who makes another one. So the lock is looked after while the log is
/// written ([`keep`](WriterLock::keep)), and the file is touched, since cleaners leave alone what is new.
///
/// A forked child has not inherited the lock, and must not close the file that it has inherited: that would give up
/// the lock that the child may have taken itself since.
#[derive(Debug)]
pub(crate) struct WriterLock(OfProcess<Held>);

#[derive(Debug)]
struct Held {
    entry: Entry,
    file: Option<LockFile>,
    /// That of the manager, if the log is an event's.
    manager: Option<SharedLock>,
}

/// A file that is locked, and the name that it was found under.
#[derive(Debug)]
struct LockFile {
    file: File,
    name: OsString,
    /// Whether this process made it now.
    is_new: bool,
}

/// The lock of a manager, which all its events look after.
#[derive(Clone, Debug)]
struct SharedLock(Arc<Mutex<(WriterLock, Instant)>>);

/// The right to write logs of events in a directory; given up on drop.
#[derive(Debug)]
pub(crate) struct EventsLock(SharedLock);

impl WriterLock {
    /// Locks the log `base` of `directory`, whose active file is `log`. `path` is for messages.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another logger writes it, in this process or another; those of the system.
    pub(crate) fn take(
        directory: &Directory,
        base: &OsStr,
        log: &OsStr,
        path: &Path,
    ) -> Result<WriterLock, Error> {
        let lock = |directory: &Directory| LockFile::take_or_log(directory, base, log, path);
        let taken = WriterLock::enter(directory, base, path, lock)?;
        no_events_elsewhere(directory, path)?;
        Ok(taken)
    }

    fn enter(
        directory: &Directory,
        base: &OsStr,
        path: &Path,
        lock: impl FnOnce(&Directory) -> Result<LockFile, Error>,
    ) -> Result<WriterLock, Error> {
        let entry = Entry::of(directory, base)?;
        if !entry.enter() {
            return Err(in_use("another logger of this process", path));
        }
        // From here on the entry is given up with the lock.
        let mut held = Held { entry, file: None, manager: None };
        held.file = Some(lock(directory)?);
        Ok(WriterLock(OfProcess::new(held)))
    }

    /// Sees to it that the lock is still one: makes and locks the file again if it was removed or replaced, or if
    /// the directory is another one.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another writer has the lock by now; those of the system.
    pub(crate) fn keep(&mut self, directory: &Directory, path: &Path) -> Result<(), Error> {
        let Some(held) = self.0.get_mut() else {
            return Ok(());
        };
        if let Some(manager) = &held.manager {
            manager.keep(directory)?;
        }
        let entry = Entry::of(directory, &held.entry.name)?;
        if entry != held.entry {
            if !entry.enter() {
                return Err(in_use("another logger of this process", path));
            }
            let old = std::mem::replace(&mut held.entry, entry);
            registry().remove(&old);
        }
        let Some(file) = &held.file else {
            return Ok(());
        };
        if file.has_its_name(directory)? {
            file.touch();
            return Ok(());
        }
        // The old file stays locked until the new one is.
        let name = file.name.clone();
        let again = if held.entry.name == EVENTS {
            LockFile::take(directory, &name, path)
        } else {
            let log = path.file_name().unwrap_or_default();
            LockFile::take_or_log(directory, &held.entry.name, log, path)
        };
        held.file = Some(again?);
        Ok(())
    }

    /// Removes the lock file if it was made for this lock: the log was refused, and nothing is to be left of that.
    pub(crate) fn withdraw(mut self, directory: &Directory) {
        if let Some(LockFile { file, name, is_new: true }) =
            self.0.get_mut().and_then(|held| held.file.as_ref())
        {
            directory.remove(name, file);
        }
    }
}

/// Whether the directory lets nobody make a file.
fn is_refusal(error: &Error) -> bool {
    let errno = error.io_error().and_then(Errno::from_io_error);
    matches!(errno, Some(Errno::ACCESS | Errno::PERM | Errno::ROFS))
}

impl LockFile {
    fn take_or_log(
        directory: &Directory,
        base: &OsStr,
        log: &OsStr,
        path: &Path,
    ) -> Result<LockFile, Error> {
        match LockFile::take(directory, &lock_name(base), path) {
            // Nothing can be made in this directory, but the log itself may be written.
            Err(error) if is_refusal(&error) => {
                LockFile::take_log(directory, log, path)?.ok_or(error)
            }
            taken => taken,
        }
    }

    fn take(directory: &Directory, name: &OsStr, path: &Path) -> Result<LockFile, Error> {
        loop {
            let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let mode = Mode::from_raw_mode(0o644);
            let made =
                directory.open_at(Path::new(name), flags | OFlags::CREATE | OFlags::EXCL, mode);
            let (opened, is_new) = match made {
                Ok(made) => (made, true),
                // There, or not to be made: then it may still be there.
                Err(refused) if !is_taken(&refused) && !is_refusal(&refused) => {
                    return Err(refused);
                }
                Err(refused) => match directory.open_at(Path::new(name), flags, mode) {
                    Ok(opened) => (opened, false),
                    Err(missing) if is_missing(&missing) && is_refusal(&refused) => {
                        return Err(refused);
                    }
                    // Removed between the two.
                    Err(missing) if is_missing(&missing) && is_taken(&refused) => continue,
                    Err(error) => return Err(error),
                },
            };
            let file = File::from(opened);
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::ACCESS) => return Err(in_use("another process", path)),
                Err(errno) => {
                    let path = directory.path().join(name);
                    return Err(Error::io("cannot lock", errno).at_path(&path));
                }
            }
            let taken = LockFile { file, name: name.to_owned(), is_new };
            // Removed before it was locked, perhaps, and the next writer has made another one.
            if taken.has_its_name(directory)? {
                return Ok(taken);
            }
        }
    }

    /// Locks the log itself, where no lock file can be made; `None`: there is no log. By `flock`: a POSIX lock would
    /// be lost with any other descriptor of the log that this process closes.
    fn take_log(
        directory: &Directory,
        log: &OsStr,
        path: &Path,
    ) -> Result<Option<LockFile>, Error> {
        let Some((file, _)) = directory.open_regular(log)? else {
            return Ok(None);
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(LockFile { file, name: log.to_owned(), is_new: false })),
            Err(Errno::AGAIN) => Err(in_use("another process", path)),
            Err(errno) => Err(Error::io("cannot lock", errno).at_path(path)),
        }
    }

    fn has_its_name(&self, directory: &Directory) -> Result<bool, Error> {
        let ours = fstat(&self.file).map_err(|errno| {
            Error::io("cannot stat", errno).at_path(&directory.path().join(&self.name))
        })?;
        Ok(directory.identity_of(&self.name)? == Some((ours.st_dev, ours.st_ino)))
    }

    /// Gives the file the time of now if it is older than a minute.
    fn touch(&self) {
        let changed = self.file.metadata().and_then(|metadata| metadata.modified());
        if changed.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > TOUCHED_AFTER)) {
            // A file system without times has no cleaner that looks at them.
            let _ = self.file.set_modified(SystemTime::now());
        }
    }
}

fn is_missing(error: &Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn is_taken(error: &Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
}

impl SharedLock {
    /// As [`WriterLock::keep`], at most once a second, whichever event asks.
    fn keep(&self, directory: &Directory) -> Result<(), Error> {
        let mut guard = lock(&self.0);
        let (kept, at) = &mut *guard;
        if at.elapsed() >= KEPT_EVERY {
            kept.keep(directory, directory.path())?;
            *at = Instant::now();
        }
        Ok(())
    }
}

impl EventsLock {
    /// Locks `directory` for one manager of events. `path` is for messages.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if there is another, in this process or another; those of the system.
    pub(crate) fn take(directory: &Directory, path: &Path) -> Result<EventsLock, Error> {
        let name = OsStr::new(EVENTS);
        let lock = |directory: &Directory| LockFile::take(directory, name, path);
        let taken = WriterLock::enter(directory, name, path, lock)?;
        Ok(EventsLock(SharedLock(Arc::new(Mutex::new((taken, Instant::now()))))))
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
        self.0.keep(directory)?;
        let entry = Entry::of(directory, base)?;
        if !entry.enter() {
            return Err(in_use("another logger of this process", path));
        }
        let held = Held { entry, file: None, manager: Some(self.0.clone()) };
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

/// Whether a logger, of this process or another, writes the log `base` now.
///
/// # Errors
/// Those of the system.
pub(crate) fn is_written(directory: &Directory, base: &OsStr) -> Result<bool, Error> {
    let log = Entry::of(directory, base)?;
    // Held meanwhile, as below.
    let registry = registry();
    Ok(registry.contains(&log) || is_locked(directory, &lock_name(base)))
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
