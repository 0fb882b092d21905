//! A map from the number of an event to the data about it.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A map by number. The manager gives the numbers in turn, so no user can choose names whose numbers collide.
pub(super) type ByNumber<T> = HashMap<u32, T, BuildHasherDefault<NumberHasher>>;

/// Hashes by a multiplication, which is fast: sorting looks each record up twice.
#[derive(Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    #[inline]
    fn write_u32(&mut self, number: u32) {
        // A map takes its places from the low bits and its marks from the high ones: this spreads the number to both.
        let product = u128::from(number) * 0x9E37_79B9_7F4A_7C15;
        self.0 = product as u64 ^ (u64::from(number)).rotate_left(32);
    }

    fn write(&mut self, _bytes: &[u8]) {}

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
