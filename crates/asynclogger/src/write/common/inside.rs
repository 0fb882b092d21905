//! The state of a thread: whether the thread is inside a call of the library, and what the thread may not do there.
//!
//! A log call looks at one thread-local only, which has no destructor: the mark, and a small cache of the thread's
//! homes for [`swap`](crate::write::swap).

use std::cell::Cell;

use crate::sync::{Ordering, compiler_fence, thread_local};

/// Entries of the cache of homes: a thread can use this number of loggers in turn without a longer search.
const CACHED: usize = 4;

/// The thread is inside the library, or holds one of its locks: a further call comes from a signal handler, an encoder,
/// or a callback.
const INSIDE: u8 = 1 << 0;
/// The thread is inside a log call, and so may hold the claim of a shard.
const LOGS: u8 = 1 << 1;
/// The thread runs the user's encoder inside a log call, and outside of that call nothing of the library: a call of
/// another log may wait there. Cleared as soon as the thread enters the library again.
const ENCODES: u8 = 1 << 2;

/// The state that log calls keep per thread.
pub(crate) struct Local {
    mark: Cell<u8>,
    is_flusher: Cell<bool>,
    /// The highest id among the logs whose encoders this thread runs, and whose claims it may hold; 0: none.
    encodes: Cell<u64>,
    /// `(id of the log, home)`, at the place given by the id.
    homes: [Cell<(u64, usize)>; CACHED],
}

thread_local! {
    static LOCAL: Local = const {
        Local {
            mark: Cell::new(0),
            is_flusher: Cell::new(false),
            encodes: Cell::new(0),
            homes: [const { Cell::new((0, 0)) }; CACHED],
        }
    };
}

/// Marks the thread until dropped.
#[must_use]
pub(crate) struct Inside<'a> {
    local: &'a Local,
    /// The mark before, restored on drop.
    before: u8,
}

impl Local {
    /// Runs `call` with the caller's thread-locals.
    #[inline]
    pub(crate) fn with<T>(call: impl FnOnce(&Local) -> T) -> T {
        // Without a destructor and with a constant initialiser the thread-local always exists, and no check is needed.
        LOCAL.with(call)
    }

    /// Enters code in which a log call on the same thread must neither wait nor lock.
    pub(crate) fn enter(&self) -> Inside<'_> {
        self.mark(self.mark.get() & !ENCODES | INSIDE)
    }

    /// Whether a log call may wait on this thread, at least for some log: the thread is outside of the library, or in
    /// an encoder.
    pub(in crate::write) fn is_callers(&self) -> bool {
        let mark = self.mark.get();
        mark == 0 || mark & ENCODES != 0
    }

    /// Runs an encoder inside a call of the log with this id. `is_callers`: the answer of
    /// [`is_callers`](Local::is_callers) before that call.
    #[inline]
    pub(in crate::write) fn encode<T>(
        &self,
        log: u64,
        is_callers: bool,
        encode: impl FnOnce() -> T,
    ) -> T {
        let before = self.encodes.get();
        // The id is set before the mark: a signal handler that finds the mark finds the id.
        self.encodes.set(before.max(log));
        let _encoding = Encoding { local: self, before };
        let _inside = is_callers.then(|| self.mark(self.mark.get() | ENCODES));
        encode()
    }

    /// Enters a log call.
    #[inline]
    pub(in crate::write) fn enter_log_call(&self) -> Inside<'_> {
        // The mark is a constant, whatever the mark before was: that one is restored at the end.
        self.mark(INSIDE | LOGS)
    }

    #[inline]
    fn mark(&self, mark: u8) -> Inside<'_> {
        let before = self.mark.replace(mark);
        // A signal handler on this thread must see the mark before any effect of the call.
        compiler_fence(Ordering::SeqCst);
        Inside { local: self, before }
    }

    /// Whether this thread is inside a log call, of any logger: in an encoder, or in a signal handler that interrupted
    /// the call. The thread may hold the claim of a shard, and whoever it waits for may need that claim.
    pub(crate) fn holds_claim(&self) -> bool {
        self.mark.get() & LOGS != 0
    }

    /// Makes a shard this thread's home at the log with this id: a model decides where its threads log.
    #[cfg(test)]
    pub(in crate::write) fn set_home(&self, log: u64, home: usize) {
        self.homes[log as usize % CACHED].set((log, home));
    }

    /// Forgets the thread's home at this log.
    pub(in crate::write) fn forget_home(&self, log: u64) {
        self.homes[log as usize % CACHED].set((0, 0));
    }

    /// Makes this thread a flusher for good.
    pub(crate) fn become_flusher(&self) {
        self.is_flusher.set(true);
    }

    /// Whether this thread is a flusher.
    pub(crate) fn is_flusher(&self) -> bool {
        self.is_flusher.get()
    }
}

/// Restores the thread's encoder id on drop, also when the encoder panics.
struct Encoding<'a> {
    local: &'a Local,
    before: u64,
}

impl Drop for Encoding<'_> {
    fn drop(&mut self) {
        self.local.encodes.set(self.before);
    }
}

impl Inside<'_> {
    /// Whether this call of the log with this id may wait and lock: the thread is outside of the library, or in
    /// encoders of logs that all were opened before this one.
    ///
    /// A thread in an encoder holds a claim, and another thread that waits for the claim waits for this thread. If each
    /// thread waits only for logs opened after those whose claims it holds, no circle of waiting threads exists. Proof:
    /// take the log in the circle that was opened last. A thread holds a claim of that log and waits itself, so it
    /// waits for a log opened still later, which contradicts the choice.
    pub(in crate::write) fn may_wait(&self, log: u64) -> bool {
        self.before == 0 || (self.before & ENCODES != 0 && log > self.local.encodes.get())
    }

    /// Whether this call interrupted another one on its thread. A nested call may neither wait nor lock.
    #[inline]
    pub(crate) fn is_nested(&self) -> bool {
        self.before != 0
    }

    /// The home of this thread at the log with this id, if the cache has it.
    #[inline]
    pub(in crate::write) fn cached_home(&self, log: u64) -> Option<usize> {
        let (id, home) = self.local.homes[log as usize % CACHED].get();
        (id == log).then_some(home)
    }

    /// Puts the home of this thread at the log with this id into the cache.
    pub(in crate::write) fn remember_home(&self, log: u64, home: usize) {
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

    #[test]
    fn within_an_encoder_only_logs_that_were_opened_later_are_waited_for() {
        let may_wait = |log: u64| Local::with(|local| local.enter_log_call().may_wait(log));
        Local::with(|local| {
            assert!(local.is_callers() && may_wait(1));
            let call = local.enter_log_call();
            assert!(!local.is_callers() && !may_wait(9), "a signal handler");
            local.encode(5, true, || {
                assert!(local.is_callers());
                assert!(may_wait(6) && !may_wait(5) && !may_wait(4));
                let inner = local.enter_log_call();
                assert!(!may_wait(9), "a signal handler");
                local.encode(3, true, || assert!(may_wait(6) && !may_wait(4), "5 is still held"));
                local.encode(7, true, || assert!(may_wait(8) && !may_wait(6)));
                drop(inner);
                let lock = local.enter();
                assert!(!local.is_callers() && !may_wait(9), "a signal handler within a lock");
                drop(lock);
                assert!(may_wait(6));
            });
            assert!(!may_wait(9));
            drop(call);
            // A callback on the flusher's thread never waits, whatever it encodes.
            let thread = local.enter();
            let call = local.enter_log_call();
            local.encode(5, false, || assert!(!local.is_callers() && !may_wait(9)));
            drop((call, thread));
            let panics = std::panic::AssertUnwindSafe(|| local.encode(5, true, || panic!("its")));
            assert!(std::panic::catch_unwind(panics).is_err());
            assert!(local.is_callers() && may_wait(1));
            assert_eq!(local.encodes.get(), 0);
        });
    }

    #[test]
    fn a_thread_remembers_its_homes_until_it_forgets_them() {
        Local::with(|local| {
            let call = local.enter_log_call();
            assert_eq!(call.cached_home(1), None);
            call.remember_home(1, 7);
            call.remember_home(2, 8);
            assert_eq!((call.cached_home(1), call.cached_home(2)), (Some(7), Some(8)));
            local.forget_home(1);
            assert_eq!((call.cached_home(1), call.cached_home(2)), (None, Some(8)));
            // Another log has the same place in the cache.
            call.remember_home(2 + CACHED as u64, 9);
            assert_eq!(call.cached_home(2), None);
        });
    }

    #[test]
    fn a_flusher_stays_one() {
        let is_flusher = || Local::with(Local::is_flusher);
        let flusher = std::thread::spawn(move || {
            let before = is_flusher();
            Local::with(Local::become_flusher);
            (before, is_flusher())
        });
        assert_eq!(flusher.join().expect("a thread"), (false, true));
        assert!(!is_flusher());
    }
}
