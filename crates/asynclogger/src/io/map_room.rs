//! The room for maps: whether there is enough, and what of it is promised.

use std::{fs::File, os::unix::fs::MetadataExt};

use rustix::fs::fstatvfs;

use super::limits::{file_size_limit, memory_left};
use crate::{
    Error, ErrorKind,
    mem::PerProcess,
    sync::{Arc, GlobalAtomicU64, GlobalMutex, Ordering, PoisonError, Weak},
};

/// The promises of this process.
static PROMISES: PerProcess<GlobalMutex<Vec<Weak<Promise>>>> = PerProcess::new();

/// Bytes of a map that are not allocated yet.
///
/// A map is allocated part by part, and the system knows only of the parts that are. So a later map of this process has
/// only the room that is left behind the promises: else a process could open more logs than there is memory for.
#[derive(Debug)]
pub(super) struct Promise {
    /// The file system that has to keep the promise.
    device: u64,
    left: GlobalAtomicU64,
}

impl Promise {
    /// Promises `len` bytes to a file that has none yet.
    ///
    /// # Errors
    /// [`ErrorKind::CrashMap`] if there is less room, with the remedy. A file in memory that is too long is no error of
    /// the system but the end of the process, so the limits of the control groups are compared here, too.
    pub(super) fn make(file: &File, len: u64) -> Result<Arc<Promise>, Error> {
        let device = file.metadata().map_or(0, |state| state.dev());
        // Asked without the lock: a file system can take its time.
        let free = fstatvfs(file).ok();
        let free = free.map(|system| system.f_bavail.saturating_mul(system.f_frsize));
        let left_in_groups = memory_left();
        // Locked until the promise is listed, so that two openings at the same time see each other.
        let mut promises = PROMISES.get().lock().unwrap_or_else(PoisonError::into_inner);
        promises.retain(|promise| promise.strong_count() > 0);
        let all = || promises.iter().filter_map(Weak::upgrade);
        // Relaxed, here and below: a count, no data.
        let left = |promise: Arc<Promise>| promise.left.load(Ordering::Relaxed);
        let here: u64 = all().filter(|promise| promise.device == device).map(left).sum();
        let everywhere: u64 = all().map(left).sum();

        if let Some(limit) = file_size_limit().filter(|limit| *limit < len) {
            return Err(no_room(len, &format!("RLIMIT_FSIZE allows {limit}")));
        }
        let free = free.map(|free| free.saturating_sub(here));
        if let Some(free) = free.filter(|free| *free < len) {
            return Err(no_room(len, &format!("the file system has {free} free")));
        }
        let left = left_in_groups.map(|left| left.saturating_sub(everywhere));
        if let Some(left) = left.filter(|left| *left < len) {
            let why = format!("the memory limit of the control group leaves {left}");
            return Err(no_room(len, &why));
        }
        let promise = Arc::new(Promise { device, left: GlobalAtomicU64::new(len) });
        promises.push(Arc::downgrade(&promise));
        Ok(promise)
    }

    /// Notes that `bytes` more are allocated.
    pub(super) fn keep(&self, bytes: u64) {
        let less = |left: u64| Some(left.saturating_sub(bytes));
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// The bytes that are not allocated yet.
    pub(super) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }
}

/// The error of a map for which there is too little room.
pub(super) fn no_room(len: u64, why: &str) -> Error {
    let what = format!(
        "crash safety needs {len} bytes here, and {why}; make the buffers smaller (`Config::buffer_size`), the \
         directory larger (Docker: `--shm-size`), or choose another one (`CrashSafe::in_dir`)"
    );
    Error::new(ErrorKind::CrashMap, what)
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;

    /// What one map has not allocated yet, a second one cannot have.
    #[test]
    fn a_promise_counts_until_it_is_kept_or_given_up() {
        let file = tempfile::tempfile().expect("a file");
        let free = || {
            let system = fstatvfs(&file).expect("a file system");
            (system.f_bavail * system.f_frsize).min(memory_left().unwrap_or(u64::MAX))
        };
        // Others use the same disk meanwhile, so nothing here is exact: two thirds of it have room once.
        let most = free() / 3 * 2;
        let first = Promise::make(&file, most).expect("room");
        assert_eq!(first.left(), most);
        let refused = Promise::make(&file, most).expect_err("promised to the first");
        assert_eq!(refused.kind(), ErrorKind::CrashMap);
        first.keep(most / 2);
        first.keep(most);
        assert_eq!(first.left(), 0);
        let second = Promise::make(&file, most).expect("the first is kept");
        assert!(Promise::make(&file, most).is_err());
        drop(second);
        Promise::make(&file, most).expect("the second was given up");
    }
}
