//! Places where the flusher may be made to panic, and the process to end, by tests.

/// A place on the flusher's way. Costs nothing but in tests.
#[inline]
pub(in crate::write) fn step(_place: &'static str) {
    #[cfg(test)]
    told::step(_place);
}

/// A place between two changes to the files of a log. Costs nothing but in tests.
///
/// A test that runs itself again as a child, with `ASYNCLOGGER_KILL_AT` set to `n`, finds it killed by
/// SIGKILL at the n-th such place, counted from 0 over all threads.
#[inline]
pub(in crate::write) fn kill_point(_place: &'static str) {
    #[cfg(test)]
    told::kill_point();
}

#[cfg(all(test, not(loom)))]
pub(in crate::write) use told::{panic_at, panic_no_more};

#[cfg(test)]
mod told {
    use std::cell::Cell;

    use crate::{
        io::kill_this_process,
        sync::{GlobalMutex, PoisonError, thread_local},
    };

    /// How many places of [`kill_point`] were passed by.
    static PASSED: GlobalMutex<u64> = GlobalMutex::new(0);

    thread_local! {
        static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    #[cfg(not(loom))]
    /// The n-th step from now on, on this thread, panics; counted from 0.
    pub(in crate::write) fn panic_at(n: u64) {
        LEFT.with(|left| left.set(Some(n)));
    }

    #[cfg(not(loom))]
    /// No step panics any more.
    pub(in crate::write) fn panic_no_more() {
        LEFT.with(|left| left.set(None));
    }

    pub(super) fn step(place: &str) {
        let is_now = LEFT.with(|left| {
            let before = left.get();
            left.set(before.and_then(|n| n.checked_sub(1)));
            before == Some(0)
        });
        assert!(!is_now, "as told, at {place}");
    }

    pub(super) fn kill_point() {
        let at = std::env::var("ASYNCLOGGER_KILL_AT").ok().and_then(|at| at.parse().ok());
        if let Some(at) = at {
            let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
            if *passed == at {
                kill_this_process();
            }
            *passed += 1;
        }
    }
}
