//! The memory that jobs share.

use std::sync::{Condvar, Mutex, PoisonError};

/// A number of bytes. A job takes its share before it begins with a log, and waits for no other share while it has one, so
/// jobs cannot wait for each other for ever.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Mutex<usize>,
    given_back: Condvar,
}

/// Bytes of a budget, which gets them back when the share is dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Budget {
        Budget { left: Mutex::new(bytes), given_back: Condvar::new() }
    }

    /// Waits until the budget has so many bytes left. The budget must have had them in the beginning.
    pub(crate) fn take(&self, bytes: usize) -> Share<'_> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = self.given_back.wait_while(left, |left| *left < bytes);
        *enough.unwrap_or_else(PoisonError::into_inner) -= bytes;
        Share { budget: self, bytes }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.left.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[test]
    fn shares_are_never_more_than_the_budget() {
        let (budget, taken, most) = (Budget::new(10), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for bytes in 1..=8 {
                let (budget, taken, most) = (&budget, &taken, &most);
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let share = budget.take(bytes);
                        most.fetch_max(taken.fetch_add(bytes, SeqCst) + bytes, SeqCst);
                        std::thread::yield_now();
                        taken.fetch_sub(bytes, SeqCst);
                        drop(share);
                    }
                });
            }
        });
        assert!((8..=10).contains(&most.into_inner()));
        assert_eq!(*budget.left.lock().unwrap(), 10, "all shares came back");
    }
}
