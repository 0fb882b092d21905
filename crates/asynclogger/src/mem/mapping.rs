//! One anonymous mapping, by the system's calls.

use std::{ffi::c_void, io, ops::Range, ptr::NonNull};

use rustix::{
    io::Errno,
    mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap},
};

/// The unit, in bytes, of lengths and offsets of advice.
pub(super) const PAGE: usize = 4096;

/// An anonymous mapping that begins at a page, zero at first, unmapped on drop. A forked child has a mapping of its own
/// at the same place, which is zero again (`MADV_WIPEONFORK`).
///
/// So the owner's drop is correct in both processes, and a reference into the mapping stays valid across a fork. With
/// `MADV_DONTFORK` neither would hold: the child would unmap another mapping that it has made there since, and its
/// slices would point to no memory. The parent is spared the same work by both: no page is shared, so a write in flight
/// by direct I/O never meets a page that a fork has to copy, and no page table is copied.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is an address range that its owner alone unmaps. The safe functions change no byte; the caller of
// `discard` promises that nobody else uses the range.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes. Unless `reserved`, the system sets no swap aside for them.
    ///
    /// # Errors
    /// The system's errors; `EINVAL` before Linux 4.14, which brought the wipe on fork.
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

    /// Asks for huge pages in a range of whole pages, or for none: an improvement, which an old kernel may refuse.
    pub(super) fn set_huge_pages(&self, range: Range<usize>, huge: bool) {
        let advice = if huge { Advice::LinuxHugepage } else { Advice::LinuxNoHugepage };
        // SAFETY: the advice changes no byte.
        let _ = unsafe { self.advise(range, advice) };
    }

    /// Makes a range of whole pages resident. No byte changes, so others may use the range meanwhile.
    ///
    /// # Errors
    /// `EINVAL` before Linux 5.14; `ENOMEM`, and other errors of the system.
    pub(super) fn populate(&self, range: Range<usize>) -> io::Result<()> {
        // SAFETY: the advice changes no byte.
        unsafe { self.advise(range, Advice::LinuxPopulateWrite) }
    }

    /// Gives a range of whole pages back to the system. The range is zero at the next touch, and not resident before.
    ///
    /// # Safety
    /// Nobody may use the bytes of the range meanwhile, nor expect their old values.
    pub(super) unsafe fn discard(&self, range: Range<usize>) {
        // SAFETY: the advice sets the bytes of the range to zero, and the caller promises that this is allowed.
        let _ = unsafe { self.advise(range, Advice::LinuxDontNeed) };
    }

    /// # Safety
    /// The advice may change only bytes that nobody uses.
    unsafe fn advise(&self, range: Range<usize>, advice: Advice) -> io::Result<()> {
        assert!(range.start <= range.end && range.end <= self.len);
        let start = self.start.as_ptr().wrapping_add(range.start).cast::<c_void>();
        // SAFETY: the range is within our mapping, as the assertion has shown; the caller makes the promise for its
        // bytes.
        unsafe { madvise(start, range.len(), advice)? };
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this range was mapped by `new`, or by the fork that made this process: a mapping without the wipe is
        // never made. All borrows of the bytes have ended.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
