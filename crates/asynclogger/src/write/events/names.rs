//! The names of events: from a name to the event that has it, for calls by name.
//!
//! A name keeps its entry after its event was closed, and no number is given to a second event. So a caller that has
//! read the number of an event that is closed a moment later does no harm: the flusher finds no event with that
//! number, and counts the record as closed.

use std::cell::Cell;

use crate::sync::{
    Arc, AtomicU64, AtomicUsize, Mutex, OnceLock, Ordering, compiler_fence, lock, thread_local,
};

/// Places of the first table; each later one has twice as many as the one before.
const FIRST: usize = 512;
const TABLES: usize = 24;

// Whether this thread is inside the lock of an entry: a signal handler that interrupts it there must not take the
// lock. Without a destructor, and with a constant initialiser, the variable exists at any time of the thread.
thread_local! {
    static IS_LOCKED: Cell<bool> = const { Cell::new(false) };
}

/// A hash table: a name is at the place of its hash, or at the next place that was free. At most half of the places
/// are taken.
struct Table<T>(Box<[OnceLock<Arc<Name<T>>>]>);

/// The names of all events that were ever open, and for each name the event that has it now, if it is open.
///
/// Every call by name looks its name up, on any thread and also in a signal handler: so a look-up that finds an open
/// event must take no lock, no memory and no reference count. A map behind a lock would stop a handler that interrupts
/// the holder, and a map that forgets closed events would have to know that no reader is at an entry that it frees.
/// So this table never forgets: a name that was open once keeps its entry, some 150 bytes, until the manager is
/// dropped, and only the content of the entry changes. A larger table replaces a full one, and the smaller one stays
/// for its readers. The price is memory for each different name that was ever opened.
pub(super) struct Names<T> {
    tables: [OnceLock<Table<T>>; TABLES],
    /// The index of the table that holds all names; the tables before it are too small.
    current: AtomicUsize,
    /// The number of names. The lock is held while a name is added.
    count: Mutex<usize>,
}

/// A name, and the event that has it now.
pub(super) struct Name<T> {
    hash: u64,
    text: Box<str>,
    /// `{ number of the event, the longest record that it takes now }`; the length is 0 unless the event is open.
    takes: AtomicU64,
    /// The event that has the name, if it is open. The hot path does not use this field.
    event: Mutex<Option<Arc<T>>>,
}

impl<T> Names<T> {
    pub(super) fn new() -> Names<T> {
        Names {
            tables: [const { OnceLock::new() }; TABLES],
            current: AtomicUsize::new(0),
            count: Mutex::new(0),
        }
    }

    /// The entry of a name that is open or was open once. Takes no lock.
    #[inline(always)]
    pub(super) fn find(&self, name: &str) -> Option<&Arc<Name<T>>> {
        let hash = hash_of(name);
        self.table()?.find(hash, name)
    }

    #[inline]
    fn table(&self) -> Option<&Table<T>> {
        // Acquire pairs with the Release in `grow`: the places are filled in.
        self.tables.get(self.current.load(Ordering::Acquire))?.get()
    }

    /// The entry of a name, which is made if the name has none.
    pub(super) fn entry(&self, name: &str) -> Arc<Name<T>> {
        let mut count = lock(&self.count);
        if let Some(found) = self.find(name) {
            return found.clone();
        }
        let table = self.table_with_room(*count + 1);
        let entry = Arc::new(Name {
            hash: hash_of(name),
            text: name.into(),
            takes: AtomicU64::new(0),
            event: Mutex::new(None),
        });
        table.put(&entry);
        *count += 1;
        entry
    }

    /// A table with room for `count` names: the current one, or one of twice the length with the same names.
    fn table_with_room(&self, count: usize) -> &Table<T> {
        let current = self.current.load(Ordering::Relaxed);
        let table = self.tables[current].get_or_init(|| Table::new(FIRST));
        // The last table has room for 2^31 names, each with a file of its own.
        if count * 2 <= table.0.len() || current + 1 == TABLES {
            return table;
        }
        let next = self.tables[current + 1].get_or_init(|| {
            let next = Table::new(2 * table.0.len());
            table.names().for_each(|name| next.put(name));
            next
        });
        // Release pairs with the Acquire in `table`.
        self.current.store(current + 1, Ordering::Release);
        next
    }
}

impl<T> Drop for Names<T> {
    /// An event refers to its name, and the name to its event. This breaks the circle, so that both are freed.
    fn drop(&mut self) {
        self.table().into_iter().flat_map(Table::names).for_each(|name| drop(name.close()));
    }
}

impl<T> Table<T> {
    /// Makes an empty table; `len` is a power of two.
    fn new(len: usize) -> Table<T> {
        Table((0..len).map(|_| OnceLock::new()).collect())
    }

    fn names(&self) -> impl Iterator<Item = &Arc<Name<T>>> {
        self.0.iter().filter_map(OnceLock::get)
    }

    #[inline]
    fn find(&self, hash: u64, name: &str) -> Option<&Arc<Name<T>>> {
        let mask = self.0.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            // An entry is complete when it is put in, and a place that is taken stays taken. So the search can end
            // at the first free place, and the table always has one.
            let found = self.0[at].get()?;
            if found.hash == hash && *found.text == *name {
                return Some(found);
            }
            at = (at + 1) & mask;
        }
    }

    /// Puts a name in. Only for the holder of the lock of [`Names::count`].
    fn put(&self, name: &Arc<Name<T>>) {
        let mask = self.0.len() - 1;
        let mut at = name.hash as usize & mask;
        while self.0[at].set(name.clone()).is_err() {
            at = (at + 1) & mask;
        }
    }
}

impl<T> Name<T> {
    /// The name as the user gave it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The number of the event that has the name, and the longest record that the event takes now: 0 unless it is
    /// open.
    #[inline]
    pub(super) fn takes(&self) -> (u32, usize) {
        // Relaxed: the word guards no other data, and a record that slips in is checked again when it is sorted.
        let takes = self.takes.load(Ordering::Relaxed);
        ((takes >> 32) as u32, takes as u32 as usize)
    }

    /// Lets calls by name find this event.
    pub(super) fn open(&self, event: &Arc<T>, number: u32, limit: usize) {
        self.with_lock(|place| *place = Some(event.clone()));
        self.takes.store(pack(number, limit), Ordering::Relaxed);
    }

    /// Sets the longest record that the event with this number takes, if the event still has the name.
    pub(super) fn set_limit(&self, number: u32, limit: usize) {
        let change = |takes: u64| ((takes >> 32) as u32 == number).then_some(pack(number, limit));
        let _ = self.takes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Takes the name from its event, which is about to be closed. Returns the event, if the name had one.
    pub(super) fn close(&self) -> Option<Arc<T>> {
        self.with_lock(Option::take)?
    }

    /// Calls `use_it` with the event that has the name. `None` if the event is not open, or if this call interrupted
    /// this thread within the lock. `may_wait` says whether this call, and so `use_it`, can wait.
    pub(super) fn with<U>(&self, may_wait: bool, use_it: impl FnOnce(&Arc<T>) -> U) -> Option<U> {
        if !may_wait {
            // Under the lock: `use_it` does not wait, and no reference is dropped here, which could be the last one
            // and would free memory.
            return self.with_lock(|event| event.as_ref().map(use_it))?;
        }
        let event = self.with_lock(|event| event.clone())??;
        Some(use_it(&event))
    }

    /// [`with`](Name::with) in a forked child, where a lock that a thread of the parent held is never released.
    pub(super) fn with_in_child<U>(&self, use_it: impl FnOnce(&Arc<T>) -> U) -> Option<U> {
        self.event.try_lock().ok()?.as_ref().map(use_it)
    }

    /// Runs `call`, which must not wait, within the lock. `None` if this call interrupted this thread within the lock.
    fn with_lock<U>(&self, call: impl FnOnce(&mut Option<Arc<T>>) -> U) -> Option<U> {
        if IS_LOCKED.with(Cell::get) {
            return None;
        }
        let _mark = Mark::set();
        Some(call(&mut lock(&self.event)))
    }
}

/// The mark that this thread is inside the lock, for as long as the value lives.
struct Mark;

impl Mark {
    fn set() -> Mark {
        IS_LOCKED.with(|is_locked| is_locked.set(true));
        // A signal handler on this thread must see the mark before the lock is taken.
        compiler_fence(Ordering::SeqCst);
        Mark
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        IS_LOCKED.with(|is_locked| is_locked.set(false));
    }
}

/// Packs both into a word. A `u32` holds the length of every record, since the file format does so, too.
fn pack(number: u32, limit: usize) -> u64 {
    u64::from(number) << 32 | u64::from(u32::try_from(limit).unwrap_or(u32::MAX))
}

/// The hash of a name. It must be fast, because each record that is logged by name needs it.
#[inline]
fn hash_of(name: &str) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    // Both halves of the product count, since names differ in their last letters, which are the high bits of a word.
    let mix = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(FACTOR);
        product as u64 ^ (product >> 64) as u64
    };
    let bytes = name.as_bytes();
    let word = |chunk: &[u8]| chunk.try_into().map(u64::from_le_bytes).unwrap_or_default();
    let half = |chunk: &[u8]| chunk.try_into().map(u32::from_le_bytes).unwrap_or_default();
    // The last eight bytes, or all of a shorter name.
    let tail = match bytes {
        [.., a, b, c, d, e, f, g, h] => u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        [] => 0,
        [first, .., last] if bytes.len() < 4 => {
            u64::from_le_bytes([*first, bytes[bytes.len() / 2], *last, 0, 0, 0, 0, 0])
        }
        [only] => u64::from(*only),
        _ => u64::from(half(&bytes[..4])) | u64::from(half(&bytes[bytes.len() - 4..])) << 32,
    };
    mix(bytes.chunks_exact(8).map(word).fold(FACTOR ^ bytes.len() as u64, mix), tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_to_the_byte() {
        let names = Names::<()>::new();
        let long = "x".repeat(1024);
        let all = [
            "a",
            "b",
            "aa",
            "a\0",
            "abc",
            "adc",
            "abcd",
            "abcde",
            "abxde",
            "abcdef",
            "event-12345",
            "event-12346",
            "event-1234",
            &long,
        ];
        for (number, name) in all.iter().enumerate() {
            let entry = names.entry(name);
            assert!(Arc::ptr_eq(&entry, &names.entry(name)));
            entry.takes.store(pack(number as u32, 100 + number), Ordering::Relaxed);
        }
        let takes = |name: &str| names.find(name).map(|found| found.takes());
        for (number, name) in all.iter().enumerate() {
            assert_eq!(takes(name), Some((number as u32, 100 + number)), "{name:?}");
        }
        for name in ["", "c", "a\0\0", "event-1235", "event-123456", &long[1..]] {
            assert!(names.find(name).is_none(), "{name:?}");
        }
    }

    /// The event that had the name before cannot change the limit of the event that has it now.
    #[test]
    fn the_limit_is_that_of_the_event_that_has_the_name() {
        let name = Names::<()>::new().entry("event");
        name.takes.store(pack(3, 100), Ordering::Relaxed);
        name.set_limit(3, 0);
        assert_eq!(name.takes(), (3, 0));
        name.takes.store(pack(4, 100), Ordering::Relaxed);
        name.set_limit(3, 70);
        assert_eq!(name.takes(), (4, 100));
        name.set_limit(4, usize::MAX);
        assert_eq!(name.takes(), (4, u32::MAX as usize));
    }

    #[test]
    fn names_stay_while_the_tables_grow_under_those_who_look() {
        const ALL: usize = 5_000;
        let names = Names::<()>::new();
        std::thread::scope(|scope| {
            let adding = scope.spawn(|| {
                for number in 0..ALL {
                    names.entry(&format!("event-{number}"));
                }
            });
            // A name that was found once is found again.
            let mut found = 0;
            while found < ALL {
                let is_over = adding.is_finished();
                while names.find(&format!("event-{found}")).is_some() {
                    found += 1;
                }
                assert!(!is_over || found == ALL);
                for number in 0..found {
                    assert!(names.find(&format!("event-{number}")).is_some());
                }
            }
        });
        let table = names.table().expect("a table");
        assert_eq!((table.names().count(), table.0.len()), (ALL, 16_384));
    }

    /// A signal handler that interrupts this thread within the lock does not wait for itself.
    #[test]
    fn a_call_within_the_lock_gets_nothing() {
        let name = Names::<()>::new().entry("event");
        let nested =
            name.with_lock(|_| name.with(false, |_| ()).is_none() && name.close().is_none());
        assert_eq!(nested, Some(true));
        assert!(!IS_LOCKED.with(Cell::get));
    }

    /// Names of usual kinds do not crowd: the next free place is near.
    #[test]
    fn names_are_spread_evenly() {
        let kinds: [fn(u64) -> String; 4] = [
            |number| format!("event-{number}"),
            |number| format!("checkout-event-{number:04}"),
            |number| format!("{number:05}-checkout"),
            |number| format!("a.rather.long.name.of.service-{number:05x}.in"),
        ];
        for kind in kinds {
            let names = Names::<()>::new();
            for number in 0..2_000 {
                names.entry(&kind(number));
            }
            let table = names.table().expect("a table");
            let steps = |(at, place): (usize, &OnceLock<Arc<Name<()>>>)| {
                let home = place.get()?.hash as usize;
                Some(at.wrapping_sub(home) & (table.0.len() - 1))
            };
            let steps: usize = table.0.iter().enumerate().filter_map(steps).sum();
            assert!(steps < 2 * 2_000, "{}: {steps} steps", kind(1));
        }
    }
}
