//! Making buffers resident before writers need them.

use super::pool::{BufferIndex, Pool};
use crate::{sync::Arc, write::swap::word::BufferState};

/// The bytes that are made resident at a time. A huge page, which comes as a whole.
const STEP: usize = 2 << 20;

/// How far the buffers of a pool were made resident, on the flusher's thread.
pub(in crate::write) struct Prefault {
    pool: Arc<Pool>,
    /// Bytes of header and records, for each buffer.
    resident: Vec<usize>,
}

impl Prefault {
    pub(in crate::write) fn new(pool: Arc<Pool>) -> Prefault {
        // A model has no pages, so all buffers count as resident.
        let resident = if cfg!(loom) { usize::MAX } else { 0 };
        Prefault { resident: vec![resident; pool.len()], pool }
    }

    /// Makes all buffers resident.
    pub(in crate::write) fn all(&mut self) {
        for index in self.pool.indices() {
            while self.is_wanted(index) {
                self.populate(index);
            }
        }
    }

    /// Makes the next part of a buffer resident: of the next one that a writer will take, if writers `take` some now, or
    /// else of an active one. Returns whether such a buffer was left. So no caller pays for a page, except in the first
    /// moments of the first buffers.
    pub(in crate::write) fn next(&mut self, take: bool) -> bool {
        let is_active =
            |index: &BufferIndex| matches!(self.pool.state(*index), BufferState::Active { .. });
        let wanted = |index: &BufferIndex| self.is_wanted(*index);
        let next = self.pool.next_free().filter(|_| take).filter(wanted);
        let mut active = self.pool.indices().filter(|index| wanted(index) && is_active(index));
        let Some(index) = next.or_else(|| active.next()) else {
            return false;
        };
        drop(active);
        self.populate(index);
        true
    }

    fn is_wanted(&self, index: BufferIndex) -> bool {
        self.resident[index.number() as usize] < self.pool.limit()
    }

    fn populate(&mut self, index: BufferIndex) {
        let resident = &mut self.resident[index.number() as usize];
        let upto = (*resident + STEP).min(self.pool.limit());
        // Without memory for all of it, nothing more is made resident: a page that was not allocated is not touched.
        if self.pool.extend(index, upto).is_ok() {
            // Old kernels refuse this, and any kernel does when memory is short: then callers pay for their pages.
            let _ = self.pool.memory().populate(index.number(), *resident, upto);
        }
        *resident = upto;
    }
}
