//! From the shared buffers to the logs of the events.

use std::time::Instant;

use super::{
    budget::{Budget, TAG},
    event::Unplaced,
    shared::Shared,
    staged::Staged,
};
use crate::{
    Overflow,
    format::RECORD_HEADER,
    sync::{Arc, Ordering},
    write::buffer::{HEADER, SealedBuffer},
};

/// A shared buffer whose records are being sorted.
pub(super) struct Hand {
    pub(super) buffer: SealedBuffer,
    pub(super) shard: u32,
    /// Where the next record begins, counted from the header.
    pub(super) at: usize,
}

/// All events that are open, by number, and their memory.
pub(super) struct Sorter {
    shared: Arc<Shared>,
    pub(super) events: Vec<Option<Box<Staged>>>,
    /// Numbers of those with something to do.
    pub(super) hot: Vec<u32>,
    pub(super) budget: Budget,
    quota: usize,
    /// Whether what finds no room is dropped.
    drops: bool,
}

/// What became of a record.
enum Placed {
    Done,
    /// It has to wait for a device.
    Not,
}

impl Sorter {
    pub(super) fn new(shared: Arc<Shared>, staging: usize, quota: usize) -> Sorter {
        let drops = shared.config.overflow == Overflow::Drop;
        let budget = Budget::new(staging);
        Sorter { shared, events: Vec::new(), hot: Vec::new(), budget, quota, drops }
    }

    /// Takes over events that were opened; how many, by whether their files are open.
    pub(super) fn adopt(&mut self) -> bool {
        let new = self.shared.take_new();
        let any = !new.is_empty();
        for (event, writer) in new {
            let number = event.number() as usize;
            if self.events.len() <= number {
                self.events.resize_with(number + 1, || None);
            }
            self.events[number] = Some(Box::new(Staged::new(event, writer, self.quota)));
        }
        any
    }

    pub(super) fn get(&mut self, number: u32) -> Option<&mut Staged> {
        self.events.get_mut(number as usize)?.as_deref_mut()
    }

    /// It has something to do.
    pub(super) fn heat(&mut self, number: u32) {
        if let Some(staged) = self.events.get_mut(number as usize).and_then(Option::as_deref_mut)
            && !std::mem::replace(&mut staged.is_hot, true)
        {
            self.hot.push(number);
        }
    }

    /// From now on what finds no room is dropped, whatever the policy: nobody is there who could wait.
    pub(super) fn drop_from_now_on(&mut self) {
        self.drops = true;
    }

    /// Sorts the records of a buffer; whether all of them.
    pub(super) fn sort(&mut self, hand: &mut Hand) -> bool {
        let end = HEADER + hand.buffer.valid() as usize;
        let number_at = |data: &[u8], at: usize| {
            data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
        };
        while hand.at < end {
            let data = hand.buffer.data(end);
            // What is not there was written over by somebody who has no right to this memory.
            let Some(len) = number_at(data, hand.at).map(|len| len as usize) else { break };
            let record = hand.at + RECORD_HEADER;
            let (Some(number), Some(bytes)) =
                (number_at(data, record), data.get(record + TAG..record + len))
            else {
                break;
            };
            if let Placed::Not = self.place(number, bytes) {
                return false;
            }
            hand.at = record + len;
        }
        true
    }

    #[inline]
    fn place(&mut self, number: u32, record: &[u8]) -> Placed {
        if self.budget.is_full() {
            self.seal_largest();
        }
        if self.budget.is_used_up() {
            return self.no_room(None);
        }
        let Sorter { events, budget, .. } = self;
        let Some(staged) = events.get_mut(number as usize).and_then(Option::as_deref_mut) else {
            return self.place_unknown(number, record);
        };
        match staged.append(record, budget) {
            Ok(was_sealed) => {
                let is_large = staged.filled() >= budget.seal_at();
                if is_large {
                    staged.seal(budget);
                }
                if is_large || was_sealed {
                    self.heat(number);
                }
                Placed::Done
            }
            Err(_) => self.place_again(number, record),
        }
    }

    /// The event was opened a moment ago; or it is closed.
    #[cold]
    fn place_unknown(&mut self, number: u32, record: &[u8]) -> Placed {
        if self.adopt() {
            return self.place(number, record);
        }
        self.sort_out();
        Unplaced::count(&self.shared.unplaced.closed);
        Placed::Done
    }

    /// The event has no room. It may only not have been looked after.
    #[cold]
    fn place_again(&mut self, number: u32, record: &[u8]) -> Placed {
        self.heat(number);
        let Sorter { events, budget, .. } = self;
        let Some(staged) = events.get_mut(number as usize).and_then(Option::as_deref_mut) else {
            return Placed::Done;
        };
        if !staged.event().log().shards()[0].word().is_open() {
            // Closed, and its last records are on their way.
            self.sort_out();
            Unplaced::count(&self.shared.unplaced.closed);
            return Placed::Done;
        }
        if staged.retry_at.is_none()
            && !staged.writer.is_suspended()
            && staged.pump(Instant::now(), budget).is_ok_and(|busy| busy)
            && staged.append(record, budget).is_ok()
        {
            return Placed::Done;
        }
        self.no_room(Some(number))
    }

    /// Of an event whose own share is used up, the record is dropped if the policy says so: others must not
    /// wait for it. Otherwise the callers are those who wait, and drop: their buffers fill.
    fn no_room(&mut self, number: Option<u32>) -> Placed {
        let Some(number) = number.filter(|_| self.drops) else {
            return Placed::Not;
        };
        if let Some(staged) = self.get(number) {
            staged.count_drop();
        }
        self.sort_out();
        Placed::Done
    }

    fn sort_out(&self) {
        self.shared.unplaced.sorted_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Has the events with the most staged bytes written: large blocks, and the small ones go on growing.
    #[cold]
    fn seal_largest(&mut self) {
        let filled = |(number, staged): (usize, &Option<Box<Staged>>)| {
            let filled = staged.as_ref().map_or(0, |staged| staged.filled());
            (filled > 0).then_some((filled, number as u32))
        };
        let mut all: Vec<_> = self.events.iter().enumerate().filter_map(filled).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        for (_, number) in all {
            if self.budget.is_eased() {
                break;
            }
            self.seal(number);
        }
    }

    /// Has what is staged for an event written.
    pub(super) fn seal(&mut self, number: u32) {
        let Sorter { events, budget, .. } = self;
        if let Some(staged) = events.get_mut(number as usize).and_then(Option::as_deref_mut) {
            staged.seal(budget);
            self.heat(number);
        }
    }
}
