//! Where the memory of a logger lies that survives its process.

use std::path::PathBuf;

/// Where the buffers of a crash-safe logger lie, so that the records outlive the process: for
/// [`Config::crash_safe`](crate::Config::crash_safe).
///
/// ```
/// use asynclogger::{Config, CrashSafe};
///
/// // `/dev/shm`, or, where that is too small (Docker's default has 64 MB), a directory on a disk.
/// let config = Config::new("app.log")
///     .crash_safe(CrashSafe::shared_memory().or_in_dir("/var/lib/app"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct CrashSafe {
    places: Vec<CrashPlace>,
    or_without: bool,
    events: u32,
}

/// One place for such memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CrashPlace {
    /// A directory of the user's own below `/dev/shm`.
    SharedMemory,
    Directory(PathBuf),
}

impl CrashSafe {
    /// The number of events of a manager that can be open at a time, unless [`events`](CrashSafe::events) sets another.
    pub const DEFAULT_EVENTS: u32 = 1024;

    fn of(place: CrashPlace) -> CrashSafe {
        let events = CrashSafe::DEFAULT_EVENTS;
        CrashSafe { places: vec![place], or_without: false, events }
    }

    /// In memory, in a directory of this user's below `/dev/shm`.
    ///
    /// The records survive the death of the process in any way, and not a restart of the machine, nor of a container
    /// with a `/dev/shm` of its own.
    pub fn shared_memory() -> CrashSafe {
        CrashSafe::of(CrashPlace::SharedMemory)
    }

    /// In a file in this directory, which is made if it is missing.
    ///
    /// On a disk, the system also writes the buffers to that disk from time to time. The records survive the death of
    /// the process, and of its container. Choose a directory of the service's own: the files there are readable by its
    /// user only, but whoever can rename in the directory can take them away.
    pub fn in_dir(directory: impl Into<PathBuf>) -> CrashSafe {
        CrashSafe::of(CrashPlace::Directory(directory.into()))
    }

    /// This directory, if the places before have no room, or cannot be used.
    pub fn or_in_dir(mut self, directory: impl Into<PathBuf>) -> CrashSafe {
        self.places.push(CrashPlace::Directory(directory.into()));
        self
    }

    /// No crash safety, if no place can be used. [`Logger::crash_map`](crate::Logger::crash_map) says which.
    /// Without this setting the logger is refused then.
    pub fn or_without(mut self) -> CrashSafe {
        self.or_without = true;
        self
    }

    /// The number of events of a [`LoggerManager`](crate::LoggerManager) that can be open at a time; one more is
    /// refused with an error. Each takes 7 KB. A logger ignores this setting. Default:
    /// [`DEFAULT_EVENTS`](CrashSafe::DEFAULT_EVENTS).
    pub fn events(mut self, events: u32) -> CrashSafe {
        self.events = events.clamp(1, 1 << 20);
        self
    }

    pub(crate) fn most_events(&self) -> u32 {
        self.events
    }

    pub(crate) fn places(&self) -> &[CrashPlace] {
        &self.places
    }

    pub(crate) fn is_optional(&self) -> bool {
        self.or_without
    }
}
