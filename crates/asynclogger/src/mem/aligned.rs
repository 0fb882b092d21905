//! A few aligned bytes with one owner: the source of metadata blocks.

use std::ops::{Deref, DerefMut};

use super::{Region, StableBytes};
use crate::Error;

/// Bytes at a multiple of their alignment, zero at first.
#[derive(Debug)]
pub(crate) struct AlignedBytes {
    region: Region,
    len: usize,
}

impl AlignedBytes {
    /// Maps `len` zero bytes.
    ///
    /// # Errors
    /// If the address space or the memory limit does not allow it.
    pub(crate) fn new(len: usize, align: usize) -> Result<AlignedBytes, Error> {
        Ok(AlignedBytes { region: Region::anonymous(len, align, align)?, len })
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the region is `len` bytes long, initialised (zero), and ours alone.
        unsafe { std::slice::from_raw_parts(self.region.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.region.as_ptr(), self.len) }
    }
}

// SAFETY: the bytes are a mapping that lives as long as `self` and does not move with it; they are
// written through `&mut self` only.
unsafe impl StableBytes for AlignedBytes {
    fn piece(&self, number: usize) -> &[u8] {
        if number == 0 { self } else { &[] }
    }
}
