//! One buffer: head room, an 8-byte header and records, tail room. It *is* the block that goes to disk.
//!
//! Of the format it knows only that: the header's second word is the count of valid bytes.

use std::{marker::PhantomData, ptr::NonNull, sync::Arc};

use super::{pool::Pool, word::BufferIndex};
#[cfg(loom)]
use crate::sync::Watch;
use crate::write::common::BlockMemory;
use crate::{
    format::{BlockInfo, ChunkEntry, block},
    mem::StableBytes,
    sync::{AtomicU32, Ordering},
};

/// The header in front of the records.
pub(crate) const HEADER: usize = 8;
const VALID_AT: usize = 4;
const LINE: usize = 64;
/// How far ahead of the tail lines are fetched for writing: far enough that they have arrived when the
/// tail gets there, near enough that they have not been evicted again.
const PREFETCH_AHEAD: usize = 3 * 1024;
/// Longer records need no help: the hardware sees a stream.
const PREFETCH_LINES: usize = 8;

/// The place of a buffer in memory.
#[derive(Clone, Copy)]
pub(crate) struct Buffer<'a> {
    /// The header; the head room is before it.
    data: NonNull<u8>,
    #[cfg(loom)]
    watched: &'a Watched,
    _pool: PhantomData<&'a Pool>,
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
            _pool: PhantomData,
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
    pub(crate) fn valid(&self) -> u32 {
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

    /// Copies the published records of `from`, a buffer of the same size, into this one, which nobody
    /// else uses yet.
    pub(super) fn copy_published(&self, from: Buffer<'_>) {
        let valid = from.valid();
        let len = valid as usize;
        #[cfg(loom)]
        from.watched.bytes.read(HEADER..HEADER + len);
        // SAFETY: both buffers have at least `HEADER + valid` bytes; those of `from` below its published
        // tail are never written again while it is ACTIVE or SEALED, and this buffer is ours alone.
        unsafe {
            let (from, to) = (from.data.add(HEADER).as_ptr(), self.data.add(HEADER).as_ptr());
            std::ptr::copy_nonoverlapping(from, to, len);
        }
        self.publish(valid);
    }

    /// Fetches the lines ahead that the next record of about `len` bytes will be written to.
    #[inline]
    pub(super) fn prefetch(&self, tail: usize, len: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            let ahead = self.data.as_ptr().wrapping_add(tail + PREFETCH_AHEAD);
            for line in 0..(len / LINE + 1).min(PREFETCH_LINES) {
                // SAFETY: a prefetch has no effect on memory, whatever the address.
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(ahead.wrapping_add(line * LINE).cast()) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (tail, len, LINE, PREFETCH_AHEAD, PREFETCH_LINES);
    }
}

/// A sealed buffer that the flusher has taken: its alone until it is given back to the pool.
///
/// Dropped without that, the buffer stays out of use for ever: what may still be read by a device, or
/// written by a thread that never returned, must not be reused.
pub(crate) struct SealedBuffer {
    pool: Arc<Pool>,
    index: BufferIndex,
    /// The block: so many bytes before the header, so many from it on.
    head_len: usize,
    rest: usize,
}

impl SealedBuffer {
    /// # Safety
    /// The caller must have moved the buffer's state from SEALED to WRITING.
    pub(super) unsafe fn new(pool: Arc<Pool>, index: BufferIndex) -> SealedBuffer {
        SealedBuffer { pool, index, head_len: 0, rest: 0 }
    }

    fn buffer(&self) -> Buffer<'_> {
        self.pool.buffer(self.index)
    }

    /// The header and all up to `data_len`.
    pub(crate) fn data(&self, data_len: usize) -> &[u8] {
        self.range(0, data_len)
    }

    fn range(&self, head_len: usize, rest: usize) -> &[u8] {
        assert!(head_len <= self.pool.head_room() && rest <= self.pool.room_after_header());
        #[cfg(loom)]
        self.buffer().read_by_owner(rest);
        // SAFETY: within the buffer; sealed, so nobody writes to it while `self` is borrowed.
        unsafe {
            std::slice::from_raw_parts(self.buffer().data.sub(head_len).as_ptr(), head_len + rest)
        }
    }
}

impl BlockMemory for SealedBuffer {
    fn valid(&self) -> u32 {
        self.buffer().valid()
    }

    fn finish(&mut self, info: &BlockInfo, table: &mut Vec<ChunkEntry>) -> u32 {
        let (records_end, data_len) = (HEADER + self.valid() as usize, info.data_len as usize);
        debug_assert!(records_end <= data_len && data_len <= self.pool.room_after_header());
        let capacity = info.data_len + info.tail_len;
        // SAFETY: the first word is the flusher's alone in every state.
        unsafe { self.buffer().slice_mut(0, VALID_AT) }.copy_from_slice(&capacity.to_le_bytes());
        // SAFETY: within the buffer; sealed, so no writer has it.
        unsafe { self.buffer().slice_mut(records_end, data_len - records_end) }.fill(0);
        block::build_table(self.data(data_len), info.valid, table)
    }

    fn write_head(&mut self, len: usize, write: &mut dyn FnMut(&mut [u8])) {
        assert!(len <= self.pool.head_room());
        // SAFETY: within the buffer's head room, which is the flusher's alone in every state.
        write(unsafe { std::slice::from_raw_parts_mut(self.buffer().data.sub(len).as_ptr(), len) });
    }

    fn write_tail(&mut self, data_len: usize, len: usize, write: &mut dyn FnMut(&mut [u8])) {
        assert!(data_len + len <= self.pool.room_after_header() && data_len >= HEADER);
        // SAFETY: within the buffer and above its header; sealed, so no writer has it.
        write(unsafe { self.buffer().slice_mut(data_len, len) });
    }

    fn set_block(&mut self, head_len: usize, rest: usize) {
        (self.head_len, self.rest) = (head_len, rest);
    }

    /// It is free, and a waiting writer is woken.
    fn free(&mut self) {
        self.pool.free(self.index);
    }
}

// SAFETY: the bytes are in the pool's region, which lives as long as `self` and does not move with it;
// sealed, they are written through `&mut self` only.
unsafe impl StableBytes for SealedBuffer {
    fn piece(&self, number: usize) -> &[u8] {
        if number == 0 { self.range(self.head_len, self.rest) } else { &[] }
    }
}
