//! One buffer: head room, an 8-byte header and records, tail room. The buffer *is* the block that goes to disk.
//!
//! This module knows two facts of the file format: the second word of the header is the count of valid bytes, and the
//! times of records, if they have times, stand in front of the header: a scale, and before it the column.

use std::{marker::PhantomData, ptr::NonNull};

#[cfg(loom)]
use crate::sync::Watch;
use crate::{
    format::{
        Scale,
        column::{SCALE_LEN, column_len},
        record::Records,
    },
    mem::prefetch,
    sync::{AtomicU32, Ordering},
};

/// The header in front of the records.
pub(in crate::write) const HEADER: usize = 8;
pub(super) const VALID_AT: usize = 4;
/// The distance ahead of the tail at which lines are fetched for writing: far enough that they have arrived when the
/// tail gets there, near enough that they have not been evicted again.
const PREFETCH_AHEAD: usize = 3 * 1024;

/// The place of a buffer in memory.
///
/// A slice would be wrong, because the bytes have two owners at a time: below the published tail they belong to
/// readers, above the tail to the holder of the claim. The tail itself is in the buffer, since it is part of the header
/// that the block has in the file. So this is a pointer, with one function for each part and each owner; no function
/// makes a reference to more than its part.
#[derive(Clone, Copy)]
pub(super) struct Buffer<'a> {
    /// The header; the head room is before it.
    data: NonNull<u8>,
    #[cfg(loom)]
    watched: &'a Watched,
    _memory: PhantomData<&'a ()>,
}

/// The buffer as loom sees it: loom's atomics are not bytes, and loom does not watch ordinary bytes by itself.
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
        // used as this atomic, except that the holder of a sealed buffer reads it as bytes.
        unsafe { self.data.add(VALID_AT).cast().as_ref() }
    }

    /// The number of published bytes of records.
    #[inline]
    pub(super) fn valid(&self) -> u32 {
        // Acquire pairs with `publish`: the bytes below are visible.
        self.valid_word().load(Ordering::Acquire)
    }

    /// [`valid`](Buffer::valid) for the holder of the claim. Relaxed, since the claim has already acquired the tail.
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

    /// The `len` bytes from `offset` on, counted from the header.
    ///
    /// # Safety
    /// The range must be within the buffer, and the caller must be the only user of the range for `'b`: for example
    /// as the holder of the claim of the shard whose active buffer this is, above the published tail.
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
    /// The range must be within the buffer, and no thread may write to it for `'b`.
    pub(super) unsafe fn slice<'b>(&self, before: usize, after: usize) -> &'b [u8] {
        #[cfg(loom)]
        self.read_by_owner(after);
        // SAFETY: passed on to the caller.
        unsafe { std::slice::from_raw_parts(self.data.sub(before).as_ptr(), before + after) }
    }

    /// The `len` bytes in front of the header.
    ///
    /// # Safety
    /// The bytes must be within the buffer's head room, and the caller must be their only user for `'b`.
    pub(super) unsafe fn head_mut<'b>(&self, len: usize) -> &'b mut [u8] {
        // SAFETY: passed on to the caller.
        unsafe { std::slice::from_raw_parts_mut(self.data.sub(len).as_ptr(), len) }
    }

    /// Writes an entry of the column of times, which stands in front of the header and grows away from it.
    ///
    /// # Safety
    /// The column must have room for the entry, and the caller must be its only user, as the holder of the claim.
    #[inline(always)]
    pub(super) unsafe fn write_time(&self, index: usize, entry: u32) {
        let back = SCALE_LEN + column_len(index + 1);
        // SAFETY: the entry is within the head room, as the caller says, and aligned: the header is page-aligned.
        unsafe { self.data.sub(back).cast::<u32>().write(entry.to_le()) };
    }

    /// The bytes of the scale in front of the header, which the holder of the claim has begun.
    ///
    /// # Safety
    /// As for [`slice`](Buffer::slice), for these bytes.
    pub(super) unsafe fn scale<'b>(&self) -> &'b [u8] {
        // SAFETY: passed on to the caller.
        unsafe { std::slice::from_raw_parts(self.data.sub(SCALE_LEN).as_ptr(), SCALE_LEN) }
    }

    /// Writes the scale in front of the header.
    ///
    /// # Safety
    /// As for [`head_mut`](Buffer::head_mut), for these bytes.
    pub(super) unsafe fn write_scale(&self, scale: &Scale) {
        // SAFETY: passed on to the caller.
        scale.encode(unsafe { self.head_mut(SCALE_LEN) });
    }

    /// Tells loom that the first `len` bytes are read without atomics, also the count of valid bytes.
    #[cfg(loom)]
    fn read_by_owner(&self, len: usize) {
        self.watched.bytes.read(0..len);
        // SAFETY: the load only requires that no store races with it, and loom checks that.
        let valid = unsafe { self.valid_word().unsync_load() };
        // SAFETY: the word is within the header, and in a model no store to the count goes to these bytes.
        let word = unsafe { std::slice::from_raw_parts_mut(self.data.add(VALID_AT).as_ptr(), 4) };
        word.copy_from_slice(&valid.to_le_bytes());
    }

    /// Copies the published records of `from` into this buffer.
    ///
    /// # Safety
    /// `from` must have no more capacity than this buffer, and the caller must be the only user of this buffer.
    /// Meanwhile no writer of `from` may seal it, and the flusher may not give it back.
    pub(super) unsafe fn copy_published(&self, from: Buffer<'_>) {
        let valid = from.valid();
        let len = valid as usize;
        #[cfg(loom)]
        from.watched.bytes.read(HEADER..HEADER + len);
        // SAFETY: both buffers have at least `HEADER + valid` bytes. The bytes of `from` below its published tail
        // are not written again while the buffer is active, and the caller is the only user of this buffer.
        unsafe {
            let (from, to) = (from.data.add(HEADER).as_ptr(), self.data.add(HEADER).as_ptr());
            std::ptr::copy_nonoverlapping(from, to, len);
        }
        self.publish(valid);
    }

    /// Copies the times of the published records of `from`, and their beginning, into this buffer, which has these records
    /// already.
    ///
    /// # Safety
    /// As for [`copy_published`](Buffer::copy_published); both buffers have a column of times.
    pub(super) unsafe fn copy_times(&self, from: Buffer<'_>) {
        // SAFETY: the caller is the only user of this buffer, whose records were copied.
        let records = unsafe { self.slice(0, HEADER + self.valid() as usize) };
        let len = SCALE_LEN + column_len(Records::new(records, HEADER).count());
        // SAFETY: both columns have room for an entry for each of these records. Those of `from` are not written again.
        unsafe {
            let (from, to) = (from.data.sub(len).as_ptr(), self.data.sub(len).as_ptr());
            std::ptr::copy_nonoverlapping(from, to, len);
        }
    }

    /// Fetches lines ahead of the tail, for a later record of about `len` bytes.
    #[inline]
    pub(super) fn prefetch(&self, tail: usize, len: usize) {
        prefetch(self.data.as_ptr().wrapping_add(tail + PREFETCH_AHEAD), len);
    }
}
