//! The stack of free buffers, by their numbers.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The `next` of the lowest buffer in the stack.
const END: u32 = u32::MAX;

/// The free buffers, the most recently freed one on top, since its lines are still in the caches.
#[derive(Debug)]
pub(super) struct FreeStack {
    /// `{ count of changes, top }`: with the count, a top that was taken and put back differs from an unchanged one.
    top: AtomicU64,
    /// For each number, the one below it in the stack.
    next: Box<[AtomicU32]>,
}

impl FreeStack {
    /// Makes a stack with all numbers below `count`, the lowest on top.
    pub(super) fn full(count: u32) -> FreeStack {
        let below = |number| if number + 1 == count { END } else { number + 1 };
        let next = (0..count).map(|number| AtomicU32::new(below(number))).collect();
        FreeStack { top: AtomicU64::new(if count == 0 { u64::from(END) } else { 0 }), next }
    }

    /// Makes a stack for the numbers below `count` without any of them.
    pub(super) fn empty(count: u32) -> FreeStack {
        FreeStack { top: AtomicU64::new(u64::from(END)), ..FreeStack::full(count) }
    }

    /// Takes the number on top.
    pub(super) fn take(&self) -> Option<u32> {
        // Acquire pairs with the Release of `push`: the number's `next` is visible, and all that the flusher did to the
        // buffer happened before.
        let mut top = self.top.load(Ordering::Acquire);
        loop {
            let number = top as u32;
            if number == END {
                return None;
            }
            let next = self.next[number as usize].load(Ordering::Relaxed);
            // A stale `next` belongs to an older count of changes, so the exchange fails.
            let below = changed(top, next);
            match self.top.compare_exchange_weak(top, below, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(number),
                Err(current) => top = current,
            }
        }
    }

    /// Puts a taken number back, on top.
    pub(super) fn push(&self, number: u32) {
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            self.next[number as usize].store(top as u32, Ordering::Relaxed);
            // Release pairs with the Acquire in `take`.
            let above = changed(top, number);
            match self.top.compare_exchange_weak(top, above, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(current) => top = current,
            }
        }
    }

    /// The number on top: the next one to be taken, unless the stack changes before.
    pub(super) fn top(&self) -> Option<u32> {
        let number = self.top.load(Ordering::Relaxed) as u32;
        (number != END).then_some(number)
    }
}

/// `{ count of changes + 1, number }`.
fn changed(top: u64, number: u32) -> u64 {
    ((top >> 32) + 1) << 32 | u64::from(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_free_list_is_a_stack() {
        let stack = FreeStack::full(3);
        let order: Vec<_> = std::iter::from_fn(|| stack.take()).collect();
        assert_eq!((order, stack.top()), (vec![0, 1, 2], None));
        stack.push(1);
        stack.push(0);
        assert_eq!(stack.top(), Some(0));
        assert_eq!((stack.take(), stack.take(), stack.take()), (Some(0), Some(1), None));
    }
}
