//! Making buffers resident before writers need them.

use super::pool::{BufferIndex, Pool};
use crate::{sync::Arc, write::swap::word::BufferState};

/// Which buffers of a pool were made resident, on the flusher's thread.
pub(in crate::write) struct Prefault {
    pool: Arc<Pool>,
    resident: Vec<bool>,
}

impl Prefault {
    pub(in crate::write) fn new(pool: Arc<Pool>) -> Prefault {
        // A model has no pages, so all buffers count as resident.
        Prefault { resident: vec![cfg!(loom); pool.len()], pool }
    }

    /// Makes all buffers resident.
    pub(in crate::write) fn all(&mut self) {
        self.pool.indices().for_each(|index| self.populate(index));
    }

    /// Makes one buffer resident: the next one that a writer will take, if writers `take` some now, or else an active
    /// one. Returns whether such a buffer was left. So no caller pays for a page, except in the first moments of the
    /// first buffers.
    pub(in crate::write) fn next(&mut self, take: bool) -> bool {
        let wanted = |index: &BufferIndex| !self.resident[index.number() as usize];
        let is_active =
            |index: &BufferIndex| matches!(self.pool.state(*index), BufferState::Active { .. });
        let next = self.pool.next_free().filter(|_| take).filter(wanted);
        let mut active = self.pool.indices().filter(|index| wanted(index) && is_active(index));
        let Some(index) = next.or_else(|| active.next()) else {
            return false;
        };
        drop(active);
        self.populate(index);
        true
    }

    fn populate(&mut self, index: BufferIndex) {
        // Old kernels refuse this, and any kernel does when memory is short: then callers pay for their pages.
        let _ = self.pool.populate(index);
        self.resident[index.number() as usize] = true;
    }
}
