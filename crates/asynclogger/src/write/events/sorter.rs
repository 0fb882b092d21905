//! From the shared buffers to the events.

use super::{
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
        common::BlockMemory,
        swap::{HEADER, SealedBuffer},
    },
};

/// So many records ahead, the memory that one goes to is fetched.
const AHEAD: usize = 12;

/// A shared buffer whose records are being sorted.
pub(super) struct Hand {
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

/// What a number stands for.
struct Slot {
    gathered: Gathered,
    staged: Box<Staged>,
}

/// All events that are open, by number, and their memory.
pub(super) struct Sorter {
    shared: Arc<Shared>,
    slots: Vec<Option<Slot>>,
    /// Numbers of those with something to do.
    pub(super) hot: Vec<u32>,
    pub(super) memory: Memory,
    /// Whether what finds no room is dropped.
    drops: bool,
    /// Whether memory is not waited for.
    gives_up: bool,
}

/// What became of a record.
#[derive(PartialEq, Eq)]
enum Placed {
    Done,
    /// It has to wait for a device.
    Not,
}

impl Sorter {
    pub(super) fn new(shared: Arc<Shared>, memory: Memory) -> Sorter {
        let drops = shared.config.overflow == Overflow::Drop;
        Sorter { shared, slots: Vec::new(), hot: Vec::new(), memory, drops, gives_up: false }
    }

    /// Takes over events that were opened; whether there were any.
    pub(super) fn adopt(&mut self) -> bool {
        let new = self.shared.take_new();
        let any = !new.is_empty();
        for (event, writer) in new {
            let number = event.number() as usize;
            if self.slots.len() <= number {
                self.slots.resize_with(number + 1, || None);
            }
            let gathered = Gathered::new(writer.align());
            let staged = Box::new(Staged::new(event, writer));
            self.slots[number] = Some(Slot { gathered, staged });
        }
        any
    }

    /// Numbers of all events are below this.
    pub(super) fn numbers(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    fn slot(&mut self, number: u32) -> Option<&mut Slot> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Staged> {
        Some(&self.slots.get(number as usize)?.as_ref()?.staged)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Staged> {
        Some(&mut self.slot(number)?.staged)
    }

    pub(super) fn with_memory(&mut self, number: u32) -> Option<(&mut Staged, &Memory)> {
        let Sorter { slots, memory, .. } = self;
        Some((&mut slots.get_mut(number as usize)?.as_mut()?.staged, memory))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Staged> {
        self.slots.iter().flatten().map(|slot| &*slot.staged)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Staged> {
        self.slots.iter_mut().flatten().map(|slot| &mut *slot.staged)
    }

    /// Forgets an event; what was gathered and sealed for it is given up.
    pub(super) fn remove(&mut self, number: u32) -> Option<Box<Staged>> {
        let Slot { gathered, staged } = self.slots.get_mut(number as usize)?.take()?;
        self.memory.sealed(gathered.pieces());
        Some(staged)
    }

    /// Whether records are gathered for it.
    pub(super) fn has_gathered(&self, number: u32) -> bool {
        let slot = self.slots.get(number as usize).and_then(Option::as_ref);
        slot.is_some_and(|slot| !slot.gathered.is_empty())
    }

    /// It has something to do.
    pub(super) fn heat(&mut self, number: u32) {
        if let Some(staged) = self.get_mut(number)
            && !std::mem::replace(&mut staged.is_hot, true)
        {
            self.hot.push(number);
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

    /// Has the logs count all that is gathered.
    pub(super) fn count(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            slot.staged.count(&slot.gathered);
        }
    }

    /// Has the event with the most of a buffer take nothing for now, if that is much of it.
    pub(super) fn hold_loudest(&self, hand: &Hand, crowd: &mut Crowd) {
        let data = hand.buffer.data(HEADER + hand.buffer.valid() as usize);
        let records = Tagged::all(data, hand.at).map(|(number, record)| (number, record.len()));
        let loudest = crowd.loudest(records, self.numbers());
        if let Some(staged) = loudest.and_then(|number| self.get(number)) {
            crowd.hold(staged.event());
        }
    }

    /// Sorts the records of a buffer; whether all of them.
    pub(super) fn sort(&mut self, hand: &mut Hand) -> bool {
        let end = HEADER + hand.buffer.valid() as usize;
        let data = hand.buffer.data(end);
        let begun_at = hand.at;
        let mut ahead = Tagged::all(data, begun_at);
        for _ in 0..AHEAD {
            self.prefetch(ahead.next());
        }
        let mut is_sorted = true;
        let mut records = Tagged::all(data, begun_at);
        while let Some((number, record)) = records.next() {
            self.prefetch(ahead.next());
            if self.place(number, record) == Placed::Not {
                is_sorted = false;
                break;
            }
            hand.at = records.at;
        }
        self.memory.tick(hand.at - begun_at);
        is_sorted
    }

    /// Has the memory ready for a record that comes soon: the events' ends are all over the place.
    #[inline]
    fn prefetch(&self, record: Option<(u32, &[u8])>) {
        if let Some((number, record)) = record
            && let Some(Some(Slot { gathered, .. })) = self.slots.get(number as usize)
        {
            gathered.prefetch(record.len());
        }
    }

    #[inline]
    fn place(&mut self, number: u32, record: &[u8]) -> Placed {
        if let Some(Some(Slot { gathered, .. })) = self.slots.get_mut(number as usize)
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
        let Some(Slot { gathered, staged }) =
            slots.get_mut(number as usize).and_then(Option::as_mut)
        else {
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
                self.sort_out();
                self.heat(number);
                return Placed::Done;
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
        self.sort_out();
        Unplaced::count(&self.shared.unplaced.closed);
        Placed::Done
    }

    /// All memory is in use: callers wait, or drop, as their buffers fill.
    #[cold]
    fn no_memory(&mut self, number: u32, len: usize) -> Placed {
        if self.gives_up {
            if let Some(staged) = self.get(number) {
                staged.count_drop();
            }
            self.sort_out();
            return Placed::Done;
        }
        self.memory.set_wanted(true);
        let align = self.get(number).map_or(0, |staged| staged.writer.align());
        // What is sealed comes back. Is that enough for a record as long as this one?
        if !self.memory.will_have_room(len, align) {
            self.seal_all();
        }
        Placed::Not
    }

    fn sort_out(&self) {
        self.shared.unplaced.sorted_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Seals until enough is: of all blocks those that have cost the most, in memory and time. If an event's
    /// records come at a rate, and its block is sealed at a length, then the number of blocks of all, for the
    /// memory that there is, is smallest if the lengths are as the square roots of the rates; which is so if
    /// each is sealed when its length times its age is the same.
    #[cold]
    fn seal_some(&mut self) {
        let now = self.memory.now();
        let cost = |(number, slot): (usize, &Option<Slot>)| {
            let gathered = &slot.as_ref().filter(|slot| !slot.gathered.is_empty())?.gathered;
            let age = now - gathered.began() + 1;
            Some((u128::from(age) * gathered.filled() as u128, number as u32))
        };
        let mut all: Vec<_> = self.slots.iter().enumerate().filter_map(cost).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        for (_, number) in all {
            if self.memory.is_eased() {
                break;
            }
            self.seal(number);
        }
    }

    fn seal_all(&mut self) {
        for number in 0..self.numbers() {
            self.seal(number);
        }
    }

    /// Has what is gathered for an event written.
    pub(super) fn seal(&mut self, number: u32) {
        let Sorter { slots, memory, .. } = self;
        if let Some(Slot { gathered, staged }) =
            slots.get_mut(number as usize).and_then(Option::as_mut)
            && !gathered.is_empty()
        {
            staged.seal(gathered, memory);
            self.heat(number);
        }
    }
}
