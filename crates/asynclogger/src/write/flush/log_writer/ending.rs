//! The end of a log: everything written, or given up.

use std::time::Instant;

use super::{GIVE_UP_AFTER, Hand, HeldCopy, LogWriter};
use crate::{
    Error, ErrorKind,
    sync::Arc,
    write::{common::Ending, swap::SealAttempt},
};

impl LogWriter {
    /// Ends the file once every shard is closed and all their buffers are on their way.
    pub(super) fn try_to_end(&mut self) -> bool {
        if let Some(goal) = self.ended {
            if self.outbox.durable() < goal || !self.outbox.is_quiet() {
                return false;
            }
            self.end();
            return true;
        }
        // Of a claim that is not given back, a copy is written, whatever comes after it.
        let held_at = |number: usize| self.held.iter().find(|(held, _)| *held == number);
        let drained = self.hand.is_none()
            && self.outbox.has_room()
            && self.copies.as_ref().is_none_or(Vec::is_empty)
            && self.log.shards().iter().zip(&self.tracks).enumerate().all(
                |(number, (shard, track))| {
                    if let Some((_, generation)) = held_at(number) {
                        return track.next_generation >= *generation;
                    }
                    let word = shard.word();
                    !word.is_open() && track.next_generation >= word.generation()
                },
            );
        if !drained {
            return false;
        }
        // 0, unless somebody wrote over the lengths in a buffer's memory.
        self.log.progress().lost.set(self.log.accepted().saturating_sub(self.records));
        if self.put_end(true) {
            self.ended = Some(self.outbox.next());
        }
        true
    }

    pub(super) fn end(&mut self) {
        self.outbox.tidy_up();
        self.ending = Ending::Closed;
        self.log.gate().set_closed(self.outbox.doubt().cloned());
    }

    /// The last handle is gone: nobody can hold a borrow any more, so a claim that is still held is a
    /// thread's that will not return. What is published is copied out and written, each thing is tried
    /// once, and what the device does not take is counted as lost.
    pub(super) fn abandon(&mut self) -> bool {
        let mut busy = false;
        if self.copies.is_none() {
            self.copies = Some(self.copy_held());
            self.outbox.hurry(Instant::now());
            busy = true;
        }
        if self.hand.is_none()
            && self.outbox.has_room()
            && let Some(copies) = &mut self.copies
        {
            let tracks = &self.tracks;
            let next = |(_, shard, generation): &HeldCopy| {
                tracks[*shard as usize].next_generation == *generation
            };
            if let Some(at) = copies.iter().position(next) {
                let (memory, shard, generation) = copies.swap_remove(at);
                self.hand = Some(Hand { memory, shard, generation, taken: Instant::now() });
                self.write_hand();
                busy = true;
            }
        }
        busy |= self.try_to_end();
        if !self.is_closed() && self.log.progress().waiting() > GIVE_UP_AFTER {
            self.give_up();
            busy = true;
        }
        busy
    }

    pub(super) fn copy_held(&mut self) -> Vec<HeldCopy> {
        let pool = self.log.pool().clone();
        let mut copies: Vec<HeldCopy> = Vec::new();
        for (number, shard) in self.log.shards().iter().enumerate() {
            let number = number as u32;
            if shard.seal_and_close(&pool, number) == SealAttempt::Claimed {
                let word = shard.word();
                self.held.push((number as usize, word.generation()));
                if let Some(copy) = word.buffer().and_then(|index| pool.copy_published(index)) {
                    copies.push((Arc::new(copy), number, word.generation()));
                }
            }
        }
        if !self.held.is_empty() {
            // The stopped thread may yet store into these.
            std::mem::forget((self.log.clone(), pool));
        }
        copies
    }

    /// Ends the log though not everything is written: what is not is lost.
    pub(super) fn give_up(&mut self) {
        if self.is_closed() {
            return;
        }
        let lost = self.log.accepted().saturating_sub(self.log.progress().written.get());
        self.log.progress().lost.set(lost);
        let what = format!("the logger was dropped; {lost} records could not be written");
        self.tell(&Error::new(ErrorKind::Io, what).at_path(self.outbox.segment().path()));
        self.ending = Ending::Closed;
        self.log.gate().set_closed(None);
    }
}
