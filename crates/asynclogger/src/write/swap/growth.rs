//! The memory of a map, which is allocated part by part: a buffer has memory for the records that it can take, and more
//! before it takes more.
//!
//! The kernel needs half a millisecond for each MiB, so the opening does not wait for all of it. The flusher allocates
//! the rest when it has nothing else to do. A writer that comes first allocates the next part of its buffer by itself,
//! which costs the writer no more than the opening would have waited: so no record finds less room than if all memory had
//! been there from the beginning.

use std::{io, ops::Range};

use super::{
    free_stack::FreeStack,
    memory::Memory,
    pool::{BufferIndex, Pool},
};
use crate::{
    Error,
    sync::{AtomicBool, AtomicUsize, Ordering, fence},
};

/// Bytes of header and records for which a buffer has memory when it is taken.
const FIRST: usize = 32 << 10;
/// Bytes by which a buffer grows.
const STEP: usize = 256 << 10;
/// Bytes of buffers that the opening allocates.
const AT_OPENING: usize = 2 << 20;

/// How far the buffers of a pool have memory.
pub(super) struct Growth {
    /// For each buffer, the bytes of header and records for which it has memory.
    upto: Box<[AtomicUsize]>,
    /// All buffers before this one are whole, as far as the flusher has looked.
    whole: AtomicUsize,
    /// Buffers without memory: the system had none when they were taken.
    aside: FreeStack,
    aside_count: AtomicUsize,
    /// Whether the system had no memory at the last attempt.
    is_short: AtomicBool,
}

/// The buffers that have memory at the opening: the first of the stack of free ones.
fn at_opening(count: usize, capacity: usize) -> (usize, usize) {
    let first = FIRST.min(capacity);
    (count.min(AT_OPENING / first), first)
}

/// What the opening of such buffers allocates, as ranges of their memory.
pub(super) fn first_parts(count: usize, capacity: usize, align: usize) -> Vec<Range<usize>> {
    let (some, first) = at_opening(count, capacity);
    (0..some).map(|number| Memory::block_in((capacity, align), number, first)).collect()
}

impl Growth {
    /// For buffers whose first parts are allocated.
    pub(super) fn new(count: usize, capacity: usize) -> Growth {
        let (some, first) = at_opening(count, capacity);
        let upto = |number| AtomicUsize::new(if number < some { first } else { 0 });
        Growth {
            upto: (0..count).map(upto).collect(),
            whole: AtomicUsize::new(0),
            aside: FreeStack::empty(count as u32),
            aside_count: AtomicUsize::new(0),
            is_short: AtomicBool::new(false),
        }
    }

    /// The number of buffers that are free and cannot be taken.
    pub(super) fn aside(&self) -> usize {
        self.aside_count.load(Ordering::Relaxed)
    }
}

impl Pool {
    /// Bytes of header and records for which a buffer has memory.
    pub(super) fn upto(&self, index: BufferIndex) -> usize {
        // Acquire pairs with the Release in `extend`: the memory is allocated.
        let of_map = |upto: &[AtomicUsize]| upto[index.number() as usize].load(Ordering::Acquire);
        self.growth().map_or(self.capacity(), |growth| of_map(&growth.upto))
    }

    /// Gives a buffer memory for `wanted` bytes of header and records, and for what is around them in its block. A buffer
    /// that needs more gets a part ahead.
    ///
    /// # Errors
    /// The system has no memory. Then the buffer keeps what it has.
    pub(super) fn extend(&self, index: BufferIndex, wanted: usize) -> io::Result<()> {
        let (Some(growth), Some(map)) = (self.growth(), self.map()) else {
            return Ok(());
        };
        let had = self.upto(index);
        if had >= wanted {
            return Ok(());
        }
        let ahead = if had == 0 { FIRST } else { had + STEP };
        let upto = wanted.max(ahead).min(self.capacity());
        let number = index.number();
        let end = |upto: usize| match upto {
            0 => self.memory().block(number, self.capacity()).start,
            upto => self.memory().block(number, upto).end,
        };
        // Two threads can do the same: pages that are allocated stay as they are.
        let new = end(upto) - end(had);
        let allocated = map.allocate(&(end(had)..end(upto)), new);
        // Release pairs with the Acquire in `has_room_for`.
        growth.is_short.store(allocated.is_err(), Ordering::Release);
        allocated?;
        // Release pairs with the Acquire in `upto`.
        growth.upto[number as usize].fetch_max(upto, Ordering::Release);
        Ok(())
    }

    /// Takes a free buffer that has memory for `needed` bytes, header included.
    pub(super) fn take_free(&self, needed: usize) -> Option<u32> {
        loop {
            let number = self.free_stack().take()?;
            let index = self.index(number);
            let (Some(growth), Err(_)) =
                (self.growth(), self.extend(index, needed.max(FIRST).min(self.capacity())))
            else {
                return Some(number);
            };
            if self.upto(index) > 0 {
                // Of use for shorter records.
                self.free_stack().push(number);
                // Somebody who has found no buffer meanwhile may sleep, and this thread may hold the lock of the sleepers.
                self.waiters().defer();
                return None;
            }
            growth.aside_count.fetch_add(1, Ordering::Relaxed);
            growth.aside.push(number);
            // Pairs with the fence in `grow`: either this thread sees the memory that the flusher has found since, or
            // the flusher sees the buffer.
            fence(Ordering::SeqCst);
            if self.upto(index) > 0 {
                self.take_back(growth);
            }
        }
    }

    /// Whether a record that needs `needed` bytes would find them in this free buffer, as far as is known.
    pub(super) fn may_have(&self, number: u32, needed: usize) -> bool {
        // Acquire pairs with the Release in `extend` and `grow`.
        let is_short = self.growth().is_some_and(|growth| growth.is_short.load(Ordering::Acquire));
        !is_short || self.upto(self.index(number)) >= needed
    }

    /// Allocates the next part of some buffer, on the flusher's thread. Returns whether there was one to allocate.
    ///
    /// # Errors
    /// The system has no memory; the call can be repeated.
    pub(in crate::write) fn grow(&self) -> io::Result<bool> {
        let Some(growth) = self.growth() else {
            return Ok(false);
        };
        let whole = growth.whole.load(Ordering::Relaxed);
        let next = self.indices().skip(whole).find(|index| self.upto(*index) < self.capacity());
        growth
            .whole
            .store(next.map_or(self.len(), |index| index.number() as usize), Ordering::Relaxed);
        let Some(index) = next else {
            return Ok(false);
        };
        let was_short = growth.is_short.load(Ordering::Relaxed);
        self.extend(index, self.upto(index) + 1)?;
        // Pairs with the fence in `take_free`.
        fence(Ordering::SeqCst);
        if self.take_back(growth) || was_short {
            self.waiters().look_again();
        }
        Ok(true)
    }

    /// Makes the buffers free again that were set aside. Returns whether there were any.
    fn take_back(&self, growth: &Growth) -> bool {
        let aside = std::iter::from_fn(|| growth.aside.take());
        let count = aside.map(|number| self.free_stack().push(number)).count();
        growth.aside_count.fetch_sub(count, Ordering::Relaxed);
        count > 0
    }

    /// What it means that memory could not be allocated, with the remedy.
    pub(in crate::write) fn lacks_room(&self, error: io::Error) -> Error {
        match self.map() {
            Some(map) => map.lacks_room(&error),
            None => Error::io("cannot allocate", error),
        }
    }
}
