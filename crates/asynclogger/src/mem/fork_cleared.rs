//! A slice whose bytes a forked child finds to be zero (`MADV_WIPEONFORK`): how a child learns that it
//! is one without asking on every call.

use std::{ops::Deref, ptr::NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::{
    Error,
    sync::{AtomicU64, Ordering},
};

/// Types of which zero bytes are a valid value, and that need no drop.
///
/// # Safety
/// All-zero bytes must be a valid value of the type.
pub(crate) unsafe trait ZeroValid: Sync {}

/// The process that made the slice finds this in front of it; a child finds 0.
const ALIVE: u64 = 1;

/// A fixed slice of `T`, its own mapping, zero in a forked child.
#[derive(Debug)]
pub(crate) struct ForkCleared<T: ZeroValid> {
    mapping: NonNull<u8>,
    mapping_len: usize,
    len: usize,
    _items: std::marker::PhantomData<T>,
}

// SAFETY: it owns its `T`s, which are `Sync` by the bound of `ZeroValid`, and gives out `&T` only.
unsafe impl<T: ZeroValid> Send for ForkCleared<T> {}
// SAFETY: as above.
unsafe impl<T: ZeroValid> Sync for ForkCleared<T> {}

impl<T: ZeroValid> ForkCleared<T> {
    /// Room for the mark in front, as wide as the strictest alignment among the `T`s.
    const FRONT: usize = {
        assert!(align_of::<T>() <= 4096 && !std::mem::needs_drop::<T>());
        if align_of::<T>() > 64 { align_of::<T>() } else { 64 }
    };

    /// Maps a slice of `len` items made by `item`.
    pub(crate) fn new(len: usize, item: impl Fn(usize) -> T) -> Result<ForkCleared<T>, Error> {
        let mapping_len = len * size_of::<T>() + Self::FRONT;
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        let failed = |errno: rustix::io::Errno| Error::io("cannot map the shards", errno);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), mapping_len, protection, flags) }
            .map_err(failed)?;
        let mapping = NonNull::new(start.cast()).ok_or_else(|| failed(rustix::io::Errno::NOMEM))?;
        let slice =
            ForkCleared::<T> { mapping, mapping_len, len, _items: std::marker::PhantomData };
        // SAFETY: our own mapping; the advice takes effect in children only.
        unsafe { madvise(start, mapping_len, Advice::LinuxWipeOnFork) }.map_err(failed)?;
        for index in 0..len {
            // SAFETY: within the mapping, aligned (`FRONT` and the size of `T` are multiples of its
            // alignment, the mapping is a page's), and not shared yet.
            unsafe { slice.items().add(index).write(item(index)) };
        }
        slice.mark().store(ALIVE, Ordering::Relaxed);
        Ok(slice)
    }

    /// Whether this process is a forked child of the one that made the slice.
    pub(crate) fn is_forked(&self) -> bool {
        // Relaxed: the mark changes in no process that has another thread yet.
        self.mark().load(Ordering::Relaxed) != ALIVE
    }

    fn mark(&self) -> &AtomicU64 {
        // SAFETY: the first eight bytes of the mapping are only ever used as this atomic.
        unsafe { self.mapping.cast().as_ref() }
    }

    fn items(&self) -> *mut T {
        // SAFETY: `FRONT` is within the mapping.
        unsafe { self.mapping.add(Self::FRONT).as_ptr().cast() }
    }
}

impl<T: ZeroValid> Deref for ForkCleared<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` items were written by `new`, or are zero in a child, which `T` promises to be
        // valid; nobody has a `&mut` to them.
        unsafe { std::slice::from_raw_parts(self.items(), self.len) }
    }
}

impl<T: ZeroValid> Drop for ForkCleared<T> {
    fn drop(&mut self) {
        // SAFETY: we mapped exactly this range; all borrows of the items ended with us. The items need
        // no drop (checked in `FRONT`).
        let _ = unsafe { munmap(self.mapping.as_ptr().cast(), self.mapping_len) };
    }
}
