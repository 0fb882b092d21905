//! The one place that names `std::sync`, `std::thread` or `loom`.
//!
//! Everything that takes part in the swap protocol imports its atomics, fences and parking from here,
//! so that the models check the code that runs.

// Reference counts are not part of the protocol; loom's have no `Weak`.
pub(crate) use std::sync::{Arc, OnceLock, PoisonError, Weak, atomic::compiler_fence};

#[cfg(not(loom))]
pub(crate) use std::{
    hint,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread,
};

#[cfg(loom)]
pub(crate) use loom::{
    hint,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread,
};

/// Locks `mutex`; a panic of another holder is not ours to pass on, and every structure that we guard
/// is valid between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
