//! The home of a thread: the shard that it tries first, per logger. The lowest free slot when it first
//! logs, given back when the thread ends.
//!
//! Two thread-locals: a small cache without a destructor, which is all that a log call touches, and the
//! list of what is to be given back.

use std::cell::{Cell, RefCell};

use crate::sync::{Arc, Mutex, Ordering, Weak, compiler_fence, lock, thread_local};

/// Entries of the cache: a thread may use that many loggers in turn before it has to look further.
const CACHED: usize = 4;

/// What a log call keeps per thread.
pub(crate) struct Local {
    /// Whether this thread is inside a log call, or holds one of our locks: one more call is a signal
    /// handler's, an encoder's, or a callback's.
    inside: Cell<bool>,
    is_flusher: Cell<bool>,
    /// `(id of the log, home)`, at the place that the id says.
    homes: [Cell<(u64, u32)>; CACHED],
}

/// The list of slots to give back. It has a destructor, which [`Local`] must not have: a log call from
/// another thread-local's destructor would otherwise find its cache gone.
struct Taken(RefCell<Vec<(u64, u32, Weak<Slots>)>>);

thread_local! {
    static LOCAL: Local = const {
        Local {
            inside: Cell::new(false),
            is_flusher: Cell::new(false),
            homes: [const { Cell::new((0, 0)) }; CACHED],
        }
    };
    static TAKEN: Taken = const { Taken(RefCell::new(Vec::new())) };
}

/// Marks the thread as being inside a log call, for as long as it lives.
#[must_use]
pub(crate) struct Inside<'a> {
    local: &'a Local,
    /// Whether the call interrupted another one on this thread.
    nested: bool,
}

impl Local {
    /// Runs `call` with the caller's thread-locals.
    #[inline]
    pub(crate) fn with<T>(call: impl FnOnce(&Local) -> T) -> T {
        // No destructor, constant initialiser: always there, without a check.
        LOCAL.with(call)
    }

    /// Enters a log call, or anything else in which a log call must neither wait nor lock.
    #[inline]
    pub(crate) fn enter(&self) -> Inside<'_> {
        let nested = self.inside.replace(true);
        // A signal handler on this thread must see the mark before any of the call.
        compiler_fence(Ordering::SeqCst);
        Inside { local: self, nested }
    }

    /// Makes a shard this thread's home at the log with this id: a model says where its threads log.
    #[cfg(test)]
    pub(in crate::write) fn set_home(&self, log: u64, home: u32) {
        self.homes[log as usize % CACHED].set((log, home));
    }

    /// This thread is a flusher from now on.
    pub(crate) fn become_flusher(&self) {
        self.is_flusher.set(true);
    }

    /// Whether this thread is a flusher.
    pub(crate) fn is_flusher(&self) -> bool {
        self.is_flusher.get()
    }
}

impl Inside<'_> {
    /// Whether this call interrupted another one on its thread: then it may neither wait nor lock.
    pub(crate) fn is_nested(&self) -> bool {
        self.nested
    }

    /// The home of this thread at the log with this id, if it was found before.
    #[inline]
    pub(crate) fn cached_home(&self, log: u64) -> Option<u32> {
        let (id, home) = self.local.homes[log as usize % CACHED].get();
        (id == log).then_some(home)
    }

    /// Finds or takes the slot of this thread; its home is that, modulo the count of shards. Shard 0,
    /// without taking it, where nothing can be kept: in a nested call and while the thread is torn down.
    #[cold]
    pub(crate) fn find_home(&self, log: u64, slots: &Arc<Slots>, shards: u32) -> u32 {
        if self.nested {
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
                let home = slot % shards.max(1);
                self.local.homes[log as usize % CACHED].set((log, home));
                home
            }
            Err(_) => 0,
        }
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        self.local.inside.set(self.nested);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for (log, slot, slots) in self.0.take() {
            if let Some(slots) = slots.upgrade() {
                slots.give_back(slot);
            }
            // What still logs on this thread does so without a home of its own.
            Local::with(|local| local.homes[log as usize % CACHED].set((0, 0)));
        }
    }
}

/// The slots of one log: a bit each, set when taken.
#[derive(Debug)]
pub(crate) struct Slots {
    taken: Mutex<Vec<u64>>,
    /// A forked child must not lock what another thread of its parent may have held.
    process: u32,
}

impl Slots {
    pub(crate) fn new() -> Slots {
        Slots { taken: Mutex::new(Vec::new()), process: std::process::id() }
    }

    /// The lowest free slot; 0, not taken, in a forked child.
    fn take(&self) -> u32 {
        if std::process::id() != self.process {
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
        if std::process::id() != self.process {
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

    fn slot_of(id: u64, slots: &Arc<Slots>) -> u32 {
        Local::with(|local| {
            let inside = local.enter();
            inside.cached_home(id).unwrap_or_else(|| inside.find_home(id, slots, 100))
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
            // Somebody else has slot 0 everywhere.
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
            assert_eq!(inner.find_home(77, &slots, 100), 0);
            assert_eq!(inner.cached_home(77), None);
            drop(inner);
            assert!(local.enter().is_nested(), "still inside the outer call");
            drop(outer);
            assert!(!local.enter().is_nested());
        });
    }
}
