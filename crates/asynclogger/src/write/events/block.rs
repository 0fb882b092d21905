//! A block of one event: its records in pieces of the arena, which go to the file as they are.

use super::event::Event;
use crate::{
    format::{BlockInfo, CHUNK, ChunkEntry, Scale, block, checksum::crc32c_append},
    mem::{PiecedBytes, Run},
    sync::Arc,
    write::{common::BlockMemory, swap::HEADER},
};

/// Sealed records of an event on their way to its file.
pub(super) type EventBlock = PiecedBytes<Sealed>;

/// The description of the sealed records of a block.
pub(super) struct Sealed {
    event: Arc<Event>,
    /// The offset of the data part in the body. The room before it is for the head, unless the head is too long.
    data_at: usize,
    valid: u32,
    /// How the times of the records are to be read, if they have times.
    scale: Option<Scale>,
    /// An entry, without checksum, for each chunk in which a record begins.
    table: Vec<ChunkEntry>,
}

/// Makes a block of `event`. `head` has room for the head, if the head is too long for the room in front of `data_at`.
pub(super) fn seal(
    event: Arc<Event>,
    (head, body): (Run, Run),
    data_at: usize,
    valid: u32,
    scale: Option<Scale>,
    table: Vec<ChunkEntry>,
) -> EventBlock {
    PiecedBytes::new(head, body, Sealed { event, data_at, valid, scale, table })
}

impl BlockMemory for EventBlock {
    fn valid(&self) -> u32 {
        self.of.valid
    }

    fn record_count(&self) -> u32 {
        self.of.table.iter().map(|entry| entry.records).sum()
    }

    fn scale(&self, _reached: i64) -> Option<Scale> {
        self.of.scale
    }

    fn finish(&mut self, info: &BlockInfo, table: &mut Vec<ChunkEntry>) -> u32 {
        let Sealed { data_at, valid, table: known, .. } = &self.of;
        let (data_at, data_len) = (*data_at, info.data_len as usize);
        let records_end = HEADER + *valid as usize;
        self.body.put(data_at, &(info.data_len + info.tail_len).to_le_bytes());
        self.body.put(data_at + 4, &valid.to_le_bytes());
        self.body.each(data_at + records_end, data_len - records_end, |padding| padding.fill(0));
        table.clear();
        table.extend_from_slice(known);
        table.resize(block::chunk_count(data_len), ChunkEntry::default());
        for (number, entry) in table.iter_mut().enumerate() {
            let start = number * CHUNK;
            self.body.each(data_at + start, CHUNK.min(data_len - start), |bytes| {
                entry.crc = crc32c_append(entry.crc, bytes);
            });
        }
        table.iter().map(|entry| entry.records).sum()
    }

    fn write_head(&mut self, len: usize, write: &mut dyn FnMut(&mut [u8])) {
        match self.front.bytes() {
            0 => self.body.write(self.of.data_at - len, len, write),
            room => self.front.write(room - len, len, write),
        }
    }

    fn write_tail(&mut self, data_len: usize, len: usize, write: &mut dyn FnMut(&mut [u8])) {
        self.body.write(self.of.data_at + data_len, len, write);
    }

    fn set_block(&mut self, head_len: usize, rest: usize) {
        let data_at = self.of.data_at;
        match self.front.bytes() {
            0 => self.set_range(0, data_at - head_len, data_at + rest),
            _ => self.set_range(head_len, data_at, data_at + rest),
        }
    }

    fn free(self: Arc<Self>) {
        if let Some(mut block) = Arc::into_inner(self) {
            let count = block.give_back();
            block.of.event.release(count);
        }
    }
}
