//! One private anonymous mapping, aligned, not resident until it is touched or populated.

use std::{ffi::c_void, io, ops::Range, ptr::NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::{Error, error::ErrorKind};

/// Pages of this size are used for regions whose parts are at least as long.
const HUGE_PAGE: usize = 2 << 20;
const PAGE: usize = 4096;

/// An aligned mapping; unmapped on drop. A forked child does not have it at all: a write in flight by
/// direct I/O and a page copied by a fork do not go together.
#[derive(Debug)]
pub(crate) struct Region {
    start: NonNull<u8>,
    len: usize,
    mapping: NonNull<c_void>,
    mapping_len: usize,
}

// SAFETY: a `Region` is an address range that it alone unmaps; what is done with the bytes is the
// business of whoever uses the raw pointer.
unsafe impl Send for Region {}
// SAFETY: as above; its own methods take `&self` and only advise the kernel.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `len` zero bytes at a multiple of `align`, a power of two. `part` is the size of the pieces
    /// that are used on their own: it decides whether huge pages are asked for.
    ///
    /// # Errors
    /// If the address space or the memory limit does not allow it.
    pub(crate) fn anonymous(len: usize, align: usize, part: usize) -> Result<Region, Error> {
        debug_assert!(align.is_power_of_two());
        let align = if part >= HUGE_PAGE { align.max(HUGE_PAGE) } else { align.max(PAGE) };
        let absurd = || {
            Error::new(ErrorKind::InvalidConfig, format!("{len} bytes of buffers cannot be mapped"))
        };
        let mapping_len = len.checked_add(align).ok_or_else(absurd)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no other memory.
        let mapping =
            unsafe { mmap_anonymous(std::ptr::null_mut(), mapping_len, protection, flags) }
                .map_err(|errno| Error::io(format!("cannot map {len} bytes of buffers"), errno))?;
        let mapping = NonNull::new(mapping).ok_or_else(absurd)?;
        let skip = mapping.as_ptr().cast::<u8>().align_offset(align);
        // SAFETY: `skip < align`, and the mapping is `len + align` bytes long.
        let start = unsafe { mapping.cast::<u8>().add(skip) };
        let region = Region { start, len, mapping, mapping_len };
        // Both are improvements, not needs: an old kernel may refuse them.
        let _ = region.advise(0..len, Advice::LinuxDontFork);
        if part >= HUGE_PAGE {
            let _ = region.advise(0..len, Advice::LinuxHugepage);
        }
        Ok(region)
    }

    /// The first byte.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Makes `range` resident. Changes no byte, so it may be in use; widened to whole pages.
    ///
    /// # Errors
    /// `EINVAL` before Linux 5.14; `ENOMEM` and the like.
    pub(crate) fn populate(&self, range: Range<usize>) -> io::Result<()> {
        self.advise(range, Advice::LinuxPopulateWrite)
    }

    /// Gives the whole pages within `range` back: they are zero, and not resident, when they are touched next.
    /// What cannot be given back stays as it is.
    ///
    /// # Safety
    /// Nobody may use the bytes of the range meanwhile, nor expect them to be what they were.
    pub(crate) unsafe fn discard(&self, range: Range<usize>) {
        let start = range.start.next_multiple_of(PAGE);
        let end = range.end.min(self.len) & !(PAGE - 1);
        if start < end {
            // SAFETY: within our mapping; what becomes of the bytes is the caller's promise.
            let _ = unsafe {
                let start_at = self.start.as_ptr().add(start).cast();
                madvise(start_at, end - start, Advice::LinuxDontNeed)
            };
        }
    }

    fn advise(&self, range: Range<usize>, advice: Advice) -> io::Result<()> {
        let start = range.start & !(PAGE - 1);
        let end = range.end.next_multiple_of(PAGE).min(self.len.next_multiple_of(PAGE));
        if start >= end {
            return Ok(());
        }
        // SAFETY: the range is within our mapping (which has `align >= PAGE` spare bytes at its end),
        // and none of the advices used here (DONTFORK, HUGEPAGE, POPULATE_WRITE) changes a byte.
        unsafe { madvise(self.start.as_ptr().add(start).cast(), end - start, advice)? };
        Ok(())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: we mapped exactly this range, and whoever held a pointer into it has given up its
        // reference to us. Failure would mean that it is not mapped: nothing to do about.
        let _ = unsafe { munmap(self.mapping.as_ptr(), self.mapping_len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resident bytes of the mapping that holds `address`, from the kernel's own books.
    fn resident(address: usize) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("smaps");
        let mut inside = false;
        for line in maps.lines() {
            if let Some((range, _)) = line.split_once(' ')
                && let Some((low, high)) = range.split_once('-')
                && let (Ok(low), Ok(high)) =
                    (usize::from_str_radix(low, 16), usize::from_str_radix(high, 16))
            {
                inside = (low..high).contains(&address);
            } else if inside && let Some(rss) = line.strip_prefix("Rss:") {
                return rss.trim().trim_end_matches(" kB").parse::<usize>().expect("kB") * 1024;
            }
        }
        panic!("the mapping is not in smaps");
    }

    #[test]
    fn a_region_is_aligned_zero_and_not_resident_until_populated() {
        let region = Region::anonymous(4 << 20, 1 << 16, 1 << 16).expect("map");
        let start = region.as_ptr();
        assert!(start.addr().is_multiple_of(1 << 16));
        assert_eq!(resident(start.addr()), 0);
        if region.populate(0..1 << 20).is_ok() {
            assert_eq!(resident(start.addr()), 1 << 20);
        }
        // SAFETY: the byte is within the region and nobody else uses it.
        assert_eq!(unsafe { start.add((4 << 20) - 1).read() }, 0);
    }

    #[test]
    fn what_is_discarded_is_not_resident_and_zero() {
        let region = Region::anonymous(1 << 20, 4096, 4096).expect("map");
        let start = region.as_ptr();
        // SAFETY: within the region, and nobody else uses it.
        unsafe { start.write_bytes(7, 1 << 20) };
        assert_eq!(resident(start.addr()), 1 << 20);
        // SAFETY: as above. Whole pages only: from 8192 up to 65536.
        unsafe { region.discard(4097..65537) };
        assert_eq!(resident(start.addr()), (1 << 20) - (65536 - 8192));
        // SAFETY: as above.
        let bytes = unsafe { [8191, 8192, 65535, 65536].map(|at| start.add(at).read()) };
        assert_eq!(bytes, [7, 0, 0, 7]);
    }

    #[test]
    fn absurd_lengths_are_errors() {
        assert!(Region::anonymous(usize::MAX - 10, 4096, 4096).is_err());
        assert!(Region::anonymous(1 << 60, 4096, 4096).is_err());
    }
}
