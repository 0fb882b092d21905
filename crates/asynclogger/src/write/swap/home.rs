//! The home of a thread: the shard that the thread tries first, for each logger. A thread takes the lowest free slot
//! when it first logs, and gives the slot back when it ends.
//!
//! A hash of the thread would give one shard to several threads while other shards are idle. But only while each
//! thread has a shard of its own does no caller wait for another, and is each thread's order the order in the file.
//! The lowest free slot keeps both true as long as there are no more threads than shards, however many threads have
//! come and gone.
//!
//! Two thread-locals serve this: the cache in [`Local`], the only one that a log call touches, and the list of slots
//! to give back.

use std::cell::RefCell;

use crate::{
    mem::Process,
    sync::{Arc, Mutex, Weak, lock, thread_local},
    write::common::{Inside, Local},
};

/// The list of slots to give back. It has a destructor, which [`Local`] must not have: a log call from
/// another thread-local's destructor would otherwise find its cache gone.
struct Taken(RefCell<Vec<(u64, u32, Weak<Slots>)>>);

thread_local! {
    static TAKEN: Taken = const { Taken(RefCell::new(Vec::new())) };
}

/// Returns this thread's home at the log with the id `log`: its slot, modulo the number of shards. The slot is taken
/// if the thread has none. In a nested call, and while the thread is torn down, no slot can be kept: then the home is
/// shard 0, and no slot is taken.
#[cold]
pub(super) fn find_home(inside: &Inside<'_>, log: u64, slots: &Arc<Slots>, shards: usize) -> usize {
    if inside.is_nested() {
        return 0;
    }
    let found = TAKEN.try_with(|taken| {
        let mut taken = taken.0.borrow_mut();
        if let Some((_, slot, _)) = taken.iter().find(|(id, ..)| *id == log) {
            return *slot;
        }
        taken.retain(|(_, _, slots)| slots.strong_count() > 0);
        let slot = slots.take();
        taken.push((log, slot, Arc::downgrade(slots)));
        slot
    });
    match found {
        Ok(slot) => {
            let home = slot as usize % shards.max(1);
            inside.remember_home(log, home);
            home
        }
        Err(_) => 0,
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for (log, slot, slots) in self.0.take() {
            if let Some(slots) = slots.upgrade() {
                slots.give_back(slot);
            }
            // Later calls on this thread log without a home of their own.
            Local::with(|local| local.forget_home(log));
        }
    }
}

/// The slots of one log: one bit each, set while the slot is taken.
#[derive(Debug)]
pub(crate) struct Slots {
    taken: Mutex<Vec<u64>>,
    /// The process that made the slots. A forked child must not lock them: another thread of its parent can have held
    /// the lock during the fork.
    maker: Process,
}

impl Slots {
    pub(crate) fn new() -> Slots {
        Slots { taken: Mutex::new(Vec::new()), maker: Process::current() }
    }

    /// Takes the lowest free slot. In a forked child returns 0 and takes none.
    fn take(&self) -> u32 {
        if !self.maker.is_current() {
            return 0;
        }
        let mut taken = lock(&self.taken);
        for (index, word) in taken.iter_mut().enumerate() {
            let free = word.trailing_ones();
            if free < u64::BITS {
                *word |= 1 << free;
                return index as u32 * u64::BITS + free;
            }
        }
        taken.push(1);
        (taken.len() as u32 - 1) * u64::BITS
    }

    fn give_back(&self, slot: u32) {
        if !self.maker.is_current() {
            return;
        }
        if let Some(word) = lock(&self.taken).get_mut((slot / u64::BITS) as usize) {
            *word &= !(1 << (slot % u64::BITS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot_of(id: u64, slots: &Arc<Slots>) -> usize {
        Local::with(|local| {
            let inside = local.enter();
            inside.cached_home(id).unwrap_or_else(|| find_home(&inside, id, slots, 100))
        })
    }

    #[test]
    fn a_thread_keeps_the_lowest_free_slot_until_it_ends() {
        let slots = Arc::new(Slots::new());
        let id = u64::MAX - 1;
        assert_eq!(slot_of(id, &slots), 0);
        let other = slots.clone();
        let second = std::thread::spawn(move || (slot_of(id, &other), slot_of(id, &other)));
        assert_eq!(second.join().expect("second thread"), (1, 1));
        let other = slots.clone();
        let third = std::thread::spawn(move || slot_of(id, &other));
        assert_eq!(third.join().expect("third thread"), 1, "given back by the second");
        assert_eq!(slot_of(id, &slots), 0);
    }

    #[test]
    fn more_loggers_than_the_cache_has_places_keep_their_slots() {
        let logs: Vec<_> = (0..20).map(|n| (u64::MAX - 100 - n, Arc::new(Slots::new()))).collect();
        for (_, slots) in &logs {
            // Another thread has slot 0 of every log.
            assert_eq!(slots.take(), 0);
        }
        for round in 0..3 {
            for (id, slots) in &logs {
                assert_eq!(slot_of(*id, slots), 1, "round {round}");
            }
        }
    }

    #[test]
    fn a_nested_call_takes_no_slot_and_may_not_wait() {
        let slots = Arc::new(Slots::new());
        Local::with(|local| {
            let outer = local.enter();
            assert!(!outer.is_nested());
            let inner = local.enter();
            assert!(inner.is_nested());
            assert_eq!(find_home(&inner, 77, &slots, 100), 0);
            assert_eq!(inner.cached_home(77), None);
            drop(inner);
            assert!(local.enter().is_nested(), "still inside the outer call");
            drop(outer);
            assert!(!local.enter().is_nested());
        });
    }
}
