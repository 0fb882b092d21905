//! Places where the flusher may be made to panic, by tests.

/// A place on the flusher's way. Costs nothing but in tests.
#[inline]
pub(super) fn step(_place: &'static str) {
    #[cfg(test)]
    told::step(_place);
}

/// A place where the process may be killed, by tests: between two changes of names. Costs nothing but in
/// tests.
#[inline]
pub(super) fn kill_point(_place: &'static str) {}

#[cfg(all(test, not(loom)))]
pub(super) use told::{panic_at, panic_no_more};

#[cfg(test)]
mod told {
    use std::cell::Cell;

    use crate::sync::thread_local;

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
}
