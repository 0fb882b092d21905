//! A region divided into pieces of one size. Each piece has one owner at a time.

use std::{
    fmt, io,
    ops::{Deref, DerefMut, Range},
    ptr::NonNull,
};

use super::{Process, Region, SharedMemory, prefetch::prefetch, region::HUGE_PAGE};
use crate::{
    Error,
    sync::{Arc, AtomicBool, Mutex, Ordering, lock},
};

/// The length of a cache line. A record does not begin at a line, so one line more is prefetched.
const LINE: usize = 64;
/// The bytes that are allocated at a time.
const STEP: usize = 256 << 10;

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
    count: u32,
    free: Mutex<Free>,
    maker: Process,
    /// A word for each piece in memory that outlives the process; 0 while the piece is free.
    marks: Option<Marks>,
    /// `None`: all pieces have memory.
    allocate: Option<Allocate>,
    /// Whether the system had no memory for the last piece that was asked for.
    is_short: AtomicBool,
}

/// Allocates a range of the region, in whole pages.
pub(crate) type Allocate = Box<dyn Fn(Range<usize>) -> io::Result<()> + Send + Sync>;

/// The free pieces.
struct Free {
    pieces: Vec<u32>,
    /// The pieces before this one are allocated; the others are in no list.
    allocated: u32,
    /// Whether more than the first huge page was ever needed: then huge pages pay.
    was_busy: bool,
}

impl Free {
    /// The first pieces, the very first on top.
    fn first(allocated: u32) -> Mutex<Free> {
        Mutex::new(Free { pieces: (0..allocated).rev().collect(), allocated, was_busy: false })
    }
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
        Ok(Arc::new(Arena::of(region, (count, piece), Free::first(count))))
    }

    fn of(region: Region, (count, piece): (u32, usize), free: Mutex<Free>) -> Arena {
        Arena {
            region,
            piece,
            count,
            free,
            maker: Process::current(),
            marks: None,
            allocate: None,
            is_short: AtomicBool::new(false),
        }
    }

    /// `count` pieces of `piece` bytes in a shared memory, from byte `skip` behind its words on. Whoever takes a piece
    /// marks it in the word at `first + number * stride`; the word is 0 again when the piece is given back. The
    /// first `allocated` pieces have memory, and `allocate` gives it to the others.
    ///
    /// Panics if the memory has less.
    pub(crate) fn shared(
        memory: &Arc<SharedMemory>,
        skip: usize,
        (count, piece): (u32, usize),
        (first, stride): (usize, usize),
        (allocated, allocate): (u32, Allocate),
    ) -> Arc<Arena> {
        let region = Region::shared(memory.clone(), skip, count as usize * piece);
        let allocated = allocated.min(count);
        let mut arena = Arena::of(region, (count, piece), Free::first(allocated));
        arena.marks = Some(Marks { memory: memory.clone(), first, stride });
        arena.allocate = Some(allocate);
        Arc::new(arena)
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
        let arena = Arc::new(Arena::of(region, (count, piece), Free::first(count)));
        std::iter::from_fn(|| arena.take()).collect()
    }

    /// Bytes of each piece.
    pub(crate) fn piece_len(&self) -> usize {
        self.piece
    }

    /// The number of free pieces.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        let free = lock(&self.free);
        free.pieces.len() + (self.count - free.allocated) as usize
    }

    /// The number of pieces, free or not. Pieces that the system has no memory for are left out, as long as that is so.
    pub(crate) fn count(&self) -> usize {
        let count = if self.is_short.load(Ordering::Relaxed) {
            lock(&self.free).allocated
        } else {
            self.count
        };
        count as usize
    }

    /// Allocates some of the pieces that have no memory yet. Returns whether there were any.
    ///
    /// # Errors
    /// The system's errors. Then the pieces are as before, and the call can be repeated.
    pub(crate) fn grow(&self) -> io::Result<bool> {
        self.allocate_more(&mut lock(&self.free))
    }

    fn allocate_more(&self, free: &mut Free) -> io::Result<bool> {
        let (Some(allocate), begin) = (&self.allocate, free.allocated) else {
            return Ok(false);
        };
        let end = (begin + (STEP / self.piece).max(1) as u32).min(self.count);
        if begin == end {
            return Ok(false);
        }
        let result = allocate(begin as usize * self.piece..end as usize * self.piece);
        self.is_short.store(result.is_err(), Ordering::Relaxed);
        result?;
        // Below the pieces that were in use before, which are warm.
        free.pieces.splice(0..0, (begin..end).rev());
        free.allocated = end;
        Ok(true)
    }

    /// Takes a free piece, whose bytes are unspecified; `None` if no piece is free, or has memory.
    pub(crate) fn take(self: &Arc<Arena>) -> Option<Piece> {
        let mut free = lock(&self.free);
        if free.pieces.is_empty() {
            // Without memory there is no piece, and the flusher reports that.
            let _ = self.allocate_more(&mut free);
        }
        let number = free.pieces.pop()?;
        let at = number as usize * self.piece;
        if at >= HUGE_PAGE && !std::mem::replace(&mut free.was_busy, true) {
            self.region.use_huge_pages();
        }
        drop(free);
        let start = self.region.at(at);
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
        lock(&self.arena.free).pieces.push(self.number);
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
    #[cfg(not(any(loom, miri)))]
    use crate::{mem::region::has_huge_pages, sync::AtomicUsize};

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

    #[cfg(not(any(loom, miri)))]
    #[test]
    fn an_arena_asks_for_huge_pages_when_the_first_one_is_used_up() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            return eprintln!("skipped: the kernel has no huge pages");
        }
        let piece = HUGE_PAGE / 4;
        // In a child, where no other thread changes the list of mappings while it is read.
        crate::mem::in_forked_child(|| {
            let arena = Arena::new(3 * HUGE_PAGE, piece).expect("an arena");
            let mut asks = || {
                arena.take().map(|piece| {
                    let asks = has_huge_pages(piece.as_ptr().cast_mut());
                    std::mem::forget(piece);
                    asks
                })
            };
            let mut asked = std::iter::from_fn(&mut asks).collect::<Vec<_>>();
            let rest = asked.split_off(4);
            asked == [false; 4] && rest == [true; 8]
        });
    }

    /// Else the successor of a dead process would take the bytes of a free piece for a block that was not written.
    #[cfg(not(any(loom, miri)))]
    #[test]
    fn a_piece_that_is_given_back_is_not_marked_any_more() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(1 << 16).expect("a length");
        let memory = SharedMemory::map(&file, 0, 4096, 1 << 16, 4096).expect("mapped");
        let memory = Arc::new(memory);
        let arena = Arena::shared(&memory, 4096, (3, 4096), (5, 2), (0, Box::new(|_| Ok(()))));
        let pieces: Vec<_> = std::iter::from_fn(|| arena.take()).collect();
        assert_eq!(pieces.iter().map(Piece::number).collect::<Vec<_>>(), [0, 1, 2]);
        memory.words()[..16].iter().for_each(|word| word.store(7, Ordering::Relaxed));
        drop(pieces);
        let words = memory.words()[..16].iter().map(|word| word.load(Ordering::Relaxed));
        let cleared: Vec<_> = words.enumerate().filter(|(_, word)| *word == 0).collect();
        assert_eq!(cleared, [(5, 0), (7, 0), (9, 0)]);
    }

    #[cfg(not(any(loom, miri)))]
    #[test]
    fn pieces_get_memory_when_they_are_needed_or_before_and_a_lack_of_it_ends() {
        let file = tempfile::tempfile().expect("a file");
        let (count, piece) = (20, 64 << 10);
        file.set_len(4096 + count * piece).expect("a length");
        let len = (count * piece) as usize + 4096;
        let memory = SharedMemory::map(&file, 0, 4096, len, 4096).expect("mapped");
        // The room of the system, in bytes.
        let room = Arc::new(AtomicUsize::new(6 * piece as usize));
        let left = room.clone();
        let allocate = move |part: Range<usize>| {
            let less = |left: usize| left.checked_sub(part.len());
            let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            taken.map(|_| ()).map_err(|_| io::Error::from(io::ErrorKind::StorageFull))
        };
        let sizes = (count as u32, piece as usize);
        let arena = Arena::shared(&Arc::new(memory), 0, sizes, (0, 1), (0, Box::new(allocate)));
        assert_eq!((arena.left(), arena.count()), (20, 20));
        let first = arena.take().expect("a step of four");
        assert_eq!((first.number(), arena.left(), room.load(Ordering::Relaxed)), (0, 19, 2 << 16));
        assert!(arena.grow().is_err());
        assert_eq!(arena.count(), 4, "more cannot be had");
        let others: Vec<_> = std::iter::from_fn(|| arena.take()).collect();
        assert_eq!(others.len(), 3);
        drop(first);
        assert_eq!(arena.take().map(|piece| piece.number()), Some(0));
        room.store(14 * piece as usize, Ordering::Relaxed);
        assert!(arena.grow().is_ok_and(|some| some));
        assert_eq!(arena.count(), 20);
        assert!(arena.take().is_some_and(|piece| piece.number() == 0), "the warm one");
        assert!(arena.grow().is_ok_and(|some| some) && arena.grow().is_ok_and(|some| some));
        assert!(arena.grow().is_err());
        room.store(2 * piece as usize, Ordering::Relaxed);
        assert!(arena.grow().is_err(), "a step is taken whole");
        room.store(8 * piece as usize, Ordering::Relaxed);
        assert!(arena.grow().is_ok_and(|some| some));
        assert!(arena.grow().is_ok_and(|some| !some), "all of it");
        let all: Vec<_> = std::iter::from_fn(|| arena.take()).collect();
        assert_eq!((all.len(), arena.left()), (17, 0));
    }
}
