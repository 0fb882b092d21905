//! The one place that names `std::sync`, `std::thread` or `loom`.
//!
//! Everything that takes part in the swap protocol imports its atomics, fences and parking from here,
//! so that the models check the code that runs.

#[cfg(loom)]
#[expect(unsafe_code, reason = "cells that loom watches are shared")]
mod model;

// These come from `std` even under loom: reference counts are not part of the protocol, and loom's `Arc` has
// no `Weak`; a static outlives a model.
pub(crate) use std::sync::{
    Arc, Mutex as GlobalMutex, MutexGuard as GlobalMutexGuard, OnceLock, PoisonError, Weak,
    atomic::{AtomicPtr as GlobalAtomicPtr, AtomicU64 as GlobalAtomicU64, compiler_fence},
};
use std::time::Instant;

#[cfg(not(loom))]
pub(crate) use std::{
    hint,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread, thread_local,
};

#[cfg(all(test, loom))]
pub(crate) use self::model::let_time_pass;
#[cfg(loom)]
pub(crate) use {
    self::model::{Alarm, Watch, hint, is_over, park_until, thread, thread_local},
    loom::cell::UnsafeCell,
    loom::sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
};

/// A cell whose uses a model watches.
#[cfg(not(loom))]
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

/// Locks `mutex`, poisoned or not: a panic of another holder must not spread, and every structure behind a
/// mutex of this crate is valid between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `deadline` is set and has passed.
#[cfg(not(loom))]
pub(crate) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

/// Parks this thread until another one unparks it or `deadline` passes; can return early.
#[cfg(not(loom))]
pub(crate) fn park_until(deadline: Option<Instant>) {
    match deadline {
        None => thread::park(),
        Some(deadline) => {
            thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// Waits for `changed`, at most until `deadline`; can return early. In a model no deadline passes.
pub(crate) fn wait_until<'a, T>(
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
) -> MutexGuard<'a, T> {
    #[cfg(not(loom))]
    if let Some(deadline) = deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        return changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    let _ = deadline;
    changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
