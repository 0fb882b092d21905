//! Space that a growing file takes ahead of its parts, so that a write neither waits for the file system to find
//! room nor finds none in the middle of a block.

use crate::io::{BlockFile, Operation};

/// Space is taken ahead only by files that have grown to this: small ones stay small.
const FROM: u64 = 16 << 20;
/// How much is taken at a time: as much as the file has, within these bounds.
const STEP_MIN: u64 = 64 << 20;
const STEP_MAX: u64 = 256 << 20;

/// The space that one file has taken ahead.
pub(super) struct SpaceAhead {
    /// Space was taken, or is being taken, up to here; `None`: the file system refuses.
    end: Option<u64>,
    /// Whether any was taken, or may have been.
    may_be_left: bool,
    /// The longest that the file is to become.
    max_size: u64,
}

impl SpaceAhead {
    pub(super) fn none() -> SpaceAhead {
        SpaceAhead { end: Some(0), may_be_left: false, max_size: u64::MAX }
    }

    /// No space is taken ahead beyond this length.
    pub(super) fn set_max_size(&mut self, bytes: u64) {
        self.max_size = bytes;
    }

    /// Whether a file that follows one of `len` bytes should have space by now, and was not given any.
    pub(super) fn is_missing_after(&self, len: u64) -> bool {
        self.end == Some(0) && len >= FROM
    }

    /// Takes space from `offset` on, and waits for it: for a file that follows a long one, before its first part.
    pub(super) fn take_now(&mut self, file: &mut dyn BlockFile, offset: u64) {
        let len = STEP_MIN.min(self.max_size);
        // Asked once: later the file takes its space as it grows.
        self.end = Some(offset);
        if is_roomy(file, len) {
            self.may_be_left = true;
            match file.reserve_now(offset, len) {
                Ok(()) => self.end = Some(offset + len),
                Err(_) => {
                    self.end = None;
                    self.give_back(file);
                }
            }
        }
    }

    /// The space to take now, before parts from `offset` on, if it is time: in steps that grow with the file.
    pub(super) fn due(&mut self, file: &dyn BlockFile, offset: u64) -> Option<Operation> {
        let end = self.end?;
        let step = offset.clamp(STEP_MIN, STEP_MAX);
        if offset < FROM || end >= offset + step / 2 {
            return None;
        }
        let offset = end.max(offset);
        let len = step.min(self.max_size.saturating_sub(offset));
        self.end = Some(offset + step);
        let is_taken = len > 0 && is_roomy(file, len);
        self.may_be_left |= is_taken;
        is_taken.then_some(Operation::Reserve { offset, len })
    }

    /// Takes no more, since that failed.
    pub(super) fn stop(&mut self) {
        self.end = None;
    }

    /// Gives back what was taken and not used. Nothing may be in flight.
    pub(super) fn give_back(&self, file: &mut dyn BlockFile) {
        if self.may_be_left {
            // What cannot be given back is the file's, and nobody's loss.
            let _ = file.trim();
        }
    }

    /// The file is closed: it takes its space anew when it is open again.
    pub(super) fn begin_again(&mut self) {
        if self.end.is_some() {
            self.end = Some(0);
        }
    }
}

/// On a disk that is nearly full, space ahead would take from the writes in flight what they need.
fn is_roomy(file: &dyn BlockFile, len: u64) -> bool {
    file.room().is_none_or(|room| room / 4 >= len)
}
