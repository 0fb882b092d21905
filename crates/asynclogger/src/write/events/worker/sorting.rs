//! The shared buffers, on their way to the events.

use std::time::Instant;

use super::stuck::Stuck;
use crate::{
    Overflow,
    sync::Arc,
    write::{
        common::BlockMemory,
        events::{
            crowd::Crowd,
            shared::Shared,
            sorter::{Hand, Sorter},
        },
        swap::{BufferState, HEADER, Log, Pool, SealAttempt, Shard},
    },
};

/// Shared buffers that are sorted before the files are looked after again.
const SORTED_AT_ONCE: usize = 4;

/// Which shared buffer is sorted, and which is the next of each shard.
///
/// A shard's buffers are sorted in the order in which it sealed them, or a thread's records would change places.
/// The buffers' states are scanned for the next one: a queue of sealed buffers would have another order.
pub(super) struct Sorting {
    ingest: Arc<Log>,
    pool: Arc<Pool>,
    /// Of each shard, the generation that is sorted next.
    generations: Vec<u64>,
    hand: Option<Hand>,
    crowd: Crowd,
}

impl Sorting {
    pub(super) fn new(shared: &Shared) -> Sorting {
        let ingest = shared.ingest.clone();
        Sorting {
            pool: ingest.pool().clone(),
            generations: vec![0; ingest.shards().len()],
            hand: None,
            crowd: Crowd::new(shared.config.overflow == Overflow::Drop),
            ingest,
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
                if let Some(hand) = &self.hand
                    && self.crowd.is_dense(|| self.pool.free_count(), self.pool.len())
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
            if let Some(Hand { mut buffer, shard, .. }) = self.hand.take() {
                self.generations[shard as usize] += 1;
                buffer.free();
            }
        }
        self.crowd.ease(|| self.pool.free_count(), self.pool.len());
        busy
    }

    fn next_sealed(&self) -> Option<Hand> {
        (0..self.pool.len() as u32).find_map(|index| {
            let BufferState::Sealed { shard, generation } = self.pool.state(index) else {
                return None;
            };
            if self.generations[shard as usize] != generation {
                return None;
            }
            let buffer = self.pool.take_sealed(index)?;
            Some(Hand { buffer, shard, at: HEADER })
        })
    }

    /// Whether callers have a buffer that they write to.
    pub(super) fn has_active(&self) -> bool {
        let is_active = |index: u32| matches!(self.pool.state(index), BufferState::Active { .. });
        (0..self.pool.len() as u32).any(is_active)
    }

    /// Whether there is something to sort, or, if `is_idle`, anything that has to be sorted some day.
    pub(super) fn has_news(&self, is_idle: bool) -> bool {
        let mut states = (0..self.pool.len() as u32).map(|index| self.pool.state(index));
        states.any(|state| match state {
            BufferState::Sealed { shard, generation } => {
                self.hand.is_none() && self.generations[shard as usize] == generation
            }
            BufferState::Active { .. } => is_idle,
            _ => false,
        })
    }

    /// Whether every record that was accepted is with its event, and no other can come; once the last handle
    /// is gone, but for the active buffers of shards that are still claimed.
    pub(super) fn is_over(&self, is_abandoned: bool) -> bool {
        let shards = self.ingest.shards().iter().zip(&self.generations);
        let is_sorted = |(number, (shard, next)): (usize, (&Shard, &u64))| {
            let (word, shard) = (shard.word(), number as u32);
            let sealed = BufferState::Sealed { shard, generation: word.generation() };
            let is_over = if word.is_open() {
                let is_sealed = |index| self.pool.state(index) == sealed;
                is_abandoned && word.is_claimed() && !word.buffer().is_some_and(is_sealed)
            } else {
                true
            };
            is_over && *next >= word.generation()
        };
        self.hand.is_none() && shards.enumerate().all(is_sorted)
    }

    /// A claim that was given back since the last look leaves a shard to be closed.
    pub(super) fn close_shards(&self) {
        self.ingest.close_shards(Instant::now());
    }

    /// The last handle is gone, and each log call borrows one: a claim that is still held is of a call that
    /// never returns, because something outside Rust's rules (a `longjmp`, a coroutine that is never resumed)
    /// left it in the middle. What it has published is sorted from a copy. Its buffer and its shard are
    /// leaked: a coroutine may yet store into them. Whether that is done; if not, something is sorted first.
    pub(super) fn sort_held(&mut self, sorter: &mut Sorter) -> bool {
        let shards = self.ingest.shards().iter().enumerate();
        let held = shards.filter(|(_, shard)| shard.word().is_open());
        let mut copies = Vec::new();
        let mut is_held = false;
        for (number, shard) in held {
            if shard.seal_and_close(&self.pool, number as u32) != SealAttempt::Claimed {
                // It was given back meanwhile, and its buffer is sealed now.
                return false;
            }
            is_held = true;
            // Of a call that was left between sealing its buffer and the end of its claim, the word still
            // names the buffer, which has been sorted, and may be another shard's by now.
            let word = shard.word();
            let active =
                BufferState::Active { shard: number as u32, generation: word.generation() };
            let buffer = word.buffer().filter(|index| self.pool.state(*index) == active);
            let copy = buffer.and_then(|index| self.pool.copy_published(index));
            copies.extend(copy.map(|buffer| Hand { buffer, shard: number as u32, at: HEADER }));
        }
        for mut hand in copies {
            // Once: there is nobody to wait for.
            let _ = sorter.sort(&mut hand);
        }
        if is_held {
            std::mem::forget((self.ingest.clone(), self.pool.clone()));
        }
        true
    }
}
