//! A sealed buffer that the flusher has taken: the memory of a block.

use super::{
    buffer::{Buffer, HEADER, VALID_AT},
    pool::{BufferIndex, Pool},
};
use crate::{
    format::{BlockInfo, ChunkEntry, block},
    mem::StableBytes,
    sync::Arc,
    write::common::BlockMemory,
};

/// A sealed buffer that the flusher has taken: its alone until it is given back to the pool.
///
/// Dropped without that, the buffer stays out of use for ever: what may still be read by a device, or
/// written by a thread that never returned, must not be reused.
pub(in crate::write) struct SealedBuffer {
    pool: Arc<Pool>,
    index: BufferIndex,
    shard: u32,
    generation: u64,
    /// The block: so many bytes before the header, so many from it on.
    head_len: usize,
    rest: usize,
}

/// The sealed buffers of a pool, one scan over all of their states.
pub(in crate::write) struct SealedBuffers {
    pool: Arc<Pool>,
    indices: std::ops::Range<usize>,
}

impl Pool {
    /// A scan for sealed buffers.
    pub(in crate::write) fn sealed(self: &Arc<Pool>) -> SealedBuffers {
        SealedBuffers { pool: self.clone(), indices: 0..self.len() }
    }
}

impl SealedBuffers {
    /// Takes the next buffer whose shard and generation are the next ones.
    pub(in crate::write) fn take_next(
        &mut self,
        is_next: impl Fn(u32, u64) -> bool,
    ) -> Option<SealedBuffer> {
        let SealedBuffers { pool, indices } = self;
        indices.find_map(|number| SealedBuffer::take(pool, pool.index(number as u32), &is_next))
    }
}

impl SealedBuffer {
    /// Takes a sealed buffer for writing; `None` if it is not sealed (any more), or is not wanted.
    pub(super) fn take(
        pool: &Arc<Pool>,
        index: BufferIndex,
        is_next: impl Fn(u32, u64) -> bool,
    ) -> Option<SealedBuffer> {
        // From here on it is nobody else's: of all who want it, one moves it from SEALED to WRITING.
        let (shard, generation) = pool.begin_writing(index, is_next)?;
        let pool = pool.clone();
        Some(SealedBuffer { pool, index, shard, generation, head_len: 0, rest: 0 })
    }

    /// A buffer of a pool of its own, with a copy of what is published in another: of the same shard and
    /// generation. `None` if there is no memory for it.
    ///
    /// # Safety
    /// No writer of the buffer with this number may seal it meanwhile, and the flusher must not have taken it:
    /// its shard's word names it, and whoever claimed that never goes on.
    pub(super) unsafe fn copy_of(
        pool: &Pool,
        number: u32,
        shard: u32,
        generation: u64,
    ) -> Option<SealedBuffer> {
        let memory = pool.memory();
        let copy = Arc::new(Pool::new(1, memory.capacity(), memory.align()).ok()?);
        let index = copy.take(HEADER)?.activate(shard, generation);
        // SAFETY: of the same capacity, and just taken from a pool that nobody else has; the rest is passed on.
        unsafe { copy.buffer(index).copy_published(pool.place(number)) };
        copy.seal(index, shard, generation);
        SealedBuffer::take(&copy, index, |_, _| true)
    }

    /// Which shard sealed it.
    pub(in crate::write) fn shard(&self) -> u32 {
        self.shard
    }

    /// How many buffers that shard had sealed before.
    pub(in crate::write) fn generation(&self) -> u64 {
        self.generation
    }

    fn buffer(&self) -> Buffer<'_> {
        self.pool.buffer(self.index)
    }

    /// The header and all up to `data_len`.
    pub(in crate::write) fn data(&self, data_len: usize) -> &[u8] {
        self.range(0, data_len)
    }

    fn range(&self, head_len: usize, rest: usize) -> &[u8] {
        let memory = self.pool.memory();
        assert!(head_len <= memory.head_room() && rest <= memory.room_after_header());
        // SAFETY: within the buffer; sealed, so nobody writes to it while `self` is borrowed.
        unsafe { self.buffer().slice(head_len, rest) }
    }

    /// Gives it back to its pool, and wakes a waiting writer.
    pub(in crate::write) fn give_back(self) {
        // SAFETY: `take` made it ours alone, and it ends here.
        unsafe { self.pool.free(self.index) };
    }
}

impl BlockMemory for SealedBuffer {
    fn valid(&self) -> u32 {
        self.buffer().valid()
    }

    fn finish(&mut self, info: &BlockInfo, table: &mut Vec<ChunkEntry>) -> u32 {
        let (records_end, data_len) = (HEADER + self.valid() as usize, info.data_len as usize);
        let room = self.pool.memory().room_after_header();
        assert!(records_end <= data_len && data_len <= room, "the lengths are the block's");
        let capacity = info.data_len + info.tail_len;
        // SAFETY: the first word is the flusher's alone in every state.
        unsafe { self.buffer().slice_mut(0, VALID_AT) }.copy_from_slice(&capacity.to_le_bytes());
        // SAFETY: within the buffer; sealed, so no writer has it.
        unsafe { self.buffer().slice_mut(records_end, data_len - records_end) }.fill(0);
        block::build_table(self.data(data_len), info.valid, table)
    }

    fn write_head(&mut self, len: usize, write: &mut dyn FnMut(&mut [u8])) {
        assert!(len <= self.pool.memory().head_room());
        // SAFETY: within the buffer's head room, which is the flusher's alone in every state.
        write(unsafe { self.buffer().head_mut(len) });
    }

    fn write_tail(&mut self, data_len: usize, len: usize, write: &mut dyn FnMut(&mut [u8])) {
        let room = self.pool.memory().room_after_header();
        assert!(data_len >= HEADER && data_len <= room && len <= room - data_len);
        // SAFETY: within the buffer and above its header; sealed, so no writer has it.
        write(unsafe { self.buffer().slice_mut(data_len, len) });
    }

    fn set_block(&mut self, head_len: usize, rest: usize) {
        (self.head_len, self.rest) = (head_len, rest);
    }

    /// It is free, and a waiting writer is woken.
    fn free(self: Arc<Self>) {
        if let Some(buffer) = Arc::into_inner(self) {
            buffer.give_back();
        }
    }
}

// SAFETY: the bytes are in the pool's region, which lives as long as `self` and does not move with it;
// sealed, they are written through `&mut self` only, and given back by value.
unsafe impl StableBytes for SealedBuffer {
    fn piece(&self, number: usize) -> &[u8] {
        if number == 0 { self.range(self.head_len, self.rest) } else { &[] }
    }
}
