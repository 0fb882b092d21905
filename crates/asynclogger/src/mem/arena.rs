//! A region divided into pieces of one size. Each piece has one owner at a time.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use super::{Process, Region, SharedMemory, prefetch::prefetch};
use crate::{
    Error,
    sync::{Arc, AtomicUsize, Mutex, Ordering, lock},
};

/// The length of a cache line. A record does not begin at a line, so one line more is prefetched.
const LINE: usize = 64;

/// Memory in pieces of one size.
///
/// Many events share the memory of one manager, and an event's need changes with every pass. A buffer of its own for
/// each event would hold memory that the event does not use now; an allocation for each block would have no limit,
/// would not be aligned for direct I/O, and could fail in the middle of a pass. So the whole memory is mapped at the
/// opening, in pieces of one size: each free piece serves each request, no space is lost between pieces, and the limit
/// is the region's length. A [`Piece`] is an owned value that returns its memory on drop, so no piece has two owners
/// and no path loses one.
///
/// The piece that was given back last is taken first: its pages are warm, and a page that was never needed is never
/// resident.
pub(crate) struct Arena {
    region: Region,
    piece: usize,
    free: Mutex<Vec<u32>>,
    /// The length of `free`, readable without the lock.
    left: AtomicUsize,
    maker: Process,
    /// A word for each piece in memory that outlives the process; 0 while the piece is free.
    marks: Option<Marks>,
}

/// The place of the words that say which pieces are in use.
struct Marks {
    memory: Arc<SharedMemory>,
    first: usize,
    /// The distance from the word of a piece to that of the next one.
    stride: usize,
}

impl Marks {
    fn clear(&self, number: u32) {
        if let Some(word) = self.memory.words().get(self.first + number as usize * self.stride) {
            // Release: all use of the piece was before.
            word.store(0, Ordering::Release);
        }
    }
}

impl Arena {
    /// Maps as many pieces of `piece` bytes, a power of two, as fit in `bytes`.
    ///
    /// # Errors
    /// If the address space or the memory limit does not allow it.
    pub(crate) fn new(bytes: usize, piece: usize) -> Result<Arc<Arena>, Error> {
        debug_assert!(piece.is_power_of_two());
        let count = u32::try_from(bytes / piece).unwrap_or(u32::MAX);
        let region = Region::anonymous(count as usize * piece, piece, bytes)?;
        let free = Mutex::new((0..count).rev().collect());
        let left = AtomicUsize::new(count as usize);
        let maker = Process::current();
        Ok(Arc::new(Arena { region, piece, free, left, maker, marks: None }))
    }

    /// `count` pieces of `piece` bytes in a shared memory, from byte `skip` behind its words on. Whoever takes a piece
    /// marks it in the word at `first + number * stride`; the word is 0 again when the piece is given back.
    ///
    /// Panics if the memory has less.
    pub(crate) fn shared(
        memory: &Arc<SharedMemory>,
        skip: usize,
        (count, piece): (u32, usize),
        (first, stride): (usize, usize),
    ) -> Arc<Arena> {
        let region = Region::shared(memory.clone(), skip, count as usize * piece);
        let free = Mutex::new((0..count).rev().collect());
        let left = AtomicUsize::new(count as usize);
        let marks = Some(Marks { memory: memory.clone(), first, stride });
        Arc::new(Arena { region, piece, free, left, maker: Process::current(), marks })
    }

    /// All pieces as a dead process has left them, in their order. Their marks stay as they are.
    ///
    /// Panics if the memory has less.
    pub(crate) fn left_in(
        memory: &Arc<SharedMemory>,
        skip: usize,
        (count, piece): (u32, usize),
    ) -> Vec<Piece> {
        let region = Region::shared(memory.clone(), skip, count as usize * piece);
        let (free, left) = (Mutex::new((0..count).rev().collect()), AtomicUsize::new(0));
        let maker = Process::current();
        let arena = Arc::new(Arena { region, piece, free, left, maker, marks: None });
        std::iter::from_fn(|| arena.take()).collect()
    }

    /// Bytes of each piece.
    pub(crate) fn piece_len(&self) -> usize {
        self.piece
    }

    /// The number of free pieces. Relaxed: a count, no data.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Takes a free piece, whose bytes are unspecified; `None` if no piece is free.
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

// SAFETY: a piece is a range of the arena's region, which lives as long as `arena` does. The range belongs to this
// piece alone: its number is not among the free ones.
unsafe impl Send for Piece {}
// SAFETY: as above; through `&` the bytes are only read.
unsafe impl Sync for Piece {}

impl Piece {
    /// The number of the piece in its arena.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Fetches the cache lines that a write of `len` bytes at `at` is about to touch.
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
        // A forked child must not take the lock: another thread of its parent may have held the lock at the fork.
        if !self.arena.maker.is_current() {
            return;
        }
        if let Some(marks) = &self.arena.marks {
            marks.clear(self.number);
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

    /// Else the successor of a dead process would take the bytes of a free piece for a block that was not written.
    #[cfg(not(any(loom, miri)))]
    #[test]
    fn a_piece_that_is_given_back_is_not_marked_any_more() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 16).expect("a length");
        let memory = SharedMemory::map(&file, 0, 4096, 1 << 16, 4096).expect("mapped");
        let memory = Arc::new(memory);
        let arena = Arena::shared(&memory, 4096, (3, 4096), (5, 2));
        let pieces: Vec<_> = std::iter::from_fn(|| arena.take()).collect();
        assert_eq!(pieces.iter().map(Piece::number).collect::<Vec<_>>(), [0, 1, 2]);
        memory.words()[..16].iter().for_each(|word| word.store(7, Ordering::Relaxed));
        drop(pieces);
        let words = memory.words()[..16].iter().map(|word| word.load(Ordering::Relaxed));
        let cleared: Vec<_> = words.enumerate().filter(|(_, word)| *word == 0).collect();
        assert_eq!(cleared, [(5, 0), (7, 0), (9, 0)]);
    }
}
