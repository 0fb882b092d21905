//! Making buffers resident before writers need them.

use super::pool::{BufferIndex, Pool};
use crate::{sync::Arc, write::swap::word::BufferState};

/// The most bytes that are made resident at a time: a huge page, which comes as a whole.
const STEP: usize = 2 << 20;

/// How far the buffers of a pool were made resident, on the flusher's thread.
///
/// Twice as much of a buffer is resident as writers have asked for. So a log with few records holds little memory, and a
/// busy one finds the pages that it comes to. A log that is filling its buffer will need the next one, which is made
/// resident as a whole.
pub(in crate::write) struct Prefault {
    pool: Arc<Pool>,
    /// Bytes of header and records, for each buffer.
    resident: Vec<usize>,
    /// Whether the log was ever busy: then huge pages pay.
    was_busy: bool,
}

impl Prefault {
    /// For the buffers of a new log, which have no records yet.
    pub(in crate::write) fn new(pool: Arc<Pool>) -> Prefault {
        // A model has no pages, so all buffers count as resident.
        let resident = if cfg!(loom) { usize::MAX } else { 0 };
        if !cfg!(loom) {
            pool.stages().begin();
        }
        Prefault { resident: vec![resident; pool.len()], pool, was_busy: false }
    }

    /// Makes all buffers resident.
    pub(in crate::write) fn all(&mut self) {
        for index in self.pool.indices() {
            while self.lacks(index, usize::MAX) {
                self.populate(index, usize::MAX);
            }
        }
    }

    /// Makes the next part of a buffer resident: of an active one, or of the next one that a writer will take, if writers
    /// `take` some now. Returns whether there was such a part. So no caller pays for a page, except in the first moments
    /// of the first buffers.
    pub(in crate::write) fn next(&mut self, take: bool) -> bool {
        let Some((index, goal)) = self.due(take) else {
            return false;
        };
        self.populate(index, goal);
        true
    }

    /// Whether [`next`](Prefault::next) has something to do.
    pub(in crate::write) fn is_due(&self, take: bool) -> bool {
        self.due(take).is_some()
    }

    /// The next buffer of which more is to be resident, and how much.
    fn due(&self, take: bool) -> Option<(BufferIndex, usize)> {
        let pool = &self.pool;
        let is_active =
            |index: &BufferIndex| matches!(pool.state(*index), BufferState::Active { .. });
        let goal = |index: BufferIndex| pool.stages().end(index.number()).saturating_mul(2);
        // The states last: with many buffers this is asked often.
        let mut active = pool.indices().filter(|index| self.lacks(*index, goal(*index)));
        if let Some(index) = active.find(is_active) {
            return Some((index, goal(index)));
        }
        let next = pool.next_free().filter(|index| take && self.lacks(*index, usize::MAX))?;
        let is_filling = |index: &BufferIndex| {
            is_active(index)
                && pool.stages().is_busy(index.number())
                && goal(*index) >= pool.limit()
        };
        pool.indices().any(|index| is_filling(&index)).then_some((next, usize::MAX))
    }

    /// Whether less of a buffer is resident than it should be.
    fn lacks(&self, index: BufferIndex, goal: usize) -> bool {
        self.resident[index.number() as usize] < goal.min(self.pool.limit())
    }

    fn populate(&mut self, index: BufferIndex, goal: usize) {
        if goal > STEP / 2 && !std::mem::replace(&mut self.was_busy, true) {
            self.pool.memory().use_huge_pages();
        }
        let resident = &mut self.resident[index.number() as usize];
        let upto = (*resident + STEP).min(goal).min(self.pool.limit());
        // Without memory for all of it, nothing more is made resident: a page that was not allocated is not touched.
        if self.pool.extend(index, upto).is_ok() {
            // Old kernels refuse this, and any kernel does when memory is short: then callers pay for their pages.
            let _ = self.pool.memory().populate(index.number(), *resident, upto);
        }
        *resident = upto;
        if upto >= self.pool.limit() {
            self.pool.stages().end_all(index.number());
        }
    }
}
