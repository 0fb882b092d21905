//! From the name of an event to its number, for calls by name: some loads, no lock, and nothing to give back.
//!
//! Whoever looks here holds the claim of a shard of the shared buffers. A number gets another event only after a
//! pass over those that began when its name was gone from here, and a pass waits for every claim: so whoever
//! has found a number puts its record where the flusher still sees the event that was meant. Memory is only
//! ever added. What is changed while somebody looks may be missed; then the name is looked up with more care.

use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Mutex, OnceLock, Ordering, lock};

const WORDS: usize = 5;
/// Bytes of a name that stands here; a longer one is found the longer way.
const LONGEST: usize = 8 * WORDS + 7;

/// Of the first of several parts; each later one has twice as many as the one before.
const FIRST: usize = 256;
const PARTS: usize = 24;

/// An event, by its number, in one line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Entry {
    /// The longest record that is taken now.
    limit: AtomicUsize,
    len: AtomicU32,
    /// The whole words of its name, and the rest.
    name: [AtomicU64; WORDS],
    tail: AtomicU64,
}

/// `{ a part of the hash, number + 1 }` at the place that the hash says, or at the next that was free; 0: none.
type Places = Box<[AtomicU64]>;

pub(super) struct Names {
    entries: [OnceLock<Box<[Entry]>>; PARTS],
    /// The last one counts; those before are too small.
    places: [OnceLock<Places>; PARTS],
    current: AtomicUsize,
    /// How many names are in the places.
    changing: Mutex<usize>,
}

impl Names {
    pub(super) fn new() -> Names {
        Names {
            entries: [const { OnceLock::new() }; PARTS],
            places: [const { OnceLock::new() }; PARTS],
            current: AtomicUsize::new(0),
            changing: Mutex::new(0),
        }
    }

    /// The number of an event that is open, and the longest record that it takes now.
    #[inline]
    pub(super) fn find(&self, name: &str) -> Option<(u32, usize)> {
        if name.len() > LONGEST {
            return None;
        }
        let hash = hash_of(name);
        // Acquire pairs with the Release in `grow`: the places are filled in.
        let places = self.places.get(self.current.load(Ordering::Acquire))?.get()?;
        let mask = places.len() - 1;
        for step in 0..places.len() {
            // Acquire pairs with the Release in `put`: the entry is filled in.
            let place = places[(hash as usize + step) & mask].load(Ordering::Acquire);
            if place == 0 {
                return None;
            }
            if place >> 32 == hash >> 32 {
                let number = place as u32 - 1;
                let entry = self.entry(number)?;
                if entry.is(name) {
                    return Some((number, entry.limit.load(Ordering::Relaxed)));
                }
            }
        }
        None
    }

    #[inline]
    fn entry(&self, number: u32) -> Option<&Entry> {
        let (part, at) = part_of(number);
        self.entries.get(part)?.get()?.get(at)
    }

    /// Makes the number of a name known. Nobody looks for one that had it before.
    pub(super) fn insert(&self, name: &str, number: u32, limit: usize) {
        let (part, at) = part_of(number);
        let Some(entries) = self.entries.get(part).filter(|_| name.len() <= LONGEST) else {
            return;
        };
        let mut count = lock(&self.changing);
        let new = || (0..FIRST << part).map(|_| Entry::default()).collect();
        entries.get_or_init(new)[at].set(name, limit);
        let current = self.current.load(Ordering::Relaxed);
        let first = || (0..2 * FIRST).map(|_| AtomicU64::new(0)).collect();
        let places = self.places[current].get_or_init(first);
        *count += 1;
        put(places, hash_of(name), number);
        if *count * 2 > places.len() {
            self.grow(current, places);
        }
    }

    /// Twice as many places.
    fn grow(&self, current: usize, old: &Places) {
        let Some(next) = self.places.get(current + 1) else {
            return;
        };
        let places = next.get_or_init(|| {
            let places: Places = (0..2 * old.len()).map(|_| AtomicU64::new(0)).collect();
            for place in old {
                let number = (place.load(Ordering::Relaxed) as u32).checked_sub(1);
                if let Some(entry) = number.and_then(|number| Some((number, self.entry(number)?))) {
                    put(&places, entry.1.hash(), entry.0);
                }
            }
            places
        });
        debug_assert_eq!(places.len(), 2 * old.len());
        self.current.store(current + 1, Ordering::Release);
    }

    /// Forgets a name.
    pub(super) fn remove(&self, name: &str, number: u32) {
        let mut count = lock(&self.changing);
        let current = self.current.load(Ordering::Relaxed);
        let Some(places) = self.places[current].get().filter(|_| name.len() <= LONGEST) else {
            return;
        };
        let mask = places.len() - 1;
        let home = hash_of(name) as usize;
        let number_at = |at: usize| (places[at].load(Ordering::Relaxed) as u32).checked_sub(1);
        let at = |step: usize| (home + step) & mask;
        let found = (0..places.len()).map(at).find(|at| number_at(*at) == Some(number));
        let Some(mut hole) = found else {
            return;
        };
        *count -= 1;
        // What is behind it and would not be found any more takes its place.
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let Some(entry) = number_at(next).and_then(|number| self.entry(number)) else {
                break;
            };
            let wanted = entry.hash() as usize & mask;
            // Whether the hole is on the way from where it wants to be to where it is.
            if next.wrapping_sub(wanted) & mask >= next.wrapping_sub(hole) & mask {
                places[hole].store(places[next].load(Ordering::Relaxed), Ordering::Release);
                hole = next;
            }
        }
        places[hole].store(0, Ordering::Release);
    }

    /// The longest record that an event takes from now on.
    pub(super) fn set_limit(&self, number: u32, limit: usize) {
        if let Some(entry) = self.entry(number) {
            entry.limit.store(limit, Ordering::Relaxed);
        }
    }
}

/// In which part a number is, and where.
#[inline]
fn part_of(number: u32) -> (usize, usize) {
    let number = number as usize + FIRST;
    let part = (number / FIRST).ilog2() as usize;
    (part, number - (FIRST << part))
}

/// The whole words of a name, and what is left: its last eight bytes, or all of a shorter one. Together with the
/// length that is all of it.
#[inline]
fn words(name: &str) -> (impl Iterator<Item = u64>, u64) {
    let bytes = name.as_bytes();
    let word = |chunk: &[u8]| chunk.try_into().map(u64::from_le_bytes).unwrap_or_default();
    let half = |chunk: &[u8]| chunk.try_into().map(u32::from_le_bytes).unwrap_or_default();
    let tail = match bytes {
        [.., a, b, c, d, e, f, g, h] => u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        [] => 0,
        [first, .., last] if bytes.len() < 4 => {
            u64::from_le_bytes([*first, bytes[bytes.len() / 2], *last, 0, 0, 0, 0, 0])
        }
        [only] => u64::from(*only),
        _ => u64::from(half(&bytes[..4])) | u64::from(half(&bytes[bytes.len() - 4..])) << 32,
    };
    (bytes.chunks_exact(8).map(word), tail)
}

/// Names are looked up for each record that is logged by name.
#[inline]
fn hash(len: usize, words: impl Iterator<Item = u64>, tail: u64) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    // Both halves of the product, since names differ in their last letters: in the high bits of a word.
    let mix = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(FACTOR);
        product as u64 ^ (product >> 64) as u64
    };
    mix(words.fold(FACTOR ^ len as u64, mix), tail)
}

#[inline]
pub(super) fn hash_of(name: &str) -> u64 {
    let (words, tail) = words(name);
    hash(name.len(), words, tail)
}

fn put(places: &Places, hash: u64, number: u32) {
    let mask = places.len() - 1;
    let mut at = hash as usize & mask;
    // There is always a free one: at most every second is taken.
    while places[at].load(Ordering::Relaxed) != 0 {
        at = (at + 1) & mask;
    }
    let place = hash & !u64::from(u32::MAX) | u64::from(number + 1);
    places[at].store(place, Ordering::Release);
}

impl Entry {
    fn set(&self, name: &str, limit: usize) {
        let (words, tail) = words(name);
        self.limit.store(limit, Ordering::Relaxed);
        self.len.store(name.len() as u32, Ordering::Relaxed);
        self.tail.store(tail, Ordering::Relaxed);
        for (word, bytes) in self.name.iter().zip(words) {
            word.store(bytes, Ordering::Relaxed);
        }
    }

    #[inline]
    fn is(&self, name: &str) -> bool {
        let (mut words, tail) = words(name);
        self.len.load(Ordering::Relaxed) as usize == name.len()
            && self.tail.load(Ordering::Relaxed) == tail
            && self
                .name
                .iter()
                .all(|word| words.next().is_none_or(|of| of == word.load(Ordering::Relaxed)))
    }

    /// That of its name.
    fn hash(&self) -> u64 {
        let len = self.len.load(Ordering::Relaxed) as usize;
        let words = self.name.iter().take(len / 8).map(|word| word.load(Ordering::Relaxed));
        hash(len, words, self.tail.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_follow_each_other_without_a_gap() {
        let mut expected = (0, 0);
        for number in 0..10_000 {
            assert_eq!(part_of(number), expected);
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
    }

    #[test]
    fn names_are_told_apart_to_the_byte() {
        let names = Names::new();
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
            &"x".repeat(LONGEST),
        ];
        for (number, name) in all.iter().enumerate() {
            names.insert(name, number as u32, 100 + number);
        }
        for (number, name) in all.iter().enumerate() {
            assert_eq!(names.find(name), Some((number as u32, 100 + number)), "{name:?}");
        }
        for name in ["", "c", "a\0\0", "event-1235", "event-123456", &"x".repeat(LONGEST - 1)] {
            assert_eq!(names.find(name), None, "{name:?}");
        }
        let long = "x".repeat(LONGEST + 1);
        names.insert(&long, 50, 1);
        assert_eq!(names.find(&long), None, "the longer way");
        names.remove(&long, 50);
        names.set_limit(3, 0);
        assert_eq!(names.find("a\0"), Some((3, 0)));
    }

    /// Names of the kinds that there are do not crowd: the next free place is near.
    #[test]
    fn names_are_spread_evenly() {
        let kinds: [fn(u64) -> String; 4] = [
            |number| format!("event-{number}"),
            |number| format!("checkout-event-{number:04}"),
            |number| format!("{number:05}-checkout"),
            |number| format!("a.rather.long.name.of.service-{number:05x}.in"),
        ];
        for kind in kinds {
            let places: Places = (0..4_096).map(|_| AtomicU64::new(0)).collect();
            let mut steps = 0;
            for number in 0..2_000 {
                let hash = hash_of(&kind(number));
                let home = hash as usize % places.len();
                put(&places, hash, number as u32);
                let is_it = |at: &usize| {
                    places[(home + at) % places.len()].load(Ordering::Relaxed) as u32
                        == number as u32 + 1
                };
                steps += (0..places.len()).find(is_it).expect("it was put in");
            }
            assert!(steps < 2 * 2_000, "{}: {steps} steps", kind(1));
        }
    }

    proptest! {
        /// As a map, whatever comes and goes, over several sizes.
        #[test]
        fn they_come_and_go(steps in prop::collection::vec((0_u32..3_000, any::<bool>()), 1..6_000)) {
            let (names, mut expected) = (Names::new(), HashMap::new());
            let mut free: Vec<u32> = (0..3_000).rev().collect();
            for (name, stays) in steps {
                let text = format!("event {name}");
                if let Some(number) = expected.remove(&name) {
                    names.remove(&text, number);
                    free.push(number);
                } else if let Some(number) = free.pop().filter(|_| stays || name % 3 > 0) {
                    names.insert(&text, number, 7);
                    expected.insert(name, number);
                }
            }
            for name in 0..3_000 {
                let found = names.find(&format!("event {name}")).map(|(number, _)| number);
                prop_assert_eq!(found, expected.get(&name).copied());
            }
            prop_assert_eq!(*lock(&names.changing), expected.len());
        }
    }
}
