//! The end of an event, and of all.

use std::time::Instant;

use super::Worker;
use crate::write::{
    common::Ending,
    events::sorter::Hand,
    swap::{BufferState, HEADER, SealAttempt, Shard},
};

impl Worker {
    /// Ends an event's file, once all of it is written.
    pub(super) fn begin_end(&mut self, number: u32) {
        self.sorter.seal(number);
        if let Some(staged) = self.sorter.get_mut(number) {
            staged.end(Ending::Closing);
            self.sorter.heat(number);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shared.ingest.gate().ending() == Ending::Closed
    }

    /// Whether there is an end to bring about that could go on now.
    pub(super) fn has_ending_to_do(&self) -> bool {
        match self.shared.ingest.gate().ending() {
            Ending::Open | Ending::Closed => false,
            Ending::Closing => self.is_sorted() && self.is_any_open(),
            Ending::Abandoned => !self.is_abandoned || (self.is_sorted() && self.is_any_open()),
        }
    }

    fn is_any_open(&self) -> bool {
        let mut events = self.sorter.all().peekable();
        events.peek().is_none() || events.any(|staged| staged.event().is_open())
    }

    /// Whether every record that was accepted is with its event, and no other can come; once the last handle
    /// is gone, but for the active buffers of shards that are still claimed.
    fn is_sorted(&self) -> bool {
        let shards = self.shared.ingest.shards().iter().zip(&self.generations);
        let is_sorted = |(number, (shard, next)): (usize, (&Shard, &u64))| {
            let (word, shard) = (shard.word(), number as u32);
            let sealed = BufferState::Sealed { shard, generation: word.generation() };
            let is_over = if word.is_open() {
                let is_sealed = |index| self.pool.state(index) == sealed;
                self.is_abandoned && word.is_claimed() && !word.buffer().is_some_and(is_sealed)
            } else {
                true
            };
            is_over && *next >= word.generation()
        };
        self.hand.is_none() && !self.shared.has_orders() && shards.enumerate().all(is_sorted)
    }

    /// Ends all events, and then the manager, if that is asked for.
    pub(super) fn end_if_asked(&mut self) -> bool {
        let ending = self.shared.ingest.gate().ending();
        if ending == Ending::Open || ending == Ending::Closed {
            return false;
        }
        if ending == Ending::Abandoned && !self.is_abandoned {
            self.is_abandoned = true;
            self.sorter.drop_from_now_on();
            return true;
        }
        if self.is_abandoned && !self.is_held_sorted {
            // A claim that was given back since the last look leaves a shard to be closed.
            self.shared.ingest.close_shards(Instant::now());
        }
        if !self.is_sorted() {
            return false;
        }
        let mut busy = false;
        if self.is_abandoned && !self.is_held_sorted {
            self.is_held_sorted = self.sort_held();
            if !self.is_held_sorted {
                return true;
            }
        }
        for number in self.sorter.numbers() {
            let before = self.sorter.get(number).map(|staged| staged.event().log().gate().ending());
            if before.is_none_or(|before| before >= ending) {
                continue;
            }
            self.sorter.seal(number);
            if let Some(staged) = self.sorter.get_mut(number) {
                staged.end(ending);
                self.sorter.heat(number);
                busy = true;
            }
        }
        if self.sorter.is_empty() {
            self.shared.ingest.gate().set_closed(None);
            busy = true;
        }
        busy
    }

    /// The last handle is gone, and each log call borrows one: a claim that is still held is of a call that
    /// never returns, because something outside Rust's rules (a `longjmp`, a coroutine that is never resumed)
    /// left it in the middle. What it has published is sorted from a copy. Its buffer and its shard are
    /// leaked: a coroutine may yet store into them. Whether that is done; if not, something is sorted first.
    fn sort_held(&mut self) -> bool {
        let ingest = self.shared.ingest.clone();
        let shards = ingest.shards().iter().enumerate();
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
            let _ = self.sorter.sort(&mut hand);
        }
        if is_held {
            std::mem::forget((ingest, self.pool.clone()));
        }
        true
    }
}
