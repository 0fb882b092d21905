//! What is kept of each event, by its number.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// By number. Numbers are ours, and given in turn, so nobody can have them collide.
pub(super) type ByNumber<T> = HashMap<u32, T, BuildHasherDefault<NumberHasher>>;

/// A multiplication: a record is looked up twice while it is sorted.
#[derive(Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    #[inline]
    fn write_u32(&mut self, number: u32) {
        // A map takes its places from the low bits and marks from the high ones: this spreads to both.
        let product = u128::from(number) * 0x9E37_79B9_7F4A_7C15;
        self.0 = product as u64 ^ (u64::from(number)).rotate_left(32);
    }

    fn write(&mut self, _bytes: &[u8]) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
