//! A sealed buffer that the flusher has taken: the memory of a block.

use super::{
    buffer::{Buffer, HEADER, VALID_AT},
    pool::{BufferIndex, Pool},
    times,
};
use crate::{
    format::{BlockInfo, ChunkEntry, Column, Scale, block, column::SCALE_LEN, record::Records},
    mem::StableBytes,
    sync::Arc,
    write::common::BlockMemory,
};

/// A sealed buffer that the flusher has taken: this value is its only owner until it is given back to the pool.
///
/// A buffer that is dropped without being given back stays out of use for ever. A device can still read it, or a
/// thread that never returned can still write to it, so its memory must not be reused.
pub(in crate::write) struct SealedBuffer {
    pool: Arc<Pool>,
    index: BufferIndex,
    shard: u32,
    generation: u64,
    /// The block: `head_len` bytes before the header, and `rest` bytes from the header on.
    head_len: usize,
    rest: usize,
}

/// One scan over the states of a pool's buffers, for the sealed ones.
pub(in crate::write) struct SealedBuffers {
    pool: Arc<Pool>,
    indices: std::ops::Range<usize>,
}

impl Pool {
    /// Begins a scan for sealed buffers.
    pub(in crate::write) fn sealed(self: &Arc<Pool>) -> SealedBuffers {
        SealedBuffers { pool: self.clone(), indices: 0..self.len() }
    }

    /// The scale of a buffer's times; `None` if records have no times. `reached` is the last time of the shard's buffer
    /// before.
    ///
    /// # Safety
    /// No writer may have the buffer.
    pub(super) unsafe fn scale_of(&self, index: BufferIndex, reached: i64) -> Option<Scale> {
        let counter = self.counter()?;
        // SAFETY: the scale is within the head room; the caller vouches for the rest.
        let scale = Scale::decode(unsafe { self.buffer(index).scale() }).unwrap_or_default();
        if scale.unit > 0 {
            // It was settled before, perhaps by a process that was killed then: a write of that process can be in flight.
            return Some(scale);
        }
        Some(times::not_before(times::scale(&scale, &counter.moment()), reached))
    }
}

impl SealedBuffers {
    /// Takes the next buffer that `is_next` wants, by its shard and generation.
    pub(in crate::write) fn take_next(
        &mut self,
        is_next: impl Fn(u32, u64) -> bool,
    ) -> Option<SealedBuffer> {
        let SealedBuffers { pool, indices } = self;
        indices.find_map(|number| SealedBuffer::take(pool, pool.index(number as u32), &is_next))
    }
}

impl SealedBuffer {
    /// Takes a sealed buffer for writing; `None` if it is not sealed (any more), or if `is_next` does not want it.
    pub(super) fn take(
        pool: &Arc<Pool>,
        index: BufferIndex,
        is_next: impl Fn(u32, u64) -> bool,
    ) -> Option<SealedBuffer> {
        // From here on this value is the only owner: of all takers, only one moves the buffer from SEALED to WRITING.
        let (shard, generation) = pool.begin_writing(index, is_next)?;
        let pool = pool.clone();
        Some(SealedBuffer { pool, index, shard, generation, head_len: 0, rest: 0 })
    }

    /// Makes a buffer in a pool of its own, with a copy of the published records of another buffer, and with the same
    /// shard and generation. `None` if the system has no memory for it.
    ///
    /// # Safety
    /// No writer of the buffer with this number may seal it meanwhile, and the flusher must not have taken it:
    /// the word of its shard names it, and the claimant of that shard never continues.
    pub(super) unsafe fn copy_of(
        pool: &Pool,
        number: u32,
        shard: u32,
        generation: u64,
    ) -> Option<SealedBuffer> {
        let copy = Arc::new(Pool::one_like(pool).ok()?);
        let index = copy.take(HEADER)?.activate(shard, generation);
        // SAFETY: the copy has the same capacity, and was just taken from a pool that no other code has; the caller
        // vouches for the rest.
        unsafe {
            copy.buffer(index).copy_published(pool.place(number));
            if pool.counter().is_some() {
                copy.buffer(index).copy_times(pool.place(number));
            }
        }
        copy.seal(index, shard, generation);
        SealedBuffer::take(&copy, index, |_, _| true)
    }

    /// The shard that sealed the buffer.
    pub(in crate::write) fn shard(&self) -> u32 {
        self.shard
    }

    /// The number of buffers that the shard had sealed before this one.
    pub(in crate::write) fn generation(&self) -> u64 {
        self.generation
    }

    fn buffer(&self) -> Buffer<'_> {
        self.pool.buffer(self.index)
    }

    /// The first `data_len` bytes, from the header on.
    pub(in crate::write) fn data(&self, data_len: usize) -> &[u8] {
        self.range(0, data_len)
    }

    fn range(&self, head_len: usize, rest: usize) -> &[u8] {
        let memory = self.pool.memory();
        assert!(head_len <= memory.head_room() && rest <= memory.room_after_header());
        // SAFETY: the range is within the buffer. The buffer is sealed, so no thread writes to it while `self` is
        // borrowed.
        unsafe { self.buffer().slice(head_len, rest) }
    }

    /// Settles how the times of the records are to be read; `None` if they have none. Also a successor of this process will
    /// read them so. `reached` is the last time of the shard's buffer before.
    pub(in crate::write) fn settle(&mut self, reached: i64) -> Option<Scale> {
        let scale = self.scale(reached)?;
        // SAFETY: only the flusher uses the head room of a sealed buffer.
        unsafe { self.buffer().write_scale(&scale) };
        Some(scale)
    }

    /// The column of times, with entries for more records than there are.
    pub(in crate::write) fn column(&self) -> Column<'_> {
        let head = self.range(self.pool.memory().head_room(), 0);
        Column::of(head.get(..head.len().saturating_sub(SCALE_LEN)).unwrap_or_default())
    }

    /// Notes, in memory that outlives the process, that the records before this offset are with their events. `serial`
    /// counts all records that were sorted so far.
    #[inline]
    pub(in crate::write) fn note_sorted(&self, at: usize, serial: u32) {
        if let Some(map) = self.pool.map() {
            map.sorted(self.index.number(), at as u32, serial);
        }
    }

    /// Gives the buffer back to its pool, and wakes a waiting writer.
    pub(in crate::write) fn give_back(self) {
        // SAFETY: `take` made `self` the only owner of the buffer, and `self` ends here.
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
        // SAFETY: only the flusher uses the first word, in every state.
        unsafe { self.buffer().slice_mut(0, VALID_AT) }.copy_from_slice(&capacity.to_le_bytes());
        // SAFETY: the range is within the buffer. The buffer is sealed, so no writer has it.
        unsafe { self.buffer().slice_mut(records_end, data_len - records_end) }.fill(0);
        block::build_table(self.data(data_len), info.valid, table)
    }

    fn record_count(&self) -> u32 {
        let data = self.data(HEADER + self.valid() as usize);
        Records::new(data, HEADER).count() as u32
    }

    fn scale(&self, reached: i64) -> Option<Scale> {
        // SAFETY: the buffer is sealed, so no writer has it.
        unsafe { self.pool.scale_of(self.index, reached) }
    }

    fn write_head(&mut self, len: usize, write: &mut dyn FnMut(&mut [u8])) {
        assert!(len <= self.pool.memory().head_room());
        // SAFETY: the range is within the buffer's head room, which only the flusher uses in a sealed buffer.
        write(unsafe { self.buffer().head_mut(len) });
    }

    fn write_tail(&mut self, data_len: usize, len: usize, write: &mut dyn FnMut(&mut [u8])) {
        let room = self.pool.memory().room_after_header();
        assert!(data_len >= HEADER && data_len <= room && len <= room - data_len);
        // SAFETY: the range is within the buffer and above its header. The buffer is sealed, so no writer has it.
        write(unsafe { self.buffer().slice_mut(data_len, len) });
    }

    fn set_block(&mut self, head_len: usize, rest: usize) {
        (self.head_len, self.rest) = (head_len, rest);
    }

    /// Gives the buffer back to its pool, and wakes a waiting writer.
    fn free(self: Arc<Self>) {
        if let Some(buffer) = Arc::into_inner(self) {
            buffer.give_back();
        }
    }
}

// SAFETY: the bytes are in the pool's region, which lives as long as `self` and does not move with it. The buffer is
// sealed, so its bytes are written through `&mut self` only, and the buffer is given back by value.
unsafe impl StableBytes for SealedBuffer {
    fn piece(&self, number: usize) -> &[u8] {
        if number == 0 { self.range(self.head_len, self.rest) } else { &[] }
    }
}
