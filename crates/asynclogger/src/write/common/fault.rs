//! Places where a test can make the flusher panic, or kill the process.

/// A place where a test can make the thread panic. Costs nothing outside of tests.
#[inline]
pub(in crate::write) fn step(_place: &'static str) {
    #[cfg(test)]
    told::step(_place);
}

/// A place between two changes to the files of a log. Costs nothing outside of tests.
///
/// A test runs itself again as a child with `ASYNCLOGGER_KILL_AT` set to `n`. The child is killed by SIGKILL at its
/// n-th such place, counted from 0 over all threads.
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

    /// The number of [`kill_point`]s that the process has passed.
    static PASSED: GlobalMutex<u64> = GlobalMutex::new(0);

    thread_local! {
        static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    #[cfg(not(loom))]
    /// Makes the n-th step from now on, on this thread, panic; counted from 0.
    pub(in crate::write) fn panic_at(n: u64) {
        LEFT.with(|left| left.set(Some(n)));
    }

    #[cfg(not(loom))]
    /// Lets no step panic any more.
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
        let at = std::env::var("ASYNCLOGGER_KILL_AT").ok().and_then(|at| at.parse::<u64>().ok());
        if let Some(at) = at {
            let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
            if *passed == at {
                kill_this_process();
            }
            *passed += 1;
        }
    }
}
