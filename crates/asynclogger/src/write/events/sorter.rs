//! From the shared buffers to the events.

use std::time::Instant;

use super::{
    by_number::ByNumber,
    crowd::Crowd,
    event::{Hold, Unplaced},
    gathered::{Gathered, NoMemory},
    memory::{Memory, TAG},
    shared::Shared,
    staged::Staged,
};
use crate::{
    Overflow,
    format::RECORD_HEADER,
    sync::{Arc, Ordering},
    write::{
        common::{BlockMemory, Ending},
        swap::{HEADER, SealedBuffer},
    },
};

/// So many records ahead, the memory that one goes to is fetched.
const AHEAD: usize = 12;

/// A shared buffer whose records are being sorted.
pub(super) struct Unsorted {
    pub(super) buffer: SealedBuffer,
    /// Where the next record begins, counted from the header.
    pub(super) at: usize,
}

/// The records of a shared buffer, with their events' numbers.
#[derive(Clone)]
struct Tagged<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Tagged<'a> {
    /// From `at` on, which is where one begins.
    fn all(data: &'a [u8], at: usize) -> Tagged<'a> {
        Tagged { data, at }
    }
}

impl<'a> Iterator for Tagged<'a> {
    type Item = (u32, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(u32, &'a [u8])> {
        // What does not fit was written over by somebody who has no right to this memory.
        let (prefix, rest) = self.data.get(self.at..)?.split_at_checked(RECORD_HEADER)?;
        let len = u32::from_le_bytes(prefix.try_into().ok()?) as usize;
        let (tag, record) = rest.get(..len)?.split_at_checked(TAG)?;
        self.at += RECORD_HEADER + len;
        Some((u32::from_le_bytes(tag.try_into().ok()?), record))
    }
}

/// An event: what is gathered for it, and its log's writer.
struct Sorted {
    gathered: Gathered,
    staged: Box<Staged>,
}

/// Puts the records of the shared buffers to their events, and decides which events are written when memory is short.
///
/// Callers log to buffers that all events share, so that a thousand events need no thousand buffers. What makes that
/// work is that a shared buffer comes back at the speed of memory: its records are copied to the last piece of memory
/// of their events, and no device is waited for. A record that finds no piece stops the sorting, since the records of
/// a thread must not change places; so the pieces have to last, and one event must not have them all. The quota holds
/// an event that has too many; the cost of what is gathered, length times age, says who is written when few are left.
pub(super) struct Sorter {
    shared: Arc<Shared>,
    slots: ByNumber<Sorted>,
    /// Numbers of those with something to do.
    pub(super) hot: Vec<u32>,
    pub(super) memory: Memory,
    /// Of each shared shard, how many of its records are sorted.
    sorted: Vec<u64>,
    /// Whether what finds no room is dropped.
    drops: bool,
    /// Whether memory is not waited for.
    gives_up: bool,
}

/// What became of a record.
#[derive(PartialEq, Eq)]
enum Placed {
    Done,
    /// It is dropped, and counted.
    Out,
    /// It has to wait for a device.
    Not,
}

impl Sorter {
    pub(super) fn new(shared: Arc<Shared>, memory: Memory) -> Sorter {
        let drops = shared.config.overflow == Overflow::Drop;
        let sorted = vec![0; shared.shards.len()];
        Sorter {
            shared,
            slots: ByNumber::default(),
            hot: Vec::new(),
            memory,
            sorted,
            drops,
            gives_up: false,
        }
    }

    /// Takes over events that were opened; whether there were any.
    pub(super) fn adopt(&mut self) -> bool {
        let new = self.shared.orders.take_new();
        let any = !new.is_empty();
        for (event, writer) in new {
            let number = event.number();
            let gathered = Gathered::new(writer.align());
            let staged = Box::new(Staged::new(event, writer));
            self.slots.insert(number, Sorted { gathered, staged });
        }
        any
    }

    /// The numbers of all events, in the order of their opening.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = self.slots.keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Staged> {
        Some(&self.slots.get(&number)?.staged)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Staged> {
        Some(&mut self.slots.get_mut(&number)?.staged)
    }

    pub(super) fn with_memory(&mut self, number: u32) -> Option<(&mut Staged, &Memory)> {
        let Sorter { slots, memory, .. } = self;
        Some((&mut slots.get_mut(&number)?.staged, memory))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Staged> {
        self.slots.values().map(|slot| &*slot.staged)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Staged> {
        self.slots.values_mut().map(|slot| &mut *slot.staged)
    }

    /// Forgets an event; what was gathered and sealed for it is given up.
    pub(super) fn remove(&mut self, number: u32) -> Option<Box<Staged>> {
        let Sorted { gathered, staged } = self.slots.remove(&number)?;
        self.memory.sealed(gathered.pieces());
        Some(staged)
    }

    /// Whether records are gathered for it.
    pub(super) fn has_gathered(&self, number: u32) -> bool {
        self.slots.get(&number).is_some_and(|slot| !slot.gathered.is_empty())
    }

    /// It has something to do.
    pub(super) fn heat(&mut self, number: u32) {
        if let Some(staged) = self.get_mut(number)
            && !std::mem::replace(&mut staged.is_hot, true)
        {
            self.hot.push(number);
        }
    }

    /// An event takes no more records.
    pub(super) fn end(&mut self, number: u32, ending: Ending) {
        if let Some(Sorted { staged, .. }) = self.slots.get_mut(&number) {
            staged.end(ending, &self.sorted);
            self.heat(number);
        }
    }

    /// From now on what finds no room is dropped, whatever the policy: nobody is there who could wait.
    pub(super) fn drop_from_now_on(&mut self) {
        self.drops = true;
    }

    /// From now on what finds no memory is dropped, too: nothing that is written gives any back.
    pub(super) fn give_up(&mut self) {
        self.gives_up = true;
    }

    /// The interval is over for what is gathered.
    pub(super) fn expire_all(&mut self, now: Instant) {
        for number in self.numbers() {
            if self.has_gathered(number)
                && let Some(staged) = self.get_mut(number)
            {
                staged.writer.expire(now);
                self.seal(number);
            }
        }
    }

    /// Has the logs count all that is gathered.
    pub(super) fn count(&mut self) {
        for slot in self.slots.values_mut() {
            slot.staged.count(&slot.gathered);
        }
    }

    /// Has the event with the most of a buffer take nothing for now, if that is much of it.
    pub(super) fn hold_loudest(&self, hand: &Unsorted, crowd: &mut Crowd) {
        let data = hand.buffer.data(HEADER + hand.buffer.valid() as usize);
        let records = Tagged::all(data, hand.at).map(|(number, record)| (number, record.len()));
        let loudest = crowd.loudest(records, |number| self.slots.contains_key(&number));
        if let Some(staged) = loudest.and_then(|number| self.get(number)) {
            crowd.hold(staged.event());
        }
    }

    /// Sorts the records of a buffer; whether all of them.
    pub(super) fn sort(&mut self, hand: &mut Unsorted) -> bool {
        let end = HEADER + hand.buffer.valid() as usize;
        let data = hand.buffer.data(end);
        let (begun_at, shard) = (hand.at, hand.buffer.shard() as usize);
        let mut ahead = Tagged::all(data, begun_at);
        for _ in 0..AHEAD {
            self.prefetch(ahead.next());
        }
        let mut is_sorted = true;
        let mut records = Tagged::all(data, begun_at);
        while let Some((number, record)) = records.next() {
            self.prefetch(ahead.next());
            match self.place(number, record) {
                Placed::Done => {}
                Placed::Out => self.sort_out(shard),
                Placed::Not => {
                    is_sorted = false;
                    break;
                }
            }
            self.sorted[shard] += 1;
            hand.at = records.at;
        }
        self.memory.tick(hand.at - begun_at);
        is_sorted
    }

    /// Has the memory ready for a record that comes soon: the events' ends are all over the place.
    #[inline]
    fn prefetch(&self, record: Option<(u32, &[u8])>) {
        if let Some((number, record)) = record
            && let Some(Sorted { gathered, .. }) = self.slots.get(&number)
        {
            gathered.prefetch(record.len());
        }
    }

    #[inline]
    fn place(&mut self, number: u32, record: &[u8]) -> Placed {
        if let Some(Sorted { gathered, .. }) = self.slots.get_mut(&number)
            && gathered.add(record)
        {
            return Placed::Done;
        }
        self.place_with_more(number, record)
    }

    /// It takes more memory, or a block is long enough; or there is no such event.
    #[cold]
    fn place_with_more(&mut self, number: u32, record: &[u8]) -> Placed {
        let Sorter { slots, memory, .. } = self;
        let Some(Sorted { gathered, staged }) = slots.get_mut(&number) else {
            return self.place_unknown(number, record);
        };
        let event = staged.event();
        if staged.is_ending() {
            // Its last records are on their way.
            return self.closed();
        }
        let is_only = event.pieces() == gathered.pieces();
        let is_long = memory.is_much(gathered.filled(), is_only)
            || gathered.filled() + RECORD_HEADER + record.len() > memory.longest();
        if is_long && !gathered.is_empty() {
            staged.seal(gathered, memory);
            self.heat(number);
            return self.place_with_more(number, record);
        }
        if memory.is_over_quota(event.pieces()) {
            // Its callers wait, or drop, from now on; nobody else has to.
            event.hold(Hold::Quota);
            if self.drops {
                staged.count_drop();
                self.heat(number);
                return Placed::Out;
            }
        }
        match gathered.add_with(record, memory.arena(), memory.now()) {
            Ok(pieces) => {
                event.take(pieces);
                memory.gathered(pieces);
                memory.set_wanted(false);
                if memory.is_full() {
                    self.seal_some();
                }
                Placed::Done
            }
            Err(NoMemory) => self.no_memory(number, record.len()),
        }
    }

    /// The event was opened a moment ago; or it is closed.
    #[cold]
    fn place_unknown(&mut self, number: u32, record: &[u8]) -> Placed {
        if self.adopt() { self.place(number, record) } else { self.closed() }
    }

    fn closed(&self) -> Placed {
        Unplaced::count(&self.shared.unplaced.closed);
        Placed::Out
    }

    /// All memory is in use: callers wait, or drop, as their buffers fill.
    #[cold]
    fn no_memory(&mut self, number: u32, len: usize) -> Placed {
        if self.gives_up {
            if let Some(staged) = self.get(number) {
                staged.count_drop();
            }
            return Placed::Out;
        }
        self.memory.set_wanted(true);
        let align = self.get(number).map_or(0, |staged| staged.writer.align());
        // What is sealed comes back. Is that enough for a record as long as this one?
        if !self.memory.will_have_room(len, align) {
            self.seal_all();
        }
        Placed::Not
    }

    /// The next record of a shard is dropped.
    #[cold]
    fn sort_out(&self, shard: usize) {
        self.shared.unplaced.sorted_out.fetch_add(1, Ordering::Relaxed);
        self.shared.sorted_out.add(shard, self.sorted[shard]);
    }

    /// Of each shared shard, how many of its records are sorted.
    pub(super) fn sorted(&self) -> &[u64] {
        &self.sorted
    }

    /// Seals until enough is: of all blocks those that have cost the most, in memory and time. If an event's
    /// records come at a rate, and its block is sealed at a length, then the number of blocks of all, for the
    /// memory that there is, is smallest if the lengths are as the square roots of the rates; which is so if
    /// each is sealed when its length times its age is the same.
    #[cold]
    fn seal_some(&mut self) {
        let now = self.memory.now();
        let gathered = self.slots.iter().filter(|(_, slot)| !slot.gathered.is_empty());
        let cost = |(number, Sorted { gathered, .. }): (&u32, &Sorted)| {
            let age = now - gathered.began() + 1;
            (u128::from(age) * gathered.filled() as u128, *number)
        };
        let mut all: Vec<_> = gathered.map(cost).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        for (_, number) in all {
            if self.memory.is_eased() {
                break;
            }
            self.seal(number);
        }
    }

    fn seal_all(&mut self) {
        for number in self.numbers() {
            self.seal(number);
        }
    }

    /// Has what is gathered for an event written.
    pub(super) fn seal(&mut self, number: u32) {
        let Sorter { slots, memory, .. } = self;
        if let Some(Sorted { gathered, staged }) = slots.get_mut(&number)
            && !gathered.is_empty()
        {
            staged.seal(gathered, memory);
            self.heat(number);
        }
    }
}
