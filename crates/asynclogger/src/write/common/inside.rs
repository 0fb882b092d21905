//! What a thread knows of itself: whether it is inside a call of ours, and what it may not do there.
//!
//! One thread-local without a destructor, which is all that a log call looks at: the mark, and a small cache
//! of the thread's homes, for [`swap`](crate::write::swap).

use std::cell::Cell;

use crate::sync::{Ordering, compiler_fence, thread_local};

/// Entries of the cache of homes: a thread may use that many loggers in turn before it has to look further.
const CACHED: usize = 4;

/// The thread is inside something of ours, or holds one of our locks: one more call is a signal handler's, an
/// encoder's, or a callback's.
const INSIDE: u8 = 1 << 0;
/// It is inside a log call, and so may hold the claim of a shard.
const LOGS: u8 = 1 << 1;

/// What a log call keeps per thread.
pub(crate) struct Local {
    mark: Cell<u8>,
    is_flusher: Cell<bool>,
    /// `(id of the log, home)`, at the place that the id says.
    homes: [Cell<(u64, u32)>; CACHED],
}

thread_local! {
    static LOCAL: Local = const {
        Local {
            mark: Cell::new(0),
            is_flusher: Cell::new(false),
            homes: [const { Cell::new((0, 0)) }; CACHED],
        }
    };
}

/// Marks the thread for as long as it lives.
#[must_use]
pub(crate) struct Inside<'a> {
    local: &'a Local,
    /// The mark of what this interrupted.
    before: u8,
}

impl Local {
    /// Runs `call` with the caller's thread-locals.
    #[inline]
    pub(crate) fn with<T>(call: impl FnOnce(&Local) -> T) -> T {
        // No destructor, constant initialiser: always there, without a check.
        LOCAL.with(call)
    }

    /// Enters anything in which a log call on the same thread must neither wait nor lock.
    pub(crate) fn enter(&self) -> Inside<'_> {
        self.mark(self.mark.get() | INSIDE)
    }

    /// Enters a log call.
    #[inline]
    pub(in crate::write) fn enter_log_call(&self) -> Inside<'_> {
        // A constant, whatever was there: what is outside is restored at the end.
        self.mark(INSIDE | LOGS)
    }

    #[inline]
    fn mark(&self, mark: u8) -> Inside<'_> {
        let before = self.mark.replace(mark);
        // A signal handler on this thread must see the mark before any of the call.
        compiler_fence(Ordering::SeqCst);
        Inside { local: self, before }
    }

    /// Whether this thread is inside a log call, of any logger: in an encoder, or in a signal handler that
    /// interrupted the call. It may hold the claim of a shard, which whatever it waits for may need.
    pub(crate) fn holds_claim(&self) -> bool {
        self.mark.get() & LOGS != 0
    }

    /// Makes a shard this thread's home at the log with this id: a model says where its threads log.
    #[cfg(test)]
    pub(in crate::write) fn set_home(&self, log: u64, home: u32) {
        self.homes[log as usize % CACHED].set((log, home));
    }

    /// The thread has no home at this log any more.
    pub(in crate::write) fn forget_home(&self, log: u64) {
        self.homes[log as usize % CACHED].set((0, 0));
    }

    /// This thread is a flusher from now on.
    pub(crate) fn become_flusher(&self) {
        self.is_flusher.set(true);
    }

    /// Whether this thread is a flusher.
    pub(crate) fn is_flusher(&self) -> bool {
        self.is_flusher.get()
    }
}

impl Inside<'_> {
    /// Whether this call interrupted another one on its thread: then it may neither wait nor lock.
    #[inline]
    pub(crate) fn is_nested(&self) -> bool {
        self.before != 0
    }

    /// The home of this thread at the log with this id, if it was found before.
    #[inline]
    pub(in crate::write) fn cached_home(&self, log: u64) -> Option<u32> {
        let (id, home) = self.local.homes[log as usize % CACHED].get();
        (id == log).then_some(home)
    }

    /// Keeps the home of this thread at the log with this id.
    pub(in crate::write) fn remember_home(&self, log: u64, home: u32) {
        self.local.homes[log as usize % CACHED].set((log, home));
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        self.local.mark.set(self.before);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_knows_that_it_logs_whatever_it_entered_since() {
        Local::with(|local| {
            assert!(!local.holds_claim());
            let lock = local.enter();
            assert!(!lock.is_nested() && !local.holds_claim());
            let call = local.enter_log_call();
            assert!(call.is_nested() && local.holds_claim());
            let encoder = local.enter();
            assert!(encoder.is_nested() && local.holds_claim());
            drop(encoder);
            assert!(local.holds_claim());
            drop(call);
            assert!(!local.holds_claim() && local.enter().is_nested());
            drop(lock);
            assert!(!local.enter().is_nested());
        });
    }
}
