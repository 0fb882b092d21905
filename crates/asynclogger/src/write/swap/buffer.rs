//! One buffer: head room, an 8-byte header and records, tail room. It *is* the block that goes to disk.
//!
//! Of the format it knows only that: the header's second word is the count of valid bytes.

use std::{marker::PhantomData, ptr::NonNull};

#[cfg(loom)]
use crate::sync::Watch;
use crate::{
    mem::prefetch,
    sync::{AtomicU32, Ordering},
};

/// The header in front of the records.
pub(in crate::write) const HEADER: usize = 8;
pub(super) const VALID_AT: usize = 4;
/// How far ahead of the tail lines are fetched for writing: far enough that they have arrived when the
/// tail gets there, near enough that they have not been evicted again.
const PREFETCH_AHEAD: usize = 3 * 1024;

/// The place of a buffer in memory.
///
/// A pointer and not a slice, because the bytes have two owners at a time: below the published tail they belong
/// to whoever reads them, above it to the holder of the claim; and the tail, which says where that is, stands in
/// the buffer itself, since it is the header that the block has in the file. So there is a function for each part
/// and each owner, and none of them makes a reference to more than that.
#[derive(Clone, Copy)]
pub(super) struct Buffer<'a> {
    /// The header; the head room is before it.
    data: NonNull<u8>,
    #[cfg(loom)]
    watched: &'a Watched,
    _memory: PhantomData<&'a ()>,
}

/// What loom has to know of a buffer: its atomics are no bytes, and our bytes are none of its.
#[cfg(loom)]
#[derive(Debug)]
pub(super) struct Watched {
    valid: AtomicU32,
    bytes: Watch,
}

#[cfg(loom)]
impl Watched {
    pub(super) fn new(capacity: usize) -> Watched {
        Watched { valid: AtomicU32::new(0), bytes: Watch::new(capacity) }
    }
}

impl Buffer<'_> {
    /// # Safety
    /// `data` must be the header of a buffer of the pool that is borrowed for as long as the result.
    #[inline]
    pub(super) unsafe fn new<'a>(
        data: NonNull<u8>,
        #[cfg(loom)] watched: &'a Watched,
    ) -> Buffer<'a> {
        Buffer {
            data,
            #[cfg(loom)]
            watched,
            _memory: PhantomData,
        }
    }

    #[cfg(loom)]
    fn valid_word(&self) -> &AtomicU32 {
        &self.watched.valid
    }

    #[cfg(not(loom))]
    #[inline]
    fn valid_word(&self) -> &AtomicU32 {
        // SAFETY: the word is within the buffer, 4-aligned (the header is page-aligned), and only ever
        // used as this atomic, except that it is read as bytes by whoever has a sealed buffer.
        unsafe { self.data.add(VALID_AT).cast().as_ref() }
    }

    /// Bytes of records that are published.
    #[inline]
    pub(super) fn valid(&self) -> u32 {
        // Acquire pairs with `publish`: the bytes below are visible.
        self.valid_word().load(Ordering::Acquire)
    }

    /// The same for the holder of the claim, who has acquired more than this could.
    #[inline]
    pub(super) fn valid_as_claimant(&self) -> u32 {
        self.valid_word().load(Ordering::Relaxed)
    }

    /// Makes the records below `valid` part of the buffer.
    #[inline]
    pub(super) fn publish(&self, valid: u32) {
        // Release pairs with the Acquire in `valid`.
        self.valid_word().store(valid, Ordering::Release);
    }

    /// The bytes from `offset` (counted from the header) on.
    ///
    /// # Safety
    /// The range must be within the buffer, and the caller must be the only one to use it for `'b`:
    /// as holder of the claim of the shard whose active buffer this is, above its published tail.
    #[inline]
    pub(super) unsafe fn slice_mut<'b>(&self, offset: usize, len: usize) -> &'b mut [u8] {
        #[cfg(loom)]
        self.watched.bytes.write(offset..offset + len);
        // SAFETY: passed on to the caller.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(offset).as_ptr(), len) }
    }

    /// The `before` bytes in front of the header, and `after` from it on.
    ///
    /// # Safety
    /// The range must be within the buffer, and nobody may write to it for `'b`.
    pub(super) unsafe fn slice<'b>(&self, before: usize, after: usize) -> &'b [u8] {
        #[cfg(loom)]
        self.read_by_owner(after);
        // SAFETY: passed on to the caller.
        unsafe { std::slice::from_raw_parts(self.data.sub(before).as_ptr(), before + after) }
    }

    /// The `len` bytes in front of the header.
    ///
    /// # Safety
    /// They must be within the buffer's head room, and the caller must be the only one to use them for `'b`.
    pub(super) unsafe fn head_mut<'b>(&self, len: usize) -> &'b mut [u8] {
        // SAFETY: passed on to the caller.
        unsafe { std::slice::from_raw_parts_mut(self.data.sub(len).as_ptr(), len) }
    }

    /// Tells loom that all is read without atomics, the count of valid bytes, too.
    #[cfg(loom)]
    fn read_by_owner(&self, len: usize) {
        self.watched.bytes.read(0..len);
        // SAFETY: it checks that no store races with it, which is all that it asks for.
        let valid = unsafe { self.valid_word().unsync_load() };
        // SAFETY: within the header, and no store is a byte's in a model.
        let word = unsafe { std::slice::from_raw_parts_mut(self.data.add(VALID_AT).as_ptr(), 4) };
        word.copy_from_slice(&valid.to_le_bytes());
    }

    /// Copies the published records of `from` into this one.
    ///
    /// # Safety
    /// `from` must have no more capacity than this buffer, which nobody else may use; and no writer of `from` may
    /// seal it meanwhile, or the flusher give it back.
    pub(super) unsafe fn copy_published(&self, from: Buffer<'_>) {
        let valid = from.valid();
        let len = valid as usize;
        #[cfg(loom)]
        from.watched.bytes.read(HEADER..HEADER + len);
        // SAFETY: both buffers have at least `HEADER + valid` bytes; those of `from` below its published
        // tail are not written again while it is what it is, and this buffer is the caller's alone.
        unsafe {
            let (from, to) = (from.data.add(HEADER).as_ptr(), self.data.add(HEADER).as_ptr());
            std::ptr::copy_nonoverlapping(from, to, len);
        }
        self.publish(valid);
    }

    /// Fetches the lines ahead that the next record of about `len` bytes will be written to.
    #[inline]
    pub(super) fn prefetch(&self, tail: usize, len: usize) {
        prefetch(self.data.as_ptr().wrapping_add(tail + PREFETCH_AHEAD), len);
    }
}
