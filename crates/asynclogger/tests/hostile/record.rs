//! A record says who logged it, and every byte of it can be checked.

use std::fmt;

/// The records of one thread of one kind of service are numbered over all its lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub lane: u32,
    pub number: u32,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lane, self.number)
    }
}

const HEAD: usize = 16;

fn mix(seed: u64) -> u64 {
    let mut value = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

impl Key {
    /// With a manager, the event that the record belongs to.
    pub fn event(self) -> usize {
        (self.number / 3) as usize % EVENTS.len()
    }

    fn seed(self) -> u64 {
        mix(u64::from(self.lane) << 32 | u64::from(self.number))
    }

    /// The record: a checksum, the key, and bytes that follow from it. One in sixty is long.
    pub fn record(self) -> Vec<u8> {
        let seed = self.seed();
        let len = if seed.is_multiple_of(60) { 20_000 } else { 30 + seed as usize % 900 };
        let mut bytes = vec![0; HEAD];
        bytes[8..12].copy_from_slice(&self.lane.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes.extend((0..len).map(|at| (seed >> (at % 8 * 8)) as u8 ^ at as u8));
        let sum = checksum(&bytes[8..]);
        bytes[..8].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The key of a record, if the record is exactly as it was logged.
    pub fn parse(record: &[u8]) -> Option<Key> {
        let word = |at: usize| record.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let key = Key { lane: word(8)?, number: word(12)? };
        (key.record() == record).then_some(key)
    }
}

/// The events of a manager.
pub const EVENTS: [&str; 3] = ["app", "bee", "cat"];

/// FNV-1a, by words.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3)
    })
}
