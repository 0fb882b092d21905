//! A slice whose bytes a forked child finds to be zero (`MADV_WIPEONFORK`): how a child learns that it
//! is one without asking on every call.

use std::{marker::PhantomData, ops::Deref};

use rustix::io::Errno;

use super::mapping::Mapping;
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
    mapping: Mapping,
    len: usize,
    /// As if it had the items. It gives out `&T` only, and drops none: that `T` is `Sync`, by the bound of
    /// [`ZeroValid`], is all that makes it `Send` and `Sync`.
    _items: PhantomData<fn() -> T>,
}

impl<T: ZeroValid> ForkCleared<T> {
    /// Room for the mark in front, as wide as the strictest alignment among the `T`s.
    const FRONT: usize = {
        assert!(align_of::<T>() <= 4096 && !std::mem::needs_drop::<T>());
        if align_of::<T>() > 64 { align_of::<T>() } else { 64 }
    };

    /// Maps a slice of `len` items made by `item`.
    ///
    /// # Errors
    /// Those of the system; if that many cannot be.
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
        // Relaxed: the mark changes in no process that has another thread yet.
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
        // SAFETY: `len` items were written by `new`, or are zero in a child, which `T` promises to be
        // valid; nobody has a `&mut` to them.
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

    /// A length that wraps around would map a few bytes for many items.
    #[test]
    fn absurd_lengths_are_errors() {
        for len in [usize::MAX, usize::MAX / 8, usize::MAX / 8 - 7, (1 << 61) + 1] {
            assert!(ForkCleared::new(len, |_| -> u64 { panic!("there is no room") }).is_err());
        }
    }
}
