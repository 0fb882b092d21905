//! One writer a log: a registry in the process, and a lock file between processes.
//!
//! The lock is POSIX (`fcntl`): a forked child does not inherit it. It has a file of its own that nobody
//! else opens, since *any* close of a file gives up a process's POSIX locks on it; and the registry,
//! asked first, sees to it that we do not open it twice ourselves.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    path::Path,
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, fcntl_lock},
    io::Errno,
};

use super::Directory;
use crate::{
    Error, ErrorKind,
    sync::{GlobalMutex, PoisonError},
};

#[derive(PartialEq, Eq)]
struct Entry {
    directory: (u64, u64),
    name: OsString,
    /// A forked child may open what its parent has given up since.
    process: u32,
}

/// What this process writes. The one piece of global state, and only opening and closing touch it.
static REGISTRY: GlobalMutex<Vec<Entry>> = GlobalMutex::new(Vec::new());

/// The right to write a log; given up on drop.
pub(crate) struct WriterLock {
    entry: Entry,
    _file: Option<File>,
}

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
        let in_use = |who: &str| {
            Error::new(ErrorKind::InUse, format!("{who} writes this log")).at_path(path)
        };
        let process = std::process::id();
        let entry = Entry { directory: directory.identity()?, name: base.to_owned(), process };
        {
            let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
            if registry.contains(&entry) {
                return Err(in_use("another logger of this process"));
            }
            let Entry { directory, ref name, process } = entry;
            registry.push(Entry { directory, name: name.clone(), process });
        }
        // From here on the entry is given up with the lock.
        let mut taken = WriterLock { entry, _file: None };
        let mut name = OsString::from(".");
        name.push(base);
        name.push(".lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file =
            File::from(directory.open_at(Path::new(&name), flags, Mode::from_raw_mode(0o644))?);
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(in_use("another process")),
            Err(errno) => {
                let path = directory.path().join(&name);
                return Err(Error::io("cannot lock", errno).at_path(&path));
            }
        }
        taken._file = Some(file);
        Ok(taken)
    }
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        // The file first: who finds the entry gone may open it at once.
        self._file = None;
        REGISTRY
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|entry| *entry != self.entry);
    }
}
