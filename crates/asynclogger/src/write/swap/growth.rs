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
    memory::{Form, Memory},
};
use crate::{
    sync::{AtomicBool, AtomicUsize, Ordering, fence},
    write::crash::CrashMap,
};

/// Bytes of header and records for which a buffer has memory when it is taken.
pub(super) const FIRST: usize = 32 << 10;
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
pub(super) fn first_parts(count: usize, form: Form) -> Vec<Range<usize>> {
    let (some, first) = at_opening(count, form.capacity());
    (0..some).map(|number| Memory::block_in(form, number, first)).collect()
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

    /// Bytes of header and records for which a buffer has memory.
    pub(super) fn upto(&self, number: u32) -> usize {
        // Acquire pairs with the Release in `extend`: the memory is allocated.
        self.upto[number as usize].load(Ordering::Acquire)
    }

    /// Whether the system had no memory at the last attempt.
    pub(super) fn is_short(&self) -> bool {
        // Acquire pairs with the Release in `extend`.
        self.is_short.load(Ordering::Acquire)
    }

    /// Gives a buffer memory for `wanted` bytes of header and records, and for what is around them in its block. A buffer
    /// that needs more gets a part ahead.
    ///
    /// # Errors
    /// The system has no memory. Then the buffer keeps what it has.
    pub(super) fn extend(
        &self,
        map: &CrashMap,
        memory: &Memory,
        number: u32,
        wanted: usize,
    ) -> io::Result<()> {
        let had = self.upto(number);
        if had >= wanted {
            return Ok(());
        }
        let ahead = if had == 0 { FIRST } else { had + STEP };
        let upto = wanted.max(ahead).min(memory.capacity());
        // Two threads can do the same: pages that are allocated stay as they are.
        let mut parts = memory.parts(number, had, upto).into_iter().filter(|part| !part.is_empty());
        let allocated = parts.try_for_each(|part| map.allocate(&part));
        // Release pairs with the Acquire in `is_short`.
        self.is_short.store(allocated.is_err(), Ordering::Release);
        allocated?;
        // Release pairs with the Acquire in `upto`.
        let before = self.upto[number as usize].fetch_max(upto, Ordering::Release);
        if before < upto {
            map.note_allocated(memory.parts(number, before, upto).iter().map(Range::len).sum());
        }
        Ok(())
    }

    /// The first buffer without all of its memory, of `count` buffers of `capacity` bytes. For the flusher alone.
    pub(super) fn next(&self, count: usize, capacity: usize) -> Option<u32> {
        let whole = self.whole.load(Ordering::Relaxed);
        let next = (whole..count).find(|number| self.upto(*number as u32) < capacity);
        self.whole.store(next.unwrap_or(count), Ordering::Relaxed);
        next.map(|number| number as u32)
    }

    /// Sets a buffer aside that has no memory. Returns whether it has some by now, and may be the last one aside: then the
    /// caller takes all of them back.
    pub(super) fn set_aside(&self, number: u32) -> bool {
        self.aside_count.fetch_add(1, Ordering::Relaxed);
        self.aside.push(number);
        // Pairs with the fence in `take_back`: either this thread sees the memory that the flusher has found since, or
        // the flusher sees the buffer.
        fence(Ordering::SeqCst);
        self.upto(number) > 0
    }

    /// Takes a buffer back that was set aside.
    pub(super) fn take_back(&self) -> Option<u32> {
        // Pairs with the fence in `set_aside`.
        fence(Ordering::SeqCst);
        let number = self.aside.take()?;
        self.aside_count.fetch_sub(1, Ordering::Relaxed);
        Some(number)
    }
}
