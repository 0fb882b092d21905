//! What a pool does while its map is not allocated as a whole.

use std::io;

use super::{
    growth::{FIRST, Growth},
    pool::{BufferIndex, Pool},
};
use crate::Error;

impl Pool {
    /// Bytes of header and records for which a buffer has memory.
    pub(super) fn upto(&self, index: BufferIndex) -> usize {
        self.growth().map_or(self.capacity(), |growth| growth.upto(index.number()))
    }

    /// Bytes of header and records that a buffer takes now: beyond them a writer asks for more.
    pub(super) fn limit_of(&self, index: BufferIndex) -> usize {
        self.limit().min(self.upto(index)).min(self.stages().end(index.number()))
    }

    /// Gives a buffer memory for `wanted` bytes of header and records, and for what is around them in its block.
    ///
    /// # Errors
    /// The system has no memory. Then the buffer keeps what it has.
    pub(super) fn extend(&self, index: BufferIndex, wanted: usize) -> io::Result<()> {
        match (self.growth(), self.map()) {
            (Some(growth), Some(map)) => growth.extend(map, self.memory(), index.number(), wanted),
            _ => Ok(()),
        }
    }

    /// Takes a free buffer that has memory for `needed` bytes, header included.
    pub(super) fn take_free(&self, needed: usize) -> Option<u32> {
        loop {
            let number = self.free_stack().take()?;
            let index = self.index(number);
            let extended = self.extend(index, needed.max(FIRST).min(self.capacity()));
            let (Some(growth), Err(_)) = (self.growth(), extended) else {
                return Some(number);
            };
            if self.upto(index) > 0 {
                // Of use for shorter records.
                self.free_stack().push(number);
                // Somebody who has found no buffer meanwhile may sleep, and this thread may hold the lock of the sleepers.
                self.waiters().defer();
                return None;
            }
            if growth.set_aside(number) {
                self.take_back();
            }
        }
    }

    /// Whether a record that needs `needed` bytes would find them in this free buffer, as far as is known.
    pub(super) fn may_have(&self, number: u32, needed: usize) -> bool {
        let is_short = self.growth().is_some_and(|growth| growth.is_short());
        !is_short || self.upto(self.index(number)) >= needed
    }

    /// Allocates the next part of some buffer, on the flusher's thread. Returns whether there was one to allocate.
    ///
    /// # Errors
    /// The system has no memory; the call can be repeated.
    pub(in crate::write) fn grow(&self) -> io::Result<bool> {
        let next = |growth: &Growth| growth.next(self.len(), self.capacity());
        let (Some(growth), Some(number)) = (self.growth(), self.growth().and_then(next)) else {
            return Ok(false);
        };
        let was_short = growth.is_short();
        let index = self.index(number);
        self.extend(index, self.upto(index) + 1)?;
        if self.take_back() || was_short {
            self.waiters().look_again();
        }
        Ok(true)
    }

    /// Makes the buffers free again that were set aside. Returns whether there were any.
    fn take_back(&self) -> bool {
        let aside = std::iter::from_fn(|| self.growth()?.take_back());
        aside.map(|number| self.free_stack().push(number)).count() > 0
    }

    /// What it means that memory could not be allocated, with the remedy.
    pub(in crate::write) fn lacks_room(&self, error: io::Error) -> Error {
        match self.map() {
            Some(map) => map.lacks_room(&error),
            None => Error::io("cannot allocate", error),
        }
    }
}
