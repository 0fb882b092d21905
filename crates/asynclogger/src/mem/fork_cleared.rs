//! A slice whose bytes are zero in a forked child (`MADV_WIPEONFORK`). So a child learns that it is one without a
//! system call each time.

use std::{marker::PhantomData, ops::Deref};

use rustix::io::Errno;

use super::mapping::Mapping;
use crate::{
    Error,
    sync::{AtomicU64, Ordering},
};

/// Types for which zero bytes are a valid value, and that need no drop.
///
/// # Safety
/// All-zero bytes must be a valid value of the type.
pub(crate) unsafe trait ZeroValid: Sync {}

/// The mark in front of the slice, as the process that made the slice finds it; a child finds 0.
const ALIVE: u64 = 1;

/// A fixed slice of `T` in a mapping of its own, zero in a forked child.
#[derive(Debug)]
pub(crate) struct ForkCleared<T: ZeroValid> {
    mapping: Mapping,
    len: usize,
    /// Marks the type of the items. The slice gives out `&T` only and drops no item, so `T: Sync`, a bound of
    /// [`ZeroValid`], suffices to make the slice `Send` and `Sync`.
    _items: PhantomData<fn() -> T>,
}

impl<T: ZeroValid> ForkCleared<T> {
    /// Bytes in front of the items, for the mark: at least 64, and a multiple of the alignment of `T`.
    const FRONT: usize = {
        assert!(align_of::<T>() <= 4096 && !std::mem::needs_drop::<T>());
        if align_of::<T>() > 64 { align_of::<T>() } else { 64 }
    };

    /// Maps a slice of `len` items made by `item`.
    ///
    /// # Errors
    /// The system's errors; `ENOMEM` if the length overflows.
    pub(crate) fn new(len: usize, item: impl Fn(usize) -> T) -> Result<ForkCleared<T>, Error> {
        let failed = |errno: Errno| Error::io("cannot map the shards", errno);
        let bytes =
            len.checked_mul(size_of::<T>()).and_then(|items| items.checked_add(Self::FRONT));
        let mapping =
            Mapping::new(bytes.ok_or_else(|| failed(Errno::NOMEM))?, true).map_err(failed)?;
        let slice = ForkCleared::<T> { mapping, len, _items: PhantomData };
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
        // Relaxed: the mark changes only in a fork, whose child has one thread.
        self.mark().load(Ordering::Relaxed) != ALIVE
    }

    fn mark(&self) -> &AtomicU64 {
        // SAFETY: the first eight bytes of the mapping are only ever used as this atomic.
        unsafe { self.mapping.start().cast().as_ref() }
    }

    #[inline]
    fn items(&self) -> *mut T {
        // SAFETY: `FRONT` is within the mapping.
        unsafe { self.mapping.start().add(Self::FRONT).as_ptr().cast() }
    }
}

impl<T: ZeroValid> Deref for ForkCleared<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `new` has written `len` items; in a child they are zero, which `T` promises to be valid. Nobody has a
        // `&mut` to them.
        unsafe { std::slice::from_raw_parts(self.items(), self.len) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    // SAFETY: zero is a number.
    unsafe impl ZeroValid for u64 {}

    #[test]
    fn items_are_where_they_were_put() {
        let slice = ForkCleared::new(1000, |index| index as u64 * 3).expect("mapped");
        assert!(slice.iter().enumerate().all(|(index, item)| *item == index as u64 * 3));
        assert_eq!((slice.len(), slice.is_forked()), (1000, false));
        assert!(ForkCleared::new(0, |index| index as u64).expect("mapped").is_empty());
    }

    /// If the length wrapped around, a few bytes would be mapped for many items.
    #[test]
    fn absurd_lengths_are_errors() {
        for len in [usize::MAX, usize::MAX / 8, usize::MAX / 8 - 7, (1 << 61) + 1] {
            assert!(ForkCleared::new(len, |_| -> u64 { panic!("there is no room") }).is_err());
        }
    }
}
