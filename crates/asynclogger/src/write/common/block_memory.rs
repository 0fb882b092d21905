//! The memory of a block: sealed records, with room for a head before them and a tail behind.

use crate::{
    format::{BlockInfo, ChunkEntry, Scale},
    mem::StableBytes,
    sync::Arc,
};

/// The memory of a block. It belongs to the flusher alone until it is given back. Its [`StableBytes`] are the block,
/// once [`set_block`](BlockMemory::set_block) has set the block's length.
pub(crate) trait BlockMemory: StableBytes {
    /// Bytes of records in the memory, length prefixes included.
    fn valid(&self) -> u32;

    /// The number of records in the memory. They are counted one by one.
    fn record_count(&self) -> u32;

    /// The scale of the column of times, as far as it is known before the column is read; `None` if the records have no
    /// times. The column stands in front of the scale, at the end of the head. `reached` is the last time of the shard's
    /// block before: a scale that follows from readings of the clocks is moved so that it does not go back by an error of
    /// these. Once the scale stands in the head, it does not change any more.
    fn scale(&self, reached: i64) -> Option<Scale>;

    /// Completes the data part, whose lengths are in `info`: its header, and zeroes behind the records. Fills the table
    /// of its chunks, and returns the number of records.
    fn finish(&mut self, info: &BlockInfo, table: &mut Vec<ChunkEntry>) -> u32;

    /// Writes the last `len` bytes before the data part.
    fn write_head(&mut self, len: usize, write: &mut dyn FnMut(&mut [u8]));

    /// Writes `len` bytes from `data_len` on, counted from the start of the data part.
    fn write_tail(&mut self, data_len: usize, len: usize, write: &mut dyn FnMut(&mut [u8]));

    /// Sets the block: the last `head_len` bytes before the data part, and `rest` bytes from its start on.
    fn set_block(&mut self, head_len: usize, rest: usize);

    /// Gives the memory back, if this is the last reference to the memory.
    fn free(self: Arc<Self>);
}
