//! One writer for each log: a registry within the process, and lock files between processes.
//!
//! The lock is POSIX (`fcntl`): a forked child does not inherit it. The lock has a file of its own that nothing else
//! opens, since *any* close of a file gives up the process's POSIX locks on that file. The registry is asked first, and
//! prevents the library from opening the lock file twice, and [`Locked`] under another name. Against the program around
//! the library, which may open whatever it wants, each look asks the system whether the lock is still held.
//!
//! A manager of events has one lock for its directory. A lock for each event would cost a descriptor for each. Within
//! the process the registry distinguishes the events, and another process finds the whole directory in use. Logger and
//! manager take their own lock first and look for the other's lock then; so if both come at the same time, at most one
//! of them continues.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, fstat},
    io::Errno,
};

use super::Directory;
use crate::{
    Error, ErrorKind,
    locks::{
        EVENTS, Entry, Locked, is_held_elsewhere, is_locked_by_this_process, lock_for_process,
        lock_name, registry,
    },
    mem::OfProcess,
    sync::{Arc, Mutex, lock},
};

/// A lock file that was last touched longer ago than this is touched again.
const TOUCHED_AFTER: Duration = Duration::from_secs(60);
/// The least time between two checks of a manager's lock, for all events together.
const KEPT_EVERY: Duration = Duration::from_millis(100);

impl Entry {
    fn of(directory: &Directory, name: &OsStr) -> Result<Entry, Error> {
        Ok(Entry { directory: directory.identity()?, name: name.to_owned() })
    }

    /// Puts the entry into the registry; `false` if the registry has the entry already.
    fn enter(&self) -> bool {
        registry().insert(self.clone())
    }
}

fn in_use(who: &str, path: &Path) -> Error {
    Error::new(ErrorKind::InUse, format!("{who} writes this log")).at_path(path)
}

/// The right to write a log; given up on drop, by the process that took the lock.
///
/// A lock file is only a name in a directory, and a cleanup job can remove the name. The next writer then makes another
/// file, and the lock held on the old file does not stop that writer. So the lock is checked while the log is written
/// ([`keep`](WriterLock::keep)), and the file is touched, since cleanup jobs spare new files.
///
/// A forked child does not inherit the lock, and must not close the inherited file: closing would give up a lock that
/// the child may have taken itself since the fork.
#[derive(Debug)]
pub(crate) struct WriterLock(OfProcess<Held>);

#[derive(Debug)]
struct Held {
    entry: Entry,
    file: Option<LockFile>,
    /// The manager's lock, if the log is an event's, and how often it had been taken again when the event last looked.
    manager: Option<(SharedLock, u64)>,
}

/// The result of a look after a lock that is held now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The lock was held since the last look.
    Held,
    /// The lock was lost and is taken again. Another writer may have come and gone in between.
    TakenAgain,
}

/// When the lock of a manager is looked after: a look for each of its events would be one for each flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeepWhen {
    Now,
    /// At most once in a while.
    Sometimes,
}

/// A locked file, and the name under which the file was opened.
#[derive(Debug)]
struct LockFile {
    file: File,
    name: OsString,
    /// Whether this lock made the file.
    is_new: bool,
    /// `None`: the file is the log itself, and the lock is no POSIX lock. After `file`: the file is closed first.
    locked: Option<Locked>,
}

/// The lock of a manager, which all its events check.
#[derive(Clone, Debug)]
struct SharedLock(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    lock: WriterLock,
    kept_at: Instant,
    /// How often the lock was lost and taken again.
    taken_again: u64,
}

/// The right to write the logs of events in a directory; given up on drop.
#[derive(Debug)]
pub(crate) struct EventsLock(SharedLock);

impl WriterLock {
    /// Locks the log `base` of `directory`, whose active file is `log`. `path` is for messages.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another logger writes the log, in this process or another; the system's errors.
    pub(crate) fn take(
        directory: &Directory,
        base: &OsStr,
        log: &OsStr,
        path: &Path,
    ) -> Result<WriterLock, Error> {
        let lock = |directory: &Directory| LockFile::take_or_log(directory, base, log, path, None);
        let taken = WriterLock::enter(directory, base, path, lock)?;
        // A lock on the log itself, where no lock file can be made, is this lock's own.
        let has_file = taken.0.get().and_then(|held| held.file.as_ref());
        let locks_log = has_file.is_some_and(|file| file.name == log);
        let free = no_events_elsewhere(directory, path);
        match free.and_then(|()| if locks_log { Ok(()) } else { not_flocked(directory, log, path) })
        {
            Ok(()) => Ok(taken),
            Err(error) => {
                taken.withdraw(directory);
                Err(error)
            }
        }
    }

    /// Whether the log is an event's, and its directory full of the files of others.
    pub(crate) fn is_of_event(&self) -> bool {
        self.0.get().is_some_and(|held| held.manager.is_some())
    }

    fn enter(
        directory: &Directory,
        base: &OsStr,
        path: &Path,
        lock: impl FnOnce(&Directory) -> Result<Option<LockFile>, Error>,
    ) -> Result<WriterLock, Error> {
        let entry = Entry::of(directory, base)?;
        if !entry.enter() {
            return Err(in_use("another logger of this process", path));
        }
        // From here on, dropping `held` removes the entry.
        let mut held = Held { entry, file: None, manager: None };
        held.file = lock(directory)?;
        Ok(WriterLock(OfProcess::new(held)))
    }

    /// Keeps the lock effective: makes and locks the file again if the file was removed or replaced, or if the
    /// directory was replaced.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another writer has the lock by now; the system's errors.
    pub(crate) fn keep(
        &mut self,
        directory: &Directory,
        path: &Path,
        when: KeepWhen,
    ) -> Result<Kept, Error> {
        let Some(held) = self.0.get_mut() else {
            return Ok(Kept::Held);
        };
        let mut kept = Kept::Held;
        if let Some((manager, seen)) = &mut held.manager {
            let taken_again = manager.keep(directory, when)?;
            if std::mem::replace(seen, taken_again) != taken_again {
                kept = Kept::TakenAgain;
            }
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
            return Ok(kept);
        };
        if file.has_its_name(directory)? {
            file.touch();
            return if file.keeps_lock(directory, path)? { Ok(kept) } else { Ok(Kept::TakenAgain) };
        }
        // The old file stays locked until the new one is locked.
        let (name, own) = (file.name.clone(), file.identity(directory)?);
        let again = if held.entry.name == EVENTS {
            LockFile::take(directory, &name, path, Some(own))
        } else {
            let log = path.file_name().unwrap_or_default();
            LockFile::take_or_log(directory, &held.entry.name, log, path, Some(own))
        };
        if let Some(again) = again? {
            held.file = Some(again);
        }
        Ok(Kept::TakenAgain)
    }

    /// Removes the lock file if this lock made the file: the log was refused, and the refusal leaves no file.
    pub(crate) fn withdraw(mut self, directory: &Directory) {
        if let Some(LockFile { file, name, is_new: true, .. }) =
            self.0.get_mut().and_then(|held| held.file.as_ref())
        {
            directory.remove(name, file);
        }
    }
}

/// Whether the error means that no file can be made in the directory.
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
        own: Option<(u64, u64)>,
    ) -> Result<Option<LockFile>, Error> {
        let name = lock_name(base);
        match LockFile::take(directory, &name, path, own) {
            // No file can be made in this directory, or the lock file is another user's; but the log itself can
            // perhaps be written.
            Err(_) if own.is_some() && own == directory.identity_of(&name)? => Ok(None),
            Err(error) if is_refusal(&error) => match look_at_lock(directory, &name) {
                Ok(Some(true)) => Err(in_use("another process", path)),
                Ok(Some(false) | None) => {
                    LockFile::take_log(directory, log, path)?.map(Some).ok_or(error)
                }
                Err(unknown) => Err(unknown),
            },
            taken => taken,
        }
    }

    /// Locks the file of this name, which is made if it is missing. `own`: the file that this process has locked
    /// already; `None` if that file has the name (again).
    fn take(
        directory: &Directory,
        name: &OsStr,
        path: &Path,
        own: Option<(u64, u64)>,
    ) -> Result<Option<LockFile>, Error> {
        loop {
            let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let mode = Mode::from_raw_mode(0o644);
            let made =
                directory.open_at(Path::new(name), flags | OFlags::CREATE | OFlags::EXCL, mode);
            let (opened, is_new) = match made {
                Ok(made) => (made, true),
                // The name is taken, or no file can be made; in both cases the lock file may exist.
                Err(refused) if !is_taken(&refused) && !is_refusal(&refused) => {
                    return Err(refused);
                }
                Err(refused) => match directory.open_at(Path::new(name), flags, mode) {
                    Ok(opened) => (opened, false),
                    Err(missing) if is_missing(&missing) && is_refusal(&refused) => {
                        return Err(refused);
                    }
                    // The file was removed between the two calls.
                    Err(missing) if is_missing(&missing) && is_taken(&refused) => continue,
                    // Somebody has renamed this lock's own file away and back, or has given the name to the lock file
                    // of another log.
                    Err(busy) if is_busy(&busy) => {
                        return if own.is_some() && own == directory.identity_of(name)? {
                            Ok(None)
                        } else {
                            Err(in_use("another logger of this process, by a link,", path))
                        };
                    }
                    Err(error) => return Err(error),
                },
            };
            let file = File::from(opened);
            let identity = identity_of(&file, &directory.path().join(name))?;
            let entered = match is_new {
                true => Some(Locked::enter_new(identity)),
                false => Locked::enter(identity),
            };
            let Some(locked) = entered else {
                // Another thread was first. To close any descriptor of the file would give up its lock.
                std::mem::forget(file);
                return Err(in_use("another logger of this process, by a link,", path));
            };
            let taken = LockFile { file, name: name.to_owned(), is_new, locked: Some(locked) };
            if !taken.lock(directory)? {
                return Err(in_use("another process", path));
            }
            // The file may have been removed before it was locked, and the next writer may have made another one.
            if taken.has_its_name(directory)? {
                return Ok(Some(taken));
            }
        }
    }

    /// Locks the log itself, where no lock file can be made; `None`: the log does not exist. The lock is a `flock`: a
    /// POSIX lock would be lost when this process closes any other descriptor of the log.
    fn take_log(
        directory: &Directory,
        log: &OsStr,
        path: &Path,
    ) -> Result<Option<LockFile>, Error> {
        let Some((file, _)) = directory.open_regular(log)? else {
            return Ok(None);
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                Ok(Some(LockFile { file, name: log.to_owned(), is_new: false, locked: None }))
            }
            Err(Errno::AGAIN) => Err(in_use("another process", path)),
            Err(errno) => Err(Error::io("cannot lock", errno).at_path(path)),
        }
    }

    fn has_its_name(&self, directory: &Directory) -> Result<bool, Error> {
        Ok(directory.identity_of(&self.name)? == Some(self.identity(directory)?))
    }

    /// Device and inode.
    fn identity(&self, directory: &Directory) -> Result<(u64, u64), Error> {
        identity_of(&self.file, &directory.path().join(&self.name))
    }

    /// Takes the lock; `false`: another process has the lock.
    fn lock(&self, directory: &Directory) -> Result<bool, Error> {
        lock_for_process(&self.file).map_err(|error| {
            Error::io("cannot lock", error).at_path(&directory.path().join(&self.name))
        })
    }

    /// Takes the lock again if something in this process has opened and closed the file, which gives up the lock.
    /// Returns whether the lock was held all the time.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another process has the lock by now; the system's errors.
    fn keeps_lock(&self, directory: &Directory, path: &Path) -> Result<bool, Error> {
        if self.locked.is_none() || is_locked_by_this_process(&self.file) {
            return Ok(true);
        }
        if self.lock(directory)? { Ok(false) } else { Err(in_use("another process", path)) }
    }

    /// Sets the file's time to now if that time is more than a minute ago.
    fn touch(&self) {
        let changed = self.file.metadata().and_then(|metadata| metadata.modified());
        if changed.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > TOUCHED_AFTER)) {
            // Ignored: on a file system without times, no cleanup job looks at times.
            let _ = self.file.set_modified(SystemTime::now());
        }
    }
}

/// Device and inode of an open file. `path` is for messages.
fn identity_of(file: &File, path: &Path) -> Result<(u64, u64), Error> {
    let stat = fstat(file).map_err(|errno| Error::io("cannot stat", errno).at_path(path))?;
    Ok((stat.st_dev, stat.st_ino))
}

fn is_busy(error: &Error) -> bool {
    error.io_error().and_then(Errno::from_io_error) == Some(Errno::BUSY)
}

fn is_missing(error: &Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn is_taken(error: &Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
}

impl SharedLock {
    /// The same as [`WriterLock::keep`], for all events together; `Sometimes` is ten times a second. Returns how often
    /// the lock was taken again so far.
    fn keep(&self, directory: &Directory, when: KeepWhen) -> Result<u64, Error> {
        let mut shared = lock(&self.0);
        if when == KeepWhen::Now || shared.kept_at.elapsed() >= KEPT_EVERY {
            if shared.lock.keep(directory, directory.path(), when)? == Kept::TakenAgain {
                shared.taken_again += 1;
            }
            shared.kept_at = Instant::now();
        }
        Ok(shared.taken_again)
    }
}

impl EventsLock {
    /// Locks `directory` for one manager of events. `path` is for messages.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if another manager has the directory, in this process or another; the system's errors.
    pub(crate) fn take(directory: &Directory, path: &Path) -> Result<EventsLock, Error> {
        let name = OsStr::new(EVENTS);
        let lock = |directory: &Directory| LockFile::take(directory, name, path, None);
        let taken = WriterLock::enter(directory, name, path, lock)?;
        let shared = Shared { lock: taken, kept_at: Instant::now(), taken_again: 0 };
        Ok(EventsLock(SharedLock(Arc::new(Mutex::new(shared)))))
    }

    /// Locks the log `base` of an event in the directory, at the cost of no descriptor.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] if a logger writes the log, in this process or another; the system's errors.
    pub(crate) fn take_event(
        &self,
        directory: &Directory,
        base: &OsStr,
        path: &Path,
    ) -> Result<WriterLock, Error> {
        let taken_again = self.0.keep(directory, KeepWhen::Sometimes)?;
        let entry = Entry::of(directory, base)?;
        if !entry.enter() {
            return Err(in_use("another logger of this process", path));
        }
        let held = Held { entry, file: None, manager: Some((self.0.clone(), taken_again)) };
        // No logger of this process has the lock file open: the registry would have its entry.
        if is_locked(directory, &lock_name(base)) {
            return Err(in_use("a logger of another process", path));
        }
        not_flocked(directory, path.file_name().unwrap_or_default(), path)?;
        Ok(WriterLock(OfProcess::new(held)))
    }
}

/// Whether a logger, of this process or another, writes the log `base` now.
///
/// # Errors
/// The system's errors.
pub(crate) fn is_written(directory: &Directory, base: &OsStr) -> Result<bool, Error> {
    let log = Entry::of(directory, base)?;
    // The registry stays locked during the look: `locks` says why.
    let registry = registry();
    Ok(registry.contains(&log) || is_locked(directory, &lock_name(base)))
}

/// # Errors
/// [`ErrorKind::InUse`] if a manager of another process has the directory.
fn no_events_elsewhere(directory: &Directory, path: &Path) -> Result<(), Error> {
    let manager = Entry::of(directory, OsStr::new(EVENTS))?;
    // The registry stays locked during the look: `locks` says why.
    let registry = registry();
    if !registry.contains(&manager) && is_locked(directory, OsStr::new(EVENTS)) {
        return Err(in_use("a manager of another process, which has this directory,", path));
    }
    Ok(())
}

/// # Errors
/// [`ErrorKind::InUse`] if another process has locked the log itself exclusively (`flock`): a logger that could make no
/// lock file, or another program that writes the file.
fn not_flocked(directory: &Directory, log: &OsStr, path: &Path) -> Result<(), Error> {
    // A file that cannot be opened here is judged where the log opens it.
    let Ok(Some((file, _))) = directory.open_regular(log) else {
        return Ok(());
    };
    // A shared lock, since programs that only read may have one. Given up with the descriptor.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::AGAIN) => Err(in_use("another process, which has locked the file,", path)),
        _ => Ok(()),
    }
}

/// Whether another process holds the lock of this name. A missing file, or one that cannot be opened, is held by
/// nobody.
fn is_locked(directory: &Directory, name: &OsStr) -> bool {
    matches!(look_at_lock(directory, name), Ok(Some(true)))
}

/// Whether another process holds the lock of this name; `None`: there is no file. Only the right to read is needed.
///
/// # Errors
/// The system's errors: nobody knows whether the lock is held.
fn look_at_lock(directory: &Directory, name: &OsStr) -> Result<Option<bool>, Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match directory.open_at(Path::new(name), flags, Mode::empty()) {
        Ok(file) => is_held_elsewhere(&File::from(file)).map(Some).map_err(|error| {
            Error::io("cannot look at the lock", error).at_path(&directory.path().join(name))
        }),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The file is closed first: once the entry is gone, another logger may open the file at once.
        self.file = None;
        registry().remove(&self.entry);
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use crate::mem::in_forked_child;

    fn is_refused(temp: &Path, base: &OsStr) -> bool {
        let other = Directory::open_or_create(temp).expect("opened");
        let taken = LockFile::take(&other, &lock_name(base), &temp.join("app.log"), None);
        taken.is_err_and(|error| error.kind() == ErrorKind::InUse)
    }

    /// Between the look at the name and the next opening somebody can put the same file back.
    #[test]
    fn a_lock_file_that_is_put_back_stays_locked() {
        let temp = tempfile::tempdir().expect("a directory");
        let directory = Directory::open_or_create(temp.path()).expect("opened");
        let path = temp.path().join("app.log");
        let (base, log) = (OsStr::new("app"), OsStr::new("app.log"));
        let held = LockFile::take(&directory, &lock_name(base), &path, None);
        let held = held.expect("locked").expect("a new one");
        let own = held.identity(&directory).ok();
        let again = LockFile::take_or_log(&directory, base, log, &path, own);
        assert!(again.expect("it is held").is_none());
        in_forked_child(|| is_refused(temp.path(), base));
    }

    /// A lock file can get other names, also those of another log's lock, of a segment, of a log.
    #[test]
    fn a_lock_file_is_opened_under_no_other_name() {
        let temp = tempfile::tempdir().expect("a directory");
        let directory = Directory::open_or_create(temp.path()).expect("opened");
        let path = temp.path().join("app.log");
        let base = OsStr::new("app");
        let held = LockFile::take(&directory, &lock_name(base), &path, None).expect("locked");
        let locks = temp.path().join(lock_name(base));
        for name in [".bee.lock", "app_2026-11-25_09-00-00.log", "bee.log"] {
            std::fs::hard_link(&locks, temp.path().join(name)).expect("a link");
        }
        assert!(is_refused(temp.path(), OsStr::new("bee")));
        let archived = OsStr::new("app_2026-11-25_09-00-00.log");
        assert!(directory.open_regular(archived).expect("looked at").is_none());
        directory.trim_if(archived, (0, 0)).expect_err("not opened");
        crate::probe::Source::open(&temp.path().join("bee.log")).expect_err("not opened");
        let identity = directory.identity().expect("a directory");
        let look = crate::locks::look_at_log(temp.path(), identity, OsStr::new("bee"));
        assert_eq!(look, crate::locks::Lock::Unknown);
        in_forked_child(|| is_refused(temp.path(), base));
        drop(held);
        in_forked_child(|| !is_refused(temp.path(), base));
    }

    /// The program around the library can open and close any file.
    #[test]
    fn a_lock_that_the_program_gives_up_is_taken_again_or_reported() {
        let temp = tempfile::tempdir().expect("a directory");
        let directory = Directory::open_or_create(temp.path()).expect("opened");
        let path = temp.path().join("app.log");
        let (base, log) = (OsStr::new("app"), OsStr::new("app.log"));
        let mut held = WriterLock::take(&directory, base, log, &path).expect("locked");
        let mut keep = || held.keep(&directory, &path, KeepWhen::Now);
        let give_up = || drop(File::open(temp.path().join(lock_name(base))).expect("a lock"));
        assert_eq!(keep().expect("kept"), Kept::Held);
        give_up();
        in_forked_child(|| !is_refused(temp.path(), base));
        assert_eq!(keep().expect("kept"), Kept::TakenAgain);
        assert_eq!(keep().expect("kept"), Kept::Held);
        in_forked_child(|| is_refused(temp.path(), base));
        give_up();
        let (mut told, tell) = std::io::pipe().expect("a pipe");
        let (wait, go_on) = std::io::pipe().expect("a pipe");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                in_forked_child(|| {
                    use std::io::{Read, Write};
                    let other = Directory::open_or_create(temp.path()).expect("opened");
                    let _held =
                        LockFile::take(&other, &lock_name(base), &path, None).expect("free");
                    (&tell).write_all(b"!").expect("told");
                    (&wait).read_exact(&mut [0]).is_ok()
                });
            });
            use std::io::{Read, Write};
            told.read_exact(&mut [0]).expect("told");
            assert_eq!(keep().expect_err("another has it").kind(), ErrorKind::InUse);
            (&go_on).write_all(b"!").expect("told");
        });
        assert_eq!(keep().expect("free again"), Kept::TakenAgain);
    }
}
