//! One anonymous mapping, by the system's calls.

use std::{ffi::c_void, io, ops::Range, ptr::NonNull};

use rustix::{
    io::Errno,
    mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap},
};

/// What lengths and offsets of advice are multiples of.
pub(super) const PAGE: usize = 4096;

/// Zero bytes at a page, unmapped on drop. A forked child has a mapping of its own at the same place, and finds
/// zero there again (`MADV_WIPEONFORK`).
///
/// So the owner's drop is right in both processes, and a reference into it stays valid across a fork. Neither
/// holds with `MADV_DONTFORK`: the child would unmap what else it has there by then, and a slice that it holds
/// would not be mapped. Both spare the parent the same: no page is shared, so a write in flight by direct I/O
/// never meets a page that a fork has to copy, and no page table is copied.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: an address range that it alone unmaps. Its safe functions change no byte; `discard` makes its caller
// promise that nobody else uses the range.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes, without swap being set aside for them if not `reserved`.
    ///
    /// # Errors
    /// Those of the system; `EINVAL` before Linux 4.14, which cannot wipe on fork.
    pub(super) fn new(len: usize, reserved: bool) -> Result<Mapping, Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let mut flags = MapFlags::PRIVATE;
        flags.set(MapFlags::NORESERVE, !reserved);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), len, protection, flags) }?;
        let mapping = Mapping { start: NonNull::new(start.cast()).ok_or(Errno::NOMEM)?, len };
        // SAFETY: our own mapping; the advice takes effect in children only.
        unsafe { madvise(start, len, Advice::LinuxWipeOnFork) }?;
        Ok(mapping)
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Asks for huge pages in a range of whole pages: an improvement, which an old kernel may refuse.
    pub(super) fn ask_for_huge_pages(&self, range: Range<usize>) {
        let _ = self.advise(range, Advice::LinuxHugepage);
    }

    /// Makes a range of whole pages resident, without changing a byte: others may use it meanwhile.
    ///
    /// # Errors
    /// `EINVAL` before Linux 5.14; `ENOMEM` and the like.
    pub(super) fn populate(&self, range: Range<usize>) -> io::Result<()> {
        self.advise(range, Advice::LinuxPopulateWrite)
    }

    /// Gives a range of whole pages back: zero, and not resident, when it is touched next.
    ///
    /// # Safety
    /// Nobody may use the bytes of the range meanwhile, nor expect them to be what they were.
    pub(super) unsafe fn discard(&self, range: Range<usize>) {
        let _ = self.advise(range, Advice::LinuxDontNeed);
    }

    fn advise(&self, range: Range<usize>, advice: Advice) -> io::Result<()> {
        assert!(range.start <= range.end && range.end <= self.len);
        let start = self.start.as_ptr().wrapping_add(range.start).cast::<c_void>();
        // SAFETY: within our mapping. Of the advices used here, DONTNEED alone changes bytes, which is what the
        // caller of `discard` promises to be right.
        unsafe { madvise(start, range.len(), advice)? };
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly this range was mapped by us, or by the fork that made this process: the wipe is not an
        // option. All borrows of the bytes ended with us.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
