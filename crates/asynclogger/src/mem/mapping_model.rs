//! [`Mapping`] for Miri, which has no system call for memory. The model is an allocation.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    io,
    ops::Range,
    ptr::NonNull,
};

use rustix::io::Errno;

/// The same as in the real module.
pub(super) const PAGE: usize = 4096;
/// The longest mapping. No test under Miri needs more, and Miri would really allocate an absurd length.
const MOST: usize = 1 << 30;

/// An allocation that begins at a page, zero at first. Miri does not fork.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the same as for the real mapping.
unsafe impl Send for Mapping {}
// SAFETY: the same as for the real mapping.
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

    pub(super) fn set_huge_pages(&self, _range: Range<usize>, _huge: bool) {}

    pub(super) fn populate(&self, _range: Range<usize>) -> io::Result<()> {
        Ok(())
    }

    /// # Safety
    /// The same as for the real mapping.
    pub(super) unsafe fn discard(&self, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.len());
        // SAFETY: the range is within the allocation, and the caller's alone. A write, so that Miri detects another use
        // of the range.
        unsafe { self.start.add(range.start).write_bytes(0, range.len()) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` allocated with this layout, and all borrows of the bytes have ended.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
