//! How the memory of a manager is shared out, and what is in use of that for events.

use super::gathered::pieces_of;
use crate::{
    Config, Error, Rotation,
    format::{RECORD_HEADER, SHARD_HEADER, block},
    mem::Arena,
    sync::Arc,
    write::swap::Elastic,
};

/// The number of the event in front of each record in the shared buffers.
pub(super) const TAG: usize = 4;

const PAGE: usize = 4096;
/// What memory for events is handed out in: events with few records lose half of it each, and large blocks
/// have many of them.
const PIECE: usize = 32 << 10;
/// There are at least so many pieces, if that is possible with one page each.
const FEW: usize = 4096;
/// From this length on a block is written, however much room there is: a device has no use for more, and the
/// next one of the event is gathered meanwhile.
const MOST: usize = 4 << 20;
/// From this length on, if nothing of the event is on its way.
const MUCH: usize = 1 << 20;

/// How the budget, `2 x buffer_size`, is shared out: an eighth of it for the buffers that callers write to,
/// which are emptied at the speed of memory; the rest for what is gathered for events or on its way to their
/// files, since the more there is of that, the larger are the blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Count of the shared buffers.
    pub(crate) buffers: usize,
    /// Bytes of header and records that each has room for.
    pub(crate) capacity: usize,
    pub(crate) elastic: Elastic,
    /// Bytes of what is gathered and in flight.
    events: usize,
    /// Of each piece of that.
    piece: usize,
    /// The most that one event may have of it.
    quota: usize,
    /// From so many bytes on a block is written.
    most: usize,
    /// The longest block of an event, in bytes of header and records, but for one with a longer record.
    longest: usize,
}

impl Shares {
    /// Of a validated config, for files of this alignment.
    pub(crate) fn of(config: &Config, align: usize) -> Shares {
        // Four for each shard: swaps are cheap here, since the flusher empties a buffer at the speed of memory.
        let buffers = 4 * config.num_shards;
        let capacity = config.shard_capacity() + TAG;
        let ingest = config.buffer_size / 4;
        // A quarter of that is for records that are longer than such a buffer; one of them at least has to find
        // room at all times.
        let limit = (ingest / 4 * 3 / buffers).clamp(4 * PAGE, capacity.max(4 * PAGE));
        let beyond = (ingest / 4).max(capacity);
        let share = (2 * config.buffer_size / FEW).next_power_of_two();
        // A block is of whole pieces, some of which make a small file.
        let in_file = config.rotation.room_for_blocks(align);
        let piece = share.clamp(PAGE, PIECE).min((in_file / 8).max(PAGE)).max(align);
        // A power of two.
        let piece = 1 << piece.ilog2();
        // The longest record, and what goes round it, has room at all times.
        let data = block::data_len(config.shard_capacity());
        let around = 2 * block::head_len(data, align) + block::tail_len(data, align) + 2 * piece;
        let events = (2 * config.buffer_size - ingest).max(data + around).next_multiple_of(piece);
        let quota = config.event_quota.unwrap_or(events / 3).max(data + around);
        let longest = config.shard_capacity().max(MOST.min(events / 8));
        let longest = Rotation::block_limit_in(in_file / piece * piece, longest, align);
        let most = MOST.min(events / 8).min(longest);
        Shares {
            buffers,
            capacity,
            elastic: Elastic { limit, beyond, keep: limit },
            events,
            piece,
            quota,
            most,
            longest,
        }
    }

    /// The longest record in the shared buffers, its tag included.
    pub(crate) fn max_record(&self) -> usize {
        self.capacity - SHARD_HEADER - RECORD_HEADER
    }
}

/// The memory that is for events, in pieces.
pub(super) struct Memory {
    arena: Arc<Arena>,
    total: usize,
    /// Pieces with records that are not sealed.
    gathered: usize,
    quota: usize,
    longest: usize,
    most: usize,
    /// Bytes that were sorted so far: the clock by which the age of what is gathered is measured.
    sorted: u64,
    /// A record waits for memory.
    wanted: bool,
}

impl Memory {
    /// # Errors
    /// If the address space or the memory limit does not allow it.
    pub(super) fn new(shares: &Shares) -> Result<Memory, Error> {
        let arena = Arena::new(shares.events, shares.piece)?;
        let total = arena.left();
        let Shares { quota, piece, most, longest, .. } = *shares;
        let quota = quota / piece;
        Ok(Memory { arena, total, gathered: 0, quota, longest, most, sorted: 0, wanted: false })
    }

    pub(super) fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// So many bytes more were sorted.
    pub(super) fn tick(&mut self, bytes: usize) {
        self.sorted += bytes as u64;
    }

    /// Bytes that were sorted so far.
    pub(super) fn now(&self) -> u64 {
        self.sorted
    }

    /// Records that are gathered have so many pieces more.
    pub(super) fn gathered(&mut self, pieces: usize) {
        self.gathered += pieces;
    }

    /// What had so many pieces is not gathered any more.
    pub(super) fn sealed(&mut self, pieces: usize) {
        self.gathered -= pieces;
    }

    /// Whether anything is gathered.
    pub(super) fn has_gathered(&self) -> bool {
        self.gathered > 0
    }

    /// Whether a record waits for memory.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    pub(super) fn set_wanted(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    /// Whether a record of so many bytes has room once all that is sealed is written.
    pub(super) fn will_have_room(&self, len: usize, align: usize) -> bool {
        let (heads, bodies) = pieces_of(RECORD_HEADER + len, align, self.arena.piece_len());
        self.gathered + heads + bodies <= self.total
    }

    /// Whether so much is gathered that some of it is to be written: the rest is for what is in flight.
    pub(super) fn is_full(&self) -> bool {
        self.gathered > self.total * 7 / 8
    }

    /// Whether enough of it was sealed.
    pub(super) fn is_eased(&self) -> bool {
        self.gathered <= self.total * 27 / 32
    }

    /// Whether so many pieces are all that one event may have.
    pub(super) fn is_over_quota(&self, pieces: usize) -> bool {
        pieces >= self.quota
    }

    /// Whether so many are few enough for an event to take records again.
    pub(super) fn is_within_quota(&self, pieces: usize) -> bool {
        pieces <= self.quota * 3 / 4
    }

    /// Whether so many bytes are written, whatever else there is; `only`: nothing of the event is on its way.
    pub(super) fn is_much(&self, bytes: usize, only: bool) -> bool {
        bytes >= if only { self.most.min(MUCH) } else { self.most }
    }

    /// No block becomes longer.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_record_fits_and_the_budget_is_kept() {
        for (buffer_size, shards) in [(64 << 20, 8), (64 << 10, 1), (1 << 20, 16), (1 << 30, 1)] {
            let config = Config::new("x").buffer_size(buffer_size).num_shards(shards);
            let config = config.validate().expect("valid");
            let shares = Shares::of(&config, 4096);
            assert_eq!(shares.max_record(), config.max_record() + TAG);
            assert!(shares.elastic.limit <= shares.capacity);
            assert!(shares.elastic.beyond >= shares.capacity);
            assert!(shares.longest >= config.shard_capacity());
            if shards > 1 {
                let all = shares.buffers * shares.elastic.limit + shares.elastic.beyond;
                assert!(
                    all <= (buffer_size / 2 + shares.capacity).max(shares.buffers * (64 << 10)),
                    "{shares:?}"
                );
                assert!(shares.events <= buffer_size / 4 * 7, "{shares:?}");
            }
        }
    }
}
