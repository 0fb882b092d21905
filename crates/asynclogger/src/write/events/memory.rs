//! How the memory of a manager is shared out, and how much of it is in use for events.

use super::head::Shape;
use crate::{
    Config, Error, Rotation,
    format::{RECORD_HEADER, SHARD_HEADER, block, column::times_upto},
    mem::Arena,
    sync::Arc,
    write::{crash::CrashMap, swap::Elastic},
};

/// The number of the event in front of each record in the shared buffers.
pub(super) const TAG: usize = 4;

const PAGE: usize = 4096;
/// The unit in which memory for events is handed out. An event with few records wastes half a piece on average, and a
/// large block has many pieces.
const PIECE: usize = 32 << 10;
/// The least number of pieces, if memory suffices for one page each.
const FEW: usize = 4096;
/// The length from which on a block is written, however much memory is free: a longer block does not make the device
/// faster, and the next block of the event is gathered meanwhile.
const MOST: usize = 4 << 20;
/// The length from which on a block is written if no other block of the event is on its way.
const MUCH: usize = 1 << 20;

/// How the budget, `2 x buffer_size`, is shared out. An eighth is for the buffers that callers write to, which are
/// emptied at the speed of memory. The rest is for records that are gathered for events or on their way to the files:
/// the more memory these have, the larger are the blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// The number of shared buffers.
    pub(crate) buffers: usize,
    /// The bytes of header and records for which each buffer has room.
    pub(crate) capacity: usize,
    pub(crate) elastic: Elastic,
    /// The bytes for gathered records and blocks in flight.
    events: usize,
    /// The shape of the blocks, and the length of the pieces of that memory.
    shape: Shape,
    /// The most of that memory that one event can have.
    quota: usize,
    /// The length from which on a block is written.
    most: usize,
    /// The longest block of an event, in bytes of header and records. Only a single longer record makes a longer one.
    longest: usize,
}

impl Shares {
    /// The shares for a validated config, and for files of this alignment.
    pub(crate) fn of(config: &Config, align: usize) -> Shares {
        // Four for each shard: swaps are cheap here, since the flusher empties a buffer at the speed of memory.
        let buffers = 4 * config.num_shards;
        let capacity = config.shard_capacity() + TAG;
        let ingest = config.buffer_size / 4;
        let is_kept = config.crash_safe.is_some();
        // Memory in a map is allocated for good, so no buffer has room that it rarely needs; then there are more of them.
        let ingest = if is_kept { 2 * ingest } else { ingest };
        let capacity = if is_kept {
            (ingest / buffers / PAGE * PAGE).clamp(4 * PAGE, capacity)
        } else {
            capacity
        };
        // A quarter of that is for records that are longer than such a buffer; at least one of them has to find
        // room at all times.
        let limit = (ingest / 4 * 3 / buffers).clamp(4 * PAGE, capacity.max(4 * PAGE));
        let limit = if is_kept { capacity } else { limit };
        let beyond = (ingest / 4).max(capacity);
        let share = (2 * config.buffer_size / FEW).next_power_of_two();
        // A block has whole pieces, and a few pieces already fill a small file.
        let in_file = config.rotation.room_for_blocks(align);
        let piece = share.clamp(PAGE, PIECE).min((in_file / 8).max(PAGE)).max(align);
        // A power of two.
        let piece = 1 << piece.ilog2();
        // The longest record, and the block around it, has room at all times.
        let data = block::data_len(config.shard_capacity());
        let is_timed = config.timestamps.is_on();
        let (head, tail) = if is_timed {
            (block::timed_head_len(data, 1, align), block::timed_tail_len(data, align))
        } else {
            (block::head_len(data, align), block::tail_len(data, align))
        };
        let around = 2 * head + tail + 2 * piece;
        let events = (2 * config.buffer_size - ingest).max(data + around).next_multiple_of(piece);
        let quota = config.event_quota.unwrap_or(events / 3).max(data + around);
        let longest = config.shard_capacity().max(MOST.min(events / 8));
        // The head with the times is apart from the other pieces, which are used up to their end.
        let pieces = in_file / piece - usize::from(is_timed && in_file > piece);
        let longest = Rotation::block_limit_in(pieces * piece, longest, align, is_timed);
        let most_times = if is_timed { times_upto(longest) as u32 } else { 0 };
        let most = MOST.min(events / 8).min(longest);
        Shares {
            buffers,
            capacity,
            elastic: Elastic { limit, beyond, keep: limit },
            events,
            shape: Shape { align, piece, most_times },
            quota,
            most,
            longest,
        }
    }

    /// The number and the length of the pieces of memory for events.
    pub(super) fn pieces(&self) -> (usize, usize) {
        (self.events / self.shape.piece, self.shape.piece)
    }

    /// The number of pieces that the opening of a crash-safe manager allocates: the longest record finds room in them.
    pub(super) fn first_pieces(&self) -> usize {
        let (heads, bodies) = self.shape.pieces_of(SHARD_HEADER + self.capacity, 1);
        (heads + bodies).min(self.events / self.shape.piece)
    }

    /// The longest record in the shared buffers, its tag included.
    pub(crate) fn max_record(&self) -> usize {
        self.capacity - SHARD_HEADER - RECORD_HEADER
    }
}

/// The memory for events, in pieces.
pub(super) struct Memory {
    arena: Arc<Arena>,
    shape: Shape,
    /// Pieces with records that are not sealed.
    gathered: usize,
    quota: usize,
    longest: usize,
    most: usize,
    /// The number of bytes that were sorted so far. This is the clock for the age of gathered records.
    sorted: u64,
    /// Whether a record waits for memory.
    wanted: bool,
}

impl Memory {
    /// The memory for events: in a map, if the manager is crash-safe.
    ///
    /// # Errors
    /// If the address space or the memory limit does not allow it.
    pub(super) fn new(shares: &Shares, map: Option<&Arc<CrashMap>>) -> Result<Memory, Error> {
        let arena = match map {
            Some(map) => map.arena(shares.first_pieces() as u32),
            None => Arena::new(shares.events, shares.shape.piece)?,
        };
        let Shares { quota, shape, most, longest, .. } = *shares;
        let quota = quota / shape.piece;
        Ok(Memory { arena, shape, gathered: 0, quota, longest, most, sorted: 0, wanted: false })
    }

    pub(super) fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// The shape of the blocks of a file of this alignment.
    pub(super) fn shape(&self, align: usize) -> Shape {
        Shape { align, ..self.shape }
    }

    /// Counts more sorted bytes.
    pub(super) fn tick(&mut self, bytes: usize) {
        self.sorted += bytes as u64;
    }

    /// The time: the number of bytes that were sorted so far.
    pub(super) fn now(&self) -> u64 {
        self.sorted
    }

    /// Counts pieces that gathered records have taken.
    pub(super) fn gathered(&mut self, pieces: usize) {
        self.gathered += pieces;
    }

    /// Counts off pieces whose records are sealed, and so are no longer gathered.
    pub(super) fn sealed(&mut self, pieces: usize) {
        self.gathered -= pieces;
    }

    /// Whether any records are gathered.
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

    /// Whether a record of `len` bytes will have room once all sealed blocks are written.
    pub(super) fn will_have_room(&self, len: usize, align: usize) -> bool {
        let (heads, bodies) = self.shape(align).pieces_of(RECORD_HEADER + len, 1);
        self.gathered + heads + bodies <= self.arena.count()
    }

    /// Whether so many records are gathered that some of them have to be written: the rest of the memory is for blocks
    /// in
    /// flight.
    pub(super) fn is_full(&self) -> bool {
        self.gathered > self.arena.count() * 7 / 8
    }

    /// Whether enough gathered records were sealed.
    pub(super) fn is_eased(&self) -> bool {
        self.gathered <= self.arena.count() * 27 / 32
    }

    /// Whether an event with this number of pieces has used up its quota.
    pub(super) fn is_over_quota(&self, pieces: usize) -> bool {
        pieces >= self.quota
    }

    /// Whether an event with this number of pieces can take records again.
    pub(super) fn is_within_quota(&self, pieces: usize) -> bool {
        pieces <= self.quota * 3 / 4
    }

    /// Whether a block of this length is written even if memory is free. `only` says that no other block of the event
    /// is
    /// on its way.
    pub(super) fn is_much(&self, bytes: usize, only: bool) -> bool {
        bytes >= if only { self.most.min(MUCH) } else { self.most }
    }

    /// The longest block that is gathered.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamps;

    #[test]
    fn the_longest_record_fits_and_the_budget_is_kept() {
        let sizes = [(64 << 20, 8), (64 << 10, 1), (1 << 20, 16), (1 << 30, 1)];
        let times = [Timestamps::Off, Timestamps::On];
        for ((buffer_size, shards), times) in
            sizes.iter().flat_map(|size| times.map(|it| (*size, it)))
        {
            let config = Config::new("x").buffer_size(buffer_size).num_shards(shards);
            let config = config.timestamps(times);
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
