//! The shared buffers, on their way to the events.

use std::time::Instant;

use super::stuck::Stuck;
use crate::{
    Overflow,
    sync::Arc,
    write::{
        events::{
            crowd::Crowd,
            shared::Shared,
            sorter::{Sorter, Unsorted},
        },
        swap::{HEADER, Shards},
    },
};

/// Shared buffers that are sorted before the files are looked after again.
const SORTED_AT_ONCE: usize = 4;

/// Which shared buffer is sorted, and which is the next of each shard.
///
/// A shard's buffers are sorted in the order in which it sealed them, or a thread's records would change places.
/// The buffers' states are scanned for the next one: a queue of sealed buffers would have another order.
pub(super) struct Sorting {
    shards: Arc<Shards>,
    /// Of each shard, the generation that is sorted next.
    generations: Vec<u64>,
    hand: Option<Unsorted>,
    crowd: Crowd,
}

impl Sorting {
    pub(super) fn new(shared: &Shared) -> Sorting {
        let shards = shared.shards.clone();
        Sorting {
            generations: vec![0; shards.len()],
            hand: None,
            crowd: Crowd::new(shared.config.overflow == Overflow::Drop),
            shards,
        }
    }

    /// Of each shard, the generation that is sorted next.
    pub(super) fn generations(&self) -> impl Iterator<Item = u64> {
        self.generations.iter().copied()
    }

    /// Sorts sealed buffers, each shard's in their order; whether there was anything to sort.
    pub(super) fn sort(&mut self, sorter: &mut Sorter, stuck: &mut Stuck) -> bool {
        let mut busy = false;
        for _ in 0..SORTED_AT_ONCE {
            if self.hand.is_none() {
                self.hand = self.next_sealed();
                let pool = self.shards.pool();
                if let Some(hand) = &self.hand
                    && self.crowd.is_dense(|| pool.free_count(), pool.len())
                {
                    sorter.hold_loudest(hand, &mut self.crowd);
                }
            }
            let Some(hand) = &mut self.hand else {
                stuck.is_over();
                break;
            };
            let before = hand.at;
            let is_sorted = sorter.sort(hand);
            busy |= is_sorted || hand.at > before;
            if !is_sorted {
                // It waits for a device.
                stuck.waits(hand.at > before);
                break;
            }
            stuck.is_over();
            if let Some(Unsorted { buffer, .. }) = self.hand.take() {
                self.generations[buffer.shard() as usize] += 1;
                buffer.give_back();
            }
        }
        let pool = self.shards.pool();
        self.crowd.ease(|| pool.free_count(), pool.len());
        busy
    }

    fn next_sealed(&self) -> Option<Unsorted> {
        let is_next = |shard, generation| self.is_next(shard, generation);
        let buffer = self.shards.pool().sealed().take_next(is_next)?;
        Some(Unsorted { buffer, at: HEADER })
    }

    fn is_next(&self, shard: u32, generation: u64) -> bool {
        self.generations[shard as usize] == generation
    }

    /// Whether callers have a buffer that they write to.
    pub(super) fn has_active(&self) -> bool {
        self.shards.pool().has_active()
    }

    /// Whether there is something to sort.
    pub(super) fn has_sealed(&self) -> bool {
        let is_next = |shard, generation| self.is_next(shard, generation);
        self.hand.is_none() && self.shards.pool().has_sealed(is_next)
    }

    /// Whether every record that was accepted is with its event, and no other can come; once the last handle
    /// is gone, but for what claims hold that are still there.
    pub(super) fn is_over(&self, is_abandoned: bool) -> bool {
        let is_sorted = |(number, next): (usize, &u64)| {
            let is_held = || is_abandoned && self.shards.is_claimed(number);
            (self.shards.is_closed(number) || is_held()) && *next >= self.shards.generation(number)
        };
        self.hand.is_none()
            && !self.has_sealed()
            && self.generations.iter().enumerate().all(is_sorted)
    }

    /// Closes what a claim kept open that was given back since the last look.
    pub(super) fn close_shards(&self) {
        self.shards.close(Instant::now());
    }

    /// The last handle is gone, and each log call borrows one: a claim that is still held is of a call that
    /// never returns, because something outside Rust's rules (a `longjmp`, a coroutine that is never resumed)
    /// left it in the middle. What it has published is sorted from a copy.
    pub(super) fn sort_held(&mut self, sorter: &mut Sorter) {
        for held in self.shards.copy_held() {
            if let Some(buffer) = held.copy {
                // Once: there is nobody to wait for.
                let _ = sorter.sort(&mut Unsorted { buffer, at: HEADER });
            }
        }
    }
}
