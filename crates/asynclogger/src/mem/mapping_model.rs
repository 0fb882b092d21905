//! [`Mapping`] for Miri, which knows no system call for memory: an allocation.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    io,
    ops::Range,
    ptr::NonNull,
};

use rustix::io::Errno;

/// As the real one's.
pub(super) const PAGE: usize = 4096;
/// No test that Miri runs needs more; it would take what it is asked for.
const MOST: usize = 1 << 30;

/// Zero bytes at a page. Miri does not fork.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: as of the real one.
unsafe impl Send for Mapping {}
// SAFETY: as of the real one.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(super) fn new(len: usize, _reserved: bool) -> Result<Mapping, Errno> {
        if len == 0 || len > MOST {
            return Err(Errno::NOMEM);
        }
        let layout = Layout::from_size_align(len, PAGE).map_err(|_| Errno::INVAL)?;
        // SAFETY: the layout is not of length 0.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Errno::NOMEM)?;
        Ok(Mapping { start, layout })
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn len(&self) -> usize {
        self.layout.size()
    }

    pub(super) fn ask_for_huge_pages(&self, _range: Range<usize>) {}

    pub(super) fn populate(&self, _range: Range<usize>) -> io::Result<()> {
        Ok(())
    }

    /// # Safety
    /// As of the real one.
    pub(super) unsafe fn discard(&self, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.len());
        // SAFETY: within the allocation, and the caller's alone. A write, so that Miri sees who uses it meanwhile.
        unsafe { self.start.add(range.start).write_bytes(0, range.len()) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: allocated by this layout, and all borrows of the bytes ended with us.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
