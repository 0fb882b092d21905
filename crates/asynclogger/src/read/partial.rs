//! Blocks with records that could not be read. The same block may come again in the next segment.

use std::{collections::BTreeMap, ops::Range};

use crate::format::BlockInfo;

/// The most blocks. Beyond this number the oldest block is forgotten; if it comes again it counts as read,
/// because no record may be delivered twice.
const MAX_BLOCKS: usize = 1024;

/// Records by their numbers, as ranges.
pub(super) type Numbers = Vec<Range<u64>>;

/// The records of a block that were delivered.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivered {
    pub(super) numbers: Numbers,
    /// Bytes of these records.
    pub(super) payload: u64,
}

/// The relation of a block to the blocks that were read before, in all segments.
#[derive(Debug)]
pub(super) enum Copy {
    /// The block was not read before.
    First,
    /// The block was read in part: all its records except these may still be delivered.
    Again(Delivered),
    /// The block was read before.
    Read,
}

/// The blocks, by session and sequence.
#[derive(Clone, Debug, Default)]
pub(super) struct Partial(BTreeMap<(u64, u64), Block>);

#[derive(Clone, Debug)]
struct Block {
    /// Shard, number of the first record, count of records. A block that differs in one of them is not a
    /// copy.
    identity: (u32, u64, u32),
    delivered: Delivered,
}

fn identity(info: &BlockInfo) -> (u32, u64, u32) {
    (info.shard, info.first_record, info.records)
}

impl Partial {
    /// Notes the records that were read of a block that is not whole.
    pub(super) fn insert(&mut self, session: u64, info: &BlockInfo, fresh: Delivered) {
        let identity = identity(info);
        let fresh_block = Block { identity, delivered: Delivered::default() };
        let block = self.0.entry((session, info.sequence)).or_insert(fresh_block);
        block.delivered.numbers.extend(fresh.numbers);
        block.delivered.payload = block.delivered.payload.saturating_add(fresh.payload);
        if self.0.len() > MAX_BLOCKS {
            self.0.pop_first();
        }
    }

    /// Takes out a block that comes again, and returns its delivered records.
    pub(super) fn take(&mut self, session: u64, info: &BlockInfo) -> Option<Delivered> {
        let key = (session, info.sequence);
        let is_copy = self.0.get(&key).is_some_and(|block| block.identity == identity(info));
        let block = if is_copy { self.0.remove(&key) } else { None };
        block.map(|block| block.delivered)
    }
}
