//! Blocks of which not all records could be read: the same block may come again in the next segment.

use std::{collections::BTreeMap, ops::Range};

use crate::format::BlockInfo;

/// Beyond this many the oldest is forgotten: what comes again of it counts as read, for nothing may be
/// delivered twice.
const MAX_BLOCKS: usize = 1024;

/// Records by their numbers, as ranges.
pub(super) type Numbers = Vec<Range<u64>>;

/// What a block is to those that read several segments.
#[derive(Debug)]
pub(super) enum Copy {
    /// Nothing of it was read before.
    First,
    /// All but these of its records may still be delivered.
    Again(Numbers),
    /// It was read before.
    Read,
}

/// The blocks, by session and sequence.
#[derive(Clone, Debug, Default)]
pub(super) struct Partial(BTreeMap<(u64, u64), Block>);

#[derive(Clone, Debug)]
struct Block {
    /// Shard, number of the first record, count of records: another block is no copy.
    identity: (u32, u64, u32),
    delivered: Numbers,
}

fn identity(info: &BlockInfo) -> (u32, u64, u32) {
    (info.shard, info.first_record, info.records)
}

impl Partial {
    /// Notes what was read of a block that is not whole.
    pub(super) fn insert(&mut self, session: u64, info: &BlockInfo, fresh: Numbers) {
        let identity = identity(info);
        let fresh_block = Block { identity, delivered: Numbers::new() };
        let block = self.0.entry((session, info.sequence)).or_insert(fresh_block);
        block.delivered.extend(fresh);
        if self.0.len() > MAX_BLOCKS {
            self.0.pop_first();
        }
    }

    /// Takes out a block that comes again; what was delivered of it.
    pub(super) fn take(&mut self, session: u64, info: &BlockInfo) -> Option<Numbers> {
        let key = (session, info.sequence);
        let is_copy = self.0.get(&key).is_some_and(|block| block.identity == identity(info));
        let block = if is_copy { self.0.remove(&key) } else { None };
        block.map(|block| block.delivered)
    }
}
