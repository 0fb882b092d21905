//! An aligned anonymous mapping, which is not resident until touched or populated.

use std::{io, ops::Range, ptr::NonNull};

use super::{
    mapping::{Mapping, PAGE},
    shared::SharedMemory,
};
use crate::{Error, error::ErrorKind, sync::Arc};

/// The size of huge pages, which are used for regions whose parts are at least as long.
pub(super) const HUGE_PAGE: usize = 2 << 20;

/// An aligned range of memory that is mapped once and stays at its place.
///
/// Blocks go to the disk from the memory into which records were written, so that memory must be aligned as direct I/O
/// demands, must not move while the kernel reads it, and must not take part in a fork. The heap promises none of the
/// three: an allocator can put the first bytes of a buffer in a page with other data, keeps freed memory resident, and
/// a fork shares its pages. A region begins at the demanded alignment, has whole pages, gives pages back on demand, and
/// unmaps itself on drop. In a forked child the region is zero: memory of the child's own, with no byte of the parent.
///
/// The system calls are in [`Mapping`], which knows pages only; the region knows alignment and parts. Under Miri an
/// allocation takes the place of the mapping, and everything above stays under test.
///
/// With crash safety the bytes are those of a [`SharedMemory`]: they outlive the process, they are allocated for good,
/// and a forked child does not have them.
#[derive(Debug)]
pub(crate) struct Region {
    backing: Backing,
    /// The first byte of the region: `skip` bytes behind the start of the backing memory.
    start: NonNull<u8>,
    skip: usize,
    len: usize,
    /// Whether huge pages pay.
    is_large: bool,
}

/// The memory that a region lies in.
#[derive(Debug)]
enum Backing {
    Own(Mapping),
    Shared(Arc<SharedMemory>),
}

// SAFETY: the backing memory may be sent, and `start` is an address within the mapping, which changes nothing by itself.
unsafe impl Send for Region {}
// SAFETY: the backing memory may be shared. The safe functions of `&self` change no byte; an access through the pointer is the
// promise of the accessing code.
unsafe impl Sync for Region {}

impl Region {
    /// Maps `len` zero bytes at a multiple of `align`, a power of two. `part` is the size in bytes of the pieces that
    /// are used separately; it decides whether the region can have huge pages. It has none before
    /// [`use_huge_pages`](Region::use_huge_pages): the first byte would cost 2 MiB.
    ///
    /// # Errors
    /// If the address space or the memory limit does not allow it.
    pub(crate) fn anonymous(len: usize, align: usize, part: usize) -> Result<Region, Error> {
        debug_assert!(align.is_power_of_two());
        let align = if part >= HUGE_PAGE { align.max(HUGE_PAGE) } else { align.max(PAGE) };
        let absurd = || {
            Error::new(ErrorKind::InvalidConfig, format!("{len} bytes of buffers cannot be mapped"))
        };
        // Whole pages, and room to begin at a multiple of the alignment.
        let whole = len.checked_next_multiple_of(PAGE).ok_or_else(absurd)?;
        let mapping_len = whole.checked_add(align).ok_or_else(absurd)?;
        let mapping = Mapping::new(mapping_len, false)
            .map_err(|errno| Error::io(format!("cannot map {len} bytes of buffers"), errno))?;
        let skip = mapping.start().as_ptr().align_offset(align);
        assert!(skip.checked_add(whole).is_some_and(|end| end <= mapping.len()));
        if part >= HUGE_PAGE {
            mapping.set_huge_pages(skip..skip + whole, false);
        }
        // SAFETY: the assertion above has shown that the address is within the mapping.
        let start = unsafe { mapping.start().add(skip) };
        Ok(Region { backing: Backing::Own(mapping), start, skip, len, is_large: part >= HUGE_PAGE })
    }

    /// `len` bytes of a shared memory, from byte `skip` behind its words on. Both are whole pages.
    ///
    /// Panics if the memory has less.
    pub(crate) fn shared(memory: Arc<SharedMemory>, skip: usize, len: usize) -> Region {
        assert!(skip.checked_add(len).is_some_and(|end| end <= memory.bytes()));
        // SAFETY: the assertion has shown that the address is within the memory.
        let start = unsafe { memory.bytes_start().add(skip) };
        Region { backing: Backing::Shared(memory), start, skip, len, is_large: false }
    }

    /// The first byte.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The address of byte `offset`.
    ///
    /// Panics if `offset` is greater than the length of the region.
    #[inline]
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset <= self.len);
        // SAFETY: the offset is within the region, which is within the mapping.
        unsafe { self.start.add(offset) }
    }

    /// Lets memory that becomes resident from now on have huge pages, if the parts of the region are large.
    pub(crate) fn use_huge_pages(&self) {
        if let Backing::Own(mapping) = &self.backing
            && self.is_large
        {
            mapping.set_huge_pages(self.skip..self.skip + self.len.next_multiple_of(PAGE), true);
        }
    }

    /// Makes `range`, widened to whole pages, resident. No byte changes, so the range may be in use.
    ///
    /// # Errors
    /// `EINVAL` before Linux 5.14; `ENOMEM`, and other errors of the system.
    pub(crate) fn populate(&self, range: Range<usize>) -> io::Result<()> {
        let start = range.start & !(PAGE - 1);
        let end = range.end.min(self.len).next_multiple_of(PAGE);
        if start >= end {
            return Ok(());
        }
        let pages = self.skip + start..self.skip + end;
        match &self.backing {
            Backing::Own(mapping) => mapping.populate(pages),
            Backing::Shared(memory) => memory.populate(pages),
        }
    }

    /// Gives the whole pages within `range` back to the system. They are zero at the next touch, and not resident
    /// before. Pages that the system does not take back, and those of a shared memory, keep their bytes.
    ///
    /// # Safety
    /// Nobody may use the bytes of the range meanwhile, nor expect their old values.
    pub(crate) unsafe fn discard(&self, range: Range<usize>) {
        let start = range.start.next_multiple_of(PAGE);
        let end = range.end.min(self.len) & !(PAGE - 1);
        if let Backing::Own(mapping) = &self.backing
            && start < end
        {
            // SAFETY: the caller makes the same promise.
            unsafe { mapping.discard(self.skip + start..self.skip + end) };
        }
    }
}

/// Whether huge pages were asked for at this address.
#[cfg(all(test, not(any(loom, miri))))]
pub(super) fn has_huge_pages(at: *mut u8) -> bool {
    let all = std::fs::read_to_string("/proc/self/smaps").expect("the mappings");
    let mut is_there = false;
    all.lines().any(|line| {
        let bounds = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        if let Some((Some(start), Some(end))) = bounds.map(|(a, b)| (number(a), number(b))) {
            is_there = (start..end).contains(&at.addr());
        }
        is_there && line.starts_with("VmFlags:") && line.contains(" hg")
    })
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    /// Resident bytes of the region. The kernel's list of mappings would not do: the kernel merges neighbours.
    fn resident(region: &Region) -> usize {
        let mut pages = vec![0_u8; region.len.div_ceil(PAGE)];
        // SAFETY: a byte for each page of a range that is mapped.
        let asked =
            unsafe { libc::mincore(region.as_ptr().cast(), region.len, pages.as_mut_ptr()) };
        assert_eq!(asked, 0);
        pages.iter().filter(|page| **page & 1 == 1).count() * PAGE
    }

    #[test]
    fn a_region_is_aligned_zero_and_not_resident_until_populated() {
        let region = Region::anonymous(4 << 20, 1 << 16, 1 << 16).expect("map");
        let start = region.as_ptr();
        assert!(start.addr().is_multiple_of(1 << 16));
        assert_eq!(resident(&region), 0);
        if region.populate(0..1 << 20).is_ok() {
            assert_eq!(resident(&region), 1 << 20);
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
        assert_eq!(resident(&region), 1 << 20);
        // SAFETY: as above. Whole pages only: from 8192 up to 65536.
        unsafe { region.discard(4097..65537) };
        assert_eq!(resident(&region), (1 << 20) - (65536 - 8192));
        // SAFETY: as above.
        let bytes = unsafe { [8191, 8192, 65535, 65536].map(|at| start.add(at).read()) };
        assert_eq!(bytes, [7, 0, 0, 7]);
    }

    #[cfg(not(loom))]
    #[test]
    fn only_a_region_of_large_parts_asks_for_huge_pages() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            return eprintln!("skipped: the kernel has no huge pages");
        }
        // In a child, where no other thread changes the list of mappings while it is read.
        crate::mem::in_forked_child(|| {
            [(4096, false), (HUGE_PAGE - 1, false), (HUGE_PAGE, true)].iter().all(|(part, asks)| {
                let region = Region::anonymous(4 * HUGE_PAGE, 4096, *part).expect("map");
                let before = has_huge_pages(region.as_ptr());
                region.use_huge_pages();
                !before && has_huge_pages(region.as_ptr()) == *asks
            })
        });
    }

    /// In a child, where no other thread maps memory at the same place.
    #[cfg(not(loom))]
    #[test]
    fn a_dropped_region_is_not_mapped_any_more() {
        crate::mem::in_forked_child(|| {
            let region = Region::anonymous(1 << 20, 4096, 4096).expect("map");
            let start = region.as_ptr().cast();
            let mut page = 0_u8;
            // SAFETY: a byte for one page; the system refuses a page that is not mapped.
            let mut is_mapped = || unsafe { libc::mincore(start, PAGE, &raw mut page) } == 0;
            let before = is_mapped();
            drop(region);
            before && !is_mapped()
        });
    }

    #[test]
    fn absurd_lengths_are_errors() {
        assert!(Region::anonymous(usize::MAX - 10, 4096, 4096).is_err());
        assert!(Region::anonymous(1 << 60, 4096, 4096).is_err());
    }

    /// Slices stay valid across a fork, and hold no byte of the parent. The child's drop unmaps the child's own range,
    /// and no later mapping of the child.
    #[cfg(not(loom))]
    #[test]
    fn a_forked_child_has_zeroes_of_its_own() {
        for part in [4096, HUGE_PAGE] {
            let len = 4 * HUGE_PAGE;
            let mut region = Some(Region::anonymous(len, 4096, part).expect("map"));
            let start = region.as_ref().map(Region::as_ptr).expect("a region");
            // SAFETY: within the region, and nobody else uses it.
            unsafe { start.write_bytes(7, len) };
            // SAFETY: as above.
            let slice = unsafe { std::slice::from_raw_parts_mut(start, len) };
            crate::mem::in_forked_child(|| {
                let is_zero = slice.iter().all(|byte| *byte == 0);
                slice.fill(9);
                let more: Vec<_> = (1..20_u8).map(|byte| vec![byte; HUGE_PAGE]).collect();
                drop(region.take());
                let again: Vec<_> = (20..40_u8).map(|byte| vec![byte; HUGE_PAGE]).collect();
                let mut all = more.iter().chain(&again).zip(1..);
                let is_kept = |(bytes, byte): (&Vec<u8>, u8)| bytes.iter().all(|b| *b == byte);
                is_zero && all.all(is_kept)
            });
            assert!(slice.iter().all(|byte| *byte == 7));
        }
    }
}
