//! How the memory of a manager is shared out, and what of it is in use.

use crate::{
    Config,
    format::{RECORD_HEADER, SHARD_HEADER},
    write::pool::Elastic,
};

/// The number of the event in front of each record in the shared buffers.
pub(super) const TAG: usize = 4;

const PAGE: usize = 4096;
/// Beside its records a staged buffer has a head and a tail, and its last pages are not full.
const OVERHEAD: usize = 3 * PAGE;
/// From here on memory is taken in larger steps.
const LARGE: usize = 64 << 10;
const LARGE_STEP: usize = 128 << 10;

/// How the budget, `2 x buffer_size`, is shared out: a quarter of it for the buffers that callers write to,
/// which are emptied at the speed of memory; the rest for what is staged for events or on its way to their
/// files, since the more there is of that, the larger are the blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Count of the shared buffers.
    pub(crate) buffers: usize,
    /// Bytes of header and records that each has room for.
    pub(crate) capacity: usize,
    pub(crate) elastic: Elastic,
    /// Bytes of what is staged and in flight.
    pub(crate) staging: usize,
    /// The most that one event may have of it.
    pub(crate) quota: usize,
}

impl Shares {
    /// Of a validated config.
    pub(crate) fn of(config: &Config) -> Shares {
        // Four for each shard: swaps are cheap here, since the flusher empties a buffer at the speed of memory.
        let buffers = 4 * config.num_shards;
        let capacity = config.shard_capacity() + TAG;
        let ingest = config.buffer_size / 2;
        let staging = 2 * config.buffer_size - ingest;
        // A quarter of the quarter is for records that are longer than such a buffer; one of them at least has
        // to find room at all times.
        let limit = (ingest / 4 * 3 / buffers).clamp(4 * PAGE, capacity.max(4 * PAGE));
        let beyond = (ingest / 4).max(capacity);
        let quota = config.event_quota.unwrap_or(staging / 3).max(capacity);
        Shares {
            buffers,
            capacity,
            elastic: Elastic { limit, beyond, keep: limit },
            staging,
            quota,
        }
    }

    /// The longest record in the shared buffers, its tag included.
    pub(crate) fn max_record(&self) -> usize {
        self.capacity - SHARD_HEADER - RECORD_HEADER
    }
}

/// Memory of a staged buffer with so many bytes of header and records.
pub(super) fn cost(filled: usize) -> usize {
    let step = if filled < LARGE { PAGE } else { LARGE_STEP };
    filled.next_multiple_of(step) + OVERHEAD
}

/// Up to which fill a buffer of this cost needs no more.
pub(super) fn room(cost: usize) -> usize {
    cost - OVERHEAD
}

/// What is in use of the staging share, by what is counted: pages that were touched.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: usize,
    /// Of that, in buffers that still take records.
    active: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Budget {
        Budget { limit, used: 0, active: 0 }
    }

    /// An active buffer has grown.
    pub(super) fn grow(&mut self, bytes: usize) {
        self.used += bytes;
        self.active += bytes;
    }

    /// An active buffer of this cost was sealed.
    pub(super) fn seal(&mut self, cost: usize) {
        self.active -= cost;
    }

    /// A sealed buffer of this cost is free.
    pub(super) fn free(&mut self, cost: usize) {
        self.used -= cost;
    }

    /// Whether anything is staged that is not sealed.
    pub(super) fn has_staged(&self) -> bool {
        self.active > 0
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.used >= self.limit
    }

    /// Whether so much is staged that the largest are to be written: the rest is for what is in flight.
    pub(super) fn is_full(&self) -> bool {
        self.active > self.limit / 4 * 3
    }

    /// Whether enough of it was sealed.
    pub(super) fn is_eased(&self) -> bool {
        self.active <= self.limit / 16 * 11
    }

    /// From this fill on a buffer is written, however much room there is: a device has no use for more, and
    /// the next block of the event is gathered meanwhile.
    pub(super) fn seal_at(&self) -> usize {
        (self.limit / 8).clamp(LARGE, 4 << 20)
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
            let shares = Shares::of(&config);
            assert_eq!(shares.max_record(), config.max_record() + TAG);
            assert!(shares.elastic.limit <= shares.capacity);
            assert!(shares.elastic.beyond >= shares.capacity);
            if shards > 1 {
                let all = shares.buffers * shares.elastic.limit + shares.elastic.beyond;
                assert!(
                    all <= (buffer_size / 2 + shares.capacity).max(shares.buffers * (64 << 10)),
                    "{shares:?}"
                );
            }
        }
    }

    #[test]
    fn the_cost_of_a_buffer_covers_its_fill() {
        for filled in (0..1 << 20).step_by(1_000) {
            assert!(room(cost(filled)) >= filled);
            assert!(cost(filled) <= filled + OVERHEAD + LARGE_STEP);
        }
    }
}
