//! Space that is reserved for a growing file ahead of its parts. So a write does not wait for the file system to find
//! room, and does not find the disk full in the middle of a block.

use crate::io::{BlockFile, Operation};

/// The length in bytes from which on space is reserved: small files stay small.
const FROM: u64 = 16 << 20;
/// The bytes reserved at a time: as many as the file has, within these bounds.
const STEP_MIN: u64 = 64 << 20;
const STEP_MAX: u64 = 256 << 20;

/// The space reserved for one file.
pub(super) struct SpaceAhead {
    /// The end of the space that is reserved, or is being reserved; `None`: the file system refuses.
    end: Option<u64>,
    /// Whether space was reserved, or may have been.
    may_be_left: bool,
    /// The greatest length that the file shall have.
    max_size: u64,
}

impl SpaceAhead {
    pub(super) fn none() -> SpaceAhead {
        SpaceAhead { end: Some(0), may_be_left: false, max_size: u64::MAX }
    }

    /// Reserves no space beyond this length.
    pub(super) fn set_max_size(&mut self, bytes: u64) {
        self.max_size = bytes;
    }

    /// Whether a file that follows one of `len` bytes should have reserved space by now and has none.
    pub(super) fn is_missing_after(&self, len: u64) -> bool {
        self.end == Some(0) && len >= FROM
    }

    /// Reserves space from `offset` on and waits, for a file that follows a long one, before its first part.
    pub(super) fn take_now(&mut self, file: &mut dyn BlockFile, offset: u64) {
        let len = STEP_MIN.min(self.max_size);
        // This happens once: later, space is reserved as the file grows.
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

    /// The next reservation, before parts from `offset` on, if one is due. The steps grow with the file.
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

    /// Reserves no more, since a reservation failed.
    pub(super) fn stop(&mut self) {
        self.end = None;
    }

    /// Gives back reserved space that is not used. Nothing may be in flight.
    pub(super) fn give_back(&self, file: &mut dyn BlockFile) {
        if self.may_be_left {
            // Space that cannot be given back stays with the file; no record is lost.
            let _ = file.trim();
        }
    }

    /// Begins again: the file is closed, and space is reserved anew after it is opened again.
    pub(super) fn begin_again(&mut self) {
        if self.end.is_some() {
            self.end = Some(0);
        }
    }
}

/// Whether the disk has room for a reservation of `len` bytes: on a nearly full disk, a reservation would take the
/// space that writes in flight need.
fn is_roomy(file: &dyn BlockFile, len: u64) -> bool {
    file.room().is_none_or(|room| room / 4 >= len)
}
