//! Grants: how far beyond the limit a buffer can go for one long record, in a pool with little memory.

use super::buffer::HEADER;
use crate::sync::{AtomicUsize, Ordering};

/// Bytes beyond the limit of a buffer, granted to long records from an allowance that all buffers share.
/// All atomics here are counts that guard no data, so Relaxed suffices.
#[derive(Debug)]
pub(super) struct Grants {
    /// Bytes of header and records beyond which only an empty buffer takes a record.
    limit: usize,
    /// The bytes of the allowance that are left.
    left: AtomicUsize,
    /// The bytes of the allowance that each buffer has.
    granted: Box<[AtomicUsize]>,
}

impl Grants {
    /// Grants for buffers that never need one.
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

    /// The bytes beyond the limit that a buffer needs for `needed` bytes, header included.
    pub(super) fn beyond(&self, needed: usize) -> usize {
        needed.saturating_sub(self.limit)
    }

    /// Whether `more` bytes of the allowance are left.
    pub(super) fn has(&self, more: usize) -> bool {
        more == 0 || self.left.load(Ordering::Relaxed) >= more
    }

    /// Takes `more` bytes of the allowance. Returns whether they were left.
    pub(super) fn take(&self, more: usize) -> bool {
        let less = |left: usize| left.checked_sub(more);
        more == 0 || self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Gives back `more` bytes that were taken and belong to no buffer.
    pub(super) fn give_back(&self, more: usize) {
        if more > 0 {
            self.left.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Records that `more` bytes, already taken, belong to this buffer until it is free.
    pub(super) fn assign(&self, buffer: usize, more: usize) {
        if more > 0 {
            self.granted[buffer].store(more, Ordering::Relaxed);
        }
    }

    /// Takes the grant from a buffer that becomes free. Returns its bytes, which the caller has to give back.
    pub(super) fn withdraw(&self, buffer: usize) -> usize {
        self.granted[buffer].swap(0, Ordering::Relaxed)
    }
}
