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
        swap::{SealedBuffer, Shards},
    },
};

/// The number of shared buffers that are sorted before the files have their turn again.
const SORTED_AT_ONCE: usize = 4;

/// The shared buffer that is being sorted, and the next one of each shard.
///
/// A shard's buffers are sorted in the order in which it sealed them, or a thread's records would change places.
/// The buffers' states are scanned for the next one: a queue of sealed buffers would have another order.
pub(super) struct Sorting {
    shards: Arc<Shards>,
    /// For each shard the generation that is sorted next.
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

    /// For each shard the generation that is sorted next.
    pub(super) fn generations(&self) -> impl Iterator<Item = u64> {
        self.generations.iter().copied()
    }

    /// Sorts sealed buffers, those of a shard in their order. Returns whether any was sorted.
    pub(super) fn sort(&mut self, sorter: &mut Sorter, stuck: &mut Stuck) -> bool {
        let mut busy = false;
        for _ in 0..SORTED_AT_ONCE {
            if self.hand.is_none() {
                self.hand = self.next_sealed().map(|buffer| sorter.take_up(buffer));
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
                // The next record waits for a device.
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

    fn next_sealed(&self) -> Option<SealedBuffer> {
        let is_next = |shard, generation| self.is_next(shard, generation);
        self.shards.pool().sealed().take_next(is_next)
    }

    fn is_next(&self, shard: u32, generation: u64) -> bool {
        self.generations[shard as usize] == generation
    }

    /// Whether a shard has an active buffer.
    pub(super) fn has_active(&self) -> bool {
        self.shards.pool().has_active()
    }

    /// Whether a buffer waits to be sorted.
    pub(super) fn has_sealed(&self) -> bool {
        let is_next = |shard, generation| self.is_next(shard, generation);
        self.hand.is_none() && self.shards.pool().has_sealed(is_next)
    }

    /// Whether every accepted record is with its event, and no other can come. Once the last handle is gone, shards
    /// whose claims are still held do not count.
    pub(super) fn is_over(&self, is_abandoned: bool) -> bool {
        let is_sorted = |(number, next): (usize, &u64)| {
            let is_held = || is_abandoned && self.shards.is_claimed(number);
            (self.shards.is_closed(number) || is_held()) && *next >= self.shards.generation(number)
        };
        self.hand.is_none()
            && !self.has_sealed()
            && self.generations.iter().enumerate().all(is_sorted)
    }

    /// Closes shards whose claims ended since the last look.
    pub(super) fn close_shards(&self) {
        self.shards.close(Instant::now());
    }

    /// Sorts the records of calls that never return, after the last handle is gone. Each log call borrows a handle, so
    /// a claim that is still held belongs to a call that something outside Rust's rules (a `longjmp`, a coroutine that
    /// is never resumed) left in the middle. Its published records are sorted from a copy.
    pub(super) fn sort_held(&mut self, sorter: &mut Sorter) {
        for mut held in self.shards.copy_held() {
            if let Some(buffer) = held.copy.take() {
                // Sorted once: no caller is left to wait for.
                let mut unsorted = sorter.take_up(buffer);
                let _ = sorter.sort(&mut unsorted);
                self.shards.forget_copied(&held);
            }
        }
    }
}
