//! One region in pieces of one size, each with one owner at a time.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use super::{Process, Region, prefetch::prefetch};
use crate::{
    Error,
    sync::{Arc, AtomicUsize, Mutex, Ordering, lock},
};

/// Of what is prefetched: records do not begin at one.
const LINE: usize = 64;

/// Memory in pieces. Those that were given back last are taken first: what was never needed is never
/// resident.
pub(crate) struct Arena {
    region: Region,
    piece: usize,
    free: Mutex<Vec<u32>>,
    /// Length of `free`, for whoever only wants to know how much there is.
    left: AtomicUsize,
    maker: Process,
}

impl Arena {
    /// At most so many pieces of `piece` bytes, a power of two, as have room in `bytes`.
    ///
    /// # Errors
    /// If the address space or the memory limit does not allow it.
    pub(crate) fn new(bytes: usize, piece: usize) -> Result<Arc<Arena>, Error> {
        debug_assert!(piece.is_power_of_two());
        let count = u32::try_from(bytes / piece).unwrap_or(u32::MAX);
        let region = Region::anonymous(count as usize * piece, piece, bytes)?;
        let free = Mutex::new((0..count).rev().collect());
        let left = AtomicUsize::new(count as usize);
        Ok(Arc::new(Arena { region, piece, free, left, maker: Process::current() }))
    }

    /// Bytes of each piece.
    pub(crate) fn piece_len(&self) -> usize {
        self.piece
    }

    /// How many pieces are free. Relaxed: a count, no data.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Takes a piece, of whatever bytes, if there is one.
    pub(crate) fn take(self: &Arc<Arena>) -> Option<Piece> {
        let mut free = lock(&self.free);
        let number = free.pop()?;
        self.left.store(free.len(), Ordering::Relaxed);
        drop(free);
        let start = self.region.at(number as usize * self.piece);
        Some(Piece { start, len: self.piece, number, arena: self.clone() })
    }
}

/// A piece of an [`Arena`], given back on drop.
pub(crate) struct Piece {
    start: NonNull<u8>,
    len: usize,
    number: u32,
    arena: Arc<Arena>,
}

// SAFETY: a piece is a range of the arena's region, which lives as long as `arena` does, and it is its
// alone: its number is not among the free ones.
unsafe impl Send for Piece {}
// SAFETY: as above; through `&` it is only read.
unsafe impl Sync for Piece {}

impl Piece {
    /// Fetches the lines from `at` on that `len` bytes are about to be written to.
    #[inline]
    pub(crate) fn prefetch(&self, at: usize, len: usize) {
        prefetch(self.start.as_ptr().wrapping_add(at), len + LINE);
    }
}

impl Deref for Piece {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the range is within the region, initialised (zero at first), and ours alone.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Piece {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // A forked child must not lock what another thread of its parent may have held.
        if !self.arena.maker.is_current() {
            return;
        }
        let mut free = lock(&self.arena.free);
        free.push(self.number);
        self.arena.left.store(free.len(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Piece").field(&self.number).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_has_one_owner_and_comes_back() {
        let arena = Arena::new(5 * 4096 + 1, 4096).expect("an arena");
        assert_eq!(arena.left(), 5);
        let mut pieces: Vec<_> = std::iter::from_fn(|| arena.take()).collect();
        assert_eq!((pieces.len(), arena.left()), (5, 0));
        for (number, piece) in pieces.iter_mut().enumerate() {
            assert_eq!(piece.len(), 4096);
            assert!(piece.as_ptr().addr().is_multiple_of(4096));
            piece.fill(number as u8);
        }
        for (number, piece) in pieces.iter().enumerate() {
            assert!(piece.iter().all(|byte| *byte == number as u8));
        }
        let last = pieces.pop().map(|piece| piece.as_ptr().addr());
        assert_eq!(arena.left(), 1);
        assert_eq!(arena.take().map(|piece| piece.as_ptr().addr()), last, "the warm one");
        drop(pieces);
        assert_eq!(arena.left(), 5);
    }
}
