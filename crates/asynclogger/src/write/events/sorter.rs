//! Sorts records from the shared buffers to their events.

use std::time::Instant;

use super::{
    by_number::ByNumber,
    crowd::Crowd,
    event::{Hold, Unplaced},
    gathered::{Gathered, NoMemory},
    memory::{Memory, TAG},
    orders::NewEvents,
    shared::Shared,
    staged::Staged,
};
use crate::{
    Overflow,
    format::{Column, RECORD_HEADER, Scale},
    sync::{Arc, Ordering},
    write::{
        common::{BlockMemory, Ending, When},
        swap::{HEADER, SealedBuffer},
    },
};

/// How many records ahead of its copy the memory for a record is fetched.
const AHEAD: usize = 12;

/// A shared buffer whose records are being sorted.
pub(super) struct Unsorted {
    pub(super) buffer: SealedBuffer,
    /// The offset of the next record, counted from the header, and its index.
    pub(super) at: usize,
    index: usize,
    /// How the times of the records are to be read, if they have times.
    scale: Option<Scale>,
}

impl Unsorted {
    /// The time of a record, by its index.
    #[inline]
    fn when(&self, column: &Column<'_>, index: usize) -> When {
        let of = |scale: &Scale| When::of(scale, column.entry(index).unwrap_or(0));
        self.scale.as_ref().map(of).unwrap_or_default()
    }
}

/// The records of a shared buffer, with their events' numbers.
#[derive(Clone)]
struct Tagged<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Tagged<'a> {
    /// All records from `at` on, which is the offset of a record.
    fn all(data: &'a [u8], at: usize) -> Tagged<'a> {
        Tagged { data, at }
    }
}

impl<'a> Iterator for Tagged<'a> {
    type Item = (u32, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(u32, &'a [u8])> {
        // A length that does not fit means that foreign code wrote over this memory.
        let (prefix, rest) = self.data.get(self.at..)?.split_at_checked(RECORD_HEADER)?;
        let len = u32::from_le_bytes(prefix.try_into().ok()?) as usize;
        let (tag, record) = rest.get(..len)?.split_at_checked(TAG)?;
        self.at += RECORD_HEADER + len;
        Some((u32::from_le_bytes(tag.try_into().ok()?), record))
    }
}

/// An event with its gathered records and the writer of its log.
struct Sorted {
    gathered: Gathered,
    staged: Box<Staged>,
}

/// Copies the records of the shared buffers to their events, and decides which events are written when memory is short.
///
/// A set of buffers for each event would need the memory of a thousand loggers for a thousand events, most of it idle.
/// So callers log to buffers that all events share. Such a buffer must come back at the speed of memory, or a single
/// slow file would stop all callers: so the sorter copies each record to the last piece of memory of its event, and
/// waits for no device. A record that finds no free piece stops the sorting, because the sorter must not change the
/// order of a thread's records. So the pieces have to last, and no event may have all of them: a quota holds an event
/// that has too many pieces, and when few pieces are left, the sorter seals the blocks that cost the most (length times
/// age).
pub(super) struct Sorter {
    shared: Arc<Shared>,
    slots: ByNumber<Sorted>,
    /// The numbers of the events that have something to do.
    pub(super) hot: Vec<u32>,
    pub(super) memory: Memory,
    /// For each shared shard the number of its records that are sorted.
    sorted: Vec<u64>,
    /// For each shared shard the last time of its records that are sorted.
    reached: Vec<i64>,
    /// The number of records that were sorted so far; wraps.
    serial: u32,
    /// Whether a record is dropped that finds no room within its quota.
    drops: bool,
    /// Whether a record is dropped that finds no memory, instead of waiting.
    gives_up: bool,
}

/// The result of placing a record.
#[derive(PartialEq, Eq)]
enum Placed {
    Done,
    /// The record is dropped, and counted.
    Out,
    /// The record has to wait for a device.
    Not,
}

impl Sorter {
    pub(super) fn new(shared: Arc<Shared>, memory: Memory) -> Sorter {
        let drops = shared.config.overflow == Overflow::Drop;
        let sorted = vec![0; shared.shards.len()];
        let reached = vec![i64::MIN; sorted.len()];
        Sorter {
            shared,
            slots: ByNumber::default(),
            hot: Vec::new(),
            memory,
            sorted,
            reached,
            serial: 0,
            drops,
            gives_up: false,
        }
    }

    /// Takes over new events. Returns whether any event was new.
    pub(super) fn adopt(&mut self) -> bool {
        let NewEvents { all, unsynced } = self.shared.orders.take_new();
        let any = !all.is_empty();
        // One sync for all events that were opened since the last round, and none in the callers that opened them. No
        // block of theirs is written before, so what is durable has a name that is.
        if let Some(error) = unsynced.and_then(|directory| directory.sync().err()) {
            self.shared.tell(&error);
        }
        for (event, writer) in all {
            let number = event.number();
            let shape = self.memory.shape(writer.align());
            let gathered = Gathered::new(shape, event.place().cloned());
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

    /// Forgets an event, and gives up the records that were gathered and sealed for it.
    pub(super) fn remove(&mut self, number: u32) -> Option<Box<Staged>> {
        let Sorted { gathered, staged } = self.slots.remove(&number)?;
        self.memory.sealed(gathered.pieces());
        Some(staged)
    }

    /// Whether records are gathered for an event.
    pub(super) fn has_gathered(&self, number: u32) -> bool {
        self.slots.get(&number).is_some_and(|slot| !slot.gathered.is_empty())
    }

    /// Notes that an event has something to do.
    pub(super) fn heat(&mut self, number: u32) {
        if let Some(staged) = self.get_mut(number)
            && !std::mem::replace(&mut staged.is_hot, true)
        {
            self.hot.push(number);
        }
    }

    /// Ends an event: from now on it takes no more records.
    pub(super) fn end(&mut self, number: u32, ending: Ending) {
        if let Some(Sorted { staged, .. }) = self.slots.get_mut(&number) {
            staged.end(ending, &self.sorted);
            self.heat(number);
        }
    }

    /// From now on drops a record that finds no room, whatever the policy: no caller is left who could wait.
    pub(super) fn drop_from_now_on(&mut self) {
        self.drops = true;
    }

    /// From now on drops a record that finds no memory, too: no write will free any.
    pub(super) fn give_up(&mut self) {
        self.gives_up = true;
    }

    /// Ends the interval of all gathered records: seals them, and lets their logs begin a pass.
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

    /// Makes the logs count all gathered records.
    pub(super) fn count(&mut self) {
        for slot in self.slots.values_mut() {
            slot.staged.count(&slot.gathered);
        }
    }

    /// Holds the event that has the most bytes of a buffer, if its share is large.
    pub(super) fn hold_loudest(&self, hand: &Unsorted, crowd: &mut Crowd) {
        let data = hand.buffer.data(HEADER + hand.buffer.valid() as usize);
        let records = Tagged::all(data, hand.at).map(|(number, record)| (number, record.len()));
        let loudest = crowd.loudest(records, |number| self.slots.contains_key(&number));
        if let Some(staged) = loudest.and_then(|number| self.get(number)) {
            crowd.hold(staged.event());
        }
    }

    /// Takes up a buffer.
    pub(super) fn take_up(&self, mut buffer: SealedBuffer) -> Unsorted {
        let scale = buffer.settle(self.reached[buffer.shard() as usize]);
        Unsorted { buffer, at: HEADER, index: 0, scale }
    }

    /// Sorts the records of a buffer. Returns whether all of them are sorted.
    pub(super) fn sort(&mut self, hand: &mut Unsorted) -> bool {
        let end = HEADER + hand.buffer.valid() as usize;
        let data = hand.buffer.data(end);
        let column = hand.buffer.column();
        let (begun_at, shard) = (hand.at, hand.buffer.shard() as usize);
        let mut ahead = Tagged::all(data, begun_at);
        for _ in 0..AHEAD {
            self.prefetch(ahead.next());
        }
        // The records of a buffer that was never begun are all unsorted, whatever the number of the first one.
        hand.buffer.note_sorted(hand.at, self.serial);
        let mut is_sorted = true;
        let mut records = Tagged::all(data, begun_at);
        while let Some((number, record)) = records.next() {
            self.prefetch(ahead.next());
            let when = hand.when(&column, hand.index);
            match self.place(number, record, when) {
                Placed::Done => {}
                Placed::Out => self.sort_out(shard),
                Placed::Not => {
                    is_sorted = false;
                    break;
                }
            }
            self.sorted[shard] += 1;
            self.serial = self.serial.wrapping_add(1);
            self.reached[shard] = when.wall();
            (hand.at, hand.index) = (records.at, hand.index + 1);
            hand.buffer.note_sorted(hand.at, self.serial);
        }
        self.memory.tick(hand.at - begun_at);
        is_sorted
    }

    /// Fetches the memory for a later record: the places where events append are far apart.
    #[inline]
    fn prefetch(&self, record: Option<(u32, &[u8])>) {
        if let Some((number, record)) = record
            && let Some(Sorted { gathered, .. }) = self.slots.get(&number)
        {
            gathered.prefetch(record.len());
        }
    }

    #[inline]
    fn place(&mut self, number: u32, record: &[u8], when: When) -> Placed {
        if let Some(Sorted { gathered, .. }) = self.slots.get_mut(&number)
            && gathered.add(record, when, self.serial.wrapping_add(1))
        {
            return Placed::Done;
        }
        self.place_with_more(number, record, when)
    }

    /// Places a record that needs more memory, or that comes after a block of full length, or whose event is unknown.
    #[cold]
    fn place_with_more(&mut self, number: u32, record: &[u8], when: When) -> Placed {
        let Sorter { slots, memory, .. } = self;
        let Some(Sorted { gathered, staged }) = slots.get_mut(&number) else {
            return self.place_unknown(number, record, when);
        };
        let event = staged.event();
        if staged.is_ending() {
            // The last records of this event are already on their way.
            return self.closed();
        }
        let is_only = event.pieces() == gathered.pieces();
        let is_long = memory.is_much(gathered.filled(), is_only)
            || gathered.filled() + RECORD_HEADER + record.len() > memory.longest()
            || !gathered.takes(when);
        if is_long && !gathered.is_empty() {
            staged.seal(gathered, memory);
            self.heat(number);
            return self.place_with_more(number, record, when);
        }
        if memory.is_over_quota(event.pieces()) {
            // From now on only the callers of this event wait, or drop.
            event.hold(Hold::Quota);
            if self.drops {
                staged.count_drop();
                self.heat(number);
                return Placed::Out;
            }
        }
        let serial = self.serial.wrapping_add(1);
        match gathered.add_with(record, when, serial, (memory.arena(), memory.now())) {
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

    /// Places a record of an event that was opened a moment ago, or that is closed.
    #[cold]
    fn place_unknown(&mut self, number: u32, record: &[u8], when: When) -> Placed {
        if self.adopt() { self.place(number, record, when) } else { self.closed() }
    }

    fn closed(&self) -> Placed {
        Unplaced::count(&self.shared.unplaced.closed);
        Placed::Out
    }

    /// Handles a record when all memory is in use: callers wait, or drop, when their buffers are full.
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
        // The memory of sealed blocks comes back. If that is too little for this record, more has to be sealed.
        if !self.memory.will_have_room(len, align) {
            self.seal_all();
        }
        Placed::Not
    }

    /// Notes that the next record of a shard is dropped.
    #[cold]
    fn sort_out(&self, shard: usize) {
        self.shared.unplaced.sorted_out.fetch_add(1, Ordering::Relaxed);
        self.shared.sorted_out.add(shard, self.sorted[shard]);
    }

    /// For each shared shard the number of its records that are sorted.
    pub(super) fn sorted(&self) -> &[u64] {
        &self.sorted
    }

    /// Seals the blocks that have cost the most, in memory and time, until memory is no longer short. The aim is few
    /// blocks in all: each event has a rate of records and a length at which its block is sealed, and for a given
    /// memory the number of blocks is smallest if the lengths are proportional to the square roots of the rates. That
    /// is so if each block is sealed at the same value of its length times its age.
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

    /// Seals the gathered records of an event, so that they are written.
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
