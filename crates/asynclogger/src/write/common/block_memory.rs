//! What becomes a block: sealed records in memory, with room for a head before them and a tail behind.

use crate::{
    format::{BlockInfo, ChunkEntry},
    mem::StableBytes,
    sync::Arc,
};

/// The memory of a block, the flusher's alone until it is given back. Its [`StableBytes`] are the block, once
/// [`set_block`](BlockMemory::set_block) has said how long that is.
pub(crate) trait BlockMemory: StableBytes {
    /// Bytes of records in it, length prefixes included.
    fn valid(&self) -> u32;

    /// Makes the data part, whose lengths `info` says, whole: its header, and zeroes behind the records. Fills
    /// the table of its chunks, and returns the count of the records.
    fn finish(&mut self, info: &BlockInfo, table: &mut Vec<ChunkEntry>) -> u32;

    /// Writes the `len` bytes that end where the data part begins.
    fn write_head(&mut self, len: usize, write: &mut dyn FnMut(&mut [u8]));

    /// Writes `len` bytes from `data_len` on, counted from where the data part begins.
    fn write_tail(&mut self, data_len: usize, len: usize, write: &mut dyn FnMut(&mut [u8]));

    /// The block is so many bytes before the data part, and so many from where that begins.
    fn set_block(&mut self, head_len: usize, rest: usize);

    /// Gives the memory back, if nobody else has it.
    fn free(self: Arc<Self>);
}
