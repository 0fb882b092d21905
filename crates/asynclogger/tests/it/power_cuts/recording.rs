//! All that a disk was told to do, and what a power cut can have left.
//!
//! A flush makes all writes before it durable. Any sectors of each write behind the last flush may be on the medium. A
//! sector that was written several times has one of its versions, so the order in which a disk writes them makes no
//! other state than those that are made here.

use std::{collections::BTreeSet, fs::File, os::unix::fs::FileExt};

use crate::crash_safe::{Counts, Random};

/// How many counts are noted with each entry.
pub const KNOWN: usize = 64;
const CHUNK: usize = 64 << 10;

pub enum What {
    Write { offset: usize, bytes: Box<[u8]> },
    Flush,
}

pub struct Entry {
    pub what: What,
    /// The worker's counts when this entry came.
    pub known: [u64; KNOWN],
}

pub struct Recording {
    image: Vec<u8>,
    pub entries: Vec<Entry>,
    pub bytes: u64,
}

impl Recording {
    pub fn new(len: usize) -> Recording {
        Recording { image: vec![0; len], entries: Vec::new(), bytes: 0 }
    }

    pub fn add(&mut self, what: What, counts: &Counts) {
        let known = std::array::from_fn(|at| counts.get(at));
        if let What::Write { offset, bytes } = &what {
            self.image[*offset..*offset + bytes.len()].copy_from_slice(bytes);
            self.bytes += bytes.len() as u64;
        }
        self.entries.push(Entry { what, known });
    }

    /// What the disk has now.
    pub fn now(&self, offset: usize, len: usize) -> &[u8] {
        let from = offset.min(self.image.len());
        &self.image[from..(from + len).min(self.image.len())]
    }
}

/// What became of the writes behind the last flush.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// How many of eight writes are on the medium.
    of_eight: u64,
    /// How many of eight of those are torn, and the bytes of a part that is not.
    torn_of_eight: u64,
    part: usize,
}

impl Fate {
    /// None of them are on the medium.
    pub const GONE: Fate = Fate { of_eight: 0, torn_of_eight: 0, part: 512 };

    pub fn of(random: &mut Random, sector: u32) -> Fate {
        Fate {
            of_eight: random.pick(&[0, 0, 1, 4, 7, 8]),
            torn_of_eight: random.pick(&[0, 2, 8]),
            part: random.pick(&[sector as usize, 4096]),
        }
    }
}

/// The disks that power cuts leave, in the order of the cuts.
pub struct Disks<'a> {
    entries: &'a [Entry],
    /// The bytes that are durable for sure, and which chunks of them were ever written.
    durable: Vec<u8>,
    touched: BTreeSet<usize>,
    /// The entries that `durable` has.
    applied: usize,
}

impl<'a> Disks<'a> {
    pub fn new(recording: &'a Recording) -> Disks<'a> {
        let durable = vec![0; recording.image.len()];
        Disks { entries: &recording.entries, durable, touched: BTreeSet::new(), applied: 0 }
    }

    /// Writes the disk that a cut in front of the entry `at` leaves to an empty file. Cuts come in order.
    pub fn write(&mut self, at: usize, fate: Fate, random: &mut Random, file: &File) {
        let is_flush = |entry: &Entry| matches!(entry.what, What::Flush);
        let flushed = self.entries[..at].iter().rposition(is_flush).unwrap_or(0);
        for entry in &self.entries[self.applied..flushed.max(self.applied)] {
            let What::Write { offset, bytes } = &entry.what else { continue };
            let end = offset + bytes.len();
            self.durable[*offset..end].copy_from_slice(bytes);
            self.touched.extend(offset / CHUNK..=(end - 1) / CHUNK);
        }
        self.applied = flushed.max(self.applied);
        file.set_len(self.durable.len() as u64).expect("a length");
        let put = |offset: usize, bytes: &[u8]| {
            file.write_all_at(bytes, offset as u64).expect("room for the image");
        };
        for chunk in &self.touched {
            let from = chunk * CHUNK;
            let bytes = &self.durable[from..(from + CHUNK).min(self.durable.len())];
            if bytes.iter().any(|byte| *byte != 0) {
                put(from, bytes);
            }
        }
        for entry in &self.entries[self.applied..at] {
            let What::Write { offset, bytes } = &entry.what else { continue };
            if random.below(8) >= fate.of_eight {
                continue;
            }
            if random.below(8) >= fate.torn_of_eight {
                put(*offset, bytes);
                continue;
            }
            for (number, part) in bytes.chunks(fate.part).enumerate() {
                if random.below(2) == 0 {
                    put(offset + number * fate.part, part);
                }
            }
        }
    }
}

/// The places of `count` cuts among the entries of `range`, in order: half of them directly behind news of the worker,
/// where most is promised and least is written.
pub fn cuts(
    recording: &Recording,
    range: std::ops::Range<usize>,
    count: usize,
    random: &mut Random,
) -> Vec<usize> {
    let entries = &recording.entries;
    let has_news = |at: &usize| *at > 0 && entries[*at].known != entries[*at - 1].known;
    let news: Vec<usize> = range.clone().filter(has_news).collect();
    let mut cuts: Vec<usize> = (0..count)
        .map(|number| match number % 2 {
            0 if !news.is_empty() => random.pick(&news),
            _ => range.start + random.below(range.len() as u64) as usize,
        })
        .collect();
    cuts.sort_unstable();
    cuts
}
