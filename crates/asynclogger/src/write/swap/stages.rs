//! How far writers have come in buffers that are not resident yet.

use crate::sync::{AtomicUsize, Ordering};

/// The end of the first stage, in bytes of header and records.
const FIRST: usize = 128 << 10;

/// For each buffer the end of its current stage: a writer that comes there asks for the next one, which ends at twice as
/// much. So the flusher learns how much of a buffer is used, and a log with few records holds few pages. A buffer that is
/// resident as a whole has no more stages.
#[derive(Debug)]
pub(super) struct Stages(Box<[AtomicUsize]>);

impl Stages {
    /// Buffers without stages.
    pub(super) fn new(count: usize) -> Stages {
        Stages((0..count).map(|_| AtomicUsize::new(usize::MAX)).collect())
    }

    /// Puts all buffers into their first stage.
    pub(super) fn begin(&self) {
        // Relaxed, here and below: how far writers come guards no data. The bell has the fence for those who ask.
        self.0.iter().for_each(|end| end.store(FIRST, Ordering::Relaxed));
    }

    /// The end of a buffer's stage.
    pub(super) fn end(&self, number: u32) -> usize {
        self.0[number as usize].load(Ordering::Relaxed)
    }

    /// Puts a buffer into the stage in which it takes `needed` bytes.
    pub(super) fn ask(&self, number: u32, needed: usize) {
        let end = self.end(number);
        if needed > end {
            let next = needed.max(end.saturating_mul(2));
            self.0[number as usize].fetch_max(next, Ordering::Relaxed);
        }
    }

    /// Ends the stages of a buffer.
    pub(super) fn end_all(&self, number: u32) {
        self.0[number as usize].store(usize::MAX, Ordering::Relaxed);
    }

    /// Whether a buffer has left its first stage.
    pub(super) fn is_busy(&self, number: u32) -> bool {
        self.end(number) > FIRST
    }
}
