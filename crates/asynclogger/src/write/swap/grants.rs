//! How much more than the usual a buffer may take for one long record, in a pool that has little memory.

use super::buffer::HEADER;
use crate::sync::{AtomicUsize, Ordering};

/// Bytes beyond the limit of a buffer, granted to long records from an allowance that all buffers share.
/// Counts without data all through, so Relaxed.
#[derive(Debug)]
pub(super) struct Grants {
    /// Bytes of header and records beyond which nothing is appended but to an empty buffer.
    limit: usize,
    /// What is left of the allowance.
    left: AtomicUsize,
    /// What each buffer has of it.
    granted: Box<[AtomicUsize]>,
}

impl Grants {
    /// For buffers of which none needs a grant.
    pub(super) fn none(count: usize, capacity: usize) -> Grants {
        Grants::new(count, capacity, 0)
    }

    pub(super) fn new(count: usize, limit: usize, allowance: usize) -> Grants {
        let granted = (0..count).map(|_| AtomicUsize::new(0)).collect();
        Grants { limit: limit.max(HEADER), left: AtomicUsize::new(allowance), granted }
    }

    #[inline]
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// What a buffer needs beyond the limit for so many bytes, header included.
    pub(super) fn beyond(&self, needed: usize) -> usize {
        needed.saturating_sub(self.limit)
    }

    /// Whether that much is left.
    pub(super) fn has(&self, more: usize) -> bool {
        more == 0 || self.left.load(Ordering::Relaxed) >= more
    }

    /// Takes that much of the allowance.
    pub(super) fn take(&self, more: usize) -> bool {
        let less = |left: usize| left.checked_sub(more);
        more == 0 || self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Gives back what was taken and belongs to no buffer.
    pub(super) fn give_back(&self, more: usize) {
        if more > 0 {
            self.left.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// What was taken is this buffer's, until it is free.
    pub(super) fn assign(&self, buffer: usize, more: usize) {
        if more > 0 {
            self.granted[buffer].store(more, Ordering::Relaxed);
        }
    }

    /// A buffer becomes free; what it had, which is to be given back.
    pub(super) fn withdraw(&self, buffer: usize) -> usize {
        self.granted[buffer].swap(0, Ordering::Relaxed)
    }
}
