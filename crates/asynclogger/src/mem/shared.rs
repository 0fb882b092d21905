//! Memory in a file, which outlives the process that writes it.

use std::{ffi::c_void, fs::File, io, ops::Range, ptr::NonNull};

use rustix::{
    io::Errno,
    mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap},
};

use super::{mapping::PAGE, process::Process};
use crate::sync::GlobalAtomicU64;

/// A range of a file in memory: words first, then bytes. All processes that map the file share both, and both stay when
/// a process dies.
///
/// The words are only ever used as atomics, and the bytes only through a region. A forked child does
/// not have the mapping (`MADV_DONTFORK`): for a child the words are an empty slice, and a child unmaps nothing.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    /// The address range that `drop` unmaps: the mapping, and what its alignment left over.
    reserved: (NonNull<u8>, usize),
    start: NonNull<u8>,
    /// Bytes of the words.
    words: usize,
    /// Bytes of all.
    len: usize,
    maker: Process,
}

// SAFETY: an address range that its owner alone unmaps. The safe functions give out atomics only, and no access to the
// bytes.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Maps `len` bytes of the file from byte `offset` on, at a multiple of `align`; the first `words` bytes are words.
    /// The file must have all of the bytes, allocated: a page that the file system cannot give kills the process.
    ///
    /// # Errors
    /// The system's errors; `EINVAL` for lengths that are no multiples of a page, or of the alignment.
    pub(crate) fn map(
        file: &File,
        offset: u64,
        words: usize,
        len: usize,
        align: usize,
    ) -> Result<SharedMemory, Errno> {
        let align = align.max(PAGE);
        let is_whole = |bytes: usize| bytes.is_multiple_of(PAGE);
        if !align.is_power_of_two() || !words.is_multiple_of(align) || !is_whole(len) || words > len
        {
            return Err(Errno::INVAL);
        }
        let reserved_len = len.checked_add(align).ok_or(Errno::NOMEM)?;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no other memory.
        let reserved = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                reserved_len,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let reserved = (NonNull::new(reserved.cast::<u8>()).ok_or(Errno::NOMEM)?, reserved_len);
        let skip = reserved.0.as_ptr().align_offset(align);
        assert!(skip.checked_add(len).is_some_and(|end| end <= reserved_len));
        // SAFETY: the assertion above has shown that the address is within the reserved range.
        let start = unsafe { reserved.0.add(skip) };
        let memory = SharedMemory { reserved, start, words, len, maker: Process::current() };
        let at = start.as_ptr().cast::<c_void>();
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the range is within the one that was just reserved, and nobody uses that one.
        unsafe { mmap(at, len, protection, MapFlags::SHARED | MapFlags::FIXED, file, offset) }?;
        // SAFETY: our own mapping; the advice takes effect in children only.
        unsafe { madvise(at, len, Advice::LinuxDontFork) }?;
        Ok(memory)
    }

    /// The words; none in a forked child.
    pub(crate) fn words(&self) -> &[GlobalAtomicU64] {
        if !self.maker.is_current() {
            return &[];
        }
        // SAFETY: the first `words` bytes of a mapping that begins at a page, only ever used as atomics. Any bytes are
        // valid ones.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.words / 8) }
    }

    /// The first of the bytes behind the words. Their count is [`bytes`](SharedMemory::bytes).
    pub(super) fn bytes_start(&self) -> NonNull<u8> {
        // SAFETY: `map` has checked that the words are within the mapping.
        unsafe { self.start.add(self.words) }
    }

    /// The number of bytes behind the words.
    pub(crate) fn bytes(&self) -> usize {
        self.len - self.words
    }

    /// Makes a range of whole pages of the bytes resident in this process. No byte changes.
    ///
    /// # Errors
    /// `EINVAL` before Linux 5.14, and in a forked child; other errors of the system.
    pub(super) fn populate(&self, range: Range<usize>) -> io::Result<()> {
        if !self.maker.is_current() {
            return Err(Errno::INVAL.into());
        }
        assert!(range.start <= range.end && range.end <= self.bytes());
        let start = self.bytes_start().as_ptr().wrapping_add(range.start).cast::<c_void>();
        // SAFETY: within our mapping; this advice changes no byte.
        unsafe { madvise(start, range.len(), Advice::LinuxPopulateWrite)? };
        Ok(())
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        if self.maker.is_current() {
            // SAFETY: `map` reserved this range, and all borrows of the words have ended. Another process never had the
            // mapping.
            let _ = unsafe { munmap(self.reserved.0.as_ptr().cast(), self.reserved.1) };
        }
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;
    use crate::{
        mem::{Region, in_forked_child},
        sync::{Arc, Ordering},
    };

    fn file(len: u64) -> File {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(len).expect("a length");
        file
    }

    #[test]
    fn two_mappings_of_a_file_are_the_same_memory() {
        let file = file(4096 + (1 << 20));
        for align in [4096, 1 << 16] {
            let map = || SharedMemory::map(&file, 4096, 1 << 16, 1 << 20, align).expect("mapped");
            let (one, other) = (Arc::new(map()), Arc::new(map()));
            assert_eq!((one.words().len(), one.bytes()), (1 << 13, (1 << 20) - (1 << 16)));
            one.words()[5].store(align as u64, Ordering::Release);
            assert_eq!(other.words()[5].load(Ordering::Acquire), align as u64);
            let regions = [one, other].map(|memory| Region::shared(memory, 0, 4096));
            let [first, second] = regions.each_ref().map(Region::as_ptr);
            assert!(first.addr().is_multiple_of(align));
            // SAFETY: within the bytes, which nobody else uses.
            unsafe { first.add(77).write(9) };
            // SAFETY: as above.
            assert_eq!(unsafe { second.add(77).read() }, 9);
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let file = file(1 << 20);
        for (words, len) in [(4096, 5000), (100, 8192), (8192, 4096), (0, usize::MAX - 4095)] {
            assert!(SharedMemory::map(&file, 0, words, len, 4096).is_err(), "{words} {len}");
        }
    }

    #[test]
    fn a_dropped_mapping_is_gone() {
        use std::os::unix::fs::MetadataExt;
        let file = file(1 << 20);
        let inode = format!(" {} ", file.metadata().expect("metadata").ino());
        let mappings = || {
            let maps = std::fs::read_to_string("/proc/self/maps").expect("the mappings");
            maps.lines().filter(|line| line.contains(&inode)).count()
        };
        let memory = SharedMemory::map(&file, 0, 4096, 1 << 20, 4096).expect("mapped");
        assert_eq!(mappings(), 1);
        drop(memory);
        assert_eq!(mappings(), 0);
    }

    #[test]
    fn what_is_populated_is_resident() {
        let file = file(1 << 20);
        let memory = SharedMemory::map(&file, 0, 4096, 1 << 20, 4096).expect("mapped");
        let resident = || {
            let (start, len) = (memory.bytes_start().as_ptr(), memory.bytes());
            let mut pages = vec![0_u8; len / PAGE];
            // SAFETY: a byte for each page of a range that is mapped.
            let asked = unsafe { libc::mincore(start.cast(), len, pages.as_mut_ptr()) };
            assert_eq!(asked, 0);
            pages.iter().filter(|page| **page & 1 == 1).count()
        };
        assert_eq!(resident(), 0);
        // Before Linux 5.14 the system refuses this for any memory.
        let other = Region::anonymous(PAGE, PAGE, PAGE).expect("map");
        let populated = other.populate(0..PAGE).is_ok();
        assert_eq!(memory.populate(0..8 * PAGE).is_ok(), populated);
        assert!(resident() >= 8 || !populated, "the system reads ahead");
        in_forked_child(|| memory.populate(0..PAGE).is_err());
    }

    /// A child has no part of the mapping, and drops nothing of its own.
    #[test]
    fn a_child_finds_no_words_and_unmaps_nothing() {
        let file = file(1 << 20);
        let mut memory = SharedMemory::map(&file, 0, 4096, 1 << 20, 4096).ok();
        memory.as_ref().expect("mapped").words()[0].store(7, Ordering::Relaxed);
        in_forked_child(|| {
            let has_words = memory.as_ref().is_none_or(|memory| !memory.words().is_empty());
            let ours: Vec<_> = (1..20_u8).map(|byte| vec![byte; 1 << 20]).collect();
            drop(memory.take());
            let mut all = ours.iter().zip(1..);
            !has_words && all.all(|(bytes, byte)| bytes.iter().all(|b| *b == byte))
        });
        assert_eq!(memory.as_ref().expect("mapped").words()[0].load(Ordering::Relaxed), 7);
    }
}
