//! Which logs are written now: those of this process by a registry, those of others by their locks.
//!
//! The locks are POSIX (`fcntl`). *Any* close of a file gives up the process's POSIX locks on that file, so whoever looks
//! at a lock asks the registry first, and keeps the registry locked during the look. Otherwise a logger of this process
//! could lock the file while it is open for the look, and closing the file would give up the logger's lock.
//!
//! A locked file can have other names: somebody gives it the name of a log, or of an archived segment, by a hard link. So
//! the library opens no file by name without a look at [`Locked`]: neither to read nor to write.

#[expect(unsafe_code, reason = "locks that rustix does not have")]
mod calls;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs::File,
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

use rustix::{
    fs::{OFlags, fstat},
    io::Errno,
};

pub(crate) use self::calls::{
    ByteLock, is_held_elsewhere, is_locked_by_this_process, lock_for_process, lock_last_byte,
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

/// A file on which this process has a POSIX lock, or is about to take one, by device and inode.
#[derive(Debug)]
pub(crate) struct Locked((u64, u64));

/// Such files, and how many values of [`Locked`] each has: after a deleted file is closed, and before its value is gone, a
/// new file can get its inode.
static LOCKED: PerProcess<GlobalMutex<BTreeMap<(u64, u64), usize>>> = PerProcess::new();

fn locked() -> GlobalMutexGuard<'static, BTreeMap<(u64, u64), usize>> {
    LOCKED.get().lock().unwrap_or_else(PoisonError::into_inner)
}

impl Locked {
    /// Enters a file that was just made, before its lock is taken. Drop the value after the file is closed.
    pub(crate) fn enter_new(identity: (u64, u64)) -> Locked {
        *locked().entry(identity).or_default() += 1;
        Locked(identity)
    }

    /// Enters a file that was opened, before its lock is taken; `None`: this process has locked the file already, and
    /// the caller must not close its own descriptor. Drop the value after the file is closed.
    pub(crate) fn enter(identity: (u64, u64)) -> Option<Locked> {
        let mut locked = locked();
        if locked.contains_key(&identity) {
            return None;
        }
        locked.insert(identity, 1);
        Some(Locked(identity))
    }

    /// Whether this process has locked the file with this device and inode. Such a file must not be opened.
    pub(crate) fn has(identity: (u64, u64)) -> bool {
        locked().contains_key(&identity)
    }

    /// Whether this process has locked any file.
    pub(crate) fn has_any() -> bool {
        !locked().is_empty()
    }

    /// Gives back the file, which was just opened by a name, or `None` if this process has locked the file: somebody
    /// gave the file that name since the look at the name. The descriptor stays open for ever then.
    ///
    /// # Errors
    /// The system's errors.
    pub(crate) fn unless_locked<F: AsFd>(file: F) -> Result<Option<F>, Errno> {
        let stat = fstat(&file)?;
        let is_locked = Locked::has((stat.st_dev, stat.st_ino));
        if is_locked {
            std::mem::forget(file);
            return Ok(None);
        }
        Ok(Some(file))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let mut locked = locked();
        match locked.get_mut(&self.0) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(locked.remove(&self.0)),
        }
    }
}

/// The name of a logger's lock file; the file stays when the logger is gone.
pub(crate) fn lock_name(base: &OsStr) -> OsString {
    let mut name = OsString::from(".");
    name.push(base);
    name.push(".lock");
    name
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
    let identity = path.symlink_metadata().map(|found| (found.dev(), found.ino()));
    if !identity.is_ok_and(|identity| !Locked::has(identity)) {
        return Lock::Unknown;
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = File::options().read(true).custom_flags(flags.bits() as i32).open(path);
    match opened.and_then(|file| Ok(Locked::unless_locked(file)?)) {
        Ok(Some(file)) => match is_held_elsewhere(&file) {
            Ok(true) => Lock::Held,
            Ok(false) => Lock::Free,
            Err(_) => Lock::Unknown,
        },
        Ok(None) | Err(_) => Lock::Unknown,
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
    fn a_file_is_entered_once_and_a_new_one_with_its_inode_is_entered_beside_it() {
        let identity = (u64::MAX, 1);
        let old = Locked::enter(identity).expect("nobody's");
        assert!(Locked::enter(identity).is_none() && Locked::has(identity));
        let new = Locked::enter_new(identity);
        drop(old);
        assert!(Locked::has(identity) && Locked::enter(identity).is_none());
        drop(new);
        assert!(!Locked::has(identity) && Locked::enter(identity).is_some());
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
